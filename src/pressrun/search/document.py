"""What goes into the index and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

__all__ = ["Document", "Hit", "IndexStatus", "Results"]


@dataclass(frozen=True)
class Document:
    """One paper as the index sees it.

    `text` is the abstract, else the summary. `aliases` are other names of the paper (its DOI, its arXiv id) under which a
    reader may ask for it. `extra` holds what later parts know of a paper, by lower-case name: a whole number can be
    filtered by range (`runs:<2min`, in seconds), a string or several by equality (`verdict:matched`).
    """

    id: str
    title: str
    text: str
    authors: tuple[str, ...] = ()
    organisation: str = ""
    topics: tuple[str, ...] = ()
    published: date | None = None
    listed: date | None = None
    votes: int = 0
    has_code: bool = False
    has_replication: bool = False
    aliases: tuple[str, ...] = ()
    extra: Mapping[str, str | int | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """One paper of an answer, and why it is there.

    `score` orders the hits of one answer and means nothing between answers. A rank counts from 1 among the papers that
    side brought up, and is None where it did not. `matched` are the query's words, as typed, found in title, text or authors.
    """

    id: str
    score: float
    lexical_rank: int | None = None
    semantic_rank: int | None = None
    matched: tuple[str, ...] = ()


@dataclass(frozen=True)
class Results:
    """One page of an answer.

    `total` counts all papers of the answer, not of the page; an estimate where `total_is_exact` is False. `facets` maps a
    field of the query language (year, topic, org, author, has, and every word field of `Document.extra`) to (value, papers)
    pairs, most papers first, years newest first. `direct` is the id of the paper the query names, if it names one we hold.
    """

    hits: tuple[Hit, ...]
    total: int
    total_is_exact: bool
    took_ms: float
    facets: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    direct: str | None = None


@dataclass(frozen=True)
class IndexStatus:
    """What an index holds. `embedded` maps each rung (none, linear, opening, whole) to its number of papers."""

    documents: int
    embedded: Mapping[str, int]
    generation: int
    bytes: int
    model: str
    built: datetime | None
    lists: int
