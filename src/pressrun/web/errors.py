"""Errors as sentences: bad input is a 400, a missing thing a 404, in HTML or JSON as the request asks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

log = logging.getLogger(__name__)


class BadInput(ValueError):
    """What was given can't be used; the message is one sentence for the person who gave it."""


class Busy(RuntimeError):
    """Something needed is in use by another process right now; asking again helps."""


class SignInNeeded(PermissionDenied):
    """Nobody is signed in, and this needs somebody."""


class TooMany(RuntimeError):
    """A limit is reached; `seconds` from now asking again helps."""

    def __init__(self, sentence: str, seconds: int) -> None:
        super().__init__(sentence)
        self.seconds = max(seconds, 1)


def wants_json(request: HttpRequest) -> bool:
    if request.path.startswith(("/api/", "/pwc/")):
        return True
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def answer(request: HttpRequest, status: int, title: str, sentence: str) -> HttpResponse:
    """One error page or JSON object. The header carries the sentence too: some clients read nothing else."""
    if wants_json(request):
        response: HttpResponse = JsonResponse({"error": sentence}, status=status)
    else:
        context: dict[str, object] = {"title": title, "sentence": sentence, "status": status}
        if status >= 500:  # the database may be what failed: ask it for nothing
            context |= {"user": None, "messages": ()}
        response = render(request, "papers/error.html", context, status=status)
    response["X-Error-Message"] = for_header(sentence)
    return response


def for_header(sentence: str) -> str:
    """The sentence as a header can carry it: printable ASCII on one line."""
    plain = sentence.encode("ascii", "replace").decode()
    return "".join(character if character.isprintable() else " " for character in plain)[:500]


class SentencesInErrors:
    """Turns the exceptions that name bad input into their answers, and anything else into a 500 that says so."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, problem: Exception) -> HttpResponse | None:
        if isinstance(problem, BadInput):
            return answer(request, 400, "That did not work", str(problem))
        if isinstance(problem, Busy):
            return busy(request, str(problem))
        if _is_locked(problem):
            return busy(request, LOCKED)
        if isinstance(problem, TooMany):
            response = answer(request, 429, "Slow down", str(problem))
            response["Retry-After"] = str(problem.seconds)
            return response
        if isinstance(problem, SignInNeeded):
            return sign_in_first(request, str(problem))
        if isinstance(problem, SuspiciousOperation):
            return answer(request, 400, "That did not work", "The request is malformed.")
        return None


LOCKED = "Too many are at work at this moment, so nothing was changed. Try again in a few seconds."


def _is_locked(problem: BaseException | None) -> bool:
    """Whether SQLite's one writer was somebody else, or all connections of the pool to PostgreSQL were out, for as long as we waited."""
    signs = "database is locked", "couldn't get a connection after"
    return isinstance(problem, OperationalError) and any(sign in str(problem) for sign in signs)


def busy(request: HttpRequest, sentence: str) -> HttpResponse:
    response = answer(request, 503, "Busy right now", sentence)
    response["Retry-After"] = "5"
    return response


def sign_in_first(request: HttpRequest, sentence: str) -> HttpResponse:
    """The way to the sign-in page and back; for programs a 401. htmx would put the page into the place of a button."""
    back = request.get_full_path() if request.method in {"GET", "HEAD"} else _came_from(request)
    address = f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': back})}"
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=401, headers={"HX-Redirect": address})
    if wants_json(request):
        response = answer(request, 401, "Sign in first", sentence)
        response["WWW-Authenticate"] = "Bearer"
        return response
    return redirect(address)


def _came_from(request: HttpRequest) -> str:
    """The page of this site that the request was made on."""
    page = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure())
    return urlsplit(page)._replace(scheme="", netloc="").geturl() if ours else "/"


def not_found(request: HttpRequest, exception: Http404 | None = None) -> HttpResponse:
    said = str(exception.args[0]) if exception and exception.args and isinstance(exception.args[0], str) else ""
    return answer(request, 404, "Not on this press", said or f"There is no page at {request.path[:200]}.")


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 400, "That did not work", "The request is malformed.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 403, "Not allowed", str(exception) if exception and str(exception) else "You may not do this.")


def failed(request: HttpRequest) -> HttpResponse:
    if _is_locked(sys.exc_info()[1]):  # outside of views, as when a session is saved
        return busy(request, LOCKED)
    return answer(request, 500, "Something broke", "The server failed on this request. Its log says why; nothing was changed.")
