"""What a network is to predict: which of several events comes, when, and how likely; and how to compare what it learned.

The task of Y. Yamada, Z. C. Chao, "Joint encoding of 'what' and 'when' predictions through error-modulated plasticity in reservoir
spiking networks" (arXiv:2510.14382), as far as its abstract tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["PredictionObjectTask", "PredictionTrials", "TaskChange", "event_targets", "principal_angles"]


@dataclass(frozen=True)
class TaskChange:
    """From this trial on (the first is 0), the events have these latencies in ms and probabilities."""

    trial: int
    latencies: tuple[float, ...]
    probabilities: tuple[float, ...]


class PredictionTrials(NamedTuple):
    """Trials as they were drawn: the event of each, -1 for none, (B,); its latencies and targets, (B, K) and (T, B, K)."""

    outcomes: Tensor
    latencies: Tensor
    targets: Tensor


@dataclass(frozen=True)
class PredictionObjectTask:
    """Trials on which at most one of K events happens, each with a latency and a probability of its own, which may change.

    Args:
        latencies: time of each event in ms from the beginning of a trial.
        probabilities: of each event; what is missing to 1 is the probability that none happens.
        sigma: width of the target bumps in ms.
        changes: later trials and what holds from then on.

    Raises:
        ValueError: if the lists differ in length, probabilities are none, or changes are not in order.
    """

    latencies: tuple[float, ...]
    probabilities: tuple[float, ...]
    sigma: float = 30.0
    changes: tuple[TaskChange, ...] = ()

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive, got {self.sigma}")
        for latencies, probabilities in [(each.latencies, each.probabilities) for each in self._phases()]:
            if not len(latencies) == len(probabilities) == len(self.latencies) > 0:
                raise ValueError(
                    f"every phase needs as many latencies as probabilities as events, got {latencies} and {probabilities}"
                )
            if min(probabilities) < 0 or sum(probabilities) > 1 + 1e-9:
                raise ValueError(f"probabilities must be at least 0 and sum to at most 1, got {probabilities}")
        starts = [each.trial for each in self._phases()]
        if starts != sorted(set(starts)):
            raise ValueError(f"changes must come one after the other, from trial 1 on, got trials {starts[1:]}")

    def draw(self, trials: int, steps: int, *, dt: float = 1.0, generator: torch.Generator | None = None) -> PredictionTrials:
        """`trials` trials of `steps` steps of `dt` ms."""
        phases = self._phases()
        phase = torch.tensor([sum(each.trial <= trial for each in phases) - 1 for trial in range(trials)])
        probabilities = torch.tensor([each.probabilities for each in phases], dtype=torch.float64)[phase]
        latencies = torch.tensor([each.latencies for each in phases])[phase]
        drawn = torch.rand(trials, 1, dtype=torch.float64, generator=generator)
        outcomes = (drawn >= probabilities.cumsum(1)).sum(1)
        outcomes = torch.where(outcomes < len(self.latencies), outcomes, -1)
        return PredictionTrials(outcomes, latencies, event_targets(outcomes, latencies, steps, sigma=self.sigma, dt=dt))

    def _phases(self) -> tuple[TaskChange, ...]:
        return (TaskChange(0, self.latencies, self.probabilities), *self.changes)


def event_targets(outcomes: Tensor, latencies: Tensor, steps: int, *, sigma: float = 30.0, dt: float = 1.0) -> Tensor:
    """A bump exp(-(t - latency)² / 2 sigma²) for the event that happened, zero for the others.

    Args:
        outcomes: (B,), the event of each trial, or -1.
        latencies: (B, K), ms; or (K,), the same for all trials.
        steps: length of a trial.
        sigma: width in ms.
        dt: length of a step in ms.

    Returns:
        (steps, B, K).
    """
    events = torch.arange(latencies.shape[-1], device=outcomes.device)
    times = torch.arange(steps, device=outcomes.device)[:, None, None] * dt
    bumps = (-((times - latencies) ** 2) / (2 * sigma**2)).exp()
    return bumps * (outcomes[:, None] == events)


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Angles between the subspaces that the rows of a and of b span, in radians, smallest first.

    Args:
        a, b: (k, features) and (l, features), each of full rank.

    Returns:
        (min(k, l),), from 0 (a shared direction) to pi / 2. Small ones are computed by their sines: A. V. Knyazev,
        M. E. Argentati, SIAM J. Sci. Comput. 23 (2002).

    Raises:
        ValueError: if the features differ, or rows depend on each other.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"a and b must be (k, features) and (l, features), got {tuple(a.shape)} and {tuple(b.shape)}")
    larger, smaller = sorted((_orthonormal(a), _orthonormal(b)), key=len, reverse=True)
    cosines = torch.linalg.svdvals(smaller @ larger.T).clamp(max=1)
    sines = torch.linalg.svdvals(smaller - smaller @ larger.T @ larger).flip(0).clamp(max=1)
    return torch.where(cosines**2 > 0.5, sines.asin(), cosines.acos())


def _orthonormal(rows: Tensor) -> Tensor:
    values: Tensor
    basis: Tensor
    _, values, basis = torch.linalg.svd(rows, full_matrices=False)
    tolerance = torch.finfo(rows.dtype).eps * max(rows.shape)
    if len(rows) == 0 or len(rows) > rows.shape[1] or not values[-1] > values[0] * tolerance:
        raise ValueError(f"rows must be independent to span a subspace of {len(rows)} dimensions in {rows.shape[1]}")
    return basis
