"""Errors as sentences: bad input is a 400, a missing thing a 404, in HTML or JSON as the request asks."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

log = logging.getLogger(__name__)


class BadInput(ValueError):
    """What was given can't be used; the message is one sentence for the person who gave it."""


class Busy(RuntimeError):
    """Something needed is in use by another process right now; asking again helps."""


def wants_json(request: HttpRequest) -> bool:
    if request.path.startswith(("/api/", "/pwc/")):
        return True
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def answer(request: HttpRequest, status: int, title: str, sentence: str) -> HttpResponse:
    """One error page or JSON object. The header carries the sentence too: some clients read nothing else."""
    if wants_json(request):
        response: HttpResponse = JsonResponse({"error": sentence}, status=status)
    else:
        context = {"title": title, "sentence": sentence, "status": status}
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
            response = answer(request, 503, "Busy right now", str(problem))
            response["Retry-After"] = "5"
            return response
        if isinstance(problem, SuspiciousOperation):
            return answer(request, 400, "That did not work", "The request is malformed.")
        return None


def not_found(request: HttpRequest, exception: Http404 | None = None) -> HttpResponse:
    said = str(exception.args[0]) if exception and exception.args and isinstance(exception.args[0], str) else ""
    return answer(request, 404, "Not on this press", said or f"There is no page at {request.path[:200]}.")


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 400, "That did not work", "The request is malformed.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 403, "Not allowed", str(exception) if exception and str(exception) else "You may not do this.")


def failed(request: HttpRequest) -> HttpResponse:
    return answer(request, 500, "Something broke", "The server failed on this request. Its log says why; nothing was changed.")
