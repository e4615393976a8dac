"""What to compare a finding with: labels that know nothing, and random choices that are alike in everything else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["derangement", "matched_random", "shuffled_labels"]


def shuffled_labels(y: Tensor, generator: torch.Generator, *, paired: bool = False) -> Tensor:
    """y with half of each class relabelled, (n,): as many of either as before, and nothing of the truth left in it.

    A plain shuffle of few labels agrees or disagrees with the truth by chance, and a direction learnt from it then carries a part of
    the true one. Here the agreement is exactly one half (of an odd number, the nearest to it).

    Args:
        y: (n,) of 0 and 1.
        generator: draws the halves.
        paired: the i-th 1 and the i-th 0 are a pair, and pairs are turned round as a whole. Needs as many of either.
    """
    ones, zeros = (y == 1).nonzero()[:, 0], (y == 0).nonzero()[:, 0]
    if min(len(ones), len(zeros)) < 2 or len(ones) + len(zeros) != len(y) or (paired and len(ones) != len(zeros)):
        raise ValueError(
            f"Shuffling needs labels 0 and 1, two or more of each (as many of either in pairs), got {y.tolist()[:20]}"
        )
    half = min(len(ones), len(zeros)) // 2
    first = torch.randperm(len(ones), generator=generator)[:half]
    # As many go over from either side, so the classes keep their sizes.
    second = first if paired else torch.randperm(len(zeros), generator=generator)[:half]
    shuffled = y.clone()
    shuffled[ones[first]] = 0
    shuffled[zeros[second]] = 1
    return shuffled


def matched_random(
    stats: Tensor,
    chosen: Sequence[int],
    sets: int,
    generator: torch.Generator,
    *,
    nearest: int = 5,
    groups: Tensor | None = None,
) -> list[list[int]]:
    """Random sets of items to compare `chosen` with: for each chosen item another that is alike.

    Args:
        stats: (n, statistics) of all items, such as mean activation and frequency; compared in units of their standard deviation.
        chosen: items to match; no set holds one of them, or one item twice.
        sets: how many sets.
        generator: draws among the candidates.
        nearest: how many candidates, by distance in the statistics, each replacement is drawn from.
        groups: (n,); a replacement comes from the same group (such as the layer).
    """
    if stats.ndim != 2 or not chosen or not all(0 <= i < len(stats) for i in chosen) or nearest < 1:
        raise ValueError(
            f"stats must be (n, statistics) and chosen one or more of its rows, got {tuple(stats.shape)} and {list(chosen)[:8]}"
        )
    spread = stats.double().std(0)
    scaled = torch.where(spread > 0, stats.double() / spread, 0.0)
    distance = torch.cdist(scaled[list(chosen)], scaled)
    if groups is not None:
        distance[groups[list(chosen)][:, None] != groups] = torch.inf
    distance[:, list(chosen)] = torch.inf
    return [_one_set(distance, chosen, generator, nearest) for _ in range(sets)]


def _one_set(distance: Tensor, chosen: Sequence[int], generator: torch.Generator, nearest: int) -> list[int]:
    distance = distance.clone()
    found = []
    for row, item in enumerate(chosen):
        candidates = [int(i) for i in distance[row].argsort(stable=True)[:nearest] if distance[row, i] < torch.inf]
        if not candidates:
            raise ValueError(f"No item is left to compare item {item} with: too many of its kind are chosen")
        found.append(candidates[int(torch.randint(len(candidates), (), generator=generator))])
        distance[:, found[-1]] = torch.inf
    return found


def derangement(n: int, generator: torch.Generator) -> Tensor:
    """(n,): a permutation that leaves no place as it was, uniform over all such; n is 2 or more."""
    if n < 2:
        raise ValueError(f"Only two items or more can all change places, got {n}")
    while True:
        order = torch.randperm(n, generator=generator)
        if not bool((order == torch.arange(n)).any()):
            return order
