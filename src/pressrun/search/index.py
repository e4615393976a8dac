"""Searching: candidates from words and from meaning, one ranking, filters on both sides."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import tantivy
from numpy.typing import NDArray
from tantivy import Query as Condition

from pressrun.catalog import arxiv_id_in, doi_in
from pressrun.search import generation as generations
from pressrun.search import lexical
from pressrun.search.document import Document, Hit, IndexStatus, Results
from pressrun.search.encoder import Encoder, minilm
from pressrun.search.fusion import TITLE, fuse, telling_stems, title_overlap
from pressrun.search.highlight import matched_words
from pressrun.search.lexical import Plan, among, any_of, both, either
from pressrun.search.query import Query, QueryError, parse
from pressrun.search.vectors import RUNGS, Vectors

__all__ = ["Mode", "SearchIndex"]

Mode = Literal["hybrid", "lexical", "semantic"]
Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

CANDIDATES = 400
"""Papers each side brings up for the first pages; later pages take more from the lexical side."""
DEEPEST = 10_000
"""No query shows more than its first so many papers."""
LEAST_COSINE = 0.15
"""A paper without any of the words belongs to the answer only if it is at least this near; unrelated texts are at 0.0 to 0.1."""
COUNTED = 50_000
"""Up to so many possible papers, totals and facets are counted; beyond, totals are estimated and facets taken from the best."""
SELECTIVE = 20_000
"""A filter that leaves no more papers than this is applied before looking for near vectors, a broader one after."""
RERANKED = 40
"""Papers at the top whose titles are compared with the query."""
MOST_REMEMBERED = 100
"""Longer answers are not kept for those who ask the same again."""
FACETS = {"year": "year", "topic": "topic", "org": "org", "author": "authors", "tag": "tag"}
FACET_VALUES = 25


@dataclass(frozen=True)
class _Snapshot:
    """One state of the index: all of a search happens on one."""

    generation: int
    stamp: tuple[int, ...]
    home: Path
    index: tantivy.Index
    searcher: tantivy.Searcher
    vectors: Vectors
    state: generations.State

    @property
    def extra(self) -> dict[str, type]:
        """The further fields of the query language that this index knows."""
        return {**dict.fromkeys(self.state.words, str), **dict.fromkeys(self.state.slots, int)}


@dataclass(frozen=True)
class _Candidates:
    """Papers that may be on the page, each array (papers,): row, place in tantivy, BM25 (0: no word), cosine (nan: unknown)."""

    rows: Rows
    addresses: list[tantivy.DocAddress]
    bm25: Floats
    cosines: Floats
    best: float


class SearchIndex:
    """An index opened for reading. Cheap, safe for threads, sees every commit and rebuild at the next search.

    A directory without an index is an empty index until somebody builds one.
    """

    def __init__(self, path: Path | str, *, encoder: Encoder | None = None, remember: int = 0) -> None:
        self._path = Path(path)
        self._encoder = encoder
        self._remember = remember
        self._lock = threading.Lock()
        self._snapshot: _Snapshot | None = None
        self._selected: OrderedDict[tuple[object, ...], Rows] = OrderedDict()
        self._answers: OrderedDict[tuple[object, ...], Results] = OrderedDict()
        self._answered_from: _Snapshot | None = None
        self._meanings = lru_cache(4096)(self._encode)
        # The semantic side runs beside the lexical one: both work outside the interpreter lock.
        self._beside = ThreadPoolExecutor(max_workers=2, thread_name_prefix="meaning")

    @classmethod
    def open(cls, path: Path | str, *, encoder: Encoder | None = None, remember: int = 0) -> SearchIndex:
        """The index in a directory; `encoder` stands in for all-MiniLM-L6-v2. The last `remember` answers are kept for those who ask
        the same again, until the index changes.

        Raises:
            IndexDamaged: if there is one that cannot be read.
        """
        index = cls(path, encoder=encoder, remember=remember)
        index._refreshed()
        return index

    @staticmethod
    def rebuild(path: Path | str, documents: Iterable[Document], *, wait: float = 0) -> int:
        """Build the index anew beside the old one, switch over in one step, remove the old one; returns the number of papers.

        Vectors of papers whose title and text are unchanged are kept. Readers are served by the old index until the switch;
        a crash leaves it in force, and what was half built is removed by the next writer.

        Raises:
            IndexBusy: if somebody else writes for longer than `wait` seconds.
        """
        from pressrun.search.writer import rebuild

        return rebuild(Path(path), documents, wait=wait)

    def search(
        self,
        query: Query | str,
        *,
        limit: int = 20,
        offset: int = 0,
        prefix_last: bool = False,
        facets: bool = False,
        mode: Mode = "hybrid",
    ) -> Results:
        """The papers that fit a query, best first (or by the order the query asks for).

        An answer holds the papers with at least one of the words and the `CANDIDATES` nearest by meaning, all within the
        filters, phrases and exclusions. Ordered by date or votes, it holds those with every word. Without words it holds
        all papers within the filters, newest first. `prefix_last` lets the last word go on, for answers while typing.

        Raises:
            QueryError: if the query cannot be understood.
            ValueError: if limit or offset is negative, or limit above 1000.
        """
        if not 0 <= limit <= 1000 or offset < 0:
            raise ValueError(f"limit must be 0 to 1000 and offset not negative, got limit {limit} and offset {offset}")
        start = time.perf_counter()
        snapshot = self._refreshed()
        query = parse(query, snapshot.extra if snapshot else {}) if isinstance(query, str) else query
        if snapshot is None:
            return Results((), 0, True, _since(start))
        for one in query.filters:
            if one.field not in (*snapshot.extra, "author", "org", "topic", "year", "votes", "published", "listed", "has"):
                raise QueryError(f"This index has no field {one.field!r}.")
        asked = (query, limit, offset, prefix_last, facets, mode)
        if known := self._known_answer(snapshot, asked):
            return replace(known, took_ms=_since(start))
        within = lexical.constraint(snapshot.index.schema, query, snapshot.state.slots)
        if not query.words and not query.phrases:
            found = self._listed(snapshot, query, within, limit, offset, facets)
        elif query.sort != "relevance":
            found = self._sorted(snapshot, query, within, limit, offset, facets, prefix_last)
        else:
            found = self._ranked(snapshot, query, within, limit, offset, facets, prefix_last, mode)
        hits, total, exact, counts = found
        answer = Results(tuple(hits), total, exact, _since(start), counts, _named(snapshot, query.text))
        self._keep_answer(snapshot, asked, answer)
        return answer

    def similar(self, id: str, limit: int = 10) -> list[Hit]:
        """The papers nearest to a paper in meaning; by shared words while it has no vector. Empty for an unknown id."""
        snapshot = self._refreshed()
        if snapshot is None or limit <= 0:
            return []
        place = _place(snapshot, "id", id)
        if place is None:
            return []
        row = _rows(snapshot, [place])[0]
        vector = snapshot.vectors.vector(int(row))
        if vector is None:
            return self._alike(snapshot, place, id, limit)
        rows, cosines = snapshot.vectors.nearest(vector, 2 * limit + 10)
        near = dict(zip(rows.tolist(), cosines.tolist(), strict=True))
        near.pop(int(row), None)
        found = _found(snapshot, among(snapshot.index.schema, list(near)), len(near))
        pairs = sorted(((near[one], address) for one, (_, address) in found.items()), key=lambda pair: -pair[0])[:limit]
        return [
            Hit(str(snapshot.searcher.doc(address).get_first("id")), score, None, rank)
            for rank, (score, address) in enumerate(pairs, 1)
        ]

    def status(self) -> IndexStatus:
        """What the index holds."""
        snapshot = self._refreshed()
        if snapshot is None:
            return IndexStatus(0, dict.fromkeys(RUNGS, 0), 0, 0, "", None, 0)
        documents = snapshot.searcher.num_docs
        counts = np.bincount(snapshot.vectors.rungs[_living(snapshot)], minlength=len(RUNGS))
        embedded = {name: int(counts[rung]) for rung, name in enumerate(RUNGS)}
        embedded["none"] += documents - sum(embedded.values())
        size = sum(file.stat().st_blocks * 512 for file in snapshot.home.rglob("*") if file.is_file())
        built = datetime.fromisoformat(snapshot.state.built) if snapshot.state.built else None
        return IndexStatus(documents, embedded, snapshot.generation, size, snapshot.state.model, built, snapshot.vectors.lists)

    # How the index is seen

    def _refreshed(self) -> _Snapshot | None:
        """The latest state on disk; two system calls where nothing changed."""
        for attempt in range(5):
            try:
                with self._lock:
                    self._snapshot = _latest(self._path, self._snapshot)
                    return self._snapshot
            except (FileNotFoundError, generations.IndexDamaged):
                # A writer switched generations or lists between two of our reads: look again.
                if attempt == 4:
                    raise
                time.sleep(0.02 * attempt)
        return None

    def _encode(self, text: str) -> Floats:
        encoder = self._encoder or minilm()
        vector: Floats = encoder.encode([text])[0]
        return vector

    def _known_answer(self, snapshot: _Snapshot, asked: tuple[object, ...]) -> Results | None:
        with self._lock:
            if self._answered_from is not snapshot or asked not in self._answers:
                return None
            self._answers.move_to_end(asked)
            return self._answers[asked]

    def _keep_answer(self, snapshot: _Snapshot, asked: tuple[object, ...], answer: Results) -> None:
        if not self._remember or len(answer.hits) > MOST_REMEMBERED:
            return
        with self._lock:
            if self._snapshot is not snapshot:
                return
            if self._answered_from is not snapshot:
                self._answers.clear()
                self._answered_from = snapshot
            self._answers[asked] = answer
            while len(self._answers) > self._remember:
                self._answers.popitem(last=False)

    # The three kinds of answer

    def _listed(
        self, snapshot: _Snapshot, query: Query, within: Condition | None, limit: int, offset: int, facets: bool
    ) -> tuple[list[Hit], int, bool, Mapping[str, tuple[tuple[str, int], ...]]]:
        """All papers within the filters, by date (the default here) or votes. Nothing for a text without a letter or digit."""
        if within is None and query.text.strip() and query.sort == "relevance":
            return [], 0, True, {}
        condition = within or Condition.all_query()
        return self._in_order(
            snapshot, condition, "votes" if query.sort == "votes" else "published", query, limit, offset, facets
        )

    def _sorted(
        self,
        snapshot: _Snapshot,
        query: Query,
        within: Condition | None,
        limit: int,
        offset: int,
        facets: bool,
        prefix_last: bool,
    ) -> tuple[list[Hit], int, bool, Mapping[str, tuple[tuple[str, int], ...]]]:
        """The papers with every word, by date or votes."""
        plan = lexical.plan(snapshot.searcher, snapshot.index.schema, query, prefix_last=prefix_last, every=True)
        if plan is None:
            return [], 0, True, {}
        field = "votes" if query.sort == "votes" else "published"
        return self._in_order(snapshot, both(within, plan.condition), field, query, limit, offset, facets)

    def _in_order(
        self, snapshot: _Snapshot, condition: Condition, field: str, query: Query, limit: int, offset: int, facets: bool
    ) -> tuple[list[Hit], int, bool, Mapping[str, tuple[tuple[str, int], ...]]]:
        total = _count(snapshot, condition)
        page: list[tuple[tantivy.DocAddress, float, int | None, int | None]] = []
        if limit and offset < total:
            result = snapshot.searcher.search(condition, limit, order_by_field=field, offset=offset, count=False)
            page = [(address, 0.0, None, None) for _, address in result.hits]
        hits = _hits(snapshot, query, page)
        counted = _facets(snapshot, condition) if facets and total <= COUNTED else {}
        if facets and total > COUNTED:
            first = snapshot.searcher.search(condition, DEEPEST, order_by_field=field, count=False)
            counted = _facets(
                snapshot, among(snapshot.index.schema, _rows(snapshot, [place for _, place in first.hits]).tolist())
            )
        return hits, total, True, counted

    def _ranked(
        self,
        snapshot: _Snapshot,
        query: Query,
        within: Condition | None,
        limit: int,
        offset: int,
        facets: bool,
        prefix_last: bool,
        mode: Mode,
    ) -> tuple[list[Hit], int, bool, Mapping[str, tuple[tuple[str, int], ...]]]:
        """Candidates of both sides in one ranking."""
        meaning: Future[tuple[Rows, Floats]] | None = None
        if mode != "lexical" and query.meaning and snapshot.vectors.size:
            meaning = self._beside.submit(self._near, snapshot, query, within)
        depth = CANDIDATES
        while depth < min(offset + limit, DEEPEST):
            depth *= 2
        plan = lexical.plan(snapshot.searcher, snapshot.index.schema, query, prefix_last=prefix_last)
        words = {} if plan is None or mode == "semantic" else _found(snapshot, both(within, plan.condition), depth)
        near, vector = meaning.result() if meaning else (np.empty(0, np.int64), None)
        candidates = _united(snapshot, plan, within, words, near, vector)
        scores = _scores(snapshot, query, candidates, mode)
        order = np.lexsort((candidates.rows, -scores))
        lexical_ranks = {row: rank for rank, row in enumerate(words, 1)}
        semantic_ranks = _semantic_ranks(near, candidates)
        page = [
            (candidates.addresses[at], float(scores[at]), lexical_ranks.get(row), semantic_ranks.get(row))
            for at in order[offset : min(offset + limit, DEEPEST)]
            for row in (int(candidates.rows[at]),)
        ]
        hits = _hits(snapshot, query, page)
        total, exact = _total(snapshot, plan if mode != "semantic" else None, within, words, depth, candidates)
        counts = _ranked_facets(snapshot, plan, within, candidates, words, exact) if facets else {}
        return hits, total, exact, counts

    # The semantic side

    def _near(self, snapshot: _Snapshot, query: Query, within: Condition | None) -> tuple[Rows, Floats]:
        """Rows near the query in meaning within the filters, nearest first, and the query's vector."""
        vector = self._meanings(query.meaning)
        if within is None:
            return snapshot.vectors.nearest(vector, CANDIDATES)[0], vector
        matching = _count(snapshot, within)
        if matching <= SELECTIVE:
            selected = self._select(snapshot, query, within, matching)
            return snapshot.vectors.nearest(vector, CANDIDATES, among=selected)[0], vector
        # Enough rows that about CANDIDATES of them should pass; which do is decided where the two sides unite.
        share = matching / max(snapshot.searcher.num_docs, 1)
        return snapshot.vectors.nearest(vector, min(int(CANDIDATES / share), 4 * CANDIDATES))[0], vector

    def _select(self, snapshot: _Snapshot, query: Query, within: Condition, matching: int) -> Rows:
        """The rows within the filters, remembered for the next page or the next letter typed."""
        key = (snapshot.generation, snapshot.stamp, query.filters, query.phrases, query.without)
        with self._lock:
            if key in self._selected:
                self._selected.move_to_end(key)
                return self._selected[key]
        hits = snapshot.searcher.search(within, max(matching, 1), count=False).hits
        rows = np.sort(_rows(snapshot, [address for _, address in hits]))
        with self._lock:
            self._selected[key] = rows
            while len(self._selected) > 64:
                self._selected.popitem(last=False)
        return rows

    def _alike(self, snapshot: _Snapshot, place: tantivy.DocAddress, own: str, limit: int) -> list[Hit]:
        """Papers that share telling words with one that has no vector."""
        common = max(int(0.1 * snapshot.searcher.num_docs), 20)
        words = Condition.more_like_this_query(place, min_doc_frequency=2, max_doc_frequency=common, min_term_frequency=1)
        found = snapshot.searcher.search(words, limit + 1, count=False).hits
        hits = [(score, str(snapshot.searcher.doc(address).get_first("id"))) for score, address in found]
        others = [(score, other) for score, other in hits if other != own][:limit]
        return [Hit(other, float(score), rank, None) for rank, (score, other) in enumerate(others, 1)]


