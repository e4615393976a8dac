"""The model and the line before it: one answer at a time, in the order in which they were asked for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from jinja2 import TemplateError

from pressrun.methods import activations as act

from .generation import Ask, End, Piece, generate
from .problems import Refused
from .vectors import Shelf

__all__ = ["Engine"]

WAITING = 64
"""Answers that may wait and work together."""

LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len")


class Engine:
    """A model with its vectors, and the one thread that works with it.

    Attributes:
        name: that requests give.
        model: with a fast tokenizer.
        shelf: the vectors.
        usual: how many tokens an answer has at most where the request does not say.
    """

    def __init__(self, name: str, model: act.Model, shelf: Shelf | None = None, *, usual: int = 512) -> None:
        if getattr(model.tokenizer, "backend_tokenizer", None) is None:
            raise ValueError(f"{name} has no fast tokenizer of transformers: texts cannot be turned into tokens and back")
        self.name, self.model, self.shelf, self.usual = name, model, shelf or Shelf({}), usual
        self.waiting = 0
        self._worker = ThreadPoolExecutor(1, "model")
        self._closed = threading.Event()

    @property
    def context(self) -> int | None:
        """Tokens that prompt and answer may have together, if the model says."""
        config = self.model.module.config
        return next((int(getattr(config, name)) for name in LENGTHS if getattr(config, name, None)), None)

    def chat_tokens(self, messages: list[dict[str, Any]]) -> tuple[int, ...]:
        """A conversation in the model's chat template, up to where the answer begins."""
        if not self.model.tokenizer.chat_template:
            raise Refused(f"{self.name} has no chat template: use /v1/completions.", param="messages")
        try:
            text = self.model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except (TemplateError, ValueError) as error:
            raise Refused(f"The chat template of {self.name} refuses these messages: {error}.", param="messages") from error
        return self._checked(self.model.tokenizer(text, add_special_tokens=False)["input_ids"], "messages")

    def prompt_tokens(self, prompt: str | list[int]) -> tuple[int, ...]:
        """A text or token ids as they are."""
        ids = self.model.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
        known = self.model.module.config.vocab_size
        strange = [i for i in ids if not 0 <= i < known]
        if strange:
            raise Refused(f"Token ids of {self.name} are from 0 to {known - 1}, got {strange[0]}.", param="prompt")
        return self._checked(ids, "prompt")

    def _checked(self, ids: list[int], what: str) -> tuple[int, ...]:
        if not ids:
            raise Refused("The prompt is empty: give at least one token.", param=what)
        if self.context is not None and len(ids) >= self.context:
            raise _too_long(f"The prompt has {len(ids):,} tokens, and {self.name} takes {self.context:,} with the answer.", what)
        return tuple(ids)

    def room(self, prompt: int, asked: int | None) -> int:
        """How many tokens an answer to `prompt` tokens may have."""
        left = None if self.context is None else self.context - prompt
        if asked is None:
            return self.usual if left is None else min(self.usual, left)
        if left is not None and asked > left:
            raise _too_long(
                f"{prompt:,} tokens of the prompt and {asked:,} of the answer are more than the {self.context:,} of {self.name}.",
                "max_tokens",
            )
        return asked

    def check_line(self) -> None:
        if self.waiting >= WAITING:
            raise Refused(f"{WAITING} answers wait already: try again in a moment.", status=429, code="rate_limit_exceeded")

    async def answer(self, ask: Ask) -> AsyncIterator[Piece | End]:
        """The pieces of one answer and its end. Generating stops when this is no longer iterated over."""
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Piece | End | Exception] = asyncio.Queue()
        unwanted = threading.Event()

        def tell(what: Piece | End | Exception) -> None:
            with suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(told.put_nowait, what)

        def work() -> None:
            try:
                tell(generate(self.model, ask, tell, lambda: unwanted.is_set() or self._closed.is_set()))
            except Exception as error:
                tell(error)

        self.waiting += 1
        future = self._worker.submit(work)
        try:
            while True:
                what = await told.get()
                if isinstance(what, Exception):
                    raise Refused(_failed(what), status=500, code="model_failed") from what
                yield what
                if isinstance(what, End):
                    return
        finally:
            self.waiting -= 1
            unwanted.set()
            future.cancel()

    def close(self) -> None:
        """End the answer in hand and the thread."""
        self._closed.set()
        self._worker.shutdown(wait=True, cancel_futures=True)


def _too_long(sentence: str, param: str) -> Refused:
    return Refused(sentence, status=413, param=param, code="context_length_exceeded")


def _failed(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    if "probability tensor" in first:
        return "The model gave no probabilities to draw from: the steering is too strong."
    return f"The model failed: {first or type(error).__name__}."
