"""How far a model can be steered, how many of its features are about the matter, and how the two go together (arXiv:2508.21448).

The paper puts both under the name of ideological depth. How exactly it counts is not public; what is here is our reading of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from scipy.stats import spearmanr
from torch import Tensor

from .sae import selective_latents
from .subspaces import effective_rank

__all__ = [
    "Richness",
    "Steerability",
    "feature_richness",
    "opposed_latents",
    "partial_rank_correlation",
    "steerability",
]


class Steerability(NamedTuple):
    """`gain` is that of the side the model follows least, `failure` the mean share of answers without a stance, `asymmetry` the
    largest gain minus the smallest."""

    gain: float
    failure: float
    asymmetry: float


def steerability(follow: Mapping[str, float], base: Mapping[str, float], fail: Mapping[str, float]) -> Steerability:
    """How far a model goes along with each of two or more sides.

    Args:
        follow: side -> share of answers on that side when the model is steered to it.
        base: side -> share of answers on that side when it is not steered.
        fail: side -> share of refusals, or of answers without a stance, when it is steered to that side.
    """
    if len(follow) < 2 or not follow.keys() == base.keys() == fail.keys():
        raise ValueError(
            f"Two sides or more are needed, the same in all three, got {list(follow)}, {list(base)} and {list(fail)}"
        )
    gains = [follow[side] - base[side] for side in follow]
    return Steerability(min(gains), sum(fail.values()) / len(fail), max(gains) - min(gains))


def opposed_latents(z: Tensor, y: Tensor, *, fdr: float = 0.01, least: float = 0.5) -> list[int]:
    """Latents that tell the rows labelled 1 from those labelled 0, whichever they are larger in, by falling size of the effect.

    Args:
        z: (n, latents).
        y: (n,) of 0 and 1.
        fdr: false discovery rate, half of it for either direction.
        least: smallest difference of the means, in pooled standard deviations.
    """
    found = [selective_latents(z, labels, fdr=fdr / 2, least=least) for labels in (y, 1 - y)]
    effect = torch.cat([each.effect for each in found])
    index = torch.cat([each.index for each in found])
    return [int(i) for i in index[effect.argsort(descending=True, stable=True)]]


class Richness(NamedTuple):
    """`features` is their number, `per_alive` their share of the latents that are on at all, and `effective_rank` how many
    directions they really write along."""

    features: int
    per_alive: float
    effective_rank: float


def feature_richness(z: Tensor, chosen: Sequence[int], decoder: Tensor) -> Richness:
    """The count of some latents, and two numbers that depend less on the size of the dictionary.

    Args:
        z: (n, latents), where a latent that is above 0 nowhere is not alive.
        chosen: the latents that count, such as those of `opposed_latents`.
        decoder: (latents, width). The rank of no feature is 0.
    """
    if z.ndim != 2 or decoder.ndim != 2 or z.shape[1] != len(decoder):
        raise ValueError(f"z must be (n, latents) and decoder (latents, width), got {tuple(z.shape)} and {tuple(decoder.shape)}")
    alive = int((z > 0).any(0).sum())
    rank = effective_rank(decoder[list(chosen)]) if len(chosen) else 0.0
    return Richness(len(chosen), len(chosen) / alive if alive else math.nan, rank)


def partial_rank_correlation(a: Sequence[float], b: Sequence[float], given: Sequence[float]) -> float:
    """Spearman's correlation of a and b with what the ranks of `given` explain of either taken out; nan where nothing is left.

    r = (r_ab - r_ag r_bg) / sqrt((1 - r_ag²) (1 - r_bg²)).
    """
    if not len(a) == len(b) == len(given) >= 4:
        raise ValueError(f"Three sequences of one length, 4 or more, are needed, got {len(a)}, {len(b)} and {len(given)}")
    if any(len(set(each)) == 1 for each in (a, b, given)):
        return math.nan
    ab, ag, bg = (float(spearmanr(x, y).statistic) for x, y in ((a, b), (a, given), (b, given)))
    left = (1 - ag**2) * (1 - bg**2)
    return (ab - ag * bg) / math.sqrt(left) if left > 1e-12 else math.nan