def _latest(path: Path, known: _Snapshot | None) -> _Snapshot | None:
    number = generations.current(path)
    if not number:
        return None
    home = generations.folder(path, number)
    stamp = _stamp(home)
    if known and known.generation == number and known.stamp == stamp and known.vectors.is_current:
        return known
    state = generations.read_state(home)
    if known and known.generation == number:
        index = known.index
        searcher = known.searcher
        if known.stamp != stamp:
            index.reload()
            searcher = index.searcher()
    else:
        index = lexical.open_index(home / "lexical", create=False)
        searcher = index.searcher()
    return _Snapshot(number, stamp, home, index, searcher, Vectors(home / "vectors"), state)


def _stamp(home: Path) -> tuple[int, ...]:
    """Changes with every commit."""
    return tuple(value for name in ("lexical/meta.json", "state.json") for value in _identity(home / name))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_ino


def _united(
    snapshot: _Snapshot,
    plan: Plan | None,
    within: Condition | None,
    words: Mapping[int, tuple[float, tantivy.DocAddress]],
    near: Rows,
    vector: Floats | None,
) -> _Candidates:
    """The candidates of both sides with both scores: cosines from the vectors, BM25 from a query among the rows.

    That query also drops rows that are outside the filters or belong to papers deleted since. A paper without any of the
    words stays only from `LEAST_COSINE` on.
    """
    new = [int(row) for row in near if int(row) not in words]
    wanted = both(within, among(snapshot.index.schema, new))
    found = dict(words)
    if new:
        found |= _found(snapshot, either(wanted, plan.condition if plan else None), len(new))
    rows = np.fromiter(found, np.int64, len(found))
    bm25 = np.fromiter((score for score, _ in found.values()), np.float32, len(found))
    addresses = [address for _, address in found.values()]
    cosines = np.full(len(rows), np.nan, np.float32) if vector is None else snapshot.vectors.cosines(vector, rows)
    kept = np.flatnonzero((bm25 > 0) | (cosines >= LEAST_COSINE))
    best = float(max((score for score, _ in words.values()), default=0.0))
    return _Candidates(rows[kept], [addresses[at] for at in kept], bm25[kept], cosines[kept], best)


