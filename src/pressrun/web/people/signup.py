"""Who may make an account: everybody, those who were invited, or nobody. Invitations work once, until they run out."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

from pressrun.web.errors import BadInput
from pressrun.web.people.changes import give_role
from pressrun.web.people.models import Invitation, Switch
from pressrun.web.people.roles import Role

__all__ = ["POLICIES", "accept", "invitation_of", "invite", "is_open", "policy", "revoke", "set_policy", "take"]

POLICIES = ("open", "invitation", "closed")
_SESSION = "invitation"


def policy() -> str:
    """open, invitation or closed: what the owner chose on the page, else PRESSRUN_SIGNUP."""
    chosen = Switch.objects.filter(name="signup").values_list("value", flat=True).first()
    return chosen if chosen in POLICIES else str(settings.SIGNUP)


def set_policy(value: str) -> None:
    if value not in POLICIES:
        raise BadInput(f"sign-up is {', '.join(POLICIES)}, got {value[:40]!r}.")
    Switch.objects.update_or_create(name="signup", defaults={"value": value})


def is_open(request: HttpRequest) -> bool:
    """Whether this visitor may make an account now."""
    now = policy()
    return now == "open" or (now == "invitation" and invitation_of(request) is not None)


def invite(by: User | None, role: Role, days: int, note: str = "") -> tuple[Invitation, str]:
    """A new invitation and its secret, which is written down nowhere.

    Raises:
        BadInput: if the days are out of range, or the note is too long.
    """
    if not 1 <= days <= 90:
        raise BadInput(f"an invitation lasts 1 to 90 days, got {days}.")
    if len(note) > 120:
        raise BadInput(f"a note has at most 120 characters, got {len(note)}.")
    secret = secrets.token_urlsafe(24)
    expires = timezone.now() + timedelta(days=days)
    made = Invitation.objects.create(digest=_digest(secret), invited_by=by, role=role.value, note=note.strip(), expires=expires)
    return made, secret


def revoke(pk: int) -> bool:
    """Take an invitation back; false if it was used or over."""
    return bool(Invitation.objects.waiting().filter(pk=pk).update(revoked=timezone.now()))


def accept(request: HttpRequest, secret: str) -> bool:
    """Remember in the visitor's session that they come by an invitation; false if it does not work."""
    found = Invitation.objects.waiting().filter(digest=_digest(secret)).first()
    if found is None:
        return False
    request.session[_SESSION] = found.pk
    return True


def invitation_of(request: HttpRequest) -> Invitation | None:
    """The invitation that the visitor came by, while it still works."""
    return Invitation.objects.waiting().filter(pk=_known(request)).first()


def take(request: HttpRequest, user: User) -> bool:
    """Use the visitor's invitation up for the account they made, and give the account its role. False if it is gone.

    Call it in the transaction that makes the account: of two people with one link, the second's account is not made.
    """
    known = _known(request)
    mine = Invitation.objects.waiting().filter(pk=known)
    if not mine.update(used=timezone.now(), taken_by=user):
        return policy() == "open"
    invitation = Invitation.objects.get(pk=known)
    if invitation.role != Role.MEMBER:
        give_role(user, Role(invitation.role))
    request.session.pop(_SESSION, None)
    return True


def _known(request: HttpRequest) -> int:
    """The key of the invitation in the visitor's session; 0, which none has, without one."""
    return int(request.session.get(_SESSION) or 0)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
