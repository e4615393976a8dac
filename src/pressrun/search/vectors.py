"""One vector a row on disk, and the rows nearest to a query.

Four files of one record a row, written in place and mapped by readers: `vectors` (int8, each vector scaled to its largest
component), `codes` (one bit a dimension: its sign), `rungs` (how the vector was made, 0 = not yet) and `priorities`. The
nearest rows are found in two steps: signs choose candidates (a popcount), the int8 vectors give their cosines. Up to
`WITHOUT_LISTS` rows every row is looked at; beyond that rows are grouped around centroids (an inverted file, Sivic and
Zisserman 2003) and only the lists around the query are read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pressrun.search.encoder import DIMENSIONS

__all__ = ["RUNGS", "VectorFiles", "Vectors"]

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

RUNGS = ("none", "linear", "opening", "whole")
"""How a row's vector was made, worst first; the number in the file is the place in this tuple."""

EXACT = 4096
"""Up to so many candidates the signs are not asked: every cosine is computed."""
WITHOUT_LISTS = 50_000
PROBES = 48
"""Lists read for a query."""
RESCORED = 4
"""Cosines computed for every row wanted (at least `LEAST_RESCORED`): the signs misplace rows, the cosines put them right."""
LEAST_RESCORED = 1000
MAPPED = 1 << 28
"""Bytes of int8 vectors up to which they are mapped; of more, the rows wanted are read one by one, which takes a millisecond longer and
keeps a gigabyte of them out of the process."""
_CODE = DIMENSIONS // 8
_RECORDS = {"vectors": DIMENSIONS, "codes": _CODE, "rungs": 1, "priorities": 4}
_BLOCK = 8192


@dataclass(frozen=True)
class _Lists:
    """Centroids, (lists, DIMENSIONS); the rows of list i are rows[starts[i]:starts[i + 1]], ascending; rows from `covered` on are in none."""

    centroids: Floats
    rows: NDArray[np.int32]
    starts: NDArray[np.int64]
    covered: int


