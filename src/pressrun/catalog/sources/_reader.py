"""The reader that every source is used through, and how a file is read with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from pressrun.catalog.errors import SourceError
from pressrun.catalog.paper import Rejected
from pressrun.catalog.sources._cutting import Place
from pressrun.catalog.sources._format import Format, Item, Parse, Setting, read_chunk
from pressrun.catalog.sources._opening import Opened

__all__ = ["Reader", "read_file"]

_POSITION = re.compile(r"([a-z-]+)@(\d{1,18}):(\d{1,18})")


@dataclass
class Reader:
    """The records of one source, to be gone through once.

    `position` covers everything yielded so far: given to `open_source`, the reading goes on behind it. `done` and
    `total` count bytes of a file or records of a harvest (`unit`); `total` is None where nobody knows. `notes` are
    sentences for the person who imports. A harvest that breaks off raises SourceError while being iterated.
    """

    name: str
    location: str
    position: str = ""
    done: int = 0
    total: int | None = None
    unit: Literal["bytes", "records"] = "bytes"
    notes: list[str] = field(default_factory=list)
    items: Iterator[Item] = field(default_factory=lambda: iter(()), repr=False)

    def __iter__(self) -> Iterator[Item]:
        return self.items

    def close(self) -> None:
        """Let go of files and connections; needed only where the reading was not gone through to its end."""
        close = getattr(self.items, "close", None)
        if close:
            close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_file(reader: Reader, fmt: Format, setting: Setting, position: str | None, keep: object) -> Iterator[Item]:
    """The records of an opened file from a position on; keeps the reader's counts, and `keep` alive as long as it reads.

    Raises SourceError at once where the position is of another source or the file as a whole cannot be read.
    """
    place = _place(fmt, position, setting.opened)
    parse = fmt.parser(setting)
    reader.total = setting.opened.size
    return _items(reader, fmt, setting, place, parse, keep)


def _items(reader: Reader, fmt: Format, setting: Setting, place: Place, parse: Parse, keep: object) -> Iterator[Item]:
    start = place if fmt.from_byte else Place()
    last: Item | None = None
    with setting.opened.stream(start.offset) as stream:
        for chunk in fmt.cut(setting, stream, start):
            item = read_chunk(chunk, parse, fmt.unit)
            if chunk.number <= place.number:
                continue
            reader.position = f"{fmt.key}@{chunk.end}:{chunk.number}"
            reader.done = stream.consumed
            if item is not None:
                last = item
                yield item
        if stream.damage and not isinstance(last, Rejected):
            yield Rejected("the end", stream.damage)
        reader.done = setting.opened.size
    del keep


def _place(fmt: Format, position: str | None, opened: Opened) -> Place:
    if not position:
        return Place()
    match = _POSITION.fullmatch(position)
    if not match or match[1] != fmt.key:
        raise SourceError(
            f"the position {position[:80]!r} does not belong to {opened.label}, which is {fmt.name}; start from its beginning"
        )
    return Place(int(match[2]), int(match[3]))
