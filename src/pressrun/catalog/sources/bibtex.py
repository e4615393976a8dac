"""BibTeX, entry by entry."""

from __future__ import annotations

import calendar
import logging
import re
from datetime import date

from bibtexparser.bibdatabase import BibDatabase  # type: ignore[import-untyped]
from bibtexparser.bparser import BibTexParser  # type: ignore[import-untyped]

from pressrun.catalog.names import direct
from pressrun.catalog.paper import Author, Extra, Links, Paper, arxiv_id_in, doi_in
from pressrun.catalog.sources._cutting import between
from pressrun.catalog.sources._format import BadRecord, Format, Parse, Setting, utf8
from pressrun.catalog.text import from_latex, one_line, paragraphs

__all__ = ["BIBTEX"]

_START = re.compile(rb"\n[ \t]*@[ \t]*[A-Za-z]+\s*[{(]")
_TYPE = re.compile(r"@\s*([A-Za-z]+)")
_MONTHS = {name.lower()[:3]: number for number, name in enumerate(calendar.month_name) if name}
_DEEPEST = 100
_MOST_SIGNS = 20_000  # each costs the library about 0.1 ms, and no real entry has as many
_MOST_STRINGS = 10_000
logging.getLogger("bibtexparser").setLevel(logging.CRITICAL)


def _parser(_: Setting) -> Parse:
    strings = _new_database().strings
    reader = BibTexParser(ignore_nonstandard_types=False)
    reader.expect_multiple_parse = True

    def parse(raw: bytes) -> Paper | Extra | None:
        text = utf8(raw).replace("\0", "")
        kind = _TYPE.search(text)
        database = reader.bib_database = _new_database()
        database.strings = strings
        match kind[1].lower() if kind else "":
            case "comment" | "preamble" | "":
                return None
            case "string":
                if len(strings) < _MOST_STRINGS:
                    _read(reader, text[:10_000])
                return None
        _read(reader, text)
        if not database.entries:
            raise BadRecord("the entry is no BibTeX that can be read; a brace, a quote or a comma may be missing")
        return _paper({str(key): str(value) for key, value in database.entries[0].items()})

    return parse


def _new_database() -> BibDatabase:
    database = BibDatabase()
    database.load_common_strings()
    return database


def _read(reader: BibTexParser, text: str) -> None:
    """Parse one entry into the reader's database. Making a parser costs far more than using it, hence one for all."""
    if sum(map(text.count, "{=\\$")) > _MOST_SIGNS:
        raise BadRecord(f"the entry has more than {_MOST_SIGNS} braces, fields and commands")
    if _depth(text) > _DEEPEST:
        raise BadRecord(f"the entry's braces lie more than {_DEEPEST} deep")
    try:
        reader.parse(text)
    except Exception as error:  # an undefined @string, a number too long …: whatever the library lets out
        raise BadRecord(
            f"the entry is no BibTeX that can be read ({one_line(str(error))[:80] or type(error).__name__})"
        ) from error


def _depth(text: str) -> int:
    depth = deepest = 0
    for brace in re.findall(r"[{}]", text):
        depth += 1 if brace == "{" else -1
        deepest = max(deepest, depth)
    return deepest


