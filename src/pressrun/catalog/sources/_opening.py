"""From a file on disk to plain UTF-8 bytes: unpacked, re-encoded, never more than a buffer of it in memory."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from pressrun.catalog.errors import SourceError

__all__ = ["HEAD", "Opened", "Stream", "open_file"]

HEAD = 1 << 18
"""How many bytes at the beginning decide what a file is."""

_CODED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
_KNOWN_CODES = re.compile(
    r"(us-)?ascii|iso-?8859-?\d+|latin-?\d+|(windows|cp)-?125\d|koi8-[ru]|shift_?jis|euc-(jp|kr)|gb(2312|k|18030)|big5"
)


class Stream(io.BufferedReader):
    """The plain bytes of a source. `damage` says, once the end is reached, what was wrong with the packing; else ""."""

    def __init__(self, body: io.RawIOBase, file: IO[bytes]) -> None:
        super().__init__(body, buffer_size=1 << 16)
        self._plain = body
        self._file = file

    @property
    def damage(self) -> str:
        return self._plain.damage if isinstance(self._plain, _Recoded) else ""

    @property
    def consumed(self) -> int:
        """How many bytes of the file have been taken in, packed as they are."""
        return self._file.tell()

    def close(self) -> None:
        super().close()
        self._file.close()


class _Recoded(io.RawIOBase):
    """Bytes of a packed or differently encoded body as UTF-8.

    What the encoding does not allow comes out as bytes that UTF-8 does not allow, so that it is found record by record.
    """

    def __init__(self, body: IO[bytes], encoding: str) -> None:
        super().__init__()
        self.damage = ""
        self._body = body
        # One piece at a time: what was unpacked before the damage must not be lost with it.
        self._read: Callable[[int], bytes] = getattr(body, "read1", body.read)
        self._left = b""
        self._ended = False
        self._decoder: codecs.IncrementalDecoder | None = None
        if encoding != "utf-8":
            self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if "16" in encoding else "surrogateescape")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # BufferedReader gives one
        while not self._left and not self._ended:
            self._left = self._next()
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _next(self) -> bytes:
        try:
            raw = self._read(1 << 16)
        except EOFError:
            raw, self.damage = b"", "the compressed file ends in the middle"
        except (OSError, zlib.error, zipfile.BadZipFile) as error:
            raw, self.damage = b"", f"the compressed file is damaged here ({error})"
        self._ended = not raw
        if self._decoder is None:
            return raw
        try:
            text = self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError:
            self._decoder.reset()
            text = "\udcff"
        return text.encode("utf-8", "surrogatepass")

    def close(self) -> None:
        self._body.close()
        super().close()


@dataclass(frozen=True)
class Opened:
    """A file that can be read, as often as needed, from any byte of its plain text on. `label` is what to call it."""

    path: Path
    label: str
    size: int
    packing: Literal["", "gzip", "zip"] = ""
    encoding: str = "utf-8"
    mark: int = 0
    head: bytes = b""

    def stream(self, offset: int = 0) -> Stream:
        file = self.path.open("rb", buffering=0)
        if not self.packing and self.encoding == "utf-8":
            file.seek(self.mark + offset)
            return Stream(file, file)
        body = self._unpacked(file)
        body.read(self.mark)
        stream = Stream(_Recoded(body, self.encoding), file)
        while offset > 0 and (skipped := len(stream.read(min(offset, 1 << 20)))):
            offset -= skipped
        return stream

    def _unpacked(self, file: IO[bytes]) -> IO[bytes]:
        if self.packing == "gzip":
            return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        return _member(file, self.label) if self.packing == "zip" else file


def open_file(path: Path, label: str) -> Opened:
    """Look at a file's first bytes and find out its packing and encoding. Raises SourceError where it cannot be read."""
    try:
        if not path.is_file():
            raise SourceError(f"{label} is {'a folder' if path.is_dir() else 'no file'}; a file or an http(s) address is needed")
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(4)
    except (OSError, ValueError) as error:
        raise SourceError(f"{label} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    packing: Literal["", "gzip", "zip"] = "gzip" if start[:2] == b"\x1f\x8b" else "zip" if start == b"PK\x03\x04" else ""
    head, damage = _head(Opened(path, label, size, packing))
    if damage and not head:
        raise SourceError(f"{label} cannot be unpacked: {damage}")
    encoding, mark = _encoding(head, label)
    opened = Opened(path, label, size, packing, encoding, mark)
    return Opened(path, label, size, packing, encoding, mark, _head(opened)[0])


def _head(opened: Opened) -> tuple[bytes, str]:
    with opened.stream() as stream:
        return stream.read(HEAD), stream.damage


def _member(file: IO[bytes], label: str) -> IO[bytes]:
    try:
        archive = zipfile.ZipFile(file)
        members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
        if len(members) != 1:
            raise SourceError(f"{label} is a zip archive of {len(members)} files; one file in it is needed")
        return archive.open(members[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise SourceError(f"{label} is a zip archive that cannot be read: {error}") from error


def _encoding(head: bytes, label: str) -> tuple[str, int]:
    """The encoding, and the length of the byte order mark in front."""
    marks: tuple[tuple[bytes, str], ...] = (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    )
    for mark, encoding in marks:
        if head.startswith(mark):
            return encoding, len(mark)
    declared = _CODED.match(head)
    name = declared[1].decode().lower() if declared else "utf-8"
    if name in {"utf-8", "utf8", "utf-16", "utf16"}:
        return "utf-8", 0
    if not _KNOWN_CODES.fullmatch(name):
        raise SourceError(f"{label} declares the encoding {name!r}; UTF-8, UTF-16 or a common 8-bit encoding is needed")
    return codecs.lookup(name).name, 0
