"""Does it steer? The effect beside what random directions, shuffled labels and plain words achieve, and what it costs elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from pressrun.methods import activations as act

from ._inputs import Batch, Inputs, batches, joined, rows
from .calibration import Calibration, find_strength
from .controls import shuffled_labels
from .vectors import Method

__all__ = [
    "Effect",
    "Estimate",
    "Evaluation",
    "Neutral",
    "SideEffects",
    "calibrate",
    "evaluate",
    "measure_effect",
    "token_margin",
]

Effect = Callable[[act.Model, Batch], Tensor]
"""A score for each row of a batch of inputs, (batch,), of the model as it is at the moment: under edits, of the steered one."""

RESAMPLES = 2000


def token_margin(model: act.Model, wanted: Sequence[str], unwanted: Sequence[str]) -> Effect:
    """An effect: the log-odds that the next token begins one of the wanted words rather than one of the unwanted.

    Words count by their first token, and in running text begin with a space (" good").
    """
    first, second = _first_tokens(model, wanted), _first_tokens(model, unwanted)
    if set(first) & set(second):
        shared = model.tokenizer.convert_ids_to_tokens(sorted(set(first) & set(second)))
        raise ValueError(f"Wanted and unwanted words must begin with different tokens, both have {shared}")

    def effect(model: act.Model, inputs: Batch) -> Tensor:
        logits = model.read(inputs, act.logits, "last_prompt")[act.logits].float()
        return logits[:, first].logsumexp(1) - logits[:, second].logsumexp(1)

    return effect


def _first_tokens(model: act.Model, words: Sequence[str]) -> list[int]:
    ids = [model.tokenizer(word, add_special_tokens=False).input_ids for word in words]
    if not ids or not all(ids):
        raise ValueError(f"At least one word is needed, and none may be empty, got {list(words)}")
    return sorted({i[0] for i in ids})


@torch.no_grad()
def measure_effect(
    model: act.Model, effect: Effect, inputs: Inputs, method: Method[Any] | None = None, strength: float = 0.0, *, batch: int = 16
) -> Tensor:
    """(n,): the effect on each input, steered by the method if one is given."""
    scores = []
    for part in batches(model, inputs, batch):
        with model.edit(*(method.edits(model, part, strength) if method is not None else ())):
            scores.append(effect(model, part).detach().double().cpu())
    found = torch.cat(scores)
    if found.shape != (rows(inputs),):
        raise ValueError(f"An effect returns one number a row, got {tuple(found.shape)} for {rows(inputs)} inputs")
    return found


@dataclass(frozen=True)
class SideEffects:
    """On neutral text: `perplexity` steered and `base_perplexity` not, and the mean `kl` from unsteered to steered, nats a token."""

    perplexity: float
    base_perplexity: float
    kl: float

    @property
    def ratio(self) -> float:
        """Steered over unsteered perplexity; 1 is no harm."""
        return self.perplexity / self.base_perplexity


class Neutral:
    """Measures what steering does to text it should leave alone.

    The first half of each text counts as the prompt and the second as what was generated, so that steering of the prompt, or of
    generated tokens alone, is at work in it as it would be.

    The unsteered log-probabilities are kept: tokens x vocabulary x 4 bytes, 100 MB for 500 tokens of a vocabulary of 50,000.

    Args:
        model: a language model: its logits are (batch, tokens, vocabulary).
        inputs: neutral texts, or token ids.
        batch: texts a forward pass sees.
    """

    def __init__(self, model: act.Model, inputs: Inputs, *, batch: int = 16) -> None:
        self.model = model
        self.parts = list(batches(model, inputs, batch))
        self.base = [self._log_probabilities(part, ()) for part in self.parts]
        if not sum(len(targets) for _, targets, _ in self.base):
            raise ValueError("Neutral texts need two tokens or more: perplexity is of a token after another")

    def cost(self, method: Method[Any], strength: float) -> SideEffects:
        """What the method does at this strength."""
        nll, base_nll, divergence, tokens, predictions = 0.0, 0.0, 0.0, 0, 0
        for part, (before, targets, predicts) in zip(self.parts, self.base, strict=True):
            after, _, _ = self._log_probabilities(part, method.edits(self.model, part, strength))
            nll += float(cross_entropy(after[predicts], targets, reduction="sum"))
            base_nll += float(cross_entropy(before[predicts], targets, reduction="sum"))
            divergence += float(kl_div(after, before, reduction="sum", log_target=True))
            tokens, predictions = tokens + len(before), predictions + len(targets)
        base, steered = base_nll / predictions, nll / predictions
        return SideEffects(float(np.exp(steered)), float(np.exp(base)), divergence / tokens)

    @torch.no_grad()
    def _log_probabilities(self, part: Batch, edits: Sequence[act.Edit]) -> tuple[Tensor, Tensor, Tensor]:
        """(real tokens, vocabulary) log-probabilities; the tokens that some of them predict; and which of them do."""
        ids, mask = _tokens(part)
        with self.model.edit(*edits, prompt=(mask.sum(1) + 1) // 2):
            logits = self.model.read(part, act.logits, "all")[act.logits]
        if logits.ndim != 3 or ids.shape != logits.shape[:2]:
            raise ValueError(
                f"Side effects are measured on language models with logits (batch, tokens, vocabulary), got {tuple(logits.shape)}"
            )
        followed = torch.zeros_like(mask)
        followed[:, :-1] = mask[:, :-1] & mask[:, 1:]
        targets = ids.roll(-1, dims=1)[followed]
        return logits[mask].float().log_softmax(-1), targets, followed[mask]


def _tokens(part: Batch) -> tuple[Tensor, Tensor]:
    """Token ids of a batch, and which of them are not padding; both (batch, tokens)."""
    ids = part.get("input_ids") if isinstance(part, Mapping) else part
    if not isinstance(ids, Tensor) or ids.ndim != 2:
        raise ValueError("Side effects are measured on texts, or on token ids (batch, tokens)")
    mask = part.get("attention_mask") if isinstance(part, Mapping) else None
    return ids, torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()


@dataclass(frozen=True)
class Estimate:
    """A mean over inputs with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class Evaluation:
    """What a method does at a strength, beside its controls. Effects are changes against the unsteered model.

    `random` are the same method with random directions, `shuffled` the same fitted to shuffled labels, `prompt_only` the unsteered
    model asked for it in words.
    """

    strength: float
    effect: Estimate
    random: tuple[Estimate, ...]
    shuffled: tuple[Estimate, ...]
    prompt_only: Estimate
    side_effects: SideEffects

    @property
    def specific(self) -> bool:
        """Whether the whole interval of the effect lies beyond 0 and beyond the value of every random and shuffled control."""
        sign = 1.0 if self.effect.value > 0 else -1.0
        nearest = min(sign * self.effect.low, sign * self.effect.high)
        return nearest > max(0.0, *(sign * e.value for e in (*self.random, *self.shuffled)))

    def __str__(self) -> str:
        def spread(estimates: tuple[Estimate, ...]) -> str:
            values = [e.value for e in estimates]
            return f"{min(values):+.3f} to {max(values):+.3f} ({len(values)} draws)"

        costs = self.side_effects
        lines = {
            f"effect at strength {self.strength:.4g}": self.effect,
            "random directions": spread(self.random),
            "shuffled labels": spread(self.shuffled),
            "asked in words": self.prompt_only,
            "perplexity, neutral text": f"{costs.perplexity:.2f} (unsteered {costs.base_perplexity:.2f})",
            "KL, neutral text": f"{costs.kl:.4f} nats a token",
            "beyond every control": "yes" if self.specific else "no",
        }
        return "\n".join(f"{name:28}{value!s}" for name, value in lines.items())


