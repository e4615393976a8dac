"""One answer, token by token: transformers generates, and what it makes is followed, cut at stop words and told as it comes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from pressrun.methods import activations as act

from .vectors import Applied

__all__ = ["Answer", "Ask", "End", "Likely", "Piece", "Reason", "generate"]

Reason = Literal["stop", "length"]


@dataclass(frozen=True)
class Ask:
    """What to generate from.

    Attributes:
        prompt: token ids, at least one.
        most: tokens at most.
        temperature: 0 takes the most probable token each time.
        top_p: share of probability that is drawn from.
        seed: None for another answer each time.
        stop: texts before which the answer ends.
        tops: how many of the most probable tokens to tell beside each; None for no log probabilities.
        steering: the vectors at work.
    """

    prompt: tuple[int, ...]
    most: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    tops: int | None = None
    steering: tuple[Applied, ...] = ()


@dataclass(frozen=True)
class Likely:
    """A generated token, its log probability before temperature and top_p, and the most probable ones in its place."""

    text: str
    logprob: float
    tops: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Piece:
    """Text that will not be taken back, and the tokens that came since the last piece (where they were asked for)."""

    text: str
    tokens: tuple[Likely, ...] = ()


@dataclass(frozen=True)
class End:
    """Why an answer ended, and how many tokens were generated."""

    reason: Reason
    tokens: int


@dataclass
class Answer:
    """A whole answer, as its pieces come."""

    text: str = ""
    tokens: list[Likely] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        self.text += piece.text
        self.tokens.extend(piece.tokens)


def generate(model: act.Model, ask: Ask, say: Callable[[Piece], None], unwanted: Callable[[], bool]) -> End:
    """Generate an answer, telling each piece as soon as it is sure; ends early when nobody wants it any more.

    Not for several threads at once: it edits the network and, with a temperature, draws from the global generator.
    """
    ids = torch.tensor([ask.prompt], device=model.device)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    edits = [edit for each in ask.steering for edit in each.vector.edits(model, batch, each.strength)]
    follow = _Follow(model, ask, say, unwanted)
    with torch.no_grad(), torch.random.fork_rng(), model.edit(*edits):
        torch.manual_seed(secrets.randbits(63) if ask.seed is None else ask.seed)
        model.module.generate(
            **batch,
            max_new_tokens=ask.most,
            stopping_criteria=StoppingCriteriaList([follow]),
            logits_processor=LogitsProcessorList([] if ask.tops is None else [follow.probabilities]),
            pad_token_id=_filler(model),
            **_sampling(ask),
        )
    return follow.end()


def _sampling(ask: Ask) -> dict[str, Any]:
    if ask.temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {"do_sample": True, "temperature": ask.temperature, "top_p": ask.top_p, "top_k": 0}


def _filler(model: act.Model) -> int | None:
    """Nothing is filled in a batch of one; without a number transformers would warn at every answer."""
    known: int | None = model.tokenizer.pad_token_id
    end: int | None = model.tokenizer.eos_token_id
    return end if known is None else known


def end_tokens(model: act.Model) -> set[int]:
    """Tokens that end an answer, as the model's generation config has them."""
    ends = model.module.generation_config.eos_token_id
    return set() if ends is None else {ends} if isinstance(ends, int) else set(ends)


class _Probabilities(LogitsProcessor):
    """Keeps the log probabilities of the token that comes next, (vocabulary,), and changes nothing."""

    latest: Tensor

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        self.latest = scores[0].float().log_softmax(dim=-1)
        return scores


class _Follow(StoppingCriteria):
    """Reads each token as it comes, tells the text that is sure, and says when to stop."""

    def __init__(self, model: act.Model, ask: Ask, say: Callable[[Piece], None], unwanted: Callable[[], bool]) -> None:
        self.tokenizer, self.ask, self.say, self.unwanted = model.tokenizer, ask, say, unwanted
        self.ends = end_tokens(model)
        self.probabilities = _Probabilities()
        self.decoder = DecodeStream(skip_special_tokens=True)
        self.ids: list[int] = []
        self.told = ""
        self.held = ""
        self.tokens: list[Likely] = []
        self.reason: Reason | None = None

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:  # noqa: ANN401, ARG002
        self.take(int(input_ids[0, -1]))
        return torch.tensor([self.reason is not None or self.unwanted()], device=input_ids.device)

    def take(self, token: int) -> None:
        """One more token."""
        self.ids.append(token)
        if token in self.ends:
            self.reason = "stop"
            return
        if self.ask.tops is not None:
            self.tokens.append(self._likely(token, self.ask.tops))
        self.held += self.decoder.step(self.tokenizer.backend_tokenizer, token) or ""
        self._tell(finished=False)

    def end(self) -> End:
        """Tell what is left: a text that might have become a stop word, and the halves of a character."""
        if self.reason != "stop" or self.ids[-1] in self.ends:
            whole = self.tokenizer.decode(self.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            self.held = whole.removeprefix(self.told) if whole.startswith(self.told + self.held) else self.held
            self._tell(finished=True)
        return End(self.reason or "length", len(self.ids))

    def _tell(self, *, finished: bool) -> None:
        """Say of what is held what cannot be part of a stop word any more."""
        found = [at for at in (self.held.find(stop) for stop in self.ask.stop) if at >= 0]
        if found:
            sure, self.reason = self.held[: min(found)], "stop"
        else:
            sure = self.held if finished else self.held[: len(self.held) - _beginning(self.held, self.ask.stop)]
        if sure or (self.tokens and (found or finished)):
            self.say(Piece(sure, tuple(self.tokens)))
            self.tokens = []
        self.told += sure
        self.held = "" if found else self.held[len(sure) :]

    def _likely(self, token: int, tops: int) -> Likely:
        values, ids = self.probabilities.latest.topk(tops)
        return Likely(
            self.tokenizer.decode([token]),
            float(self.probabilities.latest[token]),
            tuple((self.tokenizer.decode([i]), v) for i, v in zip(ids.tolist(), values.tolist(), strict=True)),
        )


def _beginning(text: str, stops: tuple[str, ...]) -> int:
    """Length of the longest end of `text` with which a stop word begins."""
    return max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
