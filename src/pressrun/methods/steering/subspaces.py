"""The directions along which pairs shift, how many there are and how stable they are (arXiv:2602.00945, stages II and III).

A shift is the latents (or activations) of one member of a pair minus those of the other; shifts are (pairs, features).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ._checks import unit

__all__ = [
    "ShiftSubspace",
    "best_window",
    "bootstrap_stability",
    "causal_lift",
    "effective_rank",
    "selectivity",
    "shift_subspace",
    "signed_shift",
]


@dataclass(frozen=True)
class ShiftSubspace:
    """The leading right singular vectors of a matrix of shifts.

    `basis` is (rank, features), orthonormal; `singular_values` all of them, falling; `mass` the share of the squared singular values
    within the rank; `effective_rank` the exponential of the entropy of their shares.
    """

    basis: Tensor
    singular_values: Tensor
    mass: float
    effective_rank: float

    @property
    def rank(self) -> int:
        return len(self.basis)

    def project(self, v: Tensor) -> Tensor:
        """The part of v, (..., features), that lies in the subspace."""
        return v @ self.basis.T @ self.basis


def shift_subspace(shifts: Tensor, *, largest: int = 12, rank: int | None = None) -> ShiftSubspace:
    """SVD of the shifts; the rank is the smallest of the effective rank, the largest gap and `largest`, and at least 1.

    Args:
        shifts: (pairs, features), not centred: the mean shift is what is looked for.
        largest: upper bound of the rank; also how many ratios of neighbouring singular values the gap is looked for in.
        rank: takes the rank from you.

    The effective rank of few features is small whatever they hold: compare it with as many features drawn at random.
    """
    if shifts.ndim != 2 or not bool(shifts.any()):
        raise ValueError(f"shifts must be (pairs, features) and not all zero, got {tuple(shifts.shape)}")
    _, s, v = torch.linalg.svd(shifts.double(), full_matrices=False)
    share = s**2 / (s**2).sum()
    effective = _entropy_rank(s)
    if rank is None:
        gaps = s[:-1] / s[1:].clamp_min(1e-12 * float(s[0]))
        gap = int(gaps[:largest].argmax()) + 1 if len(gaps) else 1
        # The entropy of a single value is 0 up to rounding, and exp(1e-17) must not become rank 2.
        rank = max(1, min(math.ceil(effective - 1e-9), gap, largest))
    if not 1 <= rank <= len(s):
        raise ValueError(f"rank must be from 1 to {len(s)}, got {rank}")
    return ShiftSubspace(v[:rank].to(shifts.dtype), s.to(shifts.dtype), float(share[:rank].sum()), effective)


def effective_rank(m: Tensor) -> float:
    """exp of the entropy of the shares of the squared singular values of m, (rows, columns): how many directions it really has."""
    s = torch.linalg.svdvals(m.double())
    if not bool(s.any()):
        raise ValueError(f"A matrix of zeros has no rank, got {tuple(m.shape)}")
    return _entropy_rank(s)


def _entropy_rank(s: Tensor) -> float:
    share = s**2 / (s**2).sum()
    return math.exp(float(torch.special.entr(share).sum()))


def bootstrap_stability(shifts: Tensor, rank: int, generator: torch.Generator, *, draws: int = 20) -> float:
    """Median overlap tr(P Q) / rank of the subspaces of two resamplings of the pairs: 1 is the same, rank / features is chance."""

    def resampled() -> Tensor:
        rows = torch.randint(len(shifts), (len(shifts),), generator=generator)
        return shift_subspace(shifts[rows], rank=rank).basis

    overlaps = [float(((resampled() @ resampled().T) ** 2).sum()) / rank for _ in range(draws)]
    return float(torch.tensor(overlaps).median())


def best_window(
    scores: Sequence[float], *, shortest: int = 3, longest: int = 6, reduce: Literal["mean", "sum"] = "mean"
) -> range:
    """The contiguous layers with the best score; of equal ones the shortest, then the earliest.

    `reduce="sum"` is the paper's, under which the longest allowed window wins nearly always.
    """
    if reduce not in ("mean", "sum") or not 1 <= shortest <= longest or len(scores) < shortest:
        raise ValueError(
            f'reduce must be "mean" or "sum" and {len(scores)} scores hold a window of {shortest} to {longest}, got {reduce!r}'
        )
    windows = [
        range(start, start + size)
        for size in range(shortest, min(longest, len(scores)) + 1)
        for start in range(len(scores) - size + 1)
    ]
    return max(windows, key=lambda w: sum(scores[i] for i in w) / (len(w) if reduce == "mean" else 1))


def selectivity(a: Tensor, b: Tensor, *, eps: float = 1e-6) -> Tensor:
    """(mean a - mean b) / (std a + std b + eps) of each feature; a and b are (n, features), standard deviations over n."""
    return (a.mean(0) - b.mean(0)) / (a.std(0, correction=0) + b.std(0, correction=0) + eps)


def causal_lift(measure: Callable[[Tensor], float], directions: Tensor, alphas: Sequence[float]) -> Tensor:
    """(features,): median over alpha of (measure(alpha · direction) - measure(0)) / alpha.

    Args:
        measure: adds the vector it is given, (width,), to the model and returns the effect, such as the mass on target tokens.
        directions: (features, width), such as decoder rows.
        alphas: sizes to try, none of them 0.
    """
    if not alphas or not all(alphas):
        raise ValueError(f"alphas must be one or more numbers other than 0, got {list(alphas)}")
    base = measure(torch.zeros_like(directions[0]))
    lifts = [[(measure(alpha * d) - base) / alpha for alpha in alphas] for d in directions]
    return torch.tensor(lifts).quantile(0.5, dim=1)


def signed_shift(z: Tensor, subspace: ShiftSubspace, *, towards: Tensor, away: Tensor, plus: float, minus: float) -> Tensor:
    """The change of the latents: plus · t - minus · ⟨z, a⟩ a, where t and a are `towards` and `away` within the subspace, at length 1.

    Args:
        z: (..., features), the latents as they are, restricted to the features of the subspace.
        subspace: of the shifts.
        towards, away: (features,), such as the mean shift, and the mean latents of prompts in the default language.
        plus, minus: strengths; 0 leaves that half out.
    """
    t, a = unit(subspace.project(towards)), unit(subspace.project(away))
    return plus * t.expand_as(z) - minus * (z @ a)[..., None] * a