def evaluate(
    model: act.Model,
    method: Method[Any],
    *,
    prompts: Inputs,
    effect: Effect,
    strength: float,
    wanted: Inputs,
    unwanted: Inputs,
    neutral: Inputs,
    prompt_only: Inputs,
    random: int = 10,
    shuffled: int = 5,
    batch: int = 16,
    seed: int = 0,
) -> Evaluation:
    """Steer held-out prompts with a learnt method and with its controls, and measure neutral text.

    Args:
        model: the model.
        method: learnt.
        prompts: to steer; not those it was learnt from or calibrated on.
        effect: what is measured, such as `token_margin`.
        strength: of the method and of its controls.
        wanted, unwanted: what it was learnt from; the shuffled control is learnt from the same with labels that know nothing.
        neutral: texts that steering should leave alone.
        prompt_only: the prompts with the wish put in words, one for each, given to the unsteered model.
        random, shuffled: how many controls of either kind, 2 or more.
        batch: rows a forward pass sees.
        seed: of controls and intervals.
    """
    if random < 2 or shuffled < 2 or rows(prompt_only) != rows(prompts):
        raise ValueError(
            f"Two or more controls of either kind and one prompt_only a prompt are needed, got {random} random, {shuffled} shuffled, "
            f"{rows(prompt_only)} prompt_only for {rows(prompts)} prompts"
        )
    generator = torch.Generator().manual_seed(seed)
    base = measure_effect(model, effect, prompts, batch=batch)
    inputs, labels = joined(wanted, unwanted)
    seen = method.observe(model, inputs, batch)
    paired = rows(wanted) == rows(unwanted)

    def change(arm: Method[Any]) -> Estimate:
        return _estimate(measure_effect(model, effect, prompts, arm, strength, batch=batch) - base, seed)

    return Evaluation(
        strength=strength,
        effect=change(method),
        random=tuple(change(method.random(generator)) for _ in range(random)),
        shuffled=tuple(change(method.fit(seen, shuffled_labels(labels, generator, paired=paired))) for _ in range(shuffled)),
        prompt_only=_estimate(measure_effect(model, effect, prompt_only, batch=batch) - base, seed),
        side_effects=Neutral(model, neutral, batch=batch).cost(method, strength),
    )


