"""A gate opens where a condition shows in the activation: a direction and a threshold (conditional activation steering)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.activations.positions import Positions

from ._checks import rows_and_labels, unit
from ._inputs import Batch, Inputs
from .directions import RECIPES
from .vectors import Method, Strength, read_one_a_row

__all__ = ["Gate", "GatedSteering", "fit_gate"]

Score = Literal["projection", "cosine"]


@dataclass(frozen=True)
class Gate:
    """Open for the rows whose score along `direction` is above `threshold`.

    `direction` is (width,) of length 1; the score is the projection onto it, or the cosine with it.
    """

    direction: Tensor
    threshold: float
    score_by: Score = "projection"

    def score(self, x: Tensor) -> Tensor:
        """(...,) for x (..., width)."""
        if x.shape[-1] != len(self.direction):
            raise ValueError(f"This gate reads activations of width {len(self.direction)}, got {tuple(x.shape)}")
        projection = x.to(self.direction.dtype) @ self.direction
        return projection if self.score_by == "projection" else projection / x.norm(dim=-1).clamp_min(1e-12)

    def __call__(self, x: Tensor) -> Tensor:
        """1 where open and 0 where closed, (...,), in the dtype of the direction: a factor for the strength of each row."""
        return (self.score(x) > self.threshold).to(self.direction.dtype)


def fit_gate(
    x: Tensor, y: Tensor, direction: Tensor, *, open_wrongly: float | None = None, score_by: Score = "projection"
) -> Gate:
    """The threshold along `direction` that tells rows labelled 1 from rows labelled 0.

    Args:
        x: (n, width); y: (n,) of 0 and 1.
        direction: (width,), such as `mean_difference(x, y)` or `probe_direction(x, y)`.
        open_wrongly: the largest share of rows labelled 0 that may open it; the threshold is the lowest that keeps to it. None
            takes the threshold with the best balanced accuracy, in the middle of the gap it lies in.
        score_by: "projection" or "cosine".
    """
    if score_by not in ("projection", "cosine"):
        raise ValueError(f'score_by must be "projection" or "cosine", got {score_by!r}')
    gate = Gate(unit(direction), 0.0, score_by)
    wanted, unwanted = (gate.score(rows).double() for rows in rows_and_labels(x, y))
    if open_wrongly is not None:
        if not 0 <= open_wrongly < 1:
            raise ValueError(f"open_wrongly is a share from 0 to below 1, got {open_wrongly}")
        allowed = int(open_wrongly * len(unwanted) + 1e-9)
        return Gate(gate.direction, float(unwanted.sort(descending=True).values[allowed]), score_by)
    scores = torch.cat([wanted, unwanted]).unique()
    cuts = torch.cat([scores[:1] - 1, (scores[1:] + scores[:-1]) / 2])
    accuracy = (wanted > cuts[:, None]).double().mean(1) + (unwanted <= cuts[:, None]).double().mean(1)
    return Gate(gate.direction, float(cuts[accuracy.argmax()]), score_by)


@dataclass(frozen=True)
class GatedSteering:
    """Another method, at work only in the rows whose prompt shows a condition.

    The gate reads the prompt unsteered, before anything is changed. `fit` learns the gate from prompts with (1) and without (0) the
    condition and leaves the other method as it is; `random` makes the other method random and keeps the gate.

    Attributes:
        inner: the method, learnt already.
        site: a single site where the condition is read, at `reads`.
        gate: None until learnt.
        recipe: how the gate's direction is made, a name in `directions.RECIPES`.
        open_wrongly: see `fit_gate`.
    """

    inner: Method[Any]
    site: act.Site
    gate: Gate | None = None
    recipe: str = "mean difference"
    open_wrongly: float | None = None
    reads: Positions = "last_prompt"

    def observe(self, model: act.Model, inputs: Inputs, batch: int = 16) -> Tensor:
        (x,) = read_one_a_row(model, inputs, self.site, self.reads, batch).values()
        return x.flatten(1).float()

    def fit(self, seen: Tensor, labels: Tensor) -> Self:
        gate = fit_gate(seen, labels, RECIPES[self.recipe](seen, labels), open_wrongly=self.open_wrongly)
        return replace(self, gate=gate)

    def random(self, generator: torch.Generator) -> Self:
        return replace(self, inner=self.inner.random(generator))

    def edits(self, model: act.Model, inputs: Batch, strength: Strength) -> list[act.Edit]:
        if self.gate is None:
            raise ValueError(f"The gate at {self.site} is not learnt yet: learn it from prompts with and without the condition")
        (x,) = model.read(inputs, self.site, self.reads).values()
        return self.inner.edits(model, inputs, strength * self.gate(x.flatten(1).float()))
