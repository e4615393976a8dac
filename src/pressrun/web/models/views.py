"""The page with two answers. Looking is open to all; asking takes the model's time, and is for those who may start runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from pressrun.web.errors import BadInput, Busy
from pressrun.web.models.client import NoAnswer, NoServer, Server, answer, find
from pressrun.web.models.forms import AskForm
from pressrun.web.people.limits import spend
from pressrun.web.runs import access

__all__ = ["side_by_side", "stream"]

SIDES = ("plain", "steered")


@require_http_methods(["GET", "HEAD", "POST"])
def side_by_side(request: HttpRequest) -> HttpResponse:
    """The form; after it was sent, without a script, the form and both answers."""
    form = None
    if request.method == "POST":
        _check(request)
        form = AskForm(request.POST)
    try:
        server = find()
    except NoServer as problem:
        status = 200 if form is None else 503 if form.is_valid() else 400
        return render(request, "models/nobody.html", {"problem": str(problem)}, status=status)
    if form is None:
        return _page(request, server, _usual(server))
    if not form.is_valid():
        return _page(request, server, request.POST.dict(), problem=form.sentence(), status=400)
    try:
        answers = async_to_sync(_both)(server, form)
    except (BadInput, NoAnswer) as problem:
        status = 400 if isinstance(problem, BadInput) else 503
        return _page(request, server, request.POST.dict(), problem=str(problem), status=status)
    return _page(request, server, request.POST.dict(), answers=answers)


@require_POST
def stream(request: HttpRequest) -> HttpResponseBase:
    """Both answers as they come, one JSON object a line: side and text, or problem."""
    _check(request)
    form = AskForm(request.POST)
    if not form.is_valid():
        raise BadInput(form.sentence())
    try:
        server = find()
    except NoServer as problem:
        raise Busy(str(problem)) from problem
    response = StreamingHttpResponse(_lines(server, form), content_type="application/x-ndjson")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # a proxy that collects an answer before passing it on would show nothing
    return response


def _check(request: HttpRequest) -> None:
    access.check_may_run(request)
    spend(request, "model")


def _usual(server: Server) -> dict[str, Any]:
    name, strength = next(((vector.name, vector.usual) for vector in server.vectors), ("", ""))
    return {"prompt": "", "vector": name, "strength": strength or "0.1", "tokens": 120}


def _page(
    request: HttpRequest,
    server: Server,
    given: dict[str, Any],
    *,
    answers: dict[str, str] | None = None,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    context = {
        "server": server,
        "given": given,
        "answers": answers,
        "problem": problem,
        "may_ask": access.may_run(request),
    }
    return render(request, "models/side_by_side.html", context, status=status)


async def _told(server: Server, form: AskForm) -> AsyncIterator[tuple[str, str]]:
    """(side, text) of one answer after the other: the model gives one at a time."""
    asked = form.cleaned_data
    for side, steer in zip(SIDES, ([], form.steer), strict=True):
        async with aclosing(answer(server, asked["prompt"], steer, asked["tokens"])) as pieces:  # type: ignore[type-var]
            async for text in pieces:
                yield side, text


async def _both(server: Server, form: AskForm) -> dict[str, str]:
    texts = dict.fromkeys(SIDES, "")
    async for side, text in _told(server, form):
        texts[side] += text
    return texts


async def _lines(server: Server, form: AskForm) -> AsyncIterator[str]:
    try:
        async with aclosing(_told(server, form)) as told:  # type: ignore[type-var]
            async for side, text in told:
                yield json.dumps({"side": side, "text": text}) + "\n"
    except (BadInput, NoAnswer) as problem:
        yield json.dumps({"problem": str(problem)}) + "\n"
