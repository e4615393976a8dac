"""Errors of the JSON APIs: one object {"error": sentence}, whatever went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError, ValidationError

from pressrun.web import errors
from pressrun.web.errors import BadInput, Busy

__all__ = ["Problem", "answer_errors", "error_answers", "general_last"]


class Problem(Schema):
    """What went wrong, in one sentence."""

    error: str


error_answers: dict[Any, Any] = {400: Problem, 404: Problem}
"""The answers that every operation may give besides its own."""


def answer_errors(api: NinjaAPI) -> None:
    """Make `api` leave errors to the site, which answers them alike everywhere; a wrong parameter becomes a sentence."""

    def bad_parameter(request: HttpRequest, problem: ValidationError | type[ValidationError]) -> HttpResponse:
        sentence = _sentence(problem.errors[0]) if isinstance(problem, ValidationError) else "A parameter does not fit."
        return errors.answer(request, 400, "That did not work", sentence)

    def raise_again(request: HttpRequest, problem: Exception | type[Exception]) -> HttpResponse:
        raise problem

    def bad_request(request: HttpRequest, problem: HttpError | type[HttpError]) -> HttpResponse:
        sentence = f"{str(problem).rstrip('.')}."
        return errors.answer(request, getattr(problem, "status_code", 400), "That did not work", sentence)

    api.add_exception_handler(ValidationError, bad_parameter)
    api.add_exception_handler(HttpError, bad_request)
    for kind in (Http404, BadInput, Busy):
        api.add_exception_handler(kind, raise_again)


def general_last(routes: Sequence[URLPattern | URLResolver]) -> list[URLPattern | URLResolver]:
    """The same routes, those that take any rest of the address behind all others: a paper's id may hold slashes."""
    return sorted(routes, key=lambda route: str(route.pattern).endswith("<path:paper_id>"))


def _sentence(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][-1])
    return f"{name} does not fit: {str(problem['msg']).rstrip('.').lower()}."