def _scores(snapshot: _Snapshot, query: Query, candidates: _Candidates, mode: Mode) -> Floats:
    """What the candidates are ordered by, (papers,)."""
    if mode == "semantic":
        return np.nan_to_num(candidates.cosines, nan=-1.0)
    scores = fuse(candidates.bm25, candidates.cosines, snapshot.vectors.rungs_of(candidates.rows), candidates.best)
    _lift_titles(snapshot, query, candidates, scores)
    return scores


def _lift_titles(snapshot: _Snapshot, query: Query, candidates: _Candidates, scores: Floats) -> None:
    """Add to the best scores what their titles have in common with the query."""
    (asked,) = telling_stems([" ".join(query.words + query.phrases)])
    papers = snapshot.searcher.num_docs
    weights: dict[str, float] = {}

    def weight(stem: str) -> float:
        if stem not in weights:
            having = snapshot.searcher.doc_freq("text", stem)
            weights[stem] = math.log(1 + (papers - having + 0.5) / (having + 0.5))
        return weights[stem]

    if not asked:
        return
    top = np.argsort(-scores, kind="stable")[:RERANKED].tolist()
    titles = telling_stems([lexical.stored_text(snapshot.searcher, candidates.addresses[at])[0] for at in top])
    for at, title in zip(top, titles, strict=False):
        scores[at] += TITLE * title_overlap(asked, title, weight)


