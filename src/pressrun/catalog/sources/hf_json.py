"""Hugging Face's daily papers as JSON, and the same shape from our own API: a list of nested or flat papers, or one paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from pressrun.catalog.paper import Author, Extra, Links, Paper, arxiv_id_in, doi_in
from pressrun.catalog.sources._cutting import Chunk, Place, json_objects
from pressrun.catalog.sources._format import BadRecord, Format, Setting, count_at, day_at, json_record, strings_at, text_at
from pressrun.catalog.text import one_line, paragraphs

__all__ = ["HF_JSON", "paper_of"]

_KEYS = re.compile(r'"(?:paper|title)"\s*:')
_LIST = re.compile(
    rb'^\s*\{\s*(?:"(?!paper"|title")\w+"\s*:\s*(?:"[^"\\]*"|[\w.+-]+|\{[^{}]*\})\s*,\s*)*"(?:items|papers|results|dailyPapers)"\s*:\s*\['
)


def parse(raw: bytes) -> Paper | Extra | None:
    return paper_of(json_record(raw))


def paper_of(row: dict[str, object]) -> Paper:
    """The paper in one item: `{"paper": {…}, …}`, where the outer day is the daily list's, or the same keys flat."""
    inner = _object(row, "paper")
    both = {**row, **{key: value for key, value in inner.items() if value is not None}}
    if not text_at(both, "title"):
        raise BadRecord("the record has no title")
    organisation = _object(both, "organization")
    public_id = text_at(both, "id").strip()
    arxiv_id = arxiv_id_in(public_id)
    listed = day_at(both, "submittedOnDailyAt") or (day_at(row, "publishedAt") if inner else None)
    return Paper(
        title=one_line(text_at(both, "title")),
        id="" if arxiv_id else one_line(public_id),
        arxiv_id=arxiv_id,
        doi=doi_in(text_at(both, "doi") or public_id),
        abstract=paragraphs(text_at(both, "summary")),
        summary=paragraphs(text_at(both, "ai_summary")),
        authors=_authors(both),
        published=day_at(both, "publishedAt"),
        listed=listed,
        organisation=one_line(text_at(organisation, "fullname", "name")),
        topics=tuple(map(one_line, strings_at(both, "ai_keywords"))),
        links=Links(code=_address(both, "githubRepo"), project=_address(both, "projectPage")),
        submitted_by=_user(_object(both, "submittedOnDailyBy") or _object(row, "submittedBy")),
        comments=count_at(row, "numComments"),
        upvotes=count_at(both, "upvotes"),
        withdrawn=bool(both.get("withdrawnAt")),
    )


def _object(row: dict[str, object], name: str) -> dict[str, object]:
    value = row.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRecord(f"{name} is no object")
    return value


def _authors(row: dict[str, object]) -> tuple[Author, ...]:
    people = row.get("authors")
    if people is None:
        return ()
    if not isinstance(people, list):
        raise BadRecord("authors is no list")
    names = [
        one_line(person if isinstance(person, str) else text_at(person, "name"))
        for person in people
        if isinstance(person, (str, dict))
    ]
    return tuple(Author(name) for name in names if name)


def _address(row: dict[str, object], name: str) -> str:
    """An absolute http(s) address; any other scheme would be a trap when clicked."""
    address = one_line(text_at(row, name))
    return address if address.lower().startswith(("https://", "http://")) else ""


def _user(user: dict[str, object]) -> str:
    return one_line(text_at(user, "user", "name", "fullname"))


def _cut(setting: Setting, stream: BinaryIO, place: Place) -> Iterator[Chunk]:
    head = setting.opened.head
    wrapped = _LIST.match(head)
    array = bool(wrapped) or head.lstrip()[:1] == b"["
    if wrapped and place.offset == 0:
        place = Place(len(stream.read(wrapped.end())), place.number)
    return json_objects(stream, place, array=array)


HF_JSON = Format(
    key="papers-json",
    name="daily papers as JSON (Hugging Face, pressrun)",
    recognises=lambda head: head.lstrip()[:1] in ("[", "{") and bool(_KEYS.search(head)),
    cut=_cut,
    parser=lambda _setting: parse,
)
