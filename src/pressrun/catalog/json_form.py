"""The JSON form of a paper: what exports write, imports read back, and the shipped catalogue is."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any

from pressrun.catalog.paper import Author, Links, Paper
from pressrun.catalog.text import one_line, paragraphs

__all__ = ["paper_from_json", "paper_to_json"]

_LINES = ("id", "title", "arxiv_id", "doi", "organisation", "journal", "note", "submitted_by")
_TEXTS = ("abstract", "summary")
_COUNTS = ("author_count", "comments", "upvotes")
_LISTS = ("topics", "categories")


def paper_to_json(paper: Paper) -> dict[str, Any]:
    """The paper as plain JSON values, without what is empty."""
    row: dict[str, Any] = {}
    for item in fields(Paper):
        value = getattr(paper, item.name)
        if item.name == "authors":
            value = [_filled(author) for author in value]
        elif item.name == "links":
            value = _filled(value)
        elif isinstance(value, date):
            value = value.isoformat()
        elif isinstance(value, tuple):
            value = list(value)
        if value not in (None, "", [], {}, False) or (value == 0 and value is not False):
            row[item.name] = value
    return row


def _filled(value: Author | Links) -> dict[str, str]:
    return {item.name: text for item in fields(value) if (text := getattr(value, item.name))}


def paper_from_json(row: dict[str, Any]) -> Paper:
    """The paper that `paper_to_json` wrote. Unknown keys are ignored; ValueError says which value has the wrong type."""
    links = _typed(row, "links", dict, {})
    values: dict[str, Any] = {name: one_line(_typed(row, name, str, "")) for name in _LINES}
    values |= {name: paragraphs(_typed(row, name, str, "")) for name in _TEXTS}
    values |= {name: _count(row, name) for name in _COUNTS}
    values |= {name: tuple(map(one_line, _texts(row, name))) for name in _LISTS}
    return Paper(
        **values,
        authors=tuple(map(_author, _typed(row, "authors", list, []))),
        links=Links(**{item.name: _address(links, item.name) for item in fields(Links)}),
        published=_day(row, "published"),
        listed=_day(row, "listed"),
        updated=_moment(row, "updated"),
        withdrawn=_typed(row, "withdrawn", bool, False),
    )


def _author(value: object) -> Author:
    if not isinstance(value, dict) or not value.get("name"):
        raise ValueError("an author needs to be an object with a name")
    return Author(**{item.name: one_line(_typed(value, item.name, str, "")) for item in fields(Author)})


def _typed(row: dict[str, Any], name: str, kind: type, empty: Any) -> Any:  # noqa: ANN401  # JSON values are of any type
    value = row.get(name)
    if value is None:
        return empty
    if type(value) is not kind:
        wanted = {str: "a text", list: "a list", dict: "an object", bool: "true or false", int: "a whole number"}[kind]
        raise ValueError(f"{name} needs to be {wanted}, it is {str(value)[:40]!r}")
    return value


def _address(links: dict[str, Any], name: str) -> str:
    address = one_line(_typed(links, name, str, ""))
    if address and not address.lower().startswith(("https://", "http://")):
        raise ValueError(f"links.{name} needs to be an http(s) address, it is {address[:40]!r}")
    return address


def _count(row: dict[str, Any], name: str) -> int | None:
    value: int | None = _typed(row, name, int, None)
    if value is not None and not 0 <= value < 2**31:
        raise ValueError(f"{name} needs to be a count, it is {value}")
    return value


def _texts(row: dict[str, Any], name: str) -> list[str]:
    values: list[str] = _typed(row, name, list, [])
    if not all(type(value) is str for value in values):
        raise ValueError(f"{name} needs to be a list of texts")
    return values


def _day(row: dict[str, Any], name: str) -> date | None:
    text = _typed(row, name, str, "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ValueError(f"{name} needs to be a date such as 2025-09-27, it is {text[:40]!r}") from None


def _moment(row: dict[str, Any], name: str) -> datetime | None:
    text = _typed(row, name, str, "")
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise ValueError(f"{name} needs to be a date and time such as 2025-09-27T12:00:00Z, it is {text[:40]!r}") from None
    return moment.replace(tzinfo=UTC) if moment and not moment.tzinfo else moment