def _semantic_ranks(near: Rows, candidates: _Candidates) -> dict[int, int]:
    kept = set(candidates.rows.tolist())
    return {row: rank for rank, row in enumerate((row for row in near.tolist() if row in kept), 1)}


def _total(
    snapshot: _Snapshot,
    plan: Plan | None,
    within: Condition | None,
    words: Mapping[int, tuple[float, tantivy.DocAddress]],
    depth: int,
    candidates: _Candidates,
) -> tuple[int, bool]:
    """How many papers the whole answer has, and whether that was counted or estimated."""
    only_near = int((candidates.bm25 <= 0).sum())
    if plan is None or len(words) < depth:
        return len(words) + only_near, True
    if plan.at_most <= COUNTED:
        return _count(snapshot, both(within, plan.condition)) + only_near, True
    papers = snapshot.searcher.num_docs if within is None else _count(snapshot, within)
    return max(int(plan.share * papers), len(words)) + only_near, False


def _ranked_facets(
    snapshot: _Snapshot,
    plan: Plan | None,
    within: Condition | None,
    candidates: _Candidates,
    words: Mapping[int, tuple[float, tantivy.DocAddress]],
    exact: bool,
) -> dict[str, tuple[tuple[str, int], ...]]:
    """Counts over the whole answer where it was counted, else over the candidates."""
    rows = candidates.rows.tolist()
    if not exact or plan is None or len(words) == len(rows):
        return _facets(snapshot, among(snapshot.index.schema, rows))
    only_near = candidates.rows[candidates.bm25 <= 0].tolist()
    return _facets(snapshot, any_of([both(within, plan.condition), among(snapshot.index.schema, only_near)]))