def _paper(entry: dict[str, str]) -> Paper:
    def plain(name: str) -> str:
        return one_line(from_latex(entry.get(name, "")))

    addresses = [_address(entry.get(name, "")) for name in ("url", "link", "howpublished")]
    eprint = entry.get("eprint", "") if entry.get("archiveprefix", entry.get("eprinttype", "arxiv")).lower() == "arxiv" else ""
    arxiv_id = next(filter(None, map(arxiv_id_in, (eprint, *addresses, entry.get("journal", ""), entry.get("doi", "")))), "")
    doi = doi_in(_unescaped(entry.get("doi", ""))) or next(filter(None, map(doi_in, addresses)), "")
    page = next(filter(None, addresses), "")
    journal = next(filter(None, (plain(name) for name in ("journal", "journaltitle", "booktitle"))), "")
    return Paper(
        title=plain("title"),
        arxiv_id=arxiv_id,
        doi=doi,
        abstract="\n\n".join(
            paragraphs(from_latex(part)) for part in re.split(r"\n\s*\n", entry.get("abstract", "")) if part.strip()
        ),
        authors=tuple(Author(name) for name in map(_name, _people(entry.get("author", ""))) if name),
        published=_day(entry),
        topics=tuple(filter(None, (one_line(from_latex(word)) for word in re.split(r"[,;]", entry.get("keywords", ""))))),
        categories=tuple(filter(None, [plain("primaryclass")])),
        links=Links(project="" if arxiv_id or doi else page),
        journal="" if arxiv_id and re.search(r"arxiv", journal, re.IGNORECASE) else journal,
        note=plain("note"),
    )


def _people(names: str) -> list[str]:
    """The names between the "and"s that stand outside braces; "others" is nobody."""
    found, start, depth = [], 0, 0
    for mark in re.finditer(r"[{}]|\s+and\s+", names):
        if mark[0] == "{":
            depth += 1
        elif mark[0] == "}":
            depth -= 1
        elif depth <= 0:
            found.append(names[start : mark.start()])
            start = mark.end()
    if len(found) > _MOST_SIGNS:
        raise BadRecord(f"the entry names more than {_MOST_SIGNS} authors")
    return [name.strip() for name in (*found, names[start:]) if name.strip() and name.strip() != "others"]


def _name(name: str) -> str:
    """A printed name from "Family, Given" or "Given Family"; what stands wholly in braces is one name as it is."""
    whole = (
        name.startswith("{") and name.endswith("}") and _depth(name[1:-1]) == _depth(name) - 1 and "}" not in _outside(name[1:-1])
    )
    plain = one_line(from_latex(name))
    return plain if whole else one_line(direct(plain))


def _outside(text: str) -> str:
    """The braces of a text that have no partner in it."""
    while (shorter := re.sub(r"\{[^{}]*\}", "", text)) != text:
        text = shorter
    return text


def _day(entry: dict[str, str]) -> date | None:
    """The day from `date` (2025-09-27), or from year, month and day; the first of the month or year where no more is said."""
    numbers = [int(part) for part in re.findall(r"\d+", entry.get("date", ""))[:3]]
    if not numbers:
        year = re.search(r"\d{4}", entry.get("year", ""))
        if not year:
            return None
        month = one_line(from_latex(entry.get("month", ""))).lower()
        named = _MONTHS.get(month[:3]) or (int(month) if re.fullmatch(r"[0-9]{1,2}", month) else 0)
        day = re.fullmatch(r"[0-9]{1,2}", entry.get("day", "").strip())
        numbers = [int(year[0]), *([named] if named else []), *([int(day[0])] if named and day else [])]
    try:
        return date(*[*numbers, 1, 1][:3])
    except (ValueError, OverflowError):
        raise BadRecord(f"the entry's date {'-'.join(map(str, numbers))[:40]} is no day") from None


def _unescaped(text: str) -> str:
    return re.sub(r"\\([_%&#~])", r"\1", text)


def _address(text: str) -> str:
    match = re.search(r"https?://[^\s{}]+", _unescaped(text))
    return match[0] if match else ""


def _is_whole(raw: bytes) -> bool:
    return raw.count(b"{") <= raw.count(b"}") or raw.rstrip().endswith(b")")


BIBTEX = Format(
    key="bibtex",
    name="BibTeX",
    recognises=lambda head: bool(re.search(r"^[ \t]*@[ \t]*[A-Za-z]+\s*[{(]", head, re.MULTILINE)),
    cut=lambda _setting, stream, place: between(stream, place, _START, "an entry", _is_whole),
    parser=_parser,
    from_byte=False,
)
