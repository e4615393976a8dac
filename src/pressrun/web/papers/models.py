"""Papers as the database keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime
from functools import lru_cache
from math import log2
from typing import ClassVar, NamedTuple
from urllib.parse import quote

from django.db import models
from django.db.models import Count, Prefetch, Q
from django.db.models.functions import Substr
from django.urls import get_script_prefix, reverse
from django.utils.text import slugify

from pressrun import catalog

# How many days of age weigh as much as a doubling of attention. Shown on the ranking page; changes go into the changelog.
TRENDING_DAYS = 7


@lru_cache(maxsize=20_000)
def _address(name: str, key: str, _prefix: str) -> str:
    """The address of a thing's page; remembered, because a list has some two hundred of them."""
    return reverse(name, args=[key])


class Named(models.Model):
    """A name with a page of its own, whose address is made from the model's name and the slug."""

    name = models.CharField(max_length=200)
    slug = models.CharField(max_length=120, unique=True)

    class Meta:
        abstract = True
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return _address(str(self._meta.model_name), self.slug, get_script_prefix())


class Organisation(Named):
    """Who a paper comes from, where a source names it."""


class Topic(Named):
    """A subject that papers are filed under."""

    name = models.CharField(max_length=100)


class Author(Named):
    """A name under which papers were written. Two people of one name are one author here: the sources don't tell them apart."""


class PaperQuerySet(models.QuerySet["Paper"]):
    def visible(self) -> PaperQuerySet:
        """Papers that lists show: a withdrawn one keeps its page and leaves the lists."""
        return self.filter(withdrawn=False)

    def with_topics(self) -> PaperQuerySet:
        """Read organisation and topics along, to be shown: `filed_under` then asks for nothing. Three times as fast for a list as
        `prefetch_related("topics")`, which makes every paper a manager and a query of its own."""
        return self.select_related("organisation").prefetch_related(Prefetch("topics", to_attr="topics_read"))

    def with_facts(self) -> PaperQuerySet:
        """Read everything along that the APIs tell of a paper: organisation, topics, outcomes and their runs."""
        outcomes = Prefetch("outcomes", to_attr="outcomes_read")
        return self.with_topics().prefetch_related(outcomes, "outcomes_read__run")  # type: ignore[misc]  # mypy knows it by itself only

    def for_cards(self) -> PaperQuerySet:
        """What a list needs, in a constant number of queries. `opening` is the beginning of the abstract, which is left unread."""
        return self.with_topics().defer(*OFF_CARDS).annotate(opening=Substr("abstract", 1, 600))

    def ranked(self, sort: str) -> PaperQuerySet:
        """Sorted by `votes` (most first, then newest), `new`, or `trending`."""
        return self.order_by(*SORTS[sort])

    def lock(self) -> None:
        """Hold these rows until the transaction ends, so that nobody counts votes in between."""
        list(self.select_for_update(no_key=True).order_by("pk").values_list("pk"))

    def by_id(self, text: str) -> PaperQuerySet:
        """The paper that a public id, an arXiv id (with or without version), a DOI or an address means."""
        # Every branch has an index of its own; a join to the former ids would make the database go through all papers.
        found = Q(public_id=text) | Q(pk__in=FormerId.objects.filter(public_id=text).values("paper_id"))
        if arxiv_id := catalog.arxiv_id_in(text):
            found |= Q(arxiv_id=arxiv_id)
        if doi := catalog.doi_in(text):
            found |= Q(doi=doi)
        return self.filter(found)


OFF_CARDS = ("abstract", "title_key", "categories", "edited", "journal", "note", "record_date", "project_url", "pdf_url")
SORTS = {
    "votes": ("-votes", "-published", "-pk"),
    "new": ("-day", "-published", "-pk"),
    "trending": ("-trending", "-pk"),
}


