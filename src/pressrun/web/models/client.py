"""The model server as the site sees it: what it has, and its answers as they come."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
from django.conf import settings

from pressrun.web.errors import BadInput
from pressrun.web.models.address import USUAL

__all__ = ["NoAnswer", "NoServer", "Server", "Vector", "answer", "find"]

# The line before the model may be long, and a prompt is read before the first word comes.
PATIENCE = httpx.Timeout(10, read=300)


class NoServer(RuntimeError):
    """There is no model server to ask; one sentence."""


class NoAnswer(RuntimeError):
    """The model server gave no answer, or none to the end; one sentence."""


@dataclass(frozen=True)
class Vector:
    """A vector that the server has. The strength is a fraction of the activation's norm, None where the server has no default."""

    name: str
    strength: float | None
    sites: tuple[str, ...]
    licence: str

    @property
    def usual(self) -> str:
        """The default strength as a form has it."""
        return "" if self.strength is None else f"{self.strength:g}"


@dataclass(frozen=True)
class Server:
    """A model server: its model, whether that has a chat template, and its vectors."""

    model: str
    chat: bool
    vectors: tuple[Vector, ...]

    @property
    def reach(self) -> float:
        """How far a slider goes to either side: 1, or twice the strongest default."""
        return max([1.0, *(2 * abs(vector.strength or 0) for vector in self.vectors)])


def find() -> Server:
    """The server that PRESSRUN_MODEL_SERVER names, else the one at the usual port of this machine.

    Raises:
        NoServer: nobody answers there, or somebody else.
    """
    try:
        with httpx.Client(base_url=_address(), headers=_headers(), timeout=2, trust_env=False) as client:
            answered = client.get("/v1/models")
            if answered.status_code == 401:
                raise NoServer("The model server asks for its key: set PRESSRUN_MODEL_KEY for the site too.")
            found = answered.json()["data"][0]
            vectors = tuple(
                Vector(str(v["vector"]), v["strength"], tuple(map(str, v["sites"])), str(v["licence"])) for v in found["steering"]
            )
            return Server(str(found["id"]), bool(found["chat"]), vectors)
    except httpx.HTTPError as error:
        raise NoServer("No model server answers.") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise NoServer("What answers where the model server should be is not one.") from error


async def answer(server: Server, prompt: str, steer: list[dict[str, Any]], tokens: int) -> AsyncIterator[str]:
    """The pieces of the most probable answer, steered so. The server stops working when this is no longer iterated over.

    Raises:
        BadInput: the server says that this cannot be answered, as a prompt that is too long.
        NoAnswer: it cannot answer now, or is gone.
    """
    body: dict[str, Any] = {"model": server.model, "temperature": 0, "max_tokens": tokens, "stream": True, "steer": steer}
    if server.chat:
        path, body = "/v1/chat/completions", body | {"messages": [{"role": "user", "content": prompt}]}
    else:
        path, body = "/v1/completions", body | {"prompt": prompt}
    try:
        async with (
            httpx.AsyncClient(base_url=_address(), headers=_headers(), timeout=PATIENCE, trust_env=False) as client,
            client.stream("POST", path, json=body) as answered,
        ):
            if answered.status_code != 200:
                await answered.aread()
                refused = BadInput if answered.status_code in {400, 413} else NoAnswer
                raise refused(_sentence(answered.json()))
            async for line in answered.aiter_lines():
                if line.startswith("data: {"):
                    yield _text(json.loads(line.removeprefix("data: ")))
    except httpx.HTTPError as error:
        raise NoAnswer("The model server went away before its answer ended.") from error
    except BadInput:
        raise
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise NoAnswer("The model server gave an answer that is none.") from error


def _text(event: dict[str, Any]) -> str:
    if "error" in event:
        raise NoAnswer(_sentence(event))
    choice = event["choices"][0]
    return str(choice["delta"].get("content") or "" if "delta" in choice else choice["text"])


def _sentence(answered: dict[str, Any]) -> str:
    return str(answered["error"]["message"])[:500]


def _address() -> str:
    return settings.MODEL_SERVER or USUAL


def _headers() -> dict[str, str]:
    """The key goes to the server that was named, not to whoever listens at the usual port."""
    named = settings.MODEL_SERVER and settings.MODEL_KEY
    return {"Authorization": f"Bearer {settings.MODEL_KEY}"} if named else {}
