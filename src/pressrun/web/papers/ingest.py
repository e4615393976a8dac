"""From records to rows: batches in one transaction each, so that a crash loses the batch at most and a repeat adds nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Model, Q

from pressrun.catalog import Extra, Paper, Rejected, merge, normal_title, same_paper
from pressrun.web.papers import models
from pressrun.web.papers.exchange import restore
from pressrun.web.papers.models import slug_of

__all__ = ["Reader", "Report", "identity_of", "load", "save"]

BATCH = 500
KEPT_REJECTIONS = 1000


class Reader(Protocol):
    """What `catalog.open_source` gives: records, and a position to go on from."""

    name: str
    location: str

    @property
    def position(self) -> str: ...

    def __iter__(self) -> Iterator[Paper | Rejected | Extra]: ...


@dataclass
class Report:
    """What an import brought. `rejections` holds the first thousand."""

    read: int = 0
    added: int = 0
    merged: int = 0
    unchanged: int = 0
    rejected: int = 0
    restored: int = 0
    rejections: list[Rejected] = field(default_factory=list)


def identity_of(location: str) -> str:
    """What makes two readings the same: the address, or the file with its size and time of change."""
    path = Path(location)
    facts = f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" if path.is_file() else location
    return hashlib.sha256(facts.encode()).hexdigest()


def load(reader: Reader, *, run: models.ImportRun | None = None, progress: Callable[[Report], None] | None = None) -> Report:
    """Read everything that `reader` yields into the database.

    Each batch and the position behind it are written together. When the reader fails or the process is interrupted,
    what was written stays, `run` says where to go on, and the error is raised again.
    """
    report = Report()
    problem: BaseException | None = None
    records = iter(reader)
    while problem is None:
        batch: list[Paper | Rejected | Extra] = []
        try:
            batch.extend(islice(records, BATCH))
        except Exception as broken:  # a source that breaks off: what it gave before counts
            problem = broken
        if not batch:
            break
        try:
            with transaction.atomic():
                _take(batch, report)
                if run:
                    _note(run, reader, report, [r for r in batch if isinstance(r, Rejected)])
        except BaseException as broken:
            _stop(run, broken)
            raise
        if progress:
            progress(report)
    if problem:
        _stop(run, problem)
        raise problem
    if run:
        run.state, run.finished, run.why = run.State.FINISHED, datetime.now(UTC), ""
        run.save()
    return report


def _stop(run: models.ImportRun | None, problem: BaseException) -> None:
    if run:
        run.state, run.why = run.State.STOPPED, str(problem)[:1000]
        run.save(update_fields=["state", "why"])


def _note(run: models.ImportRun, reader: Reader, report: Report, rejections: list[Rejected]) -> None:
    room = KEPT_REJECTIONS - (report.rejected - len(rejections))
    models.Rejection.objects.bulk_create(
        models.Rejection(run=run, where=r.where, why=r.why, raw=r.raw[:2000]) for r in rejections[: max(room, 0)]
    )
    run.position = reader.position
    run.read, run.added, run.merged = report.read, report.added, report.merged
    run.unchanged, run.rejected = report.unchanged, report.rejected
    run.save()


def _take(batch: list[Paper | Rejected | Extra], report: Report) -> None:
    report.read += len(batch)
    papers: list[Paper] = []
    for record in batch:
        if isinstance(record, Paper):
            problem = _too_long(record)
            if not problem:
                papers.append(record)
                continue
            record = Rejected(record.id[:80], problem, record.title[:200])
        if isinstance(record, Extra):
            save(papers, report)  # an extra may speak of a paper just before it
            papers = []
            problem = restore(record)
            if not problem:
                report.restored += 1
                continue
            record = Rejected(record.kind, problem, str(dict(record.data))[:200])
        report.rejected += 1
        if len(report.rejections) < KEPT_REJECTIONS:
            report.rejections.append(record)
    save(papers, report)


LONGEST: Mapping[str, int] = {"id": 200, "arxiv_id": 40, "doi": 200, "organisation": 200, "submitted_by": 100}


def _too_long(paper: Paper) -> str:
    for name, most in LONGEST.items():
        if len(getattr(paper, name)) > most:
            return f"{name} has {len(getattr(paper, name))} characters, {most} are the most"
    for name in ("code", "project", "pdf"):
        if len(getattr(paper.links, name)) > 500:
            return f"the {name} address has {len(getattr(paper.links, name))} characters, 500 are the most"
    return ""


@transaction.atomic
def save(papers: list[Paper], report: Report) -> None:
    """Merge the records into what is known, and into each other. A constant number of queries for the batch."""
    if not papers:
        return
    known = _Known(papers)
    changed: dict[int, tuple[models.Paper, Paper]] = {}
    for record in papers:
        matches = known.find(record)
        if not matches:
            row = models.Paper(public_id=known.free_id(record.id))
            after = record
            report.added += 1
        else:
            row, before = matches[0]
            whole = before
            for twin, its_record in matches[1:]:
                whole = replace(merge(its_record, whole), id=before.id, **{name: getattr(before, name) for name in typed(row)})
                changed.pop(id(twin), None)
                known.forget(twin)
                absorb(twin, row)
            after = merge(whole, record, keep=typed(row))
            if after == before and len(matches) == 1:
                report.unchanged += 1
                continue
            report.merged += 1
        known.remember(row, after)
        changed[id(row)] = (row, after)
    _write(list(changed.values()))


_AS_RECORDED = {
    "code_url": "links",
    "project_url": "links",
    "pdf_url": "links",
    "comments_found": "comments",
    "upvotes_found": "upvotes",
    "record_date": "updated",
}


def typed(row: models.Paper) -> set[str]:
    """The fields of a record that stand for the columns that a person typed."""
    return {_AS_RECORDED.get(name, name) for name in row.edited}


def absorb(twin: models.Paper, into: models.Paper) -> None:
    """Two rows turned out to be one paper: what hangs on `twin` moves over, and its address leads to `into`."""
    if twin.pk is None:
        return
    if into.pk is None:
        raise ValueError("the paper that stays must be saved first")
    for relation in models.Paper._meta.related_objects:
        for thing in relation.related_model._default_manager.filter(**{relation.field.name: twin}):
            try:
                with transaction.atomic():
                    setattr(thing, relation.field.name, into)
                    thing.save(update_fields=[relation.field.name])
            except IntegrityError:  # the paper that stays has the same already, such as one person's vote
                thing.delete()
    models.FormerId.objects.create(public_id=twin.public_id, paper=into)
    twin.delete()


class _Known:
    """The rows that a batch of records may mean, by key; grows as the batch adds new ones."""

    def __init__(self, papers: list[Paper]) -> None:
        rows = models.Paper.objects.filter(
            Q(arxiv_id__in=[p.arxiv_id for p in papers if p.arxiv_id])
            | Q(doi__in=[p.doi.lower() for p in papers if p.doi])
            | Q(title_key__in=[normal_title(p.title)[:300] for p in papers])
            | Q(public_id__in=[p.id for p in papers])
        )
        self.by_key: dict[str, list[tuple[models.Paper, Paper]]] = {}
        self.taken: set[str] = set()
        self.taken.update(
            models.FormerId.objects.filter(public_id__in=[p.id for p in papers]).values_list("public_id", flat=True)
        )
        for row in rows.select_related("organisation").prefetch_related("topics"):
            self.remember(row, row.to_record())

    def find(self, record: Paper) -> list[tuple[models.Paper, Paper]]:
        """The rows that are this paper, the best match first. More than one when the record shows that two rows are one."""
        found: dict[int, tuple[models.Paper, Paper]] = {}
        for key in record.keys:
            for row, known in self.by_key.get(key, ()):
                if same_paper(known, record) and (not found or key[:6] != "title:"):
                    found.setdefault(id(row), (row, known))
        return sorted(found.values(), key=lambda pair: pair[0].pk is None)  # a saved row before one of this batch

    def forget(self, row: models.Paper) -> None:
        for key, pairs in self.by_key.items():
            self.by_key[key] = [pair for pair in pairs if pair[0] is not row]

    def remember(self, row: models.Paper, record: Paper) -> None:
        self.taken.add(row.public_id)
        for key in record.keys:
            others = [pair for pair in self.by_key.get(key, ()) if pair[0] is not row]
            self.by_key[key] = [*others, (row, record)]

    def free_id(self, wanted: str) -> str:
        """The wanted public id, or the next one that no paper has: two papers may share a title and a year."""
        if wanted not in self.taken:
            self.taken.add(wanted)
            return wanted
        stem, n = wanted[:190], 2
        while f"{stem}-{n}" in self.taken or models.Paper.objects.filter(public_id=f"{stem}-{n}").exists():
            n += 1
        return f"{stem}-{n}"


def _write(pairs: list[tuple[models.Paper, Paper]]) -> None:
    now = datetime.now(UTC)
    organisations = _named(models.Organisation, {record.organisation for _, record in pairs if record.organisation})
    # Locked before counting, so that no vote falls between the count and the writing of it.
    known = sorted(row.pk for row, _ in pairs if row.pk is not None)
    models.Paper.objects.filter(pk__in=known).lock()
    here = models.here_of(known)
    for row, record in pairs:
        _fill(row, record, organisations)
        row.derive(now, here.get(row.pk, models.Here()) if row.pk else models.Here())
    new = [row for row, _ in pairs if row.pk is None]
    old = [row for row, _ in pairs if row.pk is not None]
    models.Paper.objects.bulk_create(new, batch_size=BATCH)
    models.Paper.objects.bulk_update(old, _COLUMNS, batch_size=100)
    topics = _named(models.Topic, {name for _, record in pairs for name in record.topics})
    authors = _named(models.Author, {a.name[:200] for _, record in pairs for a in record.authors})
    _relate(models.Paper.topics.through, "topic_id", {r.pk: {topics[slug_of(n)].pk for n in p.topics} for r, p in pairs}, old)
    _relate(
        models.Paper.author_set.through,
        "author_id",
        {r.pk: {authors[slug_of(a.name[:200])].pk for a in p.authors} for r, p in pairs},
        old,
    )


def _fill(row: models.Paper, record: Paper, organisations: Mapping[str, models.Organisation]) -> None:
    row.arxiv_id, row.doi = record.arxiv_id or None, record.doi.lower()
    row.title, row.abstract, row.summary = record.title, record.abstract, record.summary
    row.authors, row.author_count = models.people_of(record.authors), record.author_count
    row.organisation = organisations[slug_of(record.organisation)] if record.organisation else None
    row.categories = list(record.categories)
    row.published, row.listed, row.record_date = record.published, record.listed, record.updated
    row.code_url, row.project_url, row.pdf_url = record.links.code, record.links.project, record.links.pdf
    row.journal, row.note, row.submitted_by = record.journal, record.note, record.submitted_by
    row.comments_found, row.upvotes_found, row.withdrawn = record.comments, record.upvotes, record.withdrawn


_COLUMNS = [f.name for f in models.Paper._meta.concrete_fields if f.name not in {"id", "public_id", "created", "edited"}]


Named = TypeVar("Named", models.Organisation, models.Topic, models.Author)


def _named(model: type[Named], names: set[str]) -> dict[str, Named]:
    """The rows of these names by slug, made where they are missing. Safe when another import makes the same ones."""
    by_slug = {slug_of(name): name for name in sorted(names)}
    found = {row.slug: row for row in model.objects.filter(slug__in=by_slug)}
    missing = [model(name=name, slug=slug) for slug, name in by_slug.items() if slug not in found]
    if missing:
        model.objects.bulk_create(missing, ignore_conflicts=True)
        found.update({row.slug: row for row in model.objects.filter(slug__in=[row.slug for row in missing])})
    return found


def _relate(through: type[Model], column: str, wanted: Mapping[int, set[int]], old: list[models.Paper]) -> None:
    """Make the links of these papers exactly the wanted ones."""
    have: set[tuple[int, int]] = set()
    if old:
        rows = through._default_manager.filter(paper_id__in=[row.pk for row in old])
        have = set(rows.values_list("paper_id", column))
        surplus = {pair for pair in have if pair[1] not in wanted[pair[0]]}
        for paper_id in {pair[0] for pair in surplus}:
            rows.filter(paper_id=paper_id, **{f"{column}__in": [b for a, b in surplus if a == paper_id]}).delete()
    through._default_manager.bulk_create(
        (through(paper_id=p, **{column: other}) for p, others in wanted.items() for other in others if (p, other) not in have),
        batch_size=BATCH,
        ignore_conflicts=True,
    )
