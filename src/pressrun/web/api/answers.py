"""What every machine-readable answer shares: errors as sentences, request ids, moments in UTC, addresses, plain text."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import wraps

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver

from pressrun.web import errors
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper

__all__ = ["absolute", "clean", "find_paper", "guarded", "midnight", "one_line", "site_host", "utc", "whole_number"]

View = Callable[..., HttpResponseBase]

_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
# What XML 1.0 has no way to write, and JSON readers choke on.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def guarded(views: Sequence[URLPattern | URLResolver]) -> list[URLPattern | URLResolver]:
    """The same routes, whose views answer every error with a sentence and carry the request's id back."""
    for route in views:
        if isinstance(route, URLPattern):
            route.callback = _guard(route.callback)
    return list(views)


def _guard(view: View) -> View:
    @wraps(view)
    def answer(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        asked = request.method
        if asked == "HEAD":
            request.method = "GET"  # every header is that of a GET; the server leaves the body out
        try:
            response = _answered(view, request, *args, **kwargs)
        finally:
            request.method = asked
        response["X-Request-Id"] = _request_id(request)
        return response

    return answer


def _answered(view: View, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
    """The view's answer, or that to the error it raised. Raises again what nobody foresaw."""
    try:
        _refuse_nul(request)
        response = view(request, *args, **kwargs)
    except Http404 as problem:
        return errors.not_found(request, problem)
    except Exception as problem:
        known = errors.SentencesInErrors(_no_view).process_exception(request, problem)
        if known is None:
            raise
        return known
    if response.status_code == 405 and not response.get("X-Error-Message"):
        return _not_allowed(request, response)
    return response


def _no_view(request: HttpRequest) -> HttpResponse:
    raise AssertionError(f"nothing is asked of the next view for {request.path}")


def _refuse_nul(request: HttpRequest) -> None:
    """No database and no index takes a NUL character, and no paper has one."""
    given = [request.path, *(text for name, values in request.GET.lists() for text in (name, *values))]
    if any("\0" in text for text in given):
        raise BadInput("an address can't hold a NUL character (%00).")


def _not_allowed(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    allowed = response.get("Allow") or "GET"
    answer = errors.answer(request, 405, "Not this way", f"{request.method} does not work here; use {allowed}.")
    answer["Allow"] = allowed
    return answer


def _request_id(request: HttpRequest) -> str:
    """The id that the client sent, for its error messages; else a fresh one."""
    sent = request.headers.get("X-Request-Id") or request.headers.get("X-Amzn-Trace-Id") or ""
    return sent if re.fullmatch(r"[\x21-\x7e]{1,200}", sent) else str(uuid.uuid4())


def find_paper(text: str) -> Paper:
    """The paper of an id in any of its forms, with its organisation and topics. Raises Http404 with a sentence."""
    papers = Paper.objects.with_facts()
    # By its very id first: that is what most ask for, and a third of the work.
    found = (papers.filter(public_id=text).first() or papers.by_id(text).first()) if text else None
    if found is None:
        raise Http404(f"There is no paper {text[:200]!r} here.")
    return found


def whole_number(name: str, text: str, *, low: int, high: int) -> int:
    """The number that a parameter holds. Anything but a whole number from `low` to `high` is bad input."""
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII) or not low <= int(text) <= high:
        raise BadInput(f"{name} must be a whole number from {low} to {high}, got {text[:40]!r}.")
    return int(text)


def midnight(day: date) -> datetime:
    """The first moment of a day, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def utc(moment: datetime | date) -> str:
    """2025-10-01T00:00:00.000Z: clients of the Hugging Face API refuse any other way to write UTC."""
    if not isinstance(moment, datetime):
        moment = midnight(moment)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def site_host() -> str:
    """The host that this installation is known by: the first one its owner named, else localhost. Never the one of a
    request, because identifiers made from it must stay the same on every way to the site."""
    named = (host for host in settings.ALLOWED_HOSTS if host not in _LOOPBACK and "*" not in host)
    return next(named, "localhost").lstrip(".")


def absolute(request: HttpRequest, path: str) -> str:
    return request.build_absolute_uri(path)


def clean(text: str) -> str:
    """Text without the characters that XML can't carry."""
    return _UNWRITABLE.sub("", text)


def one_line(text: str) -> str:
    """Text on one line, as titles and names must be."""
    return " ".join(clean(text).split())
