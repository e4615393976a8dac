"""What a paper is, and when two records are the same paper."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import unquote

__all__ = ["Author", "Extra", "Links", "Paper", "Rejected", "arxiv_id_in", "doi_in", "merge", "normal_title", "same_paper"]

# New-style ids (0704.0001, 2509.23253) and old-style ones (quant-ph/0201082, math.GT/0309136), each with an optional version.
# The third and fourth digit are a month. What follows must not carry the id on (2509.23253-draft is none).
_ARXIV = re.compile(
    r"(?:^|\barxiv(?::\s?|[./])|/(?:abs|pdf|html|src|papers)/)"
    r"(?P<id>[0-9]{2}(?:0[1-9]|1[0-2])\.[0-9]{4,5}|[a-z]+(?:-[a-z]+)?(?:\.[A-Z]{2})?/[0-9]{2}(?:0[1-9]|1[0-2])[0-9]{3})"
    r"(?:v[0-9]+)?(?:\.pdf|\.md)?(?=$|[^\w.-]|\.(?:\W|$))",
    re.IGNORECASE | re.ASCII,
)
_DOI = re.compile(r"(?<![0-9.])(10\.[0-9]{4,9}/[^\s\"<>]+)")
_GENERATIONS = {"jr", "sr", "ii", "iii", "iv"}


@dataclass(frozen=True)
class Author:
    """A name as printed, and what else the source knew of the person."""

    name: str
    affiliation: str = ""
    orcid: str = ""


@dataclass(frozen=True)
class Links:
    """Absolute http(s) addresses; empty where there is none."""

    code: str = ""
    project: str = ""
    pdf: str = ""


@dataclass(frozen=True)
class Paper:
    """One paper as one source describes it. Empty means that the source did not say.

    `author_count` stands for itself where a source counts the authors without naming them; with names it is their number.
    `published` is the day of the first version, `listed` the day on the daily list, `updated` the moment from which the
    source's record dates (what decides who is newer in a merge). `abstract` is the authors' text, `summary` ours or the
    curator's. `comments` and `upvotes` are counts as found at the source.
    """

    title: str
    id: str = ""
    arxiv_id: str = ""
    doi: str = ""
    abstract: str = ""
    summary: str = ""
    authors: tuple[Author, ...] = ()
    author_count: int | None = None
    published: date | None = None
    listed: date | None = None
    updated: datetime | None = None
    organisation: str = ""
    topics: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    links: Links = field(default_factory=Links)
    journal: str = ""
    note: str = ""
    submitted_by: str = ""
    comments: int | None = None
    upvotes: int | None = None
    withdrawn: bool = False

    def __post_init__(self) -> None:
        if not self.title:
            raise ValueError("a paper needs a title")
        if self.authors:
            object.__setattr__(self, "author_count", len(self.authors))
        if not self.id:
            object.__setattr__(self, "id", self.arxiv_id or self.doi or _slug(self.title, self.published))

    @property
    def keys(self) -> tuple[str, ...]:
        """Every name under which the same paper may be met again, strongest first."""
        found = [f"arxiv:{self.arxiv_id}"] if self.arxiv_id else []
        if self.doi:
            found.append(f"doi:{self.doi.lower()}")
        return (*found, f"title:{normal_title(self.title)}")


@dataclass(frozen=True)
class Rejected:
    """A record that could not be read: where it stood, why, and its beginning as it was."""

    where: str
    why: str
    raw: str = ""


@dataclass(frozen=True)
class Extra:
    """A record of our own export that is no paper (a vote, a comment, a deletion …), for whoever knows its kind."""

    kind: str
    data: Mapping[str, Any]


def normal_title(title: str) -> str:
    """The title without case, accents, punctuation, mark-up and white space, for comparing.

    A title without any letter or digit keeps its signs: "!!!" and "???" are two titles.
    """
    # Folding case can give letters that come apart again, hence once more.
    plain = title.lower() if title.isascii() else unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", title).casefold())
    return "".join(filter(str.isalnum, plain)) or "".join(plain.split())


def arxiv_id_in(text: str) -> str:
    """The arXiv id, without version, that a text is or points to (id, arXiv: id, abs, pdf or papers address); else ''."""
    match = _ARXIV.search(text.strip())
    return match["id"] if match else ""


def doi_in(text: str) -> str:
    """The DOI, lower case, that a text is or contains; else ''. An arXiv DOI (10.48550/arXiv.…) is no separate DOI."""
    if "%2f" in text.lower():
        text = unquote(text)
    match = _DOI.search(text)
    if not match:
        return ""
    doi = match[1].lower()
    if "://" in text:
        doi = re.split(r"[?#]", doi)[0]
    while doi[-1] in ".,;:'" or (doi[-1] in ")]}" and doi.count(doi[-1]) > doi.count("([{"[")]}".index(doi[-1])])):
        doi = doi[:-1]
    return "" if doi.startswith("10.48550/arxiv.") or doi.endswith("/") else doi


def same_paper(one: Paper, other: Paper) -> bool:
    """Whether two records describe one paper: arXiv id, else DOI, else normalised title and first author.

    Two different arXiv ids are two papers, whatever their titles. A record without author names goes by its title and
    must not contradict the other's author count.
    """
    if one.arxiv_id and other.arxiv_id:
        return one.arxiv_id == other.arxiv_id
    if one.doi and other.doi:
        return one.doi.lower() == other.doi.lower()
    if normal_title(one.title) != normal_title(other.title):
        return False
    if one.authors and other.authors:
        return _family(one.authors[0].name) == _family(other.authors[0].name)
    return one.author_count is None or other.author_count is None or one.author_count == other.author_count


def merge(known: Paper, found: Paper, *, keep: Iterable[str] = ()) -> Paper:
    """`known` with what `found` adds: the newer record's non-empty fields win, fields named in `keep` never change.

    Records without a date count as older than those with one; between two of the same age, `found` wins.
    The public id stays. The earliest `published` and `listed` day stay: a later version is the same paper.
    """
    newer = found if _age(found) >= _age(known) else known
    older = known if newer is found else found
    untouchable = {"id", *keep}
    changes: dict[str, object] = {}
    for item in fields(Paper):
        if item.name in untouchable:
            continue
        new, old = getattr(newer, item.name), getattr(older, item.name)
        if item.name == "links":
            value: object = Links(*(getattr(new, f.name) or getattr(old, f.name) for f in fields(Links)))
        elif item.name in {"published", "listed"}:
            value = min((d for d in (new, old) if d), default=None)
        elif item.name in {"topics", "categories"}:
            value = tuple(dict.fromkeys((*new, *old)))
        elif item.name == "withdrawn":
            value = new
        elif item.name == "author_count":
            continue
        else:
            value = old if new in (None, "", ()) else new
        changes[item.name] = value
    if not known.authors and not found.authors and "author_count" not in untouchable:
        changes["author_count"] = newer.author_count if newer.author_count is not None else older.author_count
    return replace(known, **changes)  # type: ignore[arg-type]  # the names are Paper's own fields


def _age(paper: Paper) -> float:
    if paper.updated is None:
        return float("-inf")
    moment = paper.updated if paper.updated.tzinfo else paper.updated.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def _family(name: str) -> str:
    """The family name in comparable form, from "Given Family" or "Family, Given"."""
    if "," in name:
        return normal_title(name.split(",")[0].split(" ")[-1])
    words = [word for word in name.split() if normal_title(word) not in _GENERATIONS] or name.split()
    return normal_title(words[-1]) if words else ""


def _slug(title: str, published: date | None) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:80].rstrip("-") or normal_title(title)[:40] or "untitled"
    return f"{words}-{published.year}" if published else words
