"""RSS and Atom feeds of any site, arXiv's own included."""

from __future__ import annotations

import io
import re
from calendar import timegm
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import feedparser  # type: ignore[import-untyped]

from pressrun.catalog.paper import Author, Extra, Links, Paper, arxiv_id_in, doi_in
from pressrun.catalog.sources._cutting import elements
from pressrun.catalog.sources._format import BadRecord, Format, Parse, Setting, utf8
from pressrun.catalog.sources._xml import XmlRecords, root_name
from pressrun.catalog.sources.snapshot import author_names
from pressrun.catalog.text import one_line, paragraphs, without_markup

__all__ = ["FEED"]

Entry = dict[str, Any]

_ANNOUNCEMENT = re.compile(r"^arXiv:\S+\s+Announce Type:\s*(?P<type>[\w-]+)\s+Abstract:\s*")
_OLD_TITLE_END = re.compile(r"\s*\(arXiv:[^()]*\)$")
_BODY_OF = {"rss": "channel", "RDF": "", "feed": ""}


def _parser(setting: Setting) -> Parse:
    records = XmlRecords(setting.opened)
    body = _BODY_OF[records.root.decode().rpartition(":")[2]].encode()
    before = records.root_tag + (b"<%b>" % body if body else b"")
    after = (b"</%b>" % body if body else b"") + b"</" + records.root + b">"

    def parse(raw: bytes) -> Paper | Extra | None:
        utf8(raw, most=1 << 20)
        try:
            # As a file object: feedparser would open a text that looks like an address or a path.
            found = feedparser.parse(
                io.BytesIO(before + raw + after),
                response_headers={"content-type": "application/xml; charset=utf-8"},
                sanitize_html=False,
                resolve_relative_uris=False,
            )
        except Exception as error:  # feedparser lets out whatever its parsers stumble over
            raise BadRecord(f"the entry cannot be read ({error})") from error
        if not found.entries:
            raise BadRecord("the entry cannot be read (no well-formed XML)")
        return _paper(found.entries[0])

    return parse


def _paper(entry: Entry) -> Paper:
    text = paragraphs(without_markup(str(entry.get("summary", "")) or _content(entry)))
    announced = _ANNOUNCEMENT.match(text)
    kind = announced["type"] if announced else str(entry.get("arxiv_announce_type", ""))
    link = _address(entry.get("link", ""))
    names = [str(entry.get(key, "")) for key in ("id", "link", "dc_identifier", "prism_doi", "title")]
    arxiv_id, doi = _first(arxiv_id_in, names), _first(doi_in, names)
    moment = _moment(entry)
    return Paper(
        title=one_line(_OLD_TITLE_END.sub("", one_line(str(entry.get("title", ""))))),
        arxiv_id=arxiv_id,
        doi=doi,
        abstract=text[announced.end() :] if announced else text,
        authors=_authors(entry, split=bool(kind)),
        published=None if moment is None or kind.startswith("replace") else moment.date(),
        updated=moment,
        categories=tuple(_tags(entry)) if kind else (),
        topics=() if kind else tuple(_tags(entry)),
        links=Links(project="" if arxiv_id or doi else link, pdf=_pdf(entry)),
        withdrawn="withdrawn" in kind,
    )


def _first(find: Callable[[str], str], texts: list[str]) -> str:
    return next(filter(None, map(find, texts)), "")


def _content(entry: Entry) -> str:
    return str(next((part.get("value", "") for part in entry.get("content", [])), ""))


def _authors(entry: Entry, *, split: bool) -> tuple[Author, ...]:
    """One author an element, except that arXiv puts all of them into one."""
    names = [str(person.get("name", "")) for person in entry.get("authors", [])]
    if split and len(names) == 1:
        return author_names(names[0])
    return tuple(Author(name) for name in map(one_line, names) if name)


def _moment(entry: Entry) -> datetime | None:
    # The library's own `get` answers for one of the two with the other, and warns that it will stop doing so.
    parsed = entry.get("published_parsed") or dict.get(entry, "updated_parsed")
    try:
        return datetime.fromtimestamp(timegm(parsed), UTC) if parsed else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _tags(entry: Entry) -> list[str]:
    return [term for tag in entry.get("tags", []) if (term := one_line(str(tag.get("term") or "")))]


def _address(value: object) -> str:
    address = one_line(str(value))
    return address if address.lower().startswith(("https://", "http://")) else ""


def _pdf(entry: Entry) -> str:
    found = (_address(link.get("href", "")) for link in entry.get("links", []) if link.get("type") == "application/pdf")
    return next(filter(None, found), "")


FEED = Format(
    key="feed",
    name="an RSS or Atom feed",
    recognises=lambda head: root_name(head).rpartition(":")[2] in _BODY_OF,
    cut=lambda setting, stream, place: elements(stream, place, ("item", "entry"), XmlRecords(setting.opened).root),
    parser=_parser,
)