def _estimate(changes: Tensor, seed: int) -> Estimate:
    """Mean over inputs and its 95 % bootstrap interval (percentiles); a single input has none."""
    values = changes.numpy()
    if len(values) < 2:
        return Estimate(float(values.mean()), float("-inf"), float("inf"))
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return Estimate(float(values.mean()), float(found.low), float(found.high))


def calibrate(
    model: act.Model,
    method: Method[Any],
    prompts: Inputs,
    effect: Effect,
    *,
    target: float,
    neutral: Inputs,
    budget: float = 1.1,
    high: float = 1.0,
    tolerance: float = 0.05,
    steps: int = 8,
    batch: int = 16,
) -> Calibration:
    """The strength at which the mean effect over the prompts changes by `target`, within a budget.

    Args:
        model, method: the method is learnt.
        prompts: to steer while searching; evaluate on others.
        effect: what is measured, such as `token_margin`.
        target: the change asked for, in the unit of the effect.
        neutral: texts that steering should leave alone.
        budget: the largest perplexity of the neutral texts, as a multiple of the unsteered one.
        high, tolerance, steps: see `find_strength`.
        batch: rows a forward pass sees.
    """
    base = measure_effect(model, effect, prompts, batch=batch).mean()
    untouched = Neutral(model, neutral, batch=batch)

    def measure(strength: float) -> tuple[float, float]:
        steered = measure_effect(model, effect, prompts, method, strength, batch=batch).mean()
        return float(steered - base), untouched.cost(method, strength).ratio

    return find_strength(measure, target, high=high, budget=budget, tolerance=tolerance, steps=steps)
