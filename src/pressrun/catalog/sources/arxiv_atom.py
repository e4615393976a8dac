"""Answers of the arXiv API (Atom)."""

from __future__ import annotations

import re

from lxml import etree

from pressrun.catalog.errors import SourceError
from pressrun.catalog.paper import Author, Extra, Links, Paper, arxiv_id_in, doi_in
from pressrun.catalog.sources._cutting import elements
from pressrun.catalog.sources._format import BadRecord, Format, Parse, Setting, day_in, moment_in
from pressrun.catalog.sources._xml import XmlRecords, children, root_name, said, text_of
from pressrun.catalog.sources.snapshot import is_withdrawn, plain_name
from pressrun.catalog.text import one_line, paragraphs

__all__ = ["ARXIV_ATOM", "total_in"]


def _parser(setting: Setting) -> Parse:
    element_of = XmlRecords(setting.opened)

    def parse(raw: bytes) -> Paper | Extra | None:
        entry = element_of(raw)
        address = said(entry, "id")
        if "/api/errors" in address:
            raise SourceError(
                f"{setting.opened.label} is an error answer of the arXiv API: {said(entry, 'summary') or said(entry, 'title')}"
            )
        return _paper(entry, address)

    return parse


def _paper(entry: etree._Element, address: str) -> Paper:
    arxiv_id = arxiv_id_in(address)
    if not arxiv_id:
        raise BadRecord(f"the entry's id {address[:80]!r} holds no arXiv id")
    published, updated, note = said(entry, "published"), said(entry, "updated"), said(entry, "comment")
    abstract = next((paragraphs(text_of(child)) for child in children(entry, "summary")), "")
    return Paper(
        title=said(entry, "title"),
        arxiv_id=arxiv_id,
        doi=doi_in(said(entry, "doi")),
        abstract=abstract,
        authors=tuple(filter(lambda author: author.name, (_author(person) for person in children(entry, "author")))),
        published=day_in(published, "published") if published else None,
        updated=moment_in(updated, "updated") if updated else None,
        categories=_categories(entry),
        links=Links(pdf=_pdf(entry)),
        journal=said(entry, "journal_ref"),
        note=note,
        withdrawn=is_withdrawn(note, abstract),
    )


def _author(person: etree._Element) -> Author:
    return Author(plain_name(said(person, "name")), said(person, "affiliation"))


def _categories(entry: etree._Element) -> tuple[str, ...]:
    """The primary category first."""
    terms = [one_line(str(child.get("term", ""))) for name in ("primary_category", "category") for child in children(entry, name)]
    return tuple(dict.fromkeys(filter(None, terms)))


def _pdf(entry: etree._Element) -> str:
    found = (one_line(str(link.get("href", ""))) for link in children(entry, "link") if link.get("title") == "pdf")
    return next((address for address in found if address.startswith(("https://", "http://"))), "")


def total_in(head: str) -> int | None:
    """How many records the whole answer has, as its head tells."""
    match = re.search(r"<(?:\w+:)?totalResults[^>]*>\s*(\d{1,9})\s*<", head)
    return int(match[1]) if match else None


ARXIV_ATOM = Format(
    key="arxiv-api",
    name="an answer of the arXiv API (Atom)",
    recognises=lambda head: (
        root_name(head).rpartition(":")[2] == "feed" and ("arxiv.org/schemas/atom" in head or "arxiv.org/api/" in head)
    ),
    cut=lambda setting, stream, place: elements(stream, place, ("entry",), XmlRecords(setting.opened).root),
    parser=_parser,
)
