"""Who asks: the owner at this machine without signing in, and programs by their access token."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from pressrun.web.errors import TooMany, answer
from pressrun.web.people import limits, tokens
from pressrun.web.people.owner import owner_user
from pressrun.web.runs import access

GetResponse = Callable[[HttpRequest], HttpResponse]

# Addresses of accounts and of the admin, where a person acts, and no program.
_NOT_FOR_TOKENS = re.compile(r"/(account|admin|owner|people)(/|$)")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# Views that read by POST, as their protocols want it, and those that the scope `run` is for.
_READING = frozenset({"oai", "arxiv-query"})
_RUNNING = frozenset({"start-run", "run-cancel", "run-again"})
_API = ("/api/", "/arxiv/", "/pwc/", "/oai")


class LocalOwner:
    """Makes the person who opened the printed link at this machine a user, unless they signed in as somebody."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = cast(User, SimpleLazyObject(lambda: _user(request)))

        request.auser = sync_to_async(lambda: _user(request))
        return self.get_response(request)


def _user(request: HttpRequest) -> User | AnonymousUser:
    user = get_user(request)
    return owner_user() if not user.is_authenticated and access.is_owner(request) else user


class Tokens:
    """Lets a request act for the user of its access token, as far as the token's scopes go.

    A token of ours begins with `pr_`; any other is left alone, because clients of the Hugging Face API send theirs along. No
    page of another site can make a browser send this header, so such a request needs no CSRF token.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        secret = tokens.sent_with(request)
        if secret is None:
            return self._limited(request)
        token = tokens.find(secret)
        if token is None:
            refused = answer(request, 401, "Unknown token", "This access token is not known here, was revoked, or has run out.")
            refused["WWW-Authenticate"] = 'Bearer error="invalid_token"'
            return refused
        request.token = token  # type: ignore[attr-defined]
        request.user = token.user
        request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
        if _NOT_FOR_TOKENS.match(request.path):
            return answer(request, 403, "Not by token", "Access tokens don't work on this page; sign in with a browser.")
        tokens.used(token)
        response = self._limited(request)
        patch_vary_headers(response, ["Authorization"])
        return response

    def _limited(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(_API):
            try:
                limits.spend(request, "api")
            except TooMany as problem:
                return _slow_down(request, problem)
        return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],  # noqa: ARG002  Django gives it
        args: object,  # noqa: ARG002
        kwargs: object,  # noqa: ARG002
    ) -> HttpResponse | None:
        """Refuse what no scope of the token is for, whatever the view itself checks."""
        token = getattr(request, "token", None)
        if token is None or request.method in _SAFE:
            return None
        name = request.resolver_match.url_name if request.resolver_match else None
        scope = "read" if name in _READING else "run" if name in _RUNNING else "write"
        if token.has(scope):
            return None
        return answer(request, 403, "Not allowed", f"This access token may not do this; it needs the scope {scope}.")


def _slow_down(request: HttpRequest, problem: TooMany) -> HttpResponse:
    response = answer(request, 429, "Slow down", str(problem))
    response["Retry-After"] = str(problem.seconds)
    # How clients of the Hugging Face API are told the same.
    response["RateLimit"] = f'"api";r=0;t={problem.seconds}'
    return response