class Vectors:
    """The vectors as one reader sees them: mapped, never written. Threads may share one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = _version(folder)
        self.size = min((_length(folder / name, width) for name, width in _RECORDS.items()), default=0)
        self._vectors = _reader(folder / "vectors", self.size)
        self._codes = _mapped(folder / "codes", np.uint64, (self.size, _CODE // 8))
        self.rungs: NDArray[np.uint8] = _mapped(folder / "rungs", np.uint8, (self.size,)).astype(np.uint8, copy=False)
        self._lists = _read_lists(folder, self._version)

    @property
    def is_current(self) -> bool:
        """Whether no row and no lists were added since this was mapped."""
        return _length(self._folder / "rungs", 1) == self.size and _version(self._folder) == self._version

    @property
    def lists(self) -> int:
        return 0 if self._lists is None else len(self._lists.centroids)

    def vector(self, row: int) -> Floats | None:
        """The unit vector of a row, (DIMENSIONS,); None where there is none yet."""
        if row >= self.size or not self.rungs[row]:
            return None
        return np.asarray(self.unit(np.array([row]))[0])

    def rungs_of(self, rows: Rows) -> NDArray[np.uint8]:
        """The rung of each row, 0 for a row that has no place here yet."""
        known = rows < self.size
        return (
            np.where(known, self.rungs[np.where(known, rows, 0)], 0).astype(np.uint8)
            if self.size
            else np.zeros(len(rows), np.uint8)
        )

    def unit(self, rows: Rows) -> Floats:
        """The unit vectors of rows that have one, (rows, DIMENSIONS)."""
        return _unit(self._vectors(rows).astype(np.float32))

    def cosines(self, query: Floats, rows: Rows) -> Floats:
        """The cosine of a unit vector with each row; nan where the row has no vector."""
        result = np.full(len(rows), np.nan, np.float32)
        places = np.flatnonzero(rows < self.size)
        places = places[self.rungs[rows[places]] > 0]
        for start in range(0, len(places), _BLOCK):
            block = places[start : start + _BLOCK]
            vectors = self._vectors(rows[block]).astype(np.float32)
            result[block] = _dot(vectors, query) / np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        return result

    def nearest(self, query: Floats, count: int, *, among: Rows | None = None) -> tuple[Rows, Floats]:
        """Up to `count` rows and their cosines with a unit vector, nearest first; of all rows, or of those in `among`."""
        rows = self._candidates(query) if among is None else among[among < self.size]
        wanted = max(RESCORED * count, LEAST_RESCORED)
        if len(rows) > max(EXACT, wanted):
            distances = self._sign_distances(query, rows)
            rows = rows[np.argpartition(distances, wanted)[:wanted]]
        cosines = self.cosines(query, rows)
        present = np.flatnonzero(~np.isnan(cosines))
        best = present[np.argsort(-cosines[present], kind="stable")[:count]]
        return rows[best], cosines[best]

    def _candidates(self, query: Floats) -> Rows:
        """The rows of the lists around the query, and those in no list yet."""
        if self._lists is None:
            return np.arange(self.size)
        probes = min(PROBES, self.lists)
        nearest = np.argpartition(-_dot(self._lists.centroids, query), probes - 1)[:probes]
        chosen = [self._lists.rows[self._lists.starts[one] : self._lists.starts[one + 1]] for one in nearest]
        return np.concatenate([*chosen, np.arange(self._lists.covered, self.size)]).astype(np.int64)

    def _sign_distances(self, query: Floats, rows: Rows) -> NDArray[np.int16]:
        """The number of signs in which each row differs from the query; more than any number for a row without vector."""
        code = _signs(query[None])[0].view(np.uint64)
        differing = np.bitwise_count(np.take(self._codes, rows, axis=0) ^ code)
        distances: NDArray[np.int16] = differing[:, 0].astype(np.int16)
        for column in range(1, differing.shape[1]):  # a sum along so short an axis takes twice as long
            distances += differing[:, column]
        distances[self.rungs[rows] == 0] = DIMENSIONS + 1
        return distances


class VectorFiles:
    """The vectors as the one writer sees them. A record is written before its rung, so a rung never promises a torn vector."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files = {name: os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644) for name in _RECORDS}

    def close(self) -> None:
        for file in self._files.values():
            os.close(file)
        self._files = {}

    @property
    def size(self) -> int:
        """Rows that have a place in every file."""
        return min(os.fstat(self._files[name]).st_size // width for name, width in _RECORDS.items())

    def grow(self, size: int) -> None:
        """Make room for `size` rows; new rows have no vector. Disk is used only when one is written."""
        for name, width in _RECORDS.items():
            if os.fstat(self._files[name]).st_size < size * width:
                os.ftruncate(self._files[name], size * width)

    def rank(self, first: int, priorities: NDArray[np.int32]) -> None:
        """Set the priorities of the rows from `first` on; larger is embedded sooner, negative never."""
        _write(self._files["priorities"], priorities.tobytes(), first * 4)

    def drop(self, rows: Rows) -> None:
        """Take rows out of what waits for a vector: their papers are deleted or replaced."""
        for start, stop in _runs(rows):
            self.rank(int(rows[start]), np.full(stop - start, -1, np.int32))

    def put(self, rows: Rows, vectors: Floats, rung: int) -> None:
        """Write unit vectors, (rows, DIMENSIONS), for ascending rows, and then the rung they stand on."""
        if not len(rows):
            return
        self.grow(int(rows[-1]) + 1)
        scale = 127 / np.maximum(np.abs(vectors).max(axis=1, keepdims=True), 1e-12)
        small = np.rint(vectors * scale).astype(np.int8)
        codes = _signs(vectors)
        for start, stop in _runs(rows):
            first = int(rows[start])
            _write(self._files["vectors"], small[start:stop].tobytes(), first * DIMENSIONS)
            _write(self._files["codes"], codes[start:stop].tobytes(), first * _CODE)
        for start, stop in _runs(rows):
            _write(self._files["rungs"], bytes([rung]) * (stop - start), int(rows[start]))

    def sync(self) -> None:
        """Bring all that was written to the disk."""
        for name in ("vectors", "codes", "rungs", "priorities"):
            os.fsync(self._files[name])

    def waiting(self, rung: int, *, again: bool = False) -> Rows:
        """The rows below a rung, or with `again` below or on it, highest priority first, of equal ones the latest row first."""
        size = self.size
        rungs = np.fromfile(self._folder / "rungs", np.uint8, size)
        priorities = np.fromfile(self._folder / "priorities", np.int32, size)
        rows = np.flatnonzero((rungs < rung + again) & (priorities >= 0))[::-1]
        return rows[np.argsort(-priorities[rows], kind="stable")]

    def at_least(self, rung: int) -> Rows:
        """The living rows on a rung or above."""
        size = self.size
        rungs = np.fromfile(self._folder / "rungs", np.uint8, size)
        return np.flatnonzero((rungs >= rung) & (np.fromfile(self._folder / "priorities", np.int32, size) >= 0))

    def arrange(self, *, changed: int, done: Callable[[], None] = lambda: None, seed: int = 0) -> None:
        """Bring the lists up to date, where there are enough rows for lists.

        Rows that came since are added to the lists that are there; new centroids are found where there are none, or where more
        than a fifth of the rows is new or `changed`.
        """
        view = Vectors(self._folder)
        rows = np.flatnonzero(view.rungs)
        if len(rows) <= WITHOUT_LISTS:
            return
        old = view._lists
        fresh = len(rows) if old is None else int((rows >= old.covered).sum())
        if old is not None and fresh + changed <= len(rows) // 5:
            if fresh <= WITHOUT_LISTS // 2:
                return
            centroids = old.centroids
        else:
            centroids = _centroids(view, rows, seed)
            done()
        _write_lists(self._folder, centroids, _nearest_centroids(view, rows, centroids), rows, view.size)


def _centroids(view: Vectors, rows: Rows, seed: int) -> Floats:
    """Directions around which the rows lie: spherical k-means (Dhillon and Modha 2001) on a sample, (lists, DIMENSIONS)."""
    random = np.random.default_rng(seed)
    count = int(2 * len(rows) ** 0.5)
    sample = np.sort(random.choice(rows, min(len(rows), 48 * count), replace=False))
    points = view.unit(sample)
    centroids = points[random.choice(len(points), count, replace=False)]
    for _ in range(8):
        nearest = np.concatenate([(block @ centroids.T).argmax(axis=1) for block in _blocks(points)])
        order = np.argsort(nearest, kind="stable")
        used, starts = np.unique(nearest[order], return_index=True)
        # A centroid that no point is nearest to stays where it is.
        centroids[used] = _unit(np.add.reduceat(points[order], starts, axis=0))
    return centroids


def _nearest_centroids(view: Vectors, rows: Rows, centroids: Floats) -> NDArray[np.int32]:
    blocks = (view._vectors(rows[start : start + _BLOCK]).astype(np.float32) for start in range(0, len(rows), _BLOCK))
    return np.concatenate([(block @ centroids.T).argmax(axis=1).astype(np.int32) for block in blocks])


def _dot(vectors: Floats, query: Floats) -> Floats:
    """The product of each row with one vector. Not by BLAS, whose threads cost a server more than they save for so little."""
    return np.asarray(np.einsum("ij,j->i", vectors, query), np.float32)


def _blocks(points: Floats) -> Iterator[Floats]:
    return (points[start : start + _BLOCK] for start in range(0, len(points), _BLOCK))


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _signs(vectors: Floats) -> NDArray[np.uint8]:
    """(rows, DIMENSIONS / 8): a bit a dimension, set where it is positive."""
    return np.packbits(vectors > 0, axis=1)


def _version(folder: Path) -> int:
    """The number of the lists in force, 0 for none."""
    try:
        return int(json.loads((folder / "lists.json").read_text())["version"])
    except FileNotFoundError:
        return 0


def _read_lists(folder: Path, version: int) -> _Lists | None:
    if not version:
        return None
    home = folder / f"lists-{version}"
    starts = np.load(home / "starts.npy")
    return _Lists(np.load(home / "centroids.npy"), np.load(home / "rows.npy"), starts[:-1], int(starts[-1]))


def _write_lists(folder: Path, centroids: Floats, nearest: NDArray[np.int32], rows: Rows, covered: int) -> None:
    """Write new lists beside the old ones, switch over in one step, remove the old."""
    old = _version(folder)
    home = folder / f"lists-{old + 1}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    order = np.argsort(nearest, kind="stable")
    starts = np.searchsorted(nearest[order], np.arange(len(centroids) + 1))
    np.save(home / "centroids.npy", centroids)
    np.save(home / "rows.npy", rows[order].astype(np.int32))
    np.save(home / "starts.npy", np.append(starts, covered))
    new = folder / "lists.json.new"
    new.write_text(json.dumps({"version": old + 1}))
    new.replace(folder / "lists.json")
    for other in folder.glob("lists-*"):
        if other != home:
            shutil.rmtree(other, ignore_errors=True)


def _reader(path: Path, size: int) -> Callable[[Rows], NDArray[np.int8]]:
    """What reads vectors by their rows, (rows, DIMENSIONS)."""
    if size * DIMENSIONS <= MAPPED:
        mapped = np.asarray(_mapped(path, np.int8, (size, DIMENSIONS)))
        return lambda rows: np.take(mapped, rows, axis=0)
    file = path.open("rb", buffering=0)  # closed with the reader

    def read(rows: Rows) -> NDArray[np.int8]:
        places = (rows.astype(np.int64) * DIMENSIONS).tolist()
        found = b"".join([os.pread(file.fileno(), DIMENSIONS, at) for at in places])
        return np.frombuffer(found, np.int8).reshape(-1, DIMENSIONS)

    return read


def _mapped(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    if not shape[0]:
        return np.empty(shape, kind)
    return np.asarray(np.memmap(path, kind, mode="r", shape=shape))


def _length(path: Path, width: int) -> int:
    try:
        return path.stat().st_size // width
    except FileNotFoundError:
        return 0


def _runs(rows: Rows) -> Iterator[tuple[int, int]]:
    """Start and stop of each stretch of consecutive numbers in ascending rows."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return pairwise([0, *breaks.tolist(), len(rows)]) if len(rows) else iter(())


def _write(file: int, data: bytes, at: int) -> None:
    """Write all of it: a system call may take only a part (Linux stops at 2 GiB, any system at a full disk)."""
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done
