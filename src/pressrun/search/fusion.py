"""One score from two: words and meaning. Weights and how they were chosen: docs/search.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pressrun.search.words import STOP_WORDS, stems

__all__ = ["MEANING", "TITLE", "fuse", "telling_stems", "title_overlap"]

Floats = NDArray[np.float32]

_STOP_STEMS = frozenset(stems(" ".join(STOP_WORDS)))
_BETWEEN = "0textboundary0"
"""A word that no title holds and that is its own stem."""

MEANING = (0.0, 1.2, 2.0, 2.0)
"""Weight of the cosine beside BM25 divided by the query's best BM25, for each rung of `vectors.RUNGS`."""
TITLE = 0.8
"""Weight of the overlap of query and title: a query that is a title means that paper."""


def fuse(bm25: Floats, cosines: Floats, rungs: NDArray[np.uint8], best: float) -> Floats:
    """BM25 / best + weight * cosine, where cosines count from the median of the papers on the same rung; each (papers,).

    The median makes papers on different rungs comparable, and a paper that is not embedded yet (nan) neither good nor bad.
    """
    scores = np.asarray(bm25 / best if best > 0 else np.zeros_like(bm25), np.float32)
    for rung, weight in enumerate(MEANING):
        chosen = (rungs == rung) & ~np.isnan(cosines)
        if weight and chosen.any():
            scores[chosen] += np.float32(weight) * (cosines[chosen] - np.median(cosines[chosen]))
    return scores


def title_overlap(query: set[str], title: set[str], weight: Callable[[str], float]) -> float:
    """Dice coefficient of two sets of stems, each stem counting by its weight (idf), to the third power.

    The power leaves a paper alone that only shares a word or two with a long query, and lifts one whose title was typed.
    A pair that shares less than a fifth even when counted plainly is not weighed: it would come to nothing.
    """
    shared = query & title
    if 10 * len(shared) < len(query) + len(title):
        return 0.0
    return float((2 * sum(map(weight, shared)) / (sum(map(weight, query)) + sum(map(weight, title)))) ** 3)


def telling_stems(texts: Sequence[str]) -> list[set[str]]:
    """For each text the stems of its words without stop words. One call of the analyser serves all texts."""
    sets: list[set[str]] = [set()]
    for stem in stems(f" {_BETWEEN} ".join(texts)):
        if stem == _BETWEEN:
            sets.append(set())
        elif stem not in _STOP_STEMS:
            sets[-1].add(stem)
    return sets