def _facets(snapshot: _Snapshot, condition: Condition) -> dict[str, tuple[tuple[str, int], ...]]:
    """Values and papers of every facet among the papers of a condition."""
    asked = {name: {"terms": {"field": field, "size": 1000 if name == "tag" else FACET_VALUES}} for name, field in FACETS.items()}
    answer = snapshot.searcher.aggregate(condition, asked)
    counted = {name: [(_shown(one["key"]), int(one["doc_count"])) for one in answer[name]["buckets"]] for name in FACETS}
    tags: dict[str, list[tuple[str, int]]] = {"has": []}
    for value, papers in counted.pop("tag"):
        name, _, word = value.partition("=")
        tags.setdefault(name, []).append((word, papers))
    ordered = {
        name: tuple(sorted(values, key=lambda pair: (-pair[1], pair[0]))[:FACET_VALUES])
        for name, values in (counted | tags).items()
    }
    return ordered | {"year": tuple(sorted(ordered["year"], reverse=True))}


def _shown(key: object) -> str:
    return str(int(key)) if isinstance(key, float) else str(key)


def _found(snapshot: _Snapshot, condition: Condition, count: int) -> dict[int, tuple[float, tantivy.DocAddress]]:
    """Row, score and place of the best papers, best first."""
    if not count:
        return {}
    hits = snapshot.searcher.search(condition, count, count=False).hits
    rows = _rows(snapshot, [address for _, address in hits])
    return dict(zip(rows.tolist(), hits, strict=True))


