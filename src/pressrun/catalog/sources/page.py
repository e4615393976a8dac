"""The Daily Papers page as plain text, as a browser copies it.

Each line of text is followed by an empty one. After the page's head and its day ("Apr 20") comes, for each paper: the
title, the abstract, and a last block of the number of authors or the organisation, a middle dot, and the day of
publication with the number of comments behind it ("Oct 7, 2025 2"). The last block may be missing.

The page leaves the year out of days of the year in which it was captured. So that year, call it Y, lies behind every
year on the page, and the page's own day in it is not later than `as_of`. Which of the years left is Y:

- With `as_of` given: the latest.
- Without it, today is the limit, and it depends on what the page mostly holds. If most of its days carry a year, it is
  a list of older papers, among which last year's are never missing: Y is the year behind the newest one printed,
  whenever the page is read. If most carry none, it is a day's list, usually read soon: Y is the latest year.

Where even the first year behind the newest printed one is too late for `as_of`, that first year is taken all the same.
A 29 February without a year leaves leap years only.
"""

from __future__ import annotations

import calendar
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import BinaryIO

from pressrun.catalog.paper import Extra, Paper
from pressrun.catalog.sources._cutting import CUT_SHORT, LARGEST, TOO_LARGE, Chunk, Place, lines
from pressrun.catalog.sources._format import BadRecord, Format, Parse, Setting
from pressrun.catalog.text import one_line

__all__ = ["DAY", "PAGE", "Days", "printed_day", "year_of_capture"]

_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_DAY_TEXT = r"(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?P<day>\d{1,2})(?:, (?P<year>\d{4}))?"
DAY = re.compile(_DAY_TEXT)
_DATED = re.compile(_DAY_TEXT + r"(?:\s+(?P<comments>\d{1,9}))?")
_COUNT = re.compile(r"•\s*(\d{1,6}) authors?")
_DOT = "·"
_RECOGNISED = re.compile(rf"^[ \t]*{_DOT}[ \t]*\r?\n\s*{_DAY_TEXT}", re.MULTILINE)
_FOOT = {
    "Previous",
    "Next",
    "Company",
    "TOS",
    "Privacy",
    "About",
    "Careers",
    "Website",
    "Models",
    "Datasets",
    "Spaces",
    "Pricing",
    "Docs",
}
_LONGEST_TITLE = 250


@dataclass(frozen=True)
class Days:
    """The days a page shows: how often each (month, day) without a year and each year occur, and the page's own day."""

    yearless: Counter[tuple[int, int]] = field(default_factory=Counter)
    years: Counter[int] = field(default_factory=Counter)
    own: re.Match[str] | None = None


def year_of_capture(days: Days, as_of: date | None) -> int:
    """The year in which the page was captured; see the head of this module."""
    limit = as_of or datetime.now(UTC).date()
    anchor = _month_day(days.own) if days.own else max(days.yearless, default=(1, 1))
    latest = limit.year if anchor <= (limit.month, limit.day) else limit.year - 1
    earliest = max(days.years) + 1 if days.years else latest - 7
    possible = list(range(earliest, max(earliest, latest) + 1))
    if (2, 29) in days.yearless:
        possible = list(filter(calendar.isleap, possible)) or possible
    older_papers = days.years.total() > days.yearless.total()
    return possible[0] if as_of is None and older_papers else possible[-1]


def printed_day(match: re.Match[str], year: int) -> date:
    """The day that a match of `DAY` means, `year` standing in for a missing one."""
    year = int(match["year"] or year)
    try:
        return date(year, *_month_day(match))
    except ValueError:
        raise BadRecord(f"{match['month']} {match['day']} is no day of the year {year}") from None


def _month_day(match: re.Match[str]) -> tuple[int, int]:
    return _MONTHS[match["month"]], int(match["day"])


def _days_of(setting: Setting) -> Days:
    """A first reading of the file, for its days alone."""
    yearless: Counter[tuple[int, int]] = Counter()
    years: Counter[int] = Counter()
    own, before = None, ""
    with setting.opened.stream() as stream:
        for chunk in lines(stream, Place()):
            text = _text(chunk.raw)
            match = _DATED.fullmatch(text)
            if match and before == _DOT:
                if match["year"]:
                    years[int(match["year"])] += 1
                else:
                    yearless[_month_day(match)] += 1
            elif match and own is None and not match["comments"]:
                own = match
                years.update([int(match["year"])] if match["year"] else [])
            before = text
    return Days(yearless, years, own)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").strip()


