"""A few papers, and an encoder that stands in for the model: it needs no second and its cosines can be worked out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from pressrun.search import Document, IndexWriter, SearchIndex


class WordEncoder:
    """A text is the sum of one random direction a word, so texts are near if they share words; `MEANS` makes synonyms."""

    name = "words"
    MEANS: ClassVar[dict[str, str]] = {
        "refuse": "decline",
        "refuses": "decline",
        "declines": "decline",
        "tumour": "cancer",
        "tumours": "cancer",
    }

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.array([sum((self._word(word) for word in text.lower().split()), np.full(384, 1e-3)) for text in texts])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def _word(self, word: str) -> NDArray[np.float64]:
        word = self.MEANS.get(word.strip(".,"), word.strip(".,"))
        return np.random.default_rng([15, *word.encode()]).standard_normal(384)


PAPERS = (
    Document(
        "2509.00001",
        "Lateral inhibition in spiking networks",
        "Inhibitory neurons keep deep spiking networks stable without normalisation.",
        authors=("Ada Lovelace", "José Núñez"),
        organisation="Zürich Neuro Lab",
        topics=("spiking networks", "inhibition"),
        published=date(2025, 9, 3),
        listed=date(2026, 2, 6),
        votes=12,
        has_code=True,
        aliases=("10.1000/ABC.1",),
        extra={"verdict": ("matched", "void"), "runs": 90},
    ),
    Document(
        "2510.00002",
        "A latent guard against harmful requests",
        "A language model declines when one direction in its residual stream is large.",
        authors=("Grace Hopper",),
        organisation="Harbour Labs",
        topics=("guards",),
        published=date(2025, 10, 1),
        listed=date(2026, 2, 5),
        votes=40,
        has_code=True,
        has_replication=True,
        extra={"verdict": "not matched", "runs": 600},
    ),
    Document(
        "2401.00003",
        "Sparse coding of natural images",
        "Images are coded by few active neurons. The code is learnt without labels.",
        authors=("Bruno Field", "Ada Byron"),
        topics=("vision",),
        published=date(2024, 1, 15),
        votes=3,
    ),
    Document(
        "untitled-note", "Über naïve Bayes", "Ein Text. 漢字のテスト <b>bold</b> $\\alpha^2$ & more", published=date(2020, 2, 29)
    ),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def index(path: Path) -> SearchIndex:
    """The papers, not embedded."""
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        writer.add(PAPERS)
        writer.commit()
    return SearchIndex.open(path, encoder=WordEncoder())


@pytest.fixture
def embedded(index: SearchIndex, path: Path) -> SearchIndex:
    """The papers with their vectors."""
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        assert writer.embed() == len(PAPERS)
    return index
