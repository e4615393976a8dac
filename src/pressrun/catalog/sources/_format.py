"""What a format is: how to know it, how to cut it into records, how to read one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import BinaryIO

import orjson

from pressrun.catalog.paper import Extra, Paper, Rejected
from pressrun.catalog.sources._cutting import CUT_SHORT, LARGEST, Chunk, Place
from pressrun.catalog.sources._opening import Opened

__all__ = [
    "BadRecord",
    "Format",
    "Item",
    "Parse",
    "Setting",
    "count_at",
    "day_at",
    "day_in",
    "json_record",
    "moment_in",
    "read_chunk",
    "strings_at",
    "text_at",
    "utf8",
]

Item = Paper | Rejected | Extra


class BadRecord(ValueError):
    """Why a record cannot be read; its text becomes `Rejected.why`."""


@dataclass
class Setting:
    """What a format may look at beside a record: the whole file, the day the reading is for, and a place for notes."""

    opened: Opened
    as_of: date | None = None
    notes: list[str] = field(default_factory=list)


Parse = Callable[[bytes], Paper | Extra | None]
"""One record to what it says; None for what is no record (a comment, a token). Raises ValueError saying why not."""


@dataclass(frozen=True)
class Format:
    """`recognises` looks at the first bytes, `cut` gives the records from a place on, `parser` what reads one.

    `from_byte` says whether a reading can begin at the byte behind any record; otherwise it reads again from the start
    and leaves out what was read before. `unit` is what `Rejected.where` counts.
    """

    key: str
    name: str
    recognises: Callable[[str], bool]
    cut: Callable[[Setting, BinaryIO, Place], Iterator[Chunk]]
    parser: Callable[[Setting], Parse]
    from_byte: bool = True
    unit: str = "record"


def read_chunk(chunk: Chunk, parse: Parse, unit: str) -> Item | None:
    """The record in the chunk, or why there is none."""
    why = chunk.fault
    if not why:
        try:
            return parse(chunk.raw)
        except UnicodeDecodeError:
            why = "the record holds bytes that are not UTF-8"
        except (ValueError, OverflowError) as error:
            why = str(error)
    return Rejected(f"{unit} {chunk.number}", why, chunk.raw[:400].decode("utf-8", "replace").strip()[:200])


def utf8(raw: bytes, *, most: int = LARGEST) -> str:
    """The text of a record; UnicodeDecodeError where bytes are wrong, BadRecord for more than `most` bytes.

    A smaller `most` is for libraries whose time grows with the square of the length.
    """
    if len(raw) > most:
        raise BadRecord(f"the record is larger than {most >> 20} MB")
    return raw.decode("utf-8")


_CONTROLS = bytes(range(32)) + b"\x7f"
_BLANKED = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))


def json_record(raw: bytes) -> dict[str, object]:
    """The JSON object in the bytes; control characters in it count as blanks."""
    try:
        found = orjson.loads(raw)
    except ValueError:
        raw.decode("utf-8")
        try:
            found = orjson.loads(raw.translate(_BLANKED))
        except ValueError as error:
            if raw[-1:] != b"\n" and raw.rstrip()[-1:] != b"}":
                raise BadRecord(CUT_SHORT.format("a record")) from error
            raise BadRecord(f"the record is no JSON ({re.sub(r': line.*', '', str(error))})") from error
    if type(found) is not dict:
        raise BadRecord(f"the record is {_named(found)}, an object is needed")
    return found


def text_at(row: dict[str, object], *names: str) -> str:
    """The first of these entries that has text, "" where none is there. Raises BadRecord where it is something else."""
    for name in names:
        value = row.get(name)
        if value is None or value == "":
            continue
        if type(value) is not str:
            raise BadRecord(f"{name} is {_named(value)}, a text is needed")
        return value
    return ""


def count_at(row: dict[str, object], name: str) -> int | None:
    """The count at this entry. Raises BadRecord where it is anything but a whole number from 0 on."""
    value = row.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**31:
        raise BadRecord(f"{name} is {_named(value)}, a count is needed")
    return value


def strings_at(row: dict[str, object], name: str) -> list[str]:
    """The texts in the list at this entry. Raises BadRecord where it is no list of texts."""
    value = row.get(name)
    if value is None:
        return []
    if type(value) is not list or not all(type(entry) is str for entry in value):
        raise BadRecord(f"{name} is {_named(value)}, a list of texts is needed")
    return value


def day_at(row: dict[str, object], name: str) -> date | None:
    """The day at this entry, from an ISO date or date and time. Raises BadRecord for any other text."""
    text = text_at(row, name)
    return day_in(text, name) if text else None


def day_in(text: str, what: str = "the date") -> date:
    """The day of an ISO date or date and time."""
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise BadRecord(f"{what} is {text[:40]!r}, a date such as 2025-09-27 is needed") from None


def moment_in(text: str, what: str = "the date") -> datetime:
    """The moment of an ISO date or date and time, UTC where it does not say otherwise."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadRecord(f"{what} is {text[:40]!r}, a date such as 2025-09-27T12:00:00Z is needed") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _named(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {str(value)[:40]}"
        case str():
            return f"the text {value[:40]!r}"
        case None:
            return "null"
        case list():
            return "a list"
        case _:
            return "an object"