def _cut(_: Setting, stream: BinaryIO, place: Place) -> Iterator[Chunk]:
    """The lines of one entry each: title, abstract and, where it is there, the last block of three lines."""
    number, size = place.number, 0
    group: list[Chunk] = []
    in_head = place.offset == 0
    for line in lines(stream, place):
        group.append(line)
        size += len(line.raw) + (LARGEST if line.fault else 0)
        if size > LARGEST:
            group = [group[0]._replace(raw=group[0].raw[:400]), *group[-2:]]
        if len(group) < 2 or _text(group[-2].raw) != _DOT:
            continue
        if size > LARGEST:
            number += 1
            yield Chunk(group[0].raw, line.end, number, TOO_LARGE)
        else:
            group = _without_head(group) if in_head else group
            for entry in _entries(group[:-3], group[-3:]):
                number += 1
                yield Chunk(b"".join(part.raw for part in entry), entry[-1].end, number)
        group, size, in_head = [], 0, False
    if size > LARGEST:
        yield Chunk(group[0].raw, group[-1].end, number + 1, TOO_LARGE)
        return
    yield from _last_entries([line for line in group if _text(line.raw) not in _FOOT], number)


def _without_head(group: list[Chunk]) -> list[Chunk]:
    """What follows the page's day, or where none is shown the lines under its name."""
    texts = [_text(line.raw) for line in group[:-3]]
    for index, text in enumerate(texts):
        if DAY.fullmatch(text):
            return group[index + 1 :]
    if "Daily Papers" in texts:
        first = texts.index("Daily Papers") + 1
        return group[first + 1 :] if texts[first : first + 1] and texts[first].startswith("by") else group[first:]
    return group


def _entries(body: list[Chunk], last_block: list[Chunk]) -> Iterator[list[Chunk]]:
    """Split titles and abstracts where an entry had no last block: at a title that an abstract follows."""
    titles = [_may_be_title(line) for line in body]
    if not last_block:
        titles[-1:] = [False]  # the file may end in the first words of an abstract, which look like a title
    later = (i for i in range(1, len(body) - 1) if titles[i] and not titles[i + 1])
    starts = [0, *later]
    for start, end in zip(starts, [*starts[1:], len(body)], strict=True):
        entry = body[start:end] + (last_block if end == len(body) else [])
        if entry:
            yield entry


def _may_be_title(line: Chunk) -> bool:
    text = _text(line.raw)
    return len(text) <= _LONGEST_TITLE and not text.endswith((".", ":", ";", ","))


def _last_entries(body: list[Chunk], number: int) -> Iterator[Chunk]:
    """What stands behind the last whole entry: entries without a last block, or one that the file cuts off."""
    for entry in _entries(body, []):
        number += 1
        last = _text(entry[-1].raw)
        cut_off = len(entry) == 1 or last == _DOT or _COUNT.match(last) or not last.endswith((".", "!", "?", ")", '"', "”"))
        yield Chunk(b"".join(part.raw for part in entry), entry[-1].end, number, CUT_SHORT.format("an entry") if cut_off else "")


def _parser(setting: Setting) -> Parse:
    days = _days_of(setting)
    year = year_of_capture(days, setting.as_of)
    listed = printed_day(days.own, year) if days.own else None

    def parse(raw: bytes) -> Paper | Extra | None:
        texts = [one_line(text) for text in raw.decode("utf-8").split("\n") if text.strip()]
        if len(texts) < 3 or texts[-2] != _DOT:
            return Paper(title=texts[0], abstract="\n\n".join(texts[1:]), listed=listed)
        *texts, who, _, when = texts
        dated, counted = _DATED.fullmatch(when), _COUNT.fullmatch(who)
        if not counted and len(who) > _LONGEST_TITLE:
            texts, who = [*texts, who], ""
        if not texts:
            raise BadRecord("the entry has no title")
        if not dated:
            raise BadRecord(f"{when[:40]!r} stands where the entry's day should, such as 'Feb 6' or 'Oct 7, 2025 2'")
        return Paper(
            title=texts[0],
            abstract="\n\n".join(texts[1:]),
            author_count=int(counted[1]) if counted else None,
            organisation="" if counted else _once(who),
            published=printed_day(dated, year),
            listed=listed,
            comments=int(dated["comments"]) if dated["comments"] else None,
        )

    return parse


def _once(name: str) -> str:
    """An organisation's name, which the page gives twice: for its picture and as text."""
    words = name.split()
    half = len(words) // 2
    return " ".join(words[:half]) if words[:half] == words[half:] else name


PAGE = Format(
    key="page",
    name="the Daily Papers page as plain text",
    recognises=lambda head: bool(_RECOGNISED.search(head)),
    cut=_cut,
    parser=_parser,
)
