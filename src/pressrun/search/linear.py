"""A linear map from the word pieces of a paper to its MiniLM vector: thousands of papers a second, once a few have been read.

Ridge regression in its dual form on the papers the model has read (Saunders, Gammerman and Vovk 1998). It gives every paper of
a large import a usable vector at once, until the model comes round to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer

from pressrun.search.encoder import DIMENSIONS, word_pieces

__all__ = ["MOST_FITTED", "LinearMap"]

Floats = NDArray[np.float32]
Bag = tuple[NDArray[np.int64], Floats]
"""Word pieces, each once, and their weights."""

MOST_FITTED = 2048
"""Papers a map is fitted on: their bags make a dense matrix of 250 MB, once."""
RIDGE = 0.1
"""Penalty in units of the mean squared length of a bag; 0.03 and 0.3 measure the same."""
TITLE_SHARE = 0.25
_PIECES = 30_522


class LinearMap:
    """(_PIECES, DIMENSIONS) weights, the weight of each word piece, and the mean vector."""

    def __init__(self, weights: Floats, rarity: Floats, mean: Floats) -> None:
        self._weights, self._rarity, self._mean = weights, rarity, mean

    @cached_property
    def _tokenizer(self) -> BertWordPieceTokenizer:
        return _tokenizer()

    @classmethod
    def fit(cls, texts: Sequence[tuple[str, str]], vectors: Floats) -> LinearMap:
        """The map that takes papers, as title and text, to their vectors, (papers, DIMENSIONS)."""
        pieces = _pieces(_tokenizer(), texts)
        having = np.bincount(np.concatenate([np.union1d(*both) for both in pieces]), minlength=_PIECES)
        rarity = np.log((len(texts) + 1) / (having + 1)).astype(np.float32)
        bags = [_bag(title, text, rarity) for title, text in pieces]
        dense = np.zeros((len(bags), _PIECES), np.float32)
        for row, (ids, weights) in zip(dense, bags, strict=True):
            row[ids] = weights
        mean = vectors.mean(axis=0)
        kernel = dense @ dense.T
        kernel[np.diag_indices_from(kernel)] += RIDGE * kernel.trace() / len(kernel)
        return cls(dense.T @ np.linalg.solve(kernel, vectors - mean).astype(np.float32), rarity, mean)

    def vectors(self, texts: Sequence[tuple[str, str]]) -> Floats:
        """Unit vectors, (papers, DIMENSIONS), of papers as title and text."""
        result = np.empty((len(texts), DIMENSIONS), np.float32)
        for row, (title, text) in zip(result, _pieces(self._tokenizer, texts), strict=True):
            ids, weights = _bag(title, text, self._rarity)
            row[:] = weights @ self._weights[ids] + self._mean
        return np.asarray(result / np.maximum(np.linalg.norm(result, axis=1, keepdims=True), 1e-12))

    def save(self, path: Path) -> None:
        """Write the map in half precision (23 MB), in one step."""
        new = path.with_name("new-" + path.name)
        with new.open("wb") as file:
            np.savez(file, weights=self._weights.astype(np.float16), rarity=self._rarity, mean=self._mean)
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> LinearMap:
        with np.load(path) as found:
            return cls(found["weights"].astype(np.float32), found["rarity"], found["mean"])


def _tokenizer() -> BertWordPieceTokenizer:
    tokenizer = word_pieces(512)
    tokenizer.no_padding()
    return tokenizer


def _pieces(
    tokenizer: BertWordPieceTokenizer, texts: Sequence[tuple[str, str]]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The word pieces of titles and of texts, in order."""
    flat = [part if part.isascii() else part.encode("utf-8", "replace").decode() for paper in texts for part in paper]
    found = [np.array(one.ids, np.int64) for one in tokenizer.encode_batch(flat, add_special_tokens=False)]
    return list(zip(found[::2], found[1::2], strict=True))


def _bag(title: NDArray[np.int64], text: NDArray[np.int64], rarity: Floats) -> Bag:
    """The whole paper, and once more its title, each a bag of unit length."""
    whole, title_only = _weighted(np.concatenate([title, text]), rarity), _weighted(title, rarity)
    ids = np.concatenate([whole[0], title_only[0]])
    weights = np.concatenate([(1 - TITLE_SHARE) * whole[1], TITLE_SHARE * title_only[1]])
    unique, place = np.unique(ids, return_inverse=True)
    return unique, np.bincount(place, weights, len(unique)).astype(np.float32)


def _weighted(ids: NDArray[np.int64], rarity: Floats) -> Bag:
    unique, counts = np.unique(ids, return_counts=True)
    weights = np.sqrt(counts).astype(np.float32) * rarity[unique]
    return unique, np.asarray(weights / max(float(np.linalg.norm(weights)), 1e-12), np.float32)
