"""Access tokens: made once, shown once, found by their hash."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

from pressrun.web.errors import BadInput
from pressrun.web.people.models import SCOPES, AccessToken
from pressrun.web.people.roles import Role, role_of

__all__ = ["LONGEST_DAYS", "MOST", "allowed_scopes", "find", "make", "revoke", "sent_with", "used"]

MOST = 50
LONGEST_DAYS = 3650
_USED_AGAIN_AFTER = timedelta(minutes=10)  # a note of each use would make every request a write


def allowed_scopes(user: User) -> tuple[str, ...]:
    """The scopes that a user may give a token: `admin` is for those whose role goes beyond a member's."""
    role = role_of(user)
    if role < Role.MEMBER:
        return ("read",)
    runs = ("run",) if role is Role.OWNER or user.has_perm("runs.add_run") else ()
    return ("read", "write", *runs, *(("admin",) if role > Role.MEMBER else ()))


def make(user: User, name: str, scopes: list[str], days: int | None) -> tuple[AccessToken, str]:
    """A new token and its secret, which is written down nowhere. Without days it never runs out.

    Raises:
        BadInput: for a scope that the user can't give, a name that is empty or too long, days out of range, or too many tokens.
    """
    allowed = allowed_scopes(user)
    if strange := [scope for scope in scopes if scope not in allowed]:
        raise BadInput(f"{user.get_username()} can give a token the scopes {', '.join(allowed)}, not {strange[0][:40]!r}.")
    if not name.strip() or len(name) > 80:
        raise BadInput(f"a token needs a name of 1 to 80 characters, got {len(name)}.")
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise BadInput(f"a token lasts 1 to {LONGEST_DAYS} days, got {days}.")
    if AccessToken.objects.live().filter(user=user).count() >= MOST:
        raise BadInput(f"{user.get_username()} has {MOST} tokens that work; revoke one first.")
    secret = "pr_" + secrets.token_urlsafe(32)
    token = AccessToken.objects.create(
        user=user,
        name=name.strip(),
        prefix=secret[:9],
        digest=_digest(secret),
        scopes=[scope for scope in SCOPES if scope in {*scopes, "read"}],
        expires=timezone.now() + timedelta(days=days) if days else None,
    )
    return token, secret


def sent_with(request: HttpRequest) -> str | None:
    """The secret in the request's Authorization header, if it is one of ours."""
    found = re.fullmatch(r"bearer +(pr_\S*)", request.headers.get("Authorization", "").strip(), re.ASCII | re.IGNORECASE)
    return found[1] if found else None


def find(secret: str) -> AccessToken | None:
    """The token of a secret, with its user, if it works."""
    return AccessToken.objects.live().select_related("user__profile").filter(digest=_digest(secret)).first()


def used(token: AccessToken, now: datetime | None = None) -> None:
    """Note that a token is in use, ten minutes sharp or so."""
    now = now or timezone.now()
    if token.last_used is None or now - token.last_used > _USED_AGAIN_AFTER:
        AccessToken.objects.filter(pk=token.pk).update(last_used=now)


def revoke(token: AccessToken) -> None:
    """From now on nobody gets in by it. Doing so again changes nothing."""
    AccessToken.objects.filter(pk=token.pk, revoked=None).update(revoked=timezone.now())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
