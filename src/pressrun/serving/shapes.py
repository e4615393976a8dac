"""Answers in the shapes of OpenAI: whole, and as the chunks of a stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .generation import Answer, Likely, Piece
from .vectors import Applied

__all__ = ["Chat", "Completion", "Shape", "usage"]


def usage(prompt: int, answer: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


@dataclass(frozen=True)
class Shape:
    """One answer's frame: id, time, model, and what it was steered by.

    `object` and `chunk` are what OpenAI calls the whole and a part.
    """

    model: str
    steering: tuple[Applied, ...]
    object: str
    chunk: str
    id: str
    created: int = field(default_factory=lambda: int(time.time()))

    def frame(self, kind: str, choices: list[dict[str, Any]], counts: dict[str, int] | None) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "usage": counts,
            "steer": [each.facts() for each in self.steering],
        }

    def begin(self, index: int) -> dict[str, Any] | None:
        """The chunk before the first text, if there is one."""
        raise NotImplementedError

    def part(self, index: int, piece: Piece, offset: int) -> dict[str, Any]:
        """The chunk for a piece that begins `offset` characters into its answer."""
        raise NotImplementedError

    def over(self, index: int, reason: str) -> dict[str, Any]:
        raise NotImplementedError

    def whole(self, index: int, answer: Answer, reason: str) -> dict[str, Any]:
        """One choice of an answer that is not streamed."""
        raise NotImplementedError


class Chat(Shape):
    def __init__(self, model: str, steering: tuple[Applied, ...]) -> None:
        name = f"chatcmpl-{secrets.token_hex(12)}"
        super().__init__(model, steering, "chat.completion", "chat.completion.chunk", name)

    def _choice(
        self, index: int, delta: dict[str, str], tokens: Iterable[Likely] = (), reason: str | None = None
    ) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": _chat_logprobs(tokens), "finish_reason": reason}

    def begin(self, index: int) -> dict[str, Any]:
        return self._choice(index, {"role": "assistant", "content": ""})

    def part(self, index: int, piece: Piece, offset: int) -> dict[str, Any]:  # noqa: ARG002
        return self._choice(index, {"content": piece.text}, piece.tokens)

    def over(self, index: int, reason: str) -> dict[str, Any]:
        return self._choice(index, {}, reason=reason)

    def whole(self, index: int, answer: Answer, reason: str) -> dict[str, Any]:
        return {
            "index": index,
            "message": {"role": "assistant", "content": answer.text, "refusal": None},
            "logprobs": _chat_logprobs(answer.tokens),
            "finish_reason": reason,
        }


class Completion(Shape):
    def __init__(self, model: str, steering: tuple[Applied, ...]) -> None:
        super().__init__(model, steering, "text_completion", "text_completion", f"cmpl-{secrets.token_hex(12)}")

    def begin(self, index: int) -> None:  # noqa: ARG002
        return None

    def part(self, index: int, piece: Piece, offset: int) -> dict[str, Any]:
        return {
            "index": index,
            "text": piece.text,
            "logprobs": _text_logprobs(piece.tokens, offset),
            "finish_reason": None,
        }

    def over(self, index: int, reason: str) -> dict[str, Any]:
        return {"index": index, "text": "", "logprobs": None, "finish_reason": reason}

    def whole(self, index: int, answer: Answer, reason: str) -> dict[str, Any]:
        return {
            "index": index,
            "text": answer.text,
            "logprobs": _text_logprobs(answer.tokens, 0),
            "finish_reason": reason,
        }


def _chat_logprobs(tokens: Iterable[Likely]) -> dict[str, Any] | None:
    def entry(text: str, logprob: float) -> dict[str, Any]:
        # Half a character has no text, and its bytes are not known from it.
        return {"token": text, "logprob": logprob, "bytes": None if "\ufffd" in text else list(text.encode())}

    told = [{**entry(t.text, t.logprob), "top_logprobs": [entry(*top) for top in t.tops]} for t in tokens]
    return {"content": told, "refusal": None} if told else None


def _text_logprobs(tokens: Iterable[Likely], offset: int) -> dict[str, Any] | None:
    told = list(tokens)
    if not told:
        return None
    offsets = [offset + sum(len(before.text) for before in told[:i]) for i in range(len(told))]
    return {
        "tokens": [t.text for t in told],
        "token_logprobs": [t.logprob for t in told],
        "top_logprobs": [dict(t.tops) for t in told],
        "text_offset": offsets,
    }