def _count(snapshot: _Snapshot, condition: Condition) -> int:
    result = snapshot.searcher.search(condition, 1)
    return int(result.count or 0)  # type: ignore[attr-defined]  # there, but missing in tantivy's stubs


def _rows(snapshot: _Snapshot, addresses: list[tantivy.DocAddress]) -> Rows:
    return np.array(snapshot.searcher.fast_field_values("row", addresses), np.int64)


def _living(snapshot: _Snapshot) -> Rows:
    """The rows with a place for a vector whose papers have not been deleted or replaced."""
    priorities = np.fromfile(snapshot.home / "vectors" / "priorities", np.int32, snapshot.vectors.size)
    return np.flatnonzero(priorities >= 0)


def _place(snapshot: _Snapshot, field: str, value: str) -> tantivy.DocAddress | None:
    hits = snapshot.searcher.search(Condition.term_query(snapshot.index.schema, field, value, "basic"), 1, count=False).hits
    return hits[0][1] if hits else None


def _hits(
    snapshot: _Snapshot, query: Query, page: Iterable[tuple[tantivy.DocAddress, float, int | None, int | None]]
) -> list[Hit]:
    """Hits from places, scores and the two ranks."""
    page = list(page)
    stored = [snapshot.searcher.doc(place) for place, *_ in page]
    texts = ((str(one.get_first("text")), " ".join(map(str, one.get_all("authors")))) for one in stored)
    return [
        Hit(str(one.get_first("id")), score, lexical_rank, semantic_rank, matched)
        for one, (_, score, lexical_rank, semantic_rank), matched in zip(stored, page, matched_words(query, texts), strict=True)
    ]


def _named(snapshot: _Snapshot, text: str) -> str | None:
    """The paper whose id, alias or address the text is."""
    text = text.strip()
    if not text or len(text.split()) > 1 or len(text) > 500:
        return None
    for key in (text, arxiv_id_in(text), doi_in(text), text.rstrip("/").rpartition("/")[2] if "://" in text else ""):
        place = _place(snapshot, "key", key.lower()) if key else None
        if place is not None:
            return str(snapshot.searcher.doc(place).get_first("id"))
    return None


def _since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
