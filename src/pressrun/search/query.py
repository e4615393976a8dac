"""The query language: what a reader types, as a value that says what is meant.

    plain words            ranked by how well they and their meaning fit
    "a phrase"             must occur as it stands (by stem)
    -word  -"a phrase"     must not occur
    author:hinton  author:"Geoffrey Hinton"  org:deepmind  topic:steering
    year:2025  year:2020..2023  published:2025-02  listed:2025-02-01..  votes:>10
    before:2025-06  after:2024                   shorthand for published, both without the day or period named
    has:code  has:replication
    sort:relevance  sort:date  sort:votes
    any:value                                    for every further field the index knows (verdict:matched, runs:<2min)

Every filter can be excluded with a minus. All filters must hold; only `year:` and `org:`, of which a paper has one, widen
when repeated. A field nobody knows is no field: `c:elegans` is searched as the words it is made of.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

__all__ = ["LONGEST_QUERY", "Filter", "Query", "QueryError", "Sort", "parse"]

LONGEST_QUERY = 10_000
"""Characters: an abstract pasted whole still fits."""
MOST_FILTERS = 50

Sort = Literal["relevance", "date", "votes"]

WORD_FIELDS = ("author", "org", "topic")
NUMBER_FIELDS = ("year", "votes")
DAY_FIELDS = ("published", "listed", "before", "after")
FIELDS = frozenset((*WORD_FIELDS, *NUMBER_FIELDS, *DAY_FIELDS, "has", "sort"))
HAS = frozenset(("code", "replication"))

# A word that begins with a minus, a field with a colon, or both; a value in quotes or up to the next blank or quote.
_PART = re.compile(r'(?P<minus>(?<!\S)-)?(?:(?P<field>[^\W\d]\w*):)?(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+))')
_QUOTES = str.maketrans("“”„«»", '"""""')
_RANGE = re.compile(r"(?P<low>.*?)\.\.(?P<high>.*)")
_COMPARED = re.compile(r"(?P<sign><=|>=|<|>)(?P<value>.+)")
_DAY = re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?)?")
_NUMBER = re.compile(r"(?P<number>-?\d{1,15})(?P<unit>[a-z]*)", re.IGNORECASE)
_UNITS = {"": 1, "k": 1000, "s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}


class QueryError(ValueError):
    """A query that cannot be answered; the message is one sentence for the reader."""


@dataclass(frozen=True)
class Filter:
    """One condition on a field: a value in words, or a closed range of numbers or days (None: open on that side)."""

    field: str
    value: str = ""
    low: int | date | None = None
    high: int | date | None = None
    negated: bool = False

    @property
    def is_range(self) -> bool:
        return not self.value


@dataclass(frozen=True)
class Query:
    """A query taken apart. `words` and `phrases` are as typed; `meaning` is both in the order typed, for embedding."""

    text: str = ""
    words: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    sort: Sort = "relevance"
    meaning: str = ""


def parse(text: str, extra: Mapping[str, type] | None = None) -> Query:
    """What is meant by a query typed by a reader; `extra` names the further fields that the index knows, as str or int.

    Raises:
        QueryError: if it is longer than `LONGEST_QUERY`, or a known field has a value it cannot have.
    """
    if len(text) > LONGEST_QUERY:
        raise QueryError(f"The query has {len(text):,} characters; at most {LONGEST_QUERY:,} can be searched for.")
    extra = extra or {}
    words: list[str] = []
    phrases: list[str] = []
    without: list[str] = []
    filters: list[Filter] = []
    meaning: list[str] = []
    sort: Sort = "relevance"
    for part in _PART.finditer(text.translate(_QUOTES)):
        field, value = (part["field"] or "").lower(), part["quoted"] if part["quoted"] is not None else part["bare"]
        if field == "sort" and not part["minus"]:
            sort = _sort(value)
        elif (field in FIELDS or field in extra) and field != "sort":
            filters += _filters(field, value, part["minus"] is not None, extra)
        elif not any(character.isalnum() for character in value):
            continue
        elif part["minus"]:
            without.append(value if not field else f"{field}:{value}")
        elif part["quoted"] is not None and not field:
            phrases.append(value.strip())
            meaning.append(value.strip())
        elif not _unfinished(part["bare"], extra):
            words.append(value if not part["field"] else f"{part['field']}:{value}")
            meaning.append(words[-1])
    if len(filters) > MOST_FILTERS:
        raise QueryError(f"The query has {len(filters)} filters; at most {MOST_FILTERS} can be used together.")
    return Query(text, tuple(words), tuple(phrases), tuple(without), tuple(filters), sort, " ".join(meaning))


def _unfinished(bare: str | None, extra: Mapping[str, type]) -> bool:
    """Whether a field stands there that still waits for its value (`year:`)."""
    return bare is not None and bare.endswith(":") and (bare[:-1].lower() in FIELDS or bare[:-1].lower() in extra)


def _sort(value: str) -> Sort:
    match value.lower():
        case "relevance" | "date" | "votes" as known:
            return known
    raise QueryError(f"sort: takes relevance, date or votes, not {_short(value)}.")


def _filters(field: str, value: str, negated: bool, extra: Mapping[str, type]) -> list[Filter]:
    """The condition that a field and its value stand for; none where the value is empty."""
    value = value.strip()
    if value in ("", ".."):
        return []
    if field == "has":
        if value.lower() not in HAS and value.lower() not in extra:
            known = ", ".join(sorted({*HAS, *extra}))
            raise QueryError(f"has: takes one of {known}, not {_short(value)}.")
        return [Filter("has", value.lower(), negated=negated)]
    if field in DAY_FIELDS:
        return [_days(field, value, negated)]
    if field in NUMBER_FIELDS or extra.get(field) is int:
        low, high = _numbers(field, value)
        return [Filter(field, low=low, high=high, negated=negated)]
    return [Filter(field, value, negated=negated)]


def _days(field: str, value: str, negated: bool) -> Filter:
    if field == "before":
        return Filter("published", high=_period(field, value)[0] - timedelta(days=1), negated=negated)
    if field == "after":
        return Filter("published", low=_period(field, value)[1] + timedelta(days=1), negated=negated)
    if ends := _RANGE.fullmatch(value):
        low = _period(field, ends["low"])[0] if ends["low"] else None
        high = _period(field, ends["high"])[1] if ends["high"] else None
        return Filter(field, low=low, high=high, negated=negated)
    if compared := _COMPARED.fullmatch(value):
        first, last = _period(field, compared["value"])
        match compared["sign"]:
            case "<":
                return Filter(field, high=first - timedelta(days=1), negated=negated)
            case "<=":
                return Filter(field, high=last, negated=negated)
            case ">":
                return Filter(field, low=last + timedelta(days=1), negated=negated)
            case _:
                return Filter(field, low=first, negated=negated)
    first, last = _period(field, value)
    return Filter(field, low=first, high=last, negated=negated)


def _period(field: str, value: str) -> tuple[date, date]:
    """First and last day of a year, a month or a day."""
    parts = _DAY.fullmatch(value.strip())
    try:
        if parts is None or not 2 <= int(parts["year"]) <= 9998:
            raise ValueError
        year, month, day = int(parts["year"]), int(parts["month"] or 0), int(parts["day"] or 0)
        if parts["day"]:
            return date(year, month, day), date(year, month, day)
        if parts["month"]:
            return date(year, month, 1), date(year, month, monthrange(year, month)[1])
        return date(year, 1, 1), date(year, 12, 31)
    except ValueError:
        raise QueryError(
            f"{field}: needs a year, month or day such as 2025, 2025-02 or 2025-02-28, not {_short(value)}."
        ) from None


def _numbers(field: str, value: str) -> tuple[int | None, int | None]:
    """The closed range that a number, `low..high` or a comparison stands for."""
    if ends := _RANGE.fullmatch(value):
        return (_number(field, ends["low"]) if ends["low"] else None, _number(field, ends["high"]) if ends["high"] else None)
    if compared := _COMPARED.fullmatch(value):
        number = _number(field, compared["value"])
        match compared["sign"]:
            case "<":
                return None, number - 1
            case "<=":
                return None, number
            case ">":
                return number + 1, None
            case _:
                return number, None
    number = _number(field, value)
    return number, number


def _number(field: str, value: str) -> int:
    parts = _NUMBER.fullmatch(value.strip())
    if parts is None or parts["unit"].lower() not in _UNITS:
        raise QueryError(
            f"{field}: needs a whole number, as in {field}:2025, {field}:10..20 or {field}:<120, not {_short(value)}."
        )
    return int(parts["number"]) * _UNITS[parts["unit"].lower()]


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:39] + "…")
