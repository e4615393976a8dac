"""How papers get their vectors: a poor one at once, a better one soon, the best in time.

The model reads some 20 abstracts a second, so a large import climbs a ladder: a linear map gives every paper a vector, then
the model reads titles with the opening of the text, then whole texts. Each rung is better than words alone
(docs/search.md has the figures).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pressrun.search.encoder import Encoder
from pressrun.search.linear import LinearMap

__all__ = ["FIRST", "LINEAR", "OPENING", "SMALL", "WHOLE", "Paper", "linear_vectors", "opening_vectors", "whole_vectors"]

Floats = NDArray[np.float32]
Vectorise = Callable[[Sequence["Paper"]], Floats]

LINEAR, OPENING, WHOLE = 1, 2, 3
"""Places in `vectors.RUNGS`."""
OPENING_WORDS = 48
TITLE_SHARE = 0.2
"""How much of a paper's vector is its title's: as one vector holds both, it costs nothing to search with."""
SMALL = 2000
"""So few papers are read whole without a ladder: it takes two minutes."""
FIRST = 1024
"""Papers read whole before the linear map is fitted on them; it is fitted again when four times as many have been read."""


@dataclass(frozen=True)
class Paper:
    """What of a paper is embedded."""

    title: str
    text: str


def linear_vectors(papers: Sequence[Paper], fitted: LinearMap) -> Floats:
    return fitted.vectors([(paper.title, paper.text) for paper in papers])


def opening_vectors(papers: Sequence[Paper], encoder: Encoder) -> Floats:
    """Title and the first `OPENING_WORDS` words, read as one text."""
    return encoder.encode(
        [f"{paper.title}. {' '.join(paper.text.split(None, OPENING_WORDS)[:OPENING_WORDS])}" for paper in papers]
    )


def whole_vectors(papers: Sequence[Paper], encoder: Encoder) -> Floats:
    """Title and text read as one, mixed with the title alone."""
    whole = encoder.encode([f"{paper.title}. {paper.text}" for paper in papers])
    mixed = (1 - TITLE_SHARE) * whole + TITLE_SHARE * encoder.encode([paper.title for paper in papers])
    return np.asarray(mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12))
