"""Who may start and cancel runs: owners, and users with the permission; by access token, if it has the scope `run`. All may read.

The owner at this machine is whoever opens the address that `pressrun serve` prints: it holds a token that works once, from this
machine, and puts a mark into the session. Only the token's hash is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
from pathlib import Path

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from pressrun.web.people.roles import Role, role_of, token_of
from pressrun.web.runs.models import Run

__all__ = [
    "OWNER",
    "become_owner",
    "check_may_cancel",
    "check_may_run",
    "is_owner",
    "may_cancel",
    "may_run",
    "new_token",
    "requester",
]

OWNER = "the owner"  # no user can be called so: a user name has no space
_MARK = "pressrun-owner"


def new_token() -> str:
    """A token for the owner, in place of the one before. Only its hash is written down, for its owner's eyes only."""
    token = secrets.token_urlsafe(24)
    fresh = _path().with_name(f".owner-token.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(_hash(token))
    fresh.replace(_path())
    return token


def become_owner(request: HttpRequest, token: str) -> None:
    """Mark the session as the owner's, if the token is the one that waits; then it waits no more.

    Raises:
        PermissionDenied: in a sentence.
    """
    if not _is_here(request):
        raise PermissionDenied("The owner's link works only on the machine that the site runs on.")
    if not _taken(token):
        raise PermissionDenied(
            "This link was used before, or is of an earlier start. pressrun serve prints a fresh one at every start."
        )
    request.session.cycle_key()
    request.session[_MARK] = True


def is_owner(request: HttpRequest) -> bool:
    """Whether the owner at this machine asks. A program with an access token is its user, whatever cookie it brings."""
    return token_of(request) is None and bool(request.session.get(_MARK)) and _is_here(request)


def may_run(request: HttpRequest) -> bool:
    token = token_of(request)
    if token is not None and not token.has("run"):
        return False
    return is_owner(request) or role_of(request.user) is Role.OWNER or request.user.has_perm("runs.add_run")


def may_cancel(request: HttpRequest, run: Run) -> bool:
    """An owner may end any run, others those that they asked for."""
    token = token_of(request)
    if token is not None and not token.has("run"):
        return False
    mine = request.user.is_authenticated and run.requester == request.user.get_username()
    return is_owner(request) or role_of(request.user) is Role.OWNER or (mine and not run.imported)


def check_may_run(request: HttpRequest) -> None:
    if not may_run(request):
        raise PermissionDenied(
            "Only the owner of this installation, and users who were given the permission to add runs, may start one. "
            "The owner opens the address that pressrun serve prints; others sign in."
        )


def check_may_cancel(request: HttpRequest, run: Run) -> None:
    if not may_cancel(request, run):
        raise PermissionDenied("Only the owner of this installation, and whoever asked for a run, may cancel it.")


def requester(request: HttpRequest) -> str:
    """Who asks, as it stands in the record."""
    return OWNER if is_owner(request) else request.user.get_username()


def _path() -> Path:
    return Path(settings.HOME) / "owner-token"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _taken(token: str) -> bool:
    """Whether the token is the one that waits. Of several requests with it, one gets it."""
    try:
        right = hmac.compare_digest(_path().read_text(), _hash(token))
        if right:
            _path().unlink()
    except OSError:
        return False
    return right


def _is_here(request: HttpRequest) -> bool:
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
