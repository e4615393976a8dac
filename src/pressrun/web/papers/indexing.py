"""The search index behind the database. It is derived: whatever happens to it, the rows can build it again."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, transaction

from pressrun.search import Document, IndexBusy, IndexWriter, SearchIndex
from pressrun.web.papers.models import Paper, PaperQuerySet
from pressrun.web.runs.facts import for_index

BATCH = 500
COMMIT = 20_000
"""Papers that become findable together. Fewer make more pieces, which the index then has to merge."""
MEMORY = 64 << 20
"""Bytes of papers held before a piece of the index is written: an import has to do with 300 MB in all."""
WAIT = 60.0  # seconds that one writer waits for another
REST = 1.0
ANSWERS = 1000
"""Answers that a process remembers for readers who ask the same, until the index changes."""
State = tuple[datetime, int]
"""When a paper was changed, and its votes, which change without it."""


def index_path() -> Path:
    return Path(settings.HOME) / "index"


@lru_cache(maxsize=1)
def index() -> SearchIndex:
    """The index that this process reads. It follows the writer by itself."""
    return SearchIndex.open(index_path(), remember=ANSWERS)


def document(paper: Paper) -> Document:
    """A paper as the index takes it. Reads `organisation`, `topics` and `outcomes`: select and prefetch them for many."""
    has_replication, verdicts = for_index(paper)
    return Document(
        id=paper.public_id,
        title=paper.title,
        text=f"{paper.abstract}\n{paper.summary}".strip(),
        authors=tuple(paper.author_names),
        organisation=paper.organisation.name if paper.organisation else "",
        topics=tuple(topic.name for topic in paper.topics.all()),
        published=paper.published,
        listed=paper.day,
        votes=paper.votes,
        has_code=bool(paper.code_url),
        has_replication=has_replication,
        aliases=(paper.doi,) if paper.doi else (),
        extra={"arxiv": paper.arxiv_id or "", "doi": paper.doi, "category": tuple(paper.categories), **verdicts},
    )


def index_pending(progress: Callable[[int], None] | None = None) -> int:
    """Bring every changed paper into the index, in batches; returns how many. Can be interrupted and repeated at will."""
    if not Paper.objects.filter(to_index=True).exists():
        return 0
    done = 0
    with IndexWriter(index_path(), wait=WAIT, memory=MEMORY) as writer:
        while papers := _add_some(writer, Paper.objects.filter(to_index=True).order_by("pk")):
            writer.commit()
            _mark_indexed(papers)
            done += len(papers)
            if progress:
                progress(done)
    return done


def _add_some(writer: IndexWriter, waiting: PaperQuerySet) -> list[tuple[int, State]]:
    """Give the writer what one commit takes; returns the key of each paper and the state it was read in."""
    taken: list[tuple[int, State]] = []
    while len(taken) < COMMIT and (batch := list(_rows(waiting.filter(pk__gt=taken[-1][0] if taken else 0)[:BATCH]))):
        writer.delete(paper.public_id for paper in batch if paper.withdrawn)
        writer.add(document(paper) for paper in batch if not paper.withdrawn)
        taken += [(paper.pk, (paper.modified, paper.votes)) for paper in batch]
    return taken


def _mark_indexed(papers: Iterable[tuple[int, State]]) -> None:
    """Only rows that are still as they were read: one that changed meanwhile stays marked."""
    by_state: dict[State, list[int]] = {}
    for key, state in papers:
        by_state.setdefault(state, []).append(key)
    with transaction.atomic():
        for (modified, votes), keys in by_state.items():
            for start in range(0, len(keys), BATCH):
                some = Paper.objects.filter(pk__in=keys[start : start + BATCH], modified=modified, votes=votes)
                some.update(to_index=False)


def rebuild(progress: Callable[[int], None] | None = None) -> int:
    """Build the index anew beside the old one and switch over when it is whole."""
    count = 0

    def documents() -> Iterator[Document]:
        nonlocal count
        for paper in _rows(Paper.objects.visible().order_by("pk")):
            yield document(paper)
            count += 1
            if progress and count % 500 == 0:
                progress(count)

    SearchIndex.rebuild(index_path(), documents(), wait=WAIT)
    index_pending()
    return count


def _rows(papers: PaperQuerySet) -> Iterator[Paper]:
    return iter(papers.select_related("organisation").prefetch_related("topics", "outcomes").iterator(chunk_size=BATCH))


def embed(*, progress: Callable[[str, int, int], None] | None = None, seconds: float | None = None) -> int:
    """Read papers by meaning, best rung first, until all are read or the time is up; returns how many readings were made."""
    with IndexWriter(index_path(), wait=WAIT) as writer:
        return writer.embed(budget_seconds=seconds, progress=progress)


def follow(parent: int, pause: float = 5.0) -> None:
    """Index and embed what is new, for as long as the process `parent` lives.

    Each turn is short, with a rest behind it, so that a person's command never waits long for its own turn.
    """
    os.nice(10)
    while os.getppid() == parent:
        try:
            index_pending()
            # Asked first, because embedding loads the model, and a site at rest should not hold its memory.
            worked = embed(seconds=3) if _unread() else 0
        except (IndexBusy, DatabaseError):
            worked = 0
        time.sleep(REST if worked else pause)


def _unread() -> bool:
    """Whether some paper has not been read whole by meaning."""
    state = index().status()
    return state.embedded.get("whole", 0) < state.documents


def status() -> dict[str, int | str]:
    """The state of the index for people, with what still waits in the database."""
    state = dataclasses.asdict(index().status())
    flat = {
        f"{k}_{rung}" if isinstance(v, dict) else k: n
        for k, v in state.items()
        for rung, n in (v.items() if isinstance(v, dict) else [("", v)])
    }
    return {k: v if isinstance(v, int) else str(v) for k, v in flat.items()} | {
        "waiting_to_be_indexed": Paper.objects.filter(to_index=True).count()
    }
