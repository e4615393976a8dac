"""Who writes: a member who is not banned and has not just written too much."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from pressrun.web.community.models import Ban
from pressrun.web.errors import BadInput
from pressrun.web.people.limits import spend
from pressrun.web.people.roles import Role, check, role_of

__all__ = ["back", "ban_of", "curators", "fitting", "is_curator", "named", "signed_in", "text_of", "writer"]


def writer(request: HttpRequest, kind: str, role: Role = Role.MEMBER) -> User:
    """Who is about to write, after counting it against the limit of `kind`.

    Raises:
        SignInNeeded, PermissionDenied: nobody is signed in, the role is too low, or the person is banned; in a sentence.
        TooMany: too much was written.
    """
    user = signed_in(request, role)
    if ban := ban_of(user):
        until = f"until {ban.until:%-d %B %Y, %H:%M} UTC" if ban.until else "on this site"
        raise PermissionDenied(f"You may not write {until}. The reason given: {ban.reason}")
    spend(request, kind)
    return user


def signed_in(request: HttpRequest, role: Role = Role.MEMBER) -> User:
    """Who asks, if in this role at least; to read their own things or to decide about those of others."""
    check(request, role)
    assert isinstance(request.user, User)  # noqa: S101  the check lets nobody else through
    return request.user


def ban_of(user: User) -> Ban | None:
    """The ban in force, if there is one."""
    return Ban.objects.filter(Q(until=None) | Q(until__gt=timezone.now()), user=user).first()


def is_curator(request: HttpRequest) -> bool:
    return role_of(request) >= Role.CURATOR


def curators() -> list[User]:
    """Everybody who may moderate."""
    roles = [Role.CURATOR.value, Role.OWNER.value]
    return list(User.objects.filter(Q(profile__role__in=roles) | Q(is_superuser=True), is_active=True).distinct())


def named(user: User | None) -> str:
    """What pages call a person."""
    if user is None:
        return "a former member"
    profile = getattr(user, "profile", None)
    return (profile.name if profile else "") or user.get_username()


def text_of(request: HttpRequest, name: str, most: int, *, needed: bool = True) -> str:
    """A text that a form brought, without the white space around it.

    Raises:
        BadInput: where it is missing or too long, or holds a character that no text has.
    """
    text = request.POST.get(name, "").replace("\r\n", "\n").strip()
    return fitting(text, name, most, needed=needed)


def fitting(text: str, name: str, most: int, *, needed: bool = True) -> str:
    if needed and not text:
        raise BadInput(f"the {name} is empty; write something.")
    if len(text) > most:
        raise BadInput(f"the {name} has {len(text):,} characters; {most:,} are the most.")
    if "\0" in text:
        raise BadInput(f"the {name} holds a NUL character, which no text has.")
    return text


def back(request: HttpRequest, otherwise: str = "") -> str:
    """Where to go on after a form: the page of this site that the form names, else `otherwise`, else the front page."""
    page = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure()):
        return page
    return otherwise or reverse("home")
