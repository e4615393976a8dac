"""arXiv's metadata snapshot: JSON Lines, one paper a line, three million of them."""

from __future__ import annotations

import re
from calendar import month_abbr
from datetime import UTC, date, datetime
from functools import lru_cache

from pressrun.catalog.paper import Author, Links, Paper, doi_in
from pressrun.catalog.sources._cutting import lines
from pressrun.catalog.sources._format import BadRecord, Format, day_in, json_record, text_at
from pressrun.catalog.text import from_latex, one_line, paragraphs

__all__ = ["SNAPSHOT", "author_names", "day_of_mail", "is_withdrawn", "plain_name"]

_FIRST_KEYS = re.compile(r'^\s*\{.*"(authors_parsed|update_date|journal-ref)"\s*:', re.MULTILINE)
_MONTHS = {month: number for number, month in enumerate(month_abbr) if month}
_MOST_AUTHORS = 20_000
_WITHDRAWN = re.compile(
    r"\b(?:this|the) (?:paper|article|submission|manuscript|work) (?:has been|was|is) withdrawn\b", re.IGNORECASE
)


def parse(raw: bytes) -> Paper:
    row = json_record(raw)
    arxiv_id = text_at(row, "id").strip()
    if not arxiv_id:
        raise BadRecord("the record has no id")
    note, abstract = text_at(row, "comments"), text_at(row, "abstract")
    update, versions = text_at(row, "update_date"), row.get("versions")
    return Paper(
        title=one_line(text_at(row, "title")),
        arxiv_id=arxiv_id,
        doi=doi_in(doi) if (doi := text_at(row, "doi")) else "",
        abstract=paragraphs(abstract, indented=True),
        authors=_parsed(row["authors_parsed"]) if row.get("authors_parsed") else author_names(text_at(row, "authors")),
        published=_first_version(versions) if versions else None,
        updated=_midnight(update) if update else None,
        categories=tuple(text_at(row, "categories").split()),
        links=_NO_LINKS,
        journal=one_line(text_at(row, "journal-ref")),
        note=one_line(note) if note else "",
        submitted_by=plain_name(text_at(row, "submitter")),
        withdrawn=is_withdrawn(note, abstract),
    )


_NO_LINKS = Links()


def plain_name(name: str) -> str:
    return one_line(from_latex(name) if "\\" in name or "{" in name else name)


def is_withdrawn(note: str, abstract: str) -> bool:
    """arXiv has no field for it: the comment says so, and the abstract of a withdrawn paper begins with it."""
    # The plain search first: it is many times faster than the pattern, and there are millions of papers.
    return any("ithdrawn" in text and _WITHDRAWN.search(text) for text in (note, abstract[:200]))


def _parsed(people: object) -> tuple[Author, ...]:
    """Authors from [[family, given, suffix, affiliation …] …]."""
    found = []
    try:
        for family, given, *more in people:  # type: ignore[attr-defined]  # what is no list of lists ends in the except
            name = f"{given} {family} {more[0]}" if more and more[0] else f"{given} {family}"
            found.append(Author(plain_name(name), one_line(more[1]) if len(more) > 1 else ""))
    except (TypeError, ValueError, AttributeError):
        raise BadRecord("authors_parsed is no list of [family, given, suffix]") from None
    return tuple(author for author in found if author.name)


def author_names(line: str) -> tuple[Author, ...]:
    """Authors from one line, "A. Bee (1), C. Dee and E. Fee ((1) MIT)", without what stands in brackets."""
    names = re.split(r",\s*(?:and\s+)?|\s+and\s+", _without_brackets(line) if "(" in line else line)
    if len(names) > _MOST_AUTHORS:
        raise BadRecord(f"the record names more than {_MOST_AUTHORS} authors")
    return tuple(Author(name) for name in map(plain_name, names) if name)


def _without_brackets(text: str) -> str:
    """The text outside all round brackets; one that is never closed opens nothing."""
    kept: list[str] = []
    opened: list[int] = []
    for piece in re.findall(r"[()]|[^()]+", text):
        if piece == "(":
            opened.append(len(kept))
        elif piece == ")" and opened:
            del kept[opened.pop() :]
            continue
        kept.append(piece)
    return "".join(kept)


def _first_version(versions: object) -> date:
    try:
        created = versions[0]["created"]  # type: ignore[index]  # any other shape ends in the except
        return day_of_mail(created)
    except (TypeError, LookupError, AttributeError):
        raise BadRecord("versions is no list of {version, created}") from None


@lru_cache(maxsize=1 << 15)
def _midnight(day: str) -> datetime:
    found = day_in(day, "update_date")
    return datetime(found.year, found.month, found.day, tzinfo=UTC)


def day_of_mail(text: str) -> date:
    """The day of "Mon, 2 Apr 2007 19:18:42 GMT", the weekday and the time being optional."""
    try:
        day, month, year = text.rpartition(", ")[2].split()[:3]
        return date(int(year), _MONTHS[month], int(day))
    except (ValueError, KeyError):
        raise BadRecord(f"the date is {text[:40]!r}, one such as 'Mon, 2 Apr 2007 19:18:42 GMT' is needed") from None


SNAPSHOT = Format(
    key="snapshot",
    name="the arXiv metadata snapshot (JSON Lines)",
    recognises=lambda head: bool(_FIRST_KEYS.search(head)),
    cut=lambda _setting, stream, place: lines(stream, place),
    parser=lambda _setting: parse,
    unit="line",
)
