"""The HTTP side: /v1/models, /v1/chat/completions and /v1/completions as OpenAI's clients expect them."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from . import shapes
from .asking import ChatRequest, CompletionRequest, Request
from .engine import Engine
from .generation import Answer, Ask, End
from .problems import Refused, of_validation

__all__ = ["application"]

LARGEST = 1 << 20
"""Bytes of a request."""

R = TypeVar("R", bound=Request)
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def application(engine: Engine, *, key: str = "", hosts: Sequence[str] | None = LOOPBACK) -> ASGIApp:
    """The server as an ASGI application.

    Args:
        engine: the model and its vectors; closed when the application ends.
        key: that clients must bring as `Authorization: Bearer …`; empty for none.
        hosts: names by which the server may be called, so that no page in a browser reaches it under a name of its own; None for any.
    """

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(engine.close)

    def route(path: str, endpoint: Callable[[Engine, HttpRequest], Awaitable[Response]], *methods: str) -> Route:
        async def serve(request: HttpRequest) -> Response:
            return await endpoint(engine, request)

        return Route(path, serve, methods=list(methods))

    app = Starlette(
        routes=[
            route("/v1/models", _models, "GET"),
            route("/v1/models/{name:path}", _model, "GET"),
            route("/v1/chat/completions", _chat, "POST"),
            route("/v1/completions", _completion, "POST"),
        ],
        exception_handlers={Refused: _refused, HTTPException: _no_such, Exception: _broken},
        lifespan=life,
    )
    return _Door(app, key, hosts)


class _Door:
    """Lets in who calls the server by its name and brings the key."""

    def __init__(self, app: ASGIApp, key: str, hosts: Sequence[str] | None) -> None:
        self.app, self.key, self.hosts = app, key, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refused(HttpRequest(scope)) if scope["type"] == "http" else None
        await (self.app if refused is None else _json(refused))(scope, receive, send)

    def _refused(self, request: HttpRequest) -> Refused | None:
        host = request.headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self.hosts is not None and name not in self.hosts:
            return Refused(f"This server is called {' or '.join(self.hosts)}, not {name[:80]!r}.", status=403)
        given = request.headers.get("authorization", "")
        if self.key and not hmac.compare_digest(given.encode(), f"Bearer {self.key}".encode()):
            return Refused("This server asks for its key, as Authorization: Bearer KEY.", status=401, code="invalid_api_key")
        return None


async def _models(engine: Engine, _: HttpRequest) -> Response:
    return JSONResponse({"object": "list", "data": [_facts(engine)]})


async def _model(engine: Engine, request: HttpRequest) -> Response:
    _check_name(engine, request.path_params["name"])
    return JSONResponse(_facts(engine))


def _facts(engine: Engine) -> dict[str, Any]:
    return {
        "id": engine.name,
        "object": "model",
        "created": 0,
        "owned_by": "pressrun",
        "context": engine.context,
        "chat": bool(engine.model.tokenizer.chat_template),
        "steering": engine.shelf.facts(),
        "always": engine.shelf.always,
    }


async def _chat(engine: Engine, http: HttpRequest) -> Response:
    asked = await _read(http, ChatRequest)
    _check_name(engine, asked.model)
    prompts = [engine.chat_tokens([message.plain() for message in asked.messages])]
    return await _answered(engine, http, asked, prompts, shapes.Chat)


async def _completion(engine: Engine, http: HttpRequest) -> Response:
    asked = await _read(http, CompletionRequest)
    _check_name(engine, asked.model)
    return await _answered(engine, http, asked, [engine.prompt_tokens(p) for p in asked.prompts], shapes.Completion)


async def _answered(
    engine: Engine,
    http: HttpRequest,
    asked: Request,
    prompts: list[tuple[int, ...]],
    shape: type[shapes.Chat | shapes.Completion],
) -> Response:
    engine.check_line()
    steering = engine.shelf.chosen(asked.steer)
    frame = shape(engine.name, steering)
    asks = [
        Ask(
            prompt=prompt,
            most=engine.room(len(prompt), asked.most),
            temperature=1.0 if asked.temperature is None else asked.temperature,
            top_p=1.0 if asked.top_p is None else asked.top_p,
            seed=asked.seed,
            stop=asked.stops,
            tops=asked.tops,
            steering=steering,
        )
        for prompt in prompts
    ]
    # The choices of one seed differ, and each is the same again.
    every = [a if a.seed is None else replace(a, seed=a.seed + i) for a in asks for i in range(asked.n or 1)]
    given = sum(map(len, prompts))
    if asked.stream:
        return StreamingResponse(
            _stream(engine, frame, every, given if asked.counts_usage else None),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
    return await _unless_gone(http, _whole(engine, frame, every, given))


async def _whole(engine: Engine, frame: shapes.Shape, asks: list[Ask], given: int) -> Response:
    choices, made = [], 0
    for index, ask in enumerate(asks):
        answer = Answer()
        async with aclosing(engine.answer(ask)) as told:  # type: ignore[type-var]
            async for what in told:
                if isinstance(what, End):
                    choices.append(frame.whole(index, answer, what.reason))
                    made += what.tokens
                else:
                    answer.add(what)
    return JSONResponse(frame.frame(frame.object, choices, shapes.usage(given, made)))


async def _stream(engine: Engine, frame: shapes.Shape, asks: list[Ask], given: int | None) -> AsyncIterator[str]:
    """Server-sent events, one answer after another. What fails on the way is the last event."""

    def event(choices: list[dict[str, Any]], counts: dict[str, int] | None = None) -> str:
        return f"data: {json.dumps(frame.frame(frame.chunk, choices, counts))}\n\n"

    made = 0
    try:
        for index, ask in enumerate(asks):
            if (begin := frame.begin(index)) is not None:
                yield event([begin])
            offset = 0
            async with aclosing(engine.answer(ask)) as told:  # type: ignore[type-var]
                async for what in told:
                    if isinstance(what, End):
                        made += what.tokens
                        yield event([frame.over(index, what.reason)])
                    else:
                        yield event([frame.part(index, what, offset)])
                        offset += len(what.text)
        if given is not None:
            yield event([], shapes.usage(given, made))
        yield "data: [DONE]\n\n"
    except Refused as refused:
        yield f"data: {json.dumps(refused.body())}\n\n"


async def _unless_gone(http: HttpRequest, work: Awaitable[Response]) -> Response:
    """The answer, given up as soon as the client goes away."""
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(http))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        return Response(status_code=499)
    finally:
        for task in (answer, gone):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _gone(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _read(http: HttpRequest, kind: type[R]) -> R:
    if http.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        # A page in a browser can send other types here without being asked; this one it cannot.
        raise Refused("Requests must be JSON, with Content-Type: application/json.", status=415)
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > LARGEST:
            raise Refused(f"A request may have {LARGEST:,} bytes.", status=413, code="request_too_large")
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        raise of_validation(error) from error


def _check_name(engine: Engine, name: str) -> None:
    if name != engine.name:
        raise Refused(
            f"There is no model {name[:80]!r} here; there is {engine.name}.", status=404, param="model", code="model_not_found"
        )


def _json(refused: Refused) -> JSONResponse:
    return JSONResponse(refused.body(), refused.status)


async def _refused(_: HttpRequest, error: Exception) -> Response:
    return _json(error) if isinstance(error, Refused) else await _broken(_, error)


async def _no_such(http: HttpRequest, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    there = "/v1/models, /v1/chat/completions and /v1/completions"
    what = f"{http.url.path[:80]} does not take {http.method}" if status == 405 else f"There is no {http.url.path[:80]}"
    return _json(Refused(f"{what}; there are {there}.", status=status))


async def _broken(_: HttpRequest, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    return _json(Refused("The server failed; its log says more.", status=500))
