"""Atomic units: which single dimensions of an activation to rescale, and by how much (arXiv:2602.04428, AUSteer).

A block computes y = W x = Σ x_i W[:, i]; unit i is a column of W and its activation is the number x_i. Multiplying x_i by 1 + gain
changes one column's share. Works as well for neurons (the input of the MLP's down-projection).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from scipy import stats
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.activations.positions import Positions

from ._checks import paired_rows
from ._inputs import Batch, Inputs
from .vectors import Strength, read_one_a_row

__all__ = [
    "Momentum",
    "UnitSteering",
    "activation_momentum",
    "largest_by_chance",
    "top_units",
    "unit_gains",
    "unit_sweep",
]


@dataclass(frozen=True)
class Momentum:
    """How one-sided each unit is over the pairs. Every tensor has the shape of one activation, such as (layers, width).

    `positive` and `negative` are the shares of pairs in which the unit is higher, lower in the good example (equal counts for
    neither); `effect` is the mean difference over its standard deviation (0 where nothing differs).
    """

    positive: Tensor
    negative: Tensor
    effect: Tensor

    @property
    def score(self) -> Tensor:
        """The larger of the two shares, from 0 to 1."""
        return torch.maximum(self.positive, self.negative)


def activation_momentum(good: Tensor, bad: Tensor) -> Momentum:
    """Counts over pairs; row i of `good` and row i of `bad` are a pair (section 3 of the paper).

    Args:
        good: (pairs, ...), at least two pairs.
        bad: the same shape.
    """
    if good.shape != bad.shape or good.ndim < 2 or len(good) < 2:
        raise ValueError(
            f"good and bad must be (pairs, ...) of one shape with two pairs or more, got {tuple(good.shape)} and {tuple(bad.shape)}"
        )
    difference = good.float() - bad.float()
    spread = difference.std(0)
    mean = difference.mean(0)
    # A unit that differs by the same amount in every pair is infinitely consistent; a unit that never differs is not at all.
    effect = torch.where(mean == 0, 0.0, mean / spread)
    return Momentum((difference > 0).float().mean(0), (difference < 0).float().mean(0), effect)


def top_units(score: Tensor, k: int, *, tie_break: Tensor | None = None) -> Tensor:
    """Boolean, of the shape of `score`: True at the k largest scores of all layers and dimensions.

    Equal scores go by the larger `tie_break` (such as `Momentum.effect.abs()`), then by the earlier place. With few pairs many
    units share the score 1, and without a second key the choice collapses onto the first layers.
    """
    if not 0 <= k <= score.numel():
        raise ValueError(f"k must be from 0 to {score.numel()}, the number of units, got {k}")
    if tie_break is not None and tie_break.shape != score.shape:
        raise ValueError(f"tie_break must have the shape {tuple(score.shape)} of the scores, got {tuple(tie_break.shape)}")
    order = torch.arange(score.numel(), device=score.device)
    if tie_break is not None:
        order = tie_break.flatten().argsort(descending=True, stable=True)
    order = order[score.flatten()[order].argsort(descending=True, stable=True)]
    chosen = torch.zeros(score.numel(), dtype=torch.bool, device=score.device)
    chosen[order[:k]] = True
    return chosen.view(score.shape)


def unit_gains(momentum: Momentum, chosen: Tensor, *, alpha: float) -> Tensor:
    """The gain of each unit: alpha · positive share where it is the larger, else -alpha · negative share; 0 where not chosen.

    The activation becomes x (1 + gain), so a gain below -1 turns its sign around: with alpha = 50 and a share of .9 the factor
    is -44. A tie counts as negative, as in the paper (its code has it positive).
    """
    sided = torch.where(momentum.positive > momentum.negative, momentum.positive, -momentum.negative)
    return torch.where(chosen, alpha * sided, 0.0)


def largest_by_chance(pairs: int, units: int, *, quantile: float = 0.5) -> float:
    """The quantile of the largest score among `units` units of which none differs between good and bad.

    Each unit's count is binomial(pairs, 1/2), units taken as independent; a unit selected at a score not above this tells nothing.
    """
    if pairs < 1 or units < 1 or not 0 < quantile < 1:
        raise ValueError(
            f"pairs and units must be 1 or more and the quantile within 0 and 1, got {pairs}, {units} and {quantile}"
        )
    counts = torch.arange(pairs + 1)
    # P(larger count of the two sides <= c) for c >= pairs / 2 is P(pairs - c <= count <= c).
    below = torch.from_numpy(stats.binom.cdf(counts, pairs, 0.5) - stats.binom.cdf(pairs - counts - 1, pairs, 0.5)).clamp(0, 1)
    return int((below**units < quantile).sum()) / pairs


@dataclass(frozen=True)
class UnitSteering:
    """Rescale the k most one-sided units of some sites: x ← x (1 + strength · gain), where a gain is the unit's signed share.

    So strength is the paper's α. `random` gives the same gains to units drawn from all of them.

    Attributes:
        sites: of one kind, such as `act.mlp[:]`, `act.head[:]` or `act.residual[:]`; all layers are ranked in one list.
        k: how many units.
        reads: the token learnt from, one a row.
        positions: the tokens rescaled.
        gains: site -> a tensor of the site's own shape, 0 for units left alone. Empty until learnt.
    """

    sites: act.Site | act.Sites
    k: int = 100
    reads: Positions = "last_prompt"
    positions: Positions = "all"
    gains: Mapping[act.Site, Tensor] = field(default_factory=dict)

    def observe(self, model: act.Model, inputs: Inputs, batch: int = 16) -> dict[act.Site, Tensor]:
        return read_one_a_row(model, inputs, self.sites, self.reads, batch)

    def fit(self, seen: Mapping[act.Site, Tensor], labels: Tensor) -> Self:
        good, bad = paired_rows(torch.stack(list(seen.values()), dim=1), labels)
        momentum = activation_momentum(good, bad)
        chosen = top_units(momentum.score, self.k, tie_break=momentum.effect.abs())
        return replace(self, gains=dict(zip(seen, unit_gains(momentum, chosen, alpha=1.0), strict=True)))

    def random(self, generator: torch.Generator) -> Self:
        every = torch.stack(list(self._learnt().values()))
        order = torch.randperm(every.numel(), generator=generator).to(every.device)
        return replace(self, gains=dict(zip(self.gains, every.flatten()[order].view_as(every), strict=True)))

    def edits(self, model: act.Model, inputs: Batch, strength: Strength) -> list[act.Edit]:  # noqa: ARG002  # those of `Method`
        return [
            site.scale(1 + gain, strength=strength, positions=self.positions)
            for site, gain in self._learnt().items()
            if gain.any()
        ]

    def _learnt(self) -> Mapping[act.Site, Tensor]:
        if not self.gains:
            raise ValueError(f"No units of {self.sites} are chosen yet: learn them first, or give gains")
        return self.gains


def unit_sweep(
    model: act.Model,
    inputs: Batch,
    site: act.Site,
    dims: Sequence[int],
    gain: float,
    metric: Callable[[Tensor], Tensor],
    *,
    positions: Positions = "all",
) -> Tensor:
    """(len(dims), ...): the metric of the last prompt token's logits with each dimension alone multiplied by 1 + gain.

    Args:
        model: whose logits.
        inputs: as `Model.sweep` takes them.
        site: a single site; `dims` count its own features, flattened.
        dims: which dimensions.
        gain: of each.
        metric: logits (batch, vocabulary) -> (batch, ...).
        positions: the tokens rescaled.
    """
    shape = model.read(inputs, site, "last_prompt")[site].shape[1:]
    edits = []
    for dim in dims:
        factor = torch.ones(shape.numel())
        factor[dim] = 1 + gain
        edits.append(site.scale(factor.view(shape), positions=positions))
    return model.sweep(inputs, edits, metric)
