"""Harvests: an address whose answer comes in pages. A position names the page and the record in it.

A harvest that meets a server without an answer raises, after the fetcher's retries, with everything before it yielded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson

from pressrun.catalog.errors import SourceError
from pressrun.catalog.fetch import Fetched, Fetcher
from pressrun.catalog.paper import Rejected
from pressrun.catalog.sources._cutting import Place
from pressrun.catalog.sources._format import Item, Setting, read_chunk
from pressrun.catalog.sources._opening import Opened, open_file
from pressrun.catalog.sources._reader import Reader
from pressrun.catalog.sources.arxiv_atom import ARXIV_ATOM, total_in
from pressrun.catalog.sources.oai import OAI, OaiParser

__all__ = ["ApiPlace", "OaiPlace", "harvest_api", "harvest_oai", "is_api", "is_oai"]

PAGE = 200
_EMPTY_TRIES = 3


def is_api(url: str) -> bool:
    """Whether this is a query to the arXiv API or to somebody who speaks it."""
    parts = urlsplit(url)
    return parts.path.rstrip("/").endswith("/api/query") and bool(
        {"search_query", "id_list"} & dict(parse_qsl(parts.query)).keys()
    )


def is_oai(url: str) -> bool:
    """Whether this asks an OAI-PMH repository for a list of records."""
    return dict(parse_qsl(urlsplit(url).query)).get("verb") == "ListRecords"


def _with(url: str, **values: str) -> str:
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **values}
    return urlunsplit(parts._replace(query=urlencode({name: value for name, value in query.items() if value}, safe=":,")))


@dataclass(frozen=True)
class ApiPlace:
    """Where a harvest of the arXiv API stands: `start` as the API counts, `wanted` records in all (None for all there are)."""

    url: str
    start: int
    wanted: int | None
    first: int

    @classmethod
    def of(cls, url: str, position: str | None) -> ApiPlace:
        """`start` and `max_results` in the address say where to begin and how many to take, as the API itself has it."""
        query = dict(parse_qsl(urlsplit(url).query))
        first, most = _number(query.get("start", "0"), "start"), query.get("max_results")
        wanted = _number(most, "max_results") if most else None
        if wanted is None and "sortBy" not in query and "search_query" in query:
            # New papers must come behind those already read, or pages shift while they are being turned.
            url = _with(url, sortBy="submittedDate", sortOrder="ascending")
        start = first
        if position:
            match = re.fullmatch(r"arxiv-api@([0-9]{1,9})", position)
            if not match:
                raise SourceError(
                    f"the position {position[:80]!r} does not belong to a query of the arXiv API; start from its beginning"
                )
            start = int(match[1])
        return cls(url, start, wanted, first)

    @property
    def page(self) -> str:
        size = PAGE if self.wanted is None else max(0, min(PAGE, self.first + self.wanted - self.start))
        return _with(self.url, start=str(self.start), max_results=str(size))

    @property
    def complete(self) -> bool:
        return self.wanted is not None and self.start >= self.first + self.wanted


def _number(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise SourceError(f"{name} in the address is {text[:40]!r}; a whole number is needed")
    return int(text)


def harvest_api(reader: Reader, place: ApiPlace, fetch: Fetcher, answer: Fetched, setting: Setting) -> Iterator[Item]:
    """Page through a query, `answer` being the page at `place`."""
    reader.unit, empty, before = "records", 0, b""
    while True:
        with answer:
            total, count, raw = total_in(setting.opened.head.decode("utf-8", "replace")), 0, setting.opened.head
            if place.wanted is not None and total is not None:
                total = min(total, place.first + place.wanted)
            reader.total = None if total is None else max(0, total - place.first)
            for item in _records(reader, setting):
                if place.complete:
                    break
                count += 1
                place = replace(place, start=place.start + 1)
                reader.position, reader.done = f"arxiv-api@{place.start}", place.start - place.first
                yield item
        if place.complete or (total is not None and place.start >= total) or (total is None and count == 0):
            return
        if count and _entries(raw) == before:
            raise SourceError(
                f"{_host(place.url)} gives the same page again and again; the harvest stops after {reader.done} records"
            )
        before = _entries(raw) if count else before
        empty = 0 if count else empty + 1
        if empty == _EMPTY_TRIES:
            raise SourceError(
                f"{_host(place.url)} gives empty pages after {reader.done} of {reader.total} records; try again later"
            )
        answer = fetch.get(place.page)
        setting = _opened(place.url, answer, setting, ARXIV_ATOM.name, ARXIV_ATOM.recognises)


def _entries(head: bytes) -> bytes:
    """What tells two pages apart: the beginning of the first entry."""
    return head.partition(b"entry>")[2][:2000]


@dataclass(frozen=True)
class OaiPlace:
    """Where a harvest stands: the token of the page, how many of its chunks are read, and the latest datestamp so far."""

    token: str = ""
    skip: int = 0
    datestamp: str = ""
    restarted: str = ""

    @classmethod
    def of(cls, position: str | None) -> OaiPlace:
        if not position:
            return cls()
        try:
            kind, _, data = position.partition(" ")
            place = cls(**orjson.loads(data))
            if (
                kind == "oai"
                and type(place.skip) is int
                and all(type(t) is str for t in (place.token, place.datestamp, place.restarted))
            ):
                return place
        except (ValueError, TypeError):
            pass
        raise SourceError(f"the position {position[:80]!r} does not belong to an OAI-PMH harvest; start from its beginning")

    def page(self, url: str) -> str:
        if self.token:
            # A token stands for everything the first request said.
            return _with(urlunsplit(urlsplit(url)._replace(query="")), verb="ListRecords", resumptionToken=self.token)
        return _with(url, **{"from": self.restarted}) if self.restarted else url

    def __str__(self) -> str:
        return f"oai {orjson.dumps(asdict(self)).decode()}"


def harvest_oai(reader: Reader, url: str, place: OaiPlace, fetch: Fetcher, answer: Fetched, setting: Setting) -> Iterator[Item]:
    """Follow resumption tokens, `answer` being the page at `place`."""
    reader.unit = "records"
    while True:
        parser = OaiParser(replace(setting, notes=[]))
        with answer:
            for number, item in _numbered(reader, setting, parser):
                if number <= place.skip:
                    continue
                place = replace(place, skip=number, datestamp=max(place.datestamp, parser.datestamp))
                reader.position, reader.done = str(place), reader.done + 1
                yield item
        reader.total = parser.total or reader.total
        following = _next_place(reader, url, place, parser)
        if following is None:
            return
        place = following
        answer = fetch.get(place.page(url))
        setting = _opened(url, answer, setting, OAI.name, OAI.recognises)


def _next_place(reader: Reader, url: str, place: OaiPlace, parser: OaiParser) -> OaiPlace | None:
    """The page to read next; None at the end of the list."""
    if parser.error and parser.error[0] == "badResumptionToken" and place.token:
        since = place.datestamp
        if place.restarted and place.restarted == since:
            raise SourceError(f"{_host(url)} refuses its own resumption tokens, twice after {since}; the harvest stops")
        reader.notes.append(
            f"the resumption token has expired; the harvest starts again {f'from {since}' if since else 'at the beginning'}"
        )
        return OaiPlace(datestamp=since, restarted=since)
    if parser.error and parser.error[0] == "noRecordsMatch":
        reader.notes.append(f"{_host(url)} has no records that match")
        return None
    if parser.error:
        raise SourceError(f"{_host(url)} refuses the request: {parser.error[0]} ({parser.error[1]})")
    if not parser.token:
        return None
    if parser.token == place.token:
        raise SourceError(f"{_host(url)} gives the same resumption token again; the harvest stops after {reader.done} records")
    return OaiPlace(token=parser.token, datestamp=place.datestamp, restarted=place.restarted)


def _records(reader: Reader, setting: Setting) -> Iterator[Item]:
    parse = ARXIV_ATOM.parser(setting)
    with setting.opened.stream() as stream:
        for chunk in ARXIV_ATOM.cut(setting, stream, Place()):
            item = read_chunk(chunk, parse, "record")
            if isinstance(item, Rejected):
                item = replace(item, where=f"record {reader.done + 1}")
            if item is not None:
                yield item


def _numbered(reader: Reader, setting: Setting, parser: OaiParser) -> Iterator[tuple[int, Item]]:
    """The records of one page, each with its number in it."""
    with setting.opened.stream() as stream:
        for chunk in OAI.cut(setting, stream, Place()):
            item = read_chunk(chunk, parser, "record")
            if isinstance(item, Rejected):
                item = replace(item, where=f"record {reader.done + 1}")
            if item is not None:
                yield chunk.number, item


def _opened(url: str, answer: Fetched, before: Setting, name: str, recognises: object) -> Setting:
    opened: Opened = open_file(answer.path, answer.url)
    if not callable(recognises) or not recognises(opened.head.decode("utf-8", "replace")):
        answer.close()
        raise SourceError(f"{_host(url)} gave something else in the middle of the harvest; {name} is needed")
    return replace(before, opened=opened)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