class Paper(models.Model):
    """One paper. `day` is the day of its list: the day it was listed, else the day it was published."""

    public_id = models.CharField(max_length=200, unique=True)
    arxiv_id = models.CharField(max_length=40, unique=True, null=True)  # noqa: DJ001  many papers have none, and a second "" would clash
    doi = models.CharField(max_length=200, blank=True, db_index=True)
    title = models.TextField()
    title_key = models.CharField(max_length=300, db_index=True)
    abstract = models.TextField(blank=True)
    summary = models.TextField(blank=True)
    authors = models.JSONField(default=list)
    author_count = models.PositiveIntegerField(null=True)
    author_set = models.ManyToManyField(Author, related_name="papers")
    organisation = models.ForeignKey(Organisation, models.SET_NULL, null=True, blank=True, related_name="papers")
    topics = models.ManyToManyField(Topic, related_name="papers", blank=True)
    categories = models.JSONField(default=list, blank=True)
    published = models.DateField(null=True, blank=True)
    listed = models.DateField(null=True, blank=True)
    day = models.DateField(null=True, db_index=True, editable=False)
    code_url = models.URLField(max_length=500, blank=True)
    project_url = models.URLField(max_length=500, blank=True)
    pdf_url = models.URLField(max_length=500, blank=True)
    journal = models.TextField(blank=True)
    note = models.TextField(blank=True)
    submitted_by = models.CharField(max_length=100, blank=True)
    comments_found = models.PositiveIntegerField(null=True, blank=True)
    upvotes_found = models.PositiveIntegerField(null=True, blank=True)
    withdrawn = models.BooleanField(default=False)
    record_date = models.DateTimeField(null=True)
    edited = models.JSONField(default=list, blank=True)
    """Names of the fields that a person typed. No import changes them."""

    votes = models.PositiveIntegerField(default=0)
    comments = models.PositiveIntegerField(default=0)
    trending = models.FloatField(default=0, db_index=True)
    created = models.DateTimeField(auto_now_add=True)
    modified = models.DateTimeField(db_index=True)
    to_index = models.BooleanField(default=True)

    objects = PaperQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-day", "-pk"]
        indexes: ClassVar = [
            models.Index(fields=["day", "votes"], name="paper_day_votes"),
            models.Index(fields=["organisation", "day"], name="paper_organisation_day"),
            models.Index(fields=["id"], condition=Q(to_index=True), name="paper_to_index"),
            models.Index(fields=["id"], condition=Q(withdrawn=True), name="paper_withdrawn"),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return _address("paper", self.public_id, get_script_prefix())

    @property
    def filed_under(self) -> list[Topic]:
        """Its topics by name; of papers read `with_topics` without asking the database."""
        read: list[Topic] | None = getattr(self, "topics_read", None)
        return list(self.topics.all()) if read is None else read

    @property
    def text(self) -> str:
        """What there is to read: the authors' abstract, else our summary."""
        return self.abstract or self.summary

    @property
    def author_names(self) -> list[str]:
        return [author["name"] for author in self.authors]

    @property
    def arxiv_url(self) -> str:
        return f"https://arxiv.org/abs/{self.arxiv_id}" if self.arxiv_id else ""

    @property
    def best_pdf_url(self) -> str:
        return self.pdf_url or (f"https://arxiv.org/pdf/{self.arxiv_id}" if self.arxiv_id else "")

    @property
    def doi_url(self) -> str:
        return f"https://doi.org/{quote(self.doi)}" if self.doi else ""

    @property
    def huggingface_url(self) -> str:
        return f"https://huggingface.co/papers/{self.arxiv_id}" if self.arxiv_id else ""

    @property
    def attention(self) -> float:
        """The first term of Trending: log₂(1 + votes + comments / 2)."""
        return log2(1 + self.votes + self.comments / 2)

    @property
    def freshness(self) -> float:
        """The second term of Trending: days from 2000-01-01 to the list day, by TRENDING_DAYS. It never has to be recomputed."""
        return (self.day - date(2000, 1, 1)).days / TRENDING_DAYS if self.day else 0.0

    def derive(self, now: datetime | None = None, here: Here | None = None) -> None:
        """Bring the derived columns up to date; call before writing, with the row locked. Marks the paper for the search index.

        `here` is what people here did with the paper; it is looked up where it is not given.
        """
        self.title_key = catalog.normal_title(self.title)[:300]
        self.count(here)
        self.modified = now or datetime.now(UTC)

    def count(self, here: Here | None = None) -> None:
        """Votes, comments, the day and Trending, from what the sources found and what people here did. `modified` tells of the
        record alone, so it stays."""
        here = here or here_of([self.pk]).get(self.pk, Here())
        self.day = None if here.off_list else self.listed or self.published
        self.votes = (self.upvotes_found or 0) + here.votes
        self.comments = (self.comments_found or 0) + here.comments
        self.trending = self.attention + self.freshness
        self.to_index = True

    def to_record(self) -> catalog.Paper:
        """The paper as a source would describe it. Reads `organisation` and `topics`: select and prefetch them for many."""
        return catalog.Paper(
            id=self.public_id,
            title=self.title,
            arxiv_id=self.arxiv_id or "",
            doi=self.doi,
            abstract=self.abstract,
            summary=self.summary,
            authors=tuple(catalog.Author(**author) for author in self.authors),
            author_count=self.author_count,
            published=self.published,
            listed=self.listed,
            updated=self.record_date,
            organisation=self.organisation.name if self.organisation else "",
            topics=tuple(topic.name for topic in self.filed_under),
            categories=tuple(self.categories),
            links=catalog.Links(code=self.code_url, project=self.project_url, pdf=self.pdf_url),
            journal=self.journal,
            note=self.note,
            submitted_by=self.submitted_by,
            comments=self.comments_found,
            upvotes=self.upvotes_found,
            withdrawn=self.withdrawn,
        )


class Here(NamedTuple):
    """What people of this installation did with a paper. `off_list` where a curator took it off its day's list."""

    votes: int = 0
    comments: int = 0
    off_list: bool = False


def here_of(papers: Collection[int | None]) -> dict[int, Here]:
    """What people did with each of these rows, in three queries. Rows that nobody touched may be left out."""
    known = [pk for pk in papers if pk is not None]
    if not known:
        return {}
    rows = Paper.objects.filter(pk__in=known).order_by()
    votes = dict(rows.filter(cast__isnull=False).values_list("pk", Count("cast")))
    shown = rows.filter(discussion__state="shown")
    comments = dict(shown.values_list("pk", Count("discussion")))
    off = set(rows.filter(placement__off=True).values_list("pk", flat=True))
    return {pk: Here(votes.get(pk, 0), comments.get(pk, 0), pk in off) for pk in {*votes, *comments, *off}}


class FormerId(models.Model):
    """An address that a paper had before it turned out to be another one. It leads there for good."""

    public_id = models.CharField(max_length=200, unique=True)
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="former_ids")

    def __str__(self) -> str:
        return self.public_id


