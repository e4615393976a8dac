"""Cut a stream into records without holding more than one of them.

Cutting before parsing is what keeps a source alive: a record with wrong bytes, broken mark-up or absurd size is one
rejected record, the next one begins where it begins, and a reading can go on from the byte behind any record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

__all__ = ["CUT_SHORT", "LARGEST", "Chunk", "Place", "between", "elements", "json_objects", "lines"]

LARGEST = 4 << 20
"""The largest record, in bytes, that is read."""

TOO_LARGE = f"the record is larger than {LARGEST >> 20} MB"
CUT_SHORT = "the file ends in the middle of {}"
_OVERLAP = 4096


class Place(NamedTuple):
    """Where in the plain bytes a reading stands, and how many records (lines, for JSON Lines) lie before it."""

    offset: int = 0
    number: int = 0


class Chunk(NamedTuple):
    """One record as it stands in the stream; `end` is the byte behind it. With `fault`, why there is nothing to parse."""

    raw: bytes
    end: int
    number: int
    fault: str = ""


def lines(stream: BinaryIO, place: Place) -> Iterator[Chunk]:
    """Every line that is not blank; the line end belongs to it."""
    offset, number = place
    readline = stream.readline
    while line := readline(LARGEST):
        offset += len(line)
        number += 1
        if len(line) == LARGEST and line[-1:] != b"\n":
            while rest := readline(LARGEST):
                offset += len(rest)
                if rest[-1:] == b"\n":
                    break
            yield Chunk(line[:400], offset, number, TOO_LARGE)
        elif not line.isspace():
            yield Chunk(line, offset, number)


class _Window:
    """The part of a stream that is being looked at; `base` is the offset of its first byte."""

    def __init__(self, stream: BinaryIO, offset: int) -> None:
        self.data = b""
        self.base = offset
        self._stream = stream
        self._ended = False

    def more(self) -> bool:
        piece = b"" if self._ended else self._stream.read(1 << 16)
        self._ended = not piece
        self.data += piece
        return not self._ended

    def drop(self, count: int) -> None:
        self.data = self.data[count:]
        self.base += count

    def find(self, pattern: re.Pattern[bytes], start: int = 0) -> re.Match[bytes] | None:
        """The next match from `start`, or None at the end of the stream or where it would lie beyond the largest record."""
        searched = start
        while True:
            match = pattern.search(self.data, searched)
            if match and (match.end() < len(self.data) or self._ended):
                return match
            searched = max(start, (match.start() if match else len(self.data)) - _OVERLAP)
            if len(self.data) - start > LARGEST or not self.more():
                return match

    def skip_to(self, pattern: re.Pattern[bytes], start: int = 0) -> re.Match[bytes] | None:
        """The next match at or after `start`, however far; what lies before is forgotten. None at the end of the stream."""
        self.drop(start)
        while True:
            match = self.find(pattern)
            if match:
                return match
            if self._ended:
                return None
            self.drop(max(0, len(self.data) - _OVERLAP))

    @property
    def too_large(self) -> bool:
        return not self._ended


def between(
    stream: BinaryIO, place: Place, start: re.Pattern[bytes], what: str, whole: Callable[[bytes], bool]
) -> Iterator[Chunk]:
    """Records that begin where `start` matches and end where the next one begins; the pattern begins with the line end.

    The last one is cut short when `whole` says so.
    """
    window = _Window(stream, place.offset - 1)
    window.data = b"\n"
    number = place.number
    begin = window.skip_to(start)
    while begin:
        window.drop(begin.start())
        number += 1
        first = begin.end() - begin.start()
        following = window.find(start, first)
        raw, fault = window.data[: following.start() if following else None], ""
        if following is None and window.too_large:
            fault, raw = TOO_LARGE, raw[:400]
            following = window.skip_to(start, first)
        elif following is None and not whole(raw):
            fault = CUT_SHORT.format(what)
        end = window.base + (following.start() if following else len(window.data))
        yield Chunk(raw, end, number, fault)
        begin = following


def elements(stream: BinaryIO, place: Place, names: tuple[str, ...], root: bytes) -> Iterator[Chunk]:
    """Every XML element of these local names, with its tags; none of them lies in another of its name.

    The stream is cut short where the end tag of `root` is missing behind the last.
    """
    opening = re.compile(rb"<((?:[\w.-]+:)?(?:%s))(?:\s[^<>]*)?>" % "|".join(names).encode())
    window = _Window(stream, place.offset)
    number = place.number
    while begin := window.skip_to(opening):
        window.drop(begin.start())
        number += 1
        tag = window.data[: begin.end() - begin.start()]
        fault = ""
        end = len(tag)
        if not tag.endswith(b"/>"):
            edge = re.compile(rb"</%b\s*>|<%b(?=[\s/>])" % (re.escape(begin[1]), re.escape(begin[1])))
            closing = window.find(edge, end)
            if closing is None and window.too_large:
                raw, fault = window.data[:400], TOO_LARGE
                closing = window.skip_to(edge, end)
            elif closing is None:
                fault = CUT_SHORT.format(f"<{begin[1].decode()}>")
            elif not closing[0].startswith(b"</"):
                fault = f"the end tag of <{begin[1].decode()}> is missing"
            end = len(window.data) if closing is None else closing.end() if closing[0][:2] == b"</" else closing.start()
        yield Chunk(raw if fault == TOO_LARGE else window.data[:end], window.base + end, number, fault)
        if fault.startswith("the file ends"):
            return
        window.drop(end)
    if b"</" + root not in window.data:
        yield Chunk(window.data[-200:], window.base + len(window.data), number + 1, CUT_SHORT.format(f"<{root.decode()}>"))


_JSON_MARK = re.compile(rb'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"|[{}\[\]"]')
_JSON_START = re.compile(rb"([{\]])")
_JSON_NEXT = re.compile(rb"(?:\s*,)?\s*(\S)")
_JSON_OPENING = re.compile(rb'\{\s*(?:"[^"\\\n]{0,100}")?')


def json_objects(stream: BinaryIO, place: Place, *, array: bool) -> Iterator[Chunk]:
    """The objects of one JSON array (the stream begins in it), or the one object that the stream is.

    An object with an unbalanced quote or brace, or something between objects that does not belong there, is given up
    at the next object that begins like the first of the array.
    """
    window = _Window(stream, place.offset)
    number = place.number
    again: re.Pattern[bytes] | None = None
    begin = window.skip_to(_JSON_START)
    while begin and begin[1] != b"]":
        window.drop(begin.start(1))
        number += 1
        while len(window.data) < 256 and window.more():
            pass
        if again is None:
            opening = _JSON_OPENING.match(window.data)
            again = re.compile(rb"\}\s*,\s*(?=%b)" % re.escape(opening[0] if opening else b"{"))
        end, fault = (
            _object_end(window) if window.data[:1] == b"{" else (0, "something stands between two records that is neither")
        )
        raw = window.data[:400] if fault else window.data[:end]
        if fault:
            resumed = window.skip_to(again, 1)
            end = resumed.start() + 1 if resumed else len(window.data)
            if fault == CUT_SHORT.format("a record") and resumed:
                fault = "a quote or a brace is missing in the record"
            elif not resumed and fault != TOO_LARGE:
                fault = CUT_SHORT.format("a record")
        yield Chunk(raw, window.base + end, number, fault)
        if not array or fault.startswith("the file ends"):
            return
        window.drop(end)
        begin = window.skip_to(_JSON_NEXT)
    if array and not begin:
        yield Chunk(window.data[-200:], window.base + len(window.data), number + 1, CUT_SHORT.format("the list"))


def _object_end(window: _Window) -> tuple[int, str]:
    """(length of the object at the window's beginning, "") or (length looked at, why it has no end)."""
    depth = position = 0
    while True:
        mark = _JSON_MARK.search(window.data, position)
        if mark is None or mark[0] == b'"':
            # Either nothing more here, or a string whose end is not in the window yet; a string that meets a line end is broken.
            position = mark.start() if mark else len(window.data)
            if mark and b"\n" in window.data[position:]:
                return position, "a quote is missing in the record"
            if len(window.data) > LARGEST:
                return position, TOO_LARGE
            if not window.more():
                return position, CUT_SHORT.format("a record")
            continue
        position = mark.end()
        if position > LARGEST:
            return position, TOO_LARGE
        if mark[0] in b"{[":
            depth += 1
        elif mark[0] in b"}]":
            depth -= 1
            if depth == 0:
                return position, ""
