"""Where papers come from: one format a file, all read through `open_source`.

Each format is cut into records before any of them is parsed, so memory is bounded by the largest record, and a record
that cannot be read is one `Rejected` among the others.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from pressrun.catalog.errors import FetchError, SourceError
from pressrun.catalog.fetch import Fetched, Fetcher
from pressrun.catalog.sources._format import Format, Setting
from pressrun.catalog.sources._opening import Opened, open_file
from pressrun.catalog.sources._reader import Reader, read_file
from pressrun.catalog.sources._xml import root_name
from pressrun.catalog.sources.arxiv_atom import ARXIV_ATOM
from pressrun.catalog.sources.bibtex import BIBTEX
from pressrun.catalog.sources.csl_json import CSL_JSON
from pressrun.catalog.sources.feed import FEED
from pressrun.catalog.sources.hf_json import HF_JSON
from pressrun.catalog.sources.html_page import HTML_PAGE
from pressrun.catalog.sources.live import ApiPlace, OaiPlace, harvest_api, harvest_oai, is_api, is_oai
from pressrun.catalog.sources.oai import OAI
from pressrun.catalog.sources.own import OWN
from pressrun.catalog.sources.page import PAGE
from pressrun.catalog.sources.ris import RIS
from pressrun.catalog.sources.snapshot import SNAPSHOT

__all__ = ["FORMATS", "FetchError", "Reader", "SourceError", "open_source"]

FORMATS: tuple[Format, ...] = (OWN, SNAPSHOT, CSL_JSON, HF_JSON, OAI, ARXIV_ATOM, FEED, HTML_PAGE, BIBTEX, RIS, PAGE)
"""In the order in which a file is held against them: the more particular first."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_MAGIC = (
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"SQLite format 3", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"\xfd7zXZ", "a file packed with xz (only gzip and zip are unpacked)"),
    (b"BZh", "a file packed with bzip2 (only gzip and zip are unpacked)"),
    (b"\x28\xb5\x2f\xfd", "a file packed with zstd (only gzip and zip are unpacked)"),
    (b"7z\xbc\xaf", "a file packed with 7z (only gzip and zip are unpacked)"),
    (b"\x7fELF", "a program"),
)


def open_source(
    location: str | Path, *, as_of: date | None = None, position: str | None = None, fetch: Fetcher | None = None
) -> Reader:
    """A reader of the papers in a file or at an http(s) address, whatever format they are in.

    `as_of` is the day for which sources without years are read (today by default), `position` that of an earlier
    reader of the same source, `fetch` what addresses are fetched with. Raises SourceError (FetchError, which is one,
    for addresses) where there is nothing that can be read.
    """
    if isinstance(location, str) and _ADDRESS.match(location):
        return _open_address(location, as_of, position, fetch or Fetcher())
    setting = Setting(open_file(Path(location), str(location)), as_of)
    return _file_reader(setting, str(location), position)


def _file_reader(setting: Setting, location: str, position: str | None, keep: Fetched | None = None) -> Reader:
    fmt = _format_of(setting.opened)
    reader = Reader(fmt.name, location, position=position or "", notes=setting.notes)
    reader.items = read_file(reader, fmt, setting, position, keep)
    return reader


def _open_address(url: str, as_of: date | None, position: str | None, fetch: Fetcher) -> Reader:
    if is_api(url):
        api = ApiPlace.of(url, position)
        answer = fetch.get(api.page)
    elif is_oai(url):
        oai = OaiPlace.of(position)
        answer = fetch.get(oai.page(url))
    else:
        answer = fetch.get(url)
    try:
        setting = Setting(open_file(answer.path, url), as_of)
        fmt = _format_of(setting.opened)
        reader = Reader(fmt.name, url, position=position or "", notes=setting.notes)
        if fmt is ARXIV_ATOM and is_api(url):
            reader.items = harvest_api(reader, api, fetch, answer, setting)
        elif fmt is OAI and is_oai(url):
            reader.items = harvest_oai(reader, url, oai, fetch, answer, setting)
        else:
            reader = _file_reader(setting, url, position, answer)
    except BaseException:
        answer.close()
        raise
    return reader


def _format_of(opened: Opened) -> Format:
    head = opened.head.decode("utf-8", "replace")
    if not head.strip("\0 \t\r\n\ufeff"):
        raise SourceError(f"{opened.label} is empty; {_readable()}")
    for fmt in FORMATS:
        if fmt.recognises(head):
            return fmt
    raise SourceError(f"{opened.label} looks like {_looks(opened.head, head)}; {_readable()}")


def _looks(raw: bytes, head: str) -> str:
    for magic, name in _MAGIC:
        if raw.startswith(magic):
            return name
    strange = sum(1 for character in head[:4096] if character == "\ufffd" or (character < " " and character not in "\t\r\n\f"))
    if strange > len(head[:4096]) // 20:
        return "a binary file"
    start = head.lstrip()[:1]
    if start == "<":
        return f"XML of another kind (<{root_name(head)[:40]}>)"
    return "JSON of another kind" if start in ("{", "[") else "text of another kind"


def _readable() -> str:
    return f"what can be read: {', '.join(fmt.name for fmt in FORMATS)}, also packed with gzip or zip"
