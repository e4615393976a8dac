"""CSL-JSON, as reference managers and our own export write it: a list of items."""

from __future__ import annotations

import re
from datetime import date

from pressrun.catalog.paper import Author, Links, Paper, arxiv_id_in, doi_in
from pressrun.catalog.sources._cutting import json_objects
from pressrun.catalog.sources._format import BadRecord, Format, json_record, text_at
from pressrun.catalog.text import one_line, paragraphs, without_markup

__all__ = ["CSL_JSON"]

_TYPE = re.compile(
    r'"type"\s*:\s*"(?:article|bill|book|broadcast|chapter|dataset|document|entry|legal_case|manuscript|paper-conference|'
    r'patent|periodical|post|report|review|software|speech|thesis|webpage)[\w-]*"'
)


def parse(raw: bytes) -> Paper:
    row = json_record(raw)
    address, doi = text_at(row, "URL"), text_at(row, "DOI")
    address = one_line(address) if address.lower().startswith(("https://", "http://")) else ""
    arxiv_id = next(filter(None, map(arxiv_id_in, (_number(row), address, doi))), "")
    return Paper(
        title=one_line(without_markup(text_at(row, "title"))),
        arxiv_id=arxiv_id,
        doi=doi_in(doi) or doi_in(address),
        abstract=paragraphs(without_markup(text_at(row, "abstract"))),
        authors=_authors(row.get("author")),
        published=_day(row.get("issued")),
        topics=tuple(filter(None, map(one_line, re.split("[,;]", text_at(row, "keyword"))))),
        links=Links(project="" if arxiv_id or doi else address),
        journal=one_line(text_at(row, "container-title")),
        note=one_line(text_at(row, "note")),
    )


def _number(row: dict[str, object]) -> str:
    value = row.get("number")
    return value if isinstance(value, str) else ""


def _authors(people: object) -> tuple[Author, ...]:
    if people is None:
        return ()
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise BadRecord("author is no list of names")
    parts = ("literal", "given", "dropping-particle", "non-dropping-particle", "family", "suffix")
    names = (one_line(" ".join(text_at(person, part) for part in parts)) for person in people)
    return tuple(Author(name) for name in names if name)


def _day(issued: object) -> date | None:
    """The day of `{"date-parts": [[2025, 9, 27]]}`; the first where no month or day is said."""
    if issued is None:
        return None
    try:
        parts = [int(part) for part in issued["date-parts"][0]]  # type: ignore[index]  # any other shape ends in the except
        return date(*[*parts, 1, 1][:3])
    except (TypeError, LookupError, ValueError, OverflowError):
        raise BadRecord('issued is no day such as {"date-parts": [[2025, 9, 27]]}') from None


CSL_JSON = Format(
    key="csl-json",
    name="CSL-JSON",
    recognises=lambda head: head.lstrip()[:1] == "[" and bool(_TYPE.search(head)),
    cut=lambda _setting, stream, place: json_objects(stream, place, array=True),
    parser=lambda _setting: parse,
)
