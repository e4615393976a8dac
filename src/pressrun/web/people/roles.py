"""Who may do what: four roles, each of which may do all that the ones before it may.

A *reader* looks; a *member* votes, writes and submits; a *curator* decides on submissions and moderates; an *owner* does
everything. Nobody signed in is a reader. The person at this machine who opened the printed link is an owner.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from pressrun.web.errors import SignInNeeded

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from pressrun.web.people.models import AccessToken

__all__ = ["Role", "check", "needs", "role_of", "signed_in", "token_of"]

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Role(StrEnum):
    """Ordered by what it may do, not by its letters."""

    READER = "reader"
    MEMBER = "member"
    CURATOR = "curator"
    OWNER = "owner"

    def __lt__(self, other: object) -> bool:
        return _rank(self) < _rank(other)

    def __le__(self, other: object) -> bool:
        return _rank(self) <= _rank(other)

    def __gt__(self, other: object) -> bool:
        return _rank(self) > _rank(other)

    def __ge__(self, other: object) -> bool:
        return _rank(self) >= _rank(other)


_RANKS = {role.value: rank for rank, role in enumerate(Role)}
_NEEDED = {
    Role.MEMBER: "Only members may do this; ask the owner of this site to make you one.",
    Role.CURATOR: "Only curators and owners of this site may do this.",
    Role.OWNER: "Only an owner of this site may do this.",
}


def _rank(role: object) -> int:
    return _RANKS[str(role)]


def role_of(who: HttpRequest | User | AnonymousUser) -> Role:
    """The role of a user, or the one that a request may act in: with an access token no more than its scopes give.

    A token of scope `admin` gives its user's whole role, one of `write` at most a member's. A token without `write` is a
    member's while it reads, and a reader's where something would change.
    """
    if not isinstance(who, HttpRequest):
        return _of_user(who)
    role = _of_user(who.user)
    token = token_of(who)
    if token is None or token.has("admin"):
        return role
    may_write = token.has("write") or who.method in _SAFE
    return min(role, Role.MEMBER if may_write else Role.READER)


def _of_user(user: User | AnonymousUser) -> Role:
    if not (user.is_authenticated and user.is_active):
        return Role.READER
    if user.is_superuser:
        return Role.OWNER
    profile = getattr(user, "profile", None)  # None where the account was made past us, as by createsuperuser
    return Role(profile.role) if profile else Role.MEMBER


def token_of(request: HttpRequest) -> AccessToken | None:
    """The access token that the request came with."""
    return getattr(request, "token", None)


def check(request: HttpRequest, role: Role) -> None:
    """Nothing, if the request may act in the role.

    Raises:
        SignInNeeded: nobody is signed in; the site answers with the sign-in page, or 401.
        PermissionDenied: in a sentence; the site answers 403.
    """
    if role_of(request) >= role:
        return
    if not request.user.is_authenticated:
        raise SignInNeeded("Sign in to do this.")
    if _of_user(request.user) >= role:
        scope = "write" if role is Role.MEMBER else "admin"
        raise PermissionDenied(f"This access token may not do this; it needs the scope {scope}.")
    raise PermissionDenied(_NEEDED[role])


def needs(
    role: Role,
) -> Callable[[Callable[Concatenate[HttpRequest, P], R]], Callable[Concatenate[HttpRequest, P], R]]:
    """A view that only those in a role may use, or in one above it."""

    def decorate(view: Callable[Concatenate[HttpRequest, P], R]) -> Callable[Concatenate[HttpRequest, P], R]:
        @wraps(view)
        def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> R:
            check(request, role)
            return view(request, *args, **kwargs)

        return checked

    return decorate


def signed_in(view: Callable[Concatenate[HttpRequest, P], R]) -> Callable[Concatenate[HttpRequest, P], R]:
    """A view that needs an account, whatever its role."""

    @wraps(view)
    def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not request.user.is_authenticated:
            raise SignInNeeded("Sign in to do this.")
        return view(request, *args, **kwargs)

    return checked
