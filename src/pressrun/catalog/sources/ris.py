"""RIS, record by record."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import rispy  # type: ignore[import-untyped]

from pressrun.catalog.names import direct
from pressrun.catalog.paper import Author, Extra, Links, Paper, arxiv_id_in, doi_in
from pressrun.catalog.sources._cutting import between
from pressrun.catalog.sources._format import BadRecord, Format, utf8
from pressrun.catalog.text import one_line, paragraphs

__all__ = ["RIS"]

_START = re.compile(rb"\n[ \t]*TY {1,2}- ?")


def parse(raw: bytes) -> Paper | Extra | None:
    # The end tag may be missing between two records, and blanks or controls around the tags do not count.
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", utf8(raw, most=1 << 20).replace("\r\n", "\n"))
    text = re.sub(r"^[ \t]*([A-Z][A-Z0-9]) {1,2}- ?", r"\1  - ", text, flags=re.MULTILINE)
    text = re.split(r"^ER  -", text, flags=re.MULTILINE)[0].strip() + "\nER  - \n"
    try:
        records = rispy.loads(text)
    except Exception as error:  # rispy lets out whatever it stumbles over
        raise BadRecord(f"the record is no RIS that can be read ({one_line(str(error))[:80]})") from error
    if not records:
        raise BadRecord("the record is no RIS that can be read")
    return _paper(records[0])


def _paper(record: dict[str, Any]) -> Paper:
    def first(*names: str) -> str:
        return one_line(next((str(record[name]) for name in names if record.get(name)), ""))

    addresses = [address for name in ("urls", "file_attachments1") for address in _texts(record, name)]
    pages = [address for address in _texts(record, "urls") if _is_address(address)]
    pdf = next(filter(_is_address, _texts(record, "file_attachments1")), "")
    doi = doi_in(first("doi")) or next(filter(None, map(doi_in, addresses)), "")
    places = (first("accession_number"), first("label"), *addresses, first("doi"), first("journal_name", "alternate_title3"))
    arxiv_id = next(filter(None, map(arxiv_id_in, places)), "")
    names = _texts(record, "authors") or _texts(record, "first_authors")
    return Paper(
        title=first("title", "primary_title"),
        arxiv_id=arxiv_id,
        doi=doi,
        abstract=paragraphs(next((str(record[name]) for name in ("abstract", "notes_abstract") if record.get(name)), "")),
        authors=tuple(Author(name) for name in (one_line(direct(name)) for name in names) if name),
        published=_day(first("date", "year", "publication_year")) or _day(first("year", "publication_year")),
        topics=tuple(_texts(record, "keywords")),
        links=Links(project=pages[0] if pages and not arxiv_id and not doi else "", pdf=pdf),
        journal=first("journal_name", "alternate_title3", "secondary_title", "alternate_title1"),
        note=one_line(" ".join(_texts(record, "notes"))),
    )


def _texts(record: dict[str, Any], name: str) -> list[str]:
    value = record.get(name) or []
    return [text for entry in (value if isinstance(value, list) else [value]) if (text := one_line(str(entry)))]


def _is_address(text: str) -> bool:
    return text.lower().startswith(("https://", "http://"))


def _day(text: str) -> date | None:
    """The day from 2025/09/27, 2025-09 or 2025; the first where no month or day is said."""
    match = re.match(r"(\d{4})(?:[/-](\d{1,2}))?(?:[/-](\d{1,2}))?", text)
    if not match:
        return None
    try:
        return date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
    except ValueError:
        raise BadRecord(f"the record's date {text[:40]!r} is no day") from None


RIS = Format(
    key="ris",
    name="RIS",
    recognises=lambda head: bool(re.search(r"^[ \t]*TY {1,2}-", head, re.MULTILINE)),
    cut=lambda _setting, stream, place: between(stream, place, _START, "a record", lambda raw: b"ER  -" in raw or b"ER -" in raw),
    parser=lambda _setting: parse,
)