class ImportRun(models.Model):
    """One reading of one source: how far it came and what it brought. `position` is where a next reading goes on."""

    class State(models.TextChoices):
        RUNNING = "running"
        FINISHED = "finished"
        STOPPED = "stopped"

    location = models.TextField()
    identity = models.CharField(max_length=64, db_index=True)
    format = models.CharField(max_length=40)
    position = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    read = models.PositiveIntegerField(default=0)
    added = models.PositiveIntegerField(default=0)
    merged = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    why = models.TextField(blank=True)
    started = models.DateTimeField(auto_now_add=True)
    finished = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return f"{self.location}: {self.added} added, {self.merged} merged, {self.rejected} rejected"


class Rejection(models.Model):
    """A record that an import could not take: where it stood, why, and its beginning."""

    run = models.ForeignKey(ImportRun, models.CASCADE, related_name="rejections")
    where = models.TextField()
    why = models.TextField()
    raw = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


def people_of(authors: Iterable[catalog.Author]) -> list[dict[str, str]]:
    """Author records as the JSON column keeps them: empty facts are left out."""
    return [{k: v for k, v in {"name": a.name, "affiliation": a.affiliation, "orcid": a.orcid}.items() if v} for a in authors]


def slug_of(name: str) -> str:
    """A name as it stands in an address. Names that differ in case, accents or punctuation only share it."""
    plain = slugify(name) or slugify(name, allow_unicode=True)
    return plain[:110].strip("-") or hashlib.sha256(name.encode()).hexdigest()[:16]
