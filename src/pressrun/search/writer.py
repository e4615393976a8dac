"""Changing an index: one writer at a time, readers undisturbed, nothing lost to a crash but the batch under way."""

from __future__ import annotations

import contextlib
import errno
import math
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
import tantivy
from numpy.typing import NDArray
from tantivy import Query as Condition

from pressrun.search import generation as generations
from pressrun.search import ladder, lexical
from pressrun.search.document import Document
from pressrun.search.encoder import Encoder, minilm
from pressrun.search.ladder import Paper, Vectorise
from pressrun.search.lexical import among
from pressrun.search.linear import MOST_FITTED, LinearMap
from pressrun.search.query import FIELDS, HAS
from pressrun.search.vectors import RUNGS, VectorFiles, Vectors

__all__ = ["IndexWriter", "Progress", "rebuild"]

Rows = NDArray[np.int64]
Progress = Callable[[str, int, int], None]
"""Called with the rung being climbed, papers done and papers in all, after every batch."""

MEMORY = 256 << 20
"""Bytes tantivy may hold before it writes a segment. More makes a large import faster, as fewer segments have to be merged."""
REBUILD_MEMORY = 1 << 30
BATCH = 64
_TOGETHER = 1000


class IndexWriter:
    """The right to change an index, for as long as it is open. What was added or deleted counts from `commit` on.

    with IndexWriter(path) as writer:
        writer.add(documents)
        writer.commit()
        writer.embed(budget_seconds=60)
    """

    _vectors: VectorFiles

    def __init__(self, path: Path | str, *, wait: float = 0, encoder: Encoder | None = None, memory: int = MEMORY) -> None:
        """Open the index in a directory, creating it where there is none, and wait up to `wait` seconds for another writer.

        `memory` is how many bytes of papers are held before a piece of the index is written, at least 32 MB.

        Raises:
            IndexBusy: if another writer is still at work then.
            IndexDamaged: if the index cannot be read.
        """
        self._path = Path(path)
        self._held = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            opened.enter_context(generations.locked(self._path, wait))
            generations.clean(self._path)
            if not generations.current(self._path):
                _create(generations.folder(self._path, 1))
                generations.switch(self._path, 1)
            self._begin(self._path, generations.folder(self._path, generations.current(self._path)), memory, encoder)
            opened.callback(self._close)
            self._held = opened.pop_all()

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the right to write back. What was not committed is forgotten."""
        self._held.close()

    def add(self, documents: Iterable[Document]) -> int:
        """Take papers in, replacing those with the same id; returns how many. They can be found after `commit`.

        A paper whose title and text stay the same keeps its vector.

        Raises:
            ValueError: if a paper's `extra` cannot be held.
            OSError: if the disk is full.
        """
        return sum(self._add_some(some) for some in _slices(documents, _TOGETHER))

    def delete(self, ids: Iterable[str]) -> int:
        """Take papers out, from `commit` on; returns how many of the ids were known."""
        known = 0
        for id_ in ids:
            old = self._old(id_)
            if old is not None:
                self._gone.append(old[0])
                known += 1
            if old is not None or id_ in self._added:
                self._tantivy().delete_documents_by_term("id", id_)
            if row := self._added.pop(id_, None):
                self._gone.append(row)
        return known

    def commit(self) -> None:
        """Make everything added and deleted so far visible to all readers, on disk, in one step.

        Raises:
            OSError: if the disk is full; the index stays as it was after the last commit.
        """
        # Places for the new rows come before the papers, and the state that knows their fields before both: whatever a crash
        # leaves done of this is unused space.
        with _full_disk(self._path):
            self._vectors.grow(self._next)
            if self._priorities:
                self._vectors.rank(self._next - len(self._priorities), np.array(self._priorities, np.int32))
            self._carry()
            self._vectors.sync()
            self._save(next_row=self._next, built=datetime.now(UTC).isoformat(timespec="seconds"))
            if self._writer is not None:
                self._writer.commit()
                self._index.reload()
                self._searcher = self._index.searcher()
            self._vectors.drop(np.array(sorted(self._gone), np.int64))
        self._forget()

    def embed(self, *, budget_seconds: float | None = None, progress: Progress | None = None, batch: int = BATCH) -> int:
        """Give papers better vectors, the newest and most voted first, until all have the best or the time is over.

        Returns how many vectors were written. Every batch counts at once, for readers and after a crash.

        Raises:
            OSError: if the disk is full.
        """
        deadline = None if budget_seconds is None else time.monotonic() + budget_seconds
        self._save(model=self._model().name)
        written = 0
        with _full_disk(self._path):
            for name, rows, vectorise, number, size in self._steps(batch):
                for done in range(0, len(rows), size):
                    if deadline is not None and time.monotonic() >= deadline:
                        break
                    written += self._embed_some(np.sort(rows[done : done + size]), vectorise, number)
                    if progress is not None:
                        progress(name, min(done + size, len(rows)), len(rows))
            self._vectors.arrange(changed=self._state.changed, done=lambda: self._save(changed=0))
        return written

    # What is open

    def _begin(self, path: Path, home: Path, memory: int, encoder: Encoder | None = None) -> None:
        """Open one generation for writing; the caller holds the lock."""
        self._path, self._home, self._memory, self._encoder = path, home, memory, encoder
        self._state = generations.read_state(home)
        self._index = lexical.open_index(home / "lexical", create=False)
        self._searcher = self._index.searcher()
        self._vectors = VectorFiles(home / "vectors")
        self._vectors.grow(self._state.next_row)
        self._writer: tantivy.IndexWriter | None = None
        self._forget()

    def _forget(self) -> None:
        """Begin a new batch."""
        self._next = self._state.next_row
        self._added: dict[str, int] = {}
        self._priorities: list[int] = []
        self._gone: list[int] = []
        self._kept: list[tuple[int, int]] = []

    def _take_vectors(self, old: Path) -> None:
        """Copy the vectors of papers whose title and text are the same in another generation; none from a damaged one."""
        try:
            found = generations.read_state(old)
            index = lexical.open_index(old / "lexical", create=False)
        except (generations.IndexDamaged, FileNotFoundError):
            return
        searcher, view = index.searcher(), Vectors(old / "vectors")
        rows = np.flatnonzero(view.rungs)
        for start in range(0, len(rows), _TOGETHER):
            texts = lexical.texts_of(searcher, index.schema, rows[start : start + _TOGETHER].tolist())
            pairs = [(row, mine[0]) for row, (id_, text) in texts.items() if (mine := self._old(id_)) and mine[1] == text]
            if pairs:
                _copy(view, np.array([a for a, _ in pairs], np.int64), self._vectors, np.array([b for _, b in pairs], np.int64))
        if (old / "linear.npz").exists():
            shutil.copyfile(old / "linear.npz", self._home / "linear.npz")
        self._save(fitted=found.fitted, model=found.model)
        self._vectors.sync()
        self._vectors.arrange(changed=0)

    def _close(self) -> None:
        self._vectors.close()
        if self._writer is not None:
            with contextlib.suppress(ValueError):
                self._writer.rollback()
                self._writer.wait_merging_threads()
            self._writer = None

    def _tantivy(self) -> tantivy.IndexWriter:
        if self._writer is None:
            # One thread adds documents from Python, two turn them into segments.
            self._writer = self._index.writer(self._memory, 2)
        return self._writer

    def _save(self, **changes: object) -> None:
        state = replace(self._state, **changes)  # type: ignore[arg-type]  # the names are State's own fields
        if state != self._state:
            generations.write_state(self._home, state)
            self._state = state

    # Adding

    def _add_some(self, documents: Sequence[Document]) -> int:
        with _full_disk(self._path):
            self._learn_fields(documents)
            writer = self._tantivy()
            fresh = not self._searcher.num_docs
            for document in documents:
                self._replaced(document, fresh)
                writer.add_document(lexical.tantivy_document(document, self._next, self._state.slots))
                self._added[document.id] = self._next
                self._priorities.append(_priority(document))
                self._next += 1
        return len(documents)

    def _learn_fields(self, documents: Sequence[Document]) -> None:
        """Give every new field of `Document.extra` its place before a paper uses it."""
        slots, words = dict(self._state.slots), set(self._state.words)
        for document in documents:
            for name, value in document.extra.items():
                _check_field(name, value)
                if isinstance(value, int):
                    slots.setdefault(name, len(slots))
                else:
                    words.add(name)
        if both := slots.keys() & words:
            raise ValueError(f"the field {min(both)!r} of Document.extra holds a number in one paper and words in another")
        if len(slots) > lexical.NUMBER_SLOTS:
            raise ValueError(
                f"Document.extra may hold {lexical.NUMBER_SLOTS} fields of numbers, got a further one: {list(slots)[-1]!r}"
            )
        self._save(slots=slots, words=tuple(sorted(words)))

    def _replaced(self, document: Document, fresh: bool) -> None:
        """Mark what a paper replaces: an earlier one of this batch, one in the index, or nothing."""
        old = None if fresh else self._old(document.id)
        if old is None and document.id not in self._added:
            return
        self._tantivy().delete_documents_by_term("id", document.id)
        earlier = self._added.get(document.id)
        if earlier is not None:
            self._gone.append(earlier)
        if old is not None:
            row, text = old
            self._gone.append(row)
            if text == lexical.indexed_text(document):
                self._kept.append((row, self._next))

    def _old(self, id_: str) -> tuple[int, str] | None:
        """Row and text of a paper in the index."""
        if not self._searcher.doc_freq("id", id_):
            return None
        hits = self._searcher.search(Condition.term_query(self._index.schema, "id", id_, "basic"), 1, count=False).hits
        if not hits:
            return None
        place = hits[0][1]
        (row,) = self._searcher.fast_field_values("row", [place])
        return int(row or 0), str(self._searcher.doc(place).get_first("text"))

    def _carry(self) -> None:
        """Copy the vectors of papers whose text did not change to their new rows."""
        if self._kept:
            view = Vectors(self._home / "vectors")
            old, new = (np.array(rows, np.int64) for rows in zip(*self._kept, strict=True))
            _copy(view, old, self._vectors, new)

    # Embedding

    def _model(self) -> Encoder:
        return self._encoder or minilm()

    def _steps(self, batch: int) -> Iterator[tuple[str, Rows, Vectorise, int, int]]:
        """The ladder from where the index stands: name, rows in the order of their turn, how, the rung, and rows a batch.

        Computed as it is climbed: the linear map needs what the model has read before.
        """
        model = self._model()
        waiting = self._vectors.waiting(ladder.WHOLE)
        if len(waiting) > ladder.SMALL:
            read = self._vectors.at_least(ladder.OPENING)
            if len(read) < ladder.FIRST:
                # Half of them the most wanted, half spread over all, so that the map fits old papers too.
                spread = waiting[:: max(len(waiting) // ladder.FIRST, 1) * 2]
                first = np.unique(np.concatenate([waiting[: ladder.FIRST // 2], spread]))[: ladder.FIRST]
                yield "whole", first, lambda papers: ladder.whole_vectors(papers, model), ladder.WHOLE, batch
            before = self._state.fitted
            fitted = self._fitted()
            if fitted is not None:
                rows = self._vectors.waiting(ladder.LINEAR, again=self._state.fitted > before)
                yield "linear", rows, lambda papers: ladder.linear_vectors(papers, fitted), ladder.LINEAR, 16 * batch
            rows = self._vectors.waiting(ladder.OPENING)
            yield "opening", rows, lambda papers: ladder.opening_vectors(papers, model), ladder.OPENING, batch
        rows = self._vectors.waiting(ladder.WHOLE)
        yield "whole", rows, lambda papers: ladder.whole_vectors(papers, model), ladder.WHOLE, batch

    def _fitted(self) -> LinearMap | None:
        """The linear map, fitted anew where there is none or four times as many papers have been read; None without any read."""
        path = self._home / "linear.npz"
        read = self._vectors.at_least(ladder.WHOLE)
        if path.exists() and len(read) < 4 * self._state.fitted:
            return LinearMap.load(path)
        chosen = read[:: max(len(read) // MOST_FITTED, 1)][:MOST_FITTED]
        papers = self._papers(chosen)
        if len(papers) < 16:
            return None
        rows = np.array(sorted(papers), np.int64)
        view = Vectors(self._home / "vectors")
        fitted = LinearMap.fit([(papers[row].title, papers[row].text) for row in rows.tolist()], view.unit(rows))
        fitted.save(path)
        self._save(fitted=len(read))
        return fitted

    def _embed_some(self, rows: Rows, vectorise: Vectorise, number: int) -> int:
        """Embed the papers in some rows, take rows without a paper out of the queue; returns how many were embedded."""
        papers = self._papers(rows)
        present = np.array(sorted(papers), np.int64)
        self._vectors.drop(np.setdiff1d(rows, present))
        if len(present):
            self._vectors.put(present, vectorise([papers[row] for row in present.tolist()]), number)
            self._vectors.sync()
            self._save(changed=self._state.changed + len(present))
        return len(present)

    def _papers(self, rows: Rows) -> dict[int, Paper]:
        """Title and text of the papers in rows; a row whose paper is gone is missing."""
        hits = self._searcher.search(among(self._index.schema, rows.tolist()), max(len(rows), 1), count=False).hits
        places = [place for _, place in hits]
        found = self._searcher.fast_field_values("row", places)
        return {
            int(row or 0): Paper(*lexical.stored_text(self._searcher, place)) for row, place in zip(found, places, strict=True)
        }


def rebuild(path: Path, documents: Iterable[Document], *, wait: float = 0) -> int:
    """See `SearchIndex.rebuild`."""
    with generations.locked(path, wait):
        old = generations.usable(path)
        if old:
            generations.clean(path)
        new = generations.unused(path)
        home = generations.folder(path, new)
        with _full_disk(path):
            try:
                _create(home)
                writer = IndexWriter.__new__(IndexWriter)
                writer._begin(path, home, REBUILD_MEMORY)
                try:
                    papers = 0
                    for some in _slices(documents, 50 * _TOGETHER):
                        papers += writer.add(some)
                        writer.commit()
                    writer.commit()
                    if old:
                        writer._take_vectors(generations.folder(path, old))
                finally:
                    writer._close()
                generations.switch(path, new)
            except BaseException:
                if generations.usable(path) != new:
                    shutil.rmtree(home, ignore_errors=True)
                raise
        generations.clean(path)
    return papers


def _create(home: Path) -> None:
    """An empty generation."""
    shutil.rmtree(home, ignore_errors=True)
    lexical.open_index(home / "lexical", create=True)
    VectorFiles(home / "vectors").close()
    generations.write_state(home, generations.State())


def _copy(source: Vectors, old: Rows, target: VectorFiles, new: Rows) -> None:
    """Copy the vectors of rows to other rows, with their rungs."""
    known = old < source.size
    old, new = old[known], new[known]
    order = np.argsort(new)
    old, new = old[order], new[order]
    for number in range(1, len(RUNGS)):
        chosen = np.flatnonzero(source.rungs[old] == number)
        if len(chosen):
            target.put(new[chosen], source.unit(old[chosen]), number)


def _priority(document: Document) -> int:
    """When a paper's turn is, larger is sooner: its latest day, a doubling of votes counting for a month."""
    day = max((day.toordinal() for day in (document.published, document.listed) if day), default=0)
    return day + round(30 * math.log2(1 + max(document.votes, 0)))


def _check_field(name: str, value: object) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in FIELDS or name in HAS:
        raise ValueError(
            f"a field of Document.extra needs a name of lower-case letters that the query language has not, got {name!r}"
        )
    if isinstance(value, bool) or not isinstance(value, int | str | tuple):
        raise ValueError(
            f"the field {name!r} of Document.extra needs a whole number, a string or a tuple of strings, got {value!r}"
        )
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"the field {name!r} of Document.extra needs a number of 64 bits, got {value}")


def _slices(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    left = iter(documents)
    while some := list(islice(left, size)):
        yield some


@contextlib.contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    """Turn what a full disk or an unwritable file looks like in tantivy and numpy into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        raise OSError(
            error.errno, f"The index in {path} could not be written, as the disk is full; it stays as it was."
        ) from error
    except ValueError as error:
        if "thread" not in str(error) and "os error" not in str(error).lower():
            raise
        raise OSError(errno.EIO, f"The index in {path} could not be written ({error}); it stays as it was.") from error
