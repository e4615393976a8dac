"""Lists of papers. A list is one value, and the page, the feeds and the APIs all show the same one."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TypeVar

from django.core.paginator import EmptyPage, Page, PageNotAnInteger, Paginator
from django.db.models import F, Model, QuerySet
from django.urls import reverse

from pressrun.web.errors import BadInput
from pressrun.web.papers.models import SORTS, Author, Organisation, Paper, PaperQuerySet, Topic, slug_of

PER_PAGE = 50
LAST_PAGE = 2000  # beyond it a database has to count through everything before; narrow the list instead


@dataclass(frozen=True)
class PaperList:
    """A list: its heading, its address, its papers in order, and its neighbours in time where it has some."""

    title: str
    url: str
    papers: PaperQuerySet
    period: str = ""
    """day, week, month, trending, or "" for the list of an author, organisation or topic."""
    previous: date | None = None
    following: date | None = None

    def feed_url(self, format: str) -> str:
        """Where this list is as a feed: rss, atom or json."""
        path, _, query = self.url.partition("?")
        return f"{path.rstrip('/')}/feed.{format}" + (f"?{query}" if query else "")

    def page(self, number: str | int = 1, per_page: int = PER_PAGE) -> Page[Paper]:
        return page_of(self.papers.for_cards(), number, per_page)


Row = TypeVar("Row", bound=Model)


def page_of(rows: QuerySet[Row], number: str | int, per_page: int = PER_PAGE) -> Page[Row]:
    """One page. A number that is none, or beyond the end, is bad input and says how many pages there are."""
    pages = Paginator(rows, per_page)
    try:
        found = pages.page(number)
    except PageNotAnInteger:
        raise BadInput(f"page must be a whole number from 1, got {str(number)[:40]!r}.") from None
    except EmptyPage:
        raise BadInput(f"page must be from 1 to {pages.num_pages}, got {str(number)[:40]}.") from None
    if found.number > LAST_PAGE:
        raise BadInput(f"page must be at most {LAST_PAGE}, got {found.number}; narrow the list instead.")
    return found


def sorted_by(papers: PaperQuerySet, sort: str) -> PaperQuerySet:
    if sort not in SORTS:
        raise BadInput(f"sort must be one of {', '.join(SORTS)}, got {sort[:40]!r}.")
    return papers.ranked(sort)


def parse_day(text: str) -> date:
    """2026-04-20. Other forms, and days that don't exist, are bad input."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise BadInput(f"a date is written YYYY-MM-DD, got {text[:40]!r}.")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"there is no day {text}.") from None


def parse_week(text: str) -> date:
    """The Monday of an ISO week such as 2026-W17."""
    match = re.fullmatch(r"(\d{4})-W(\d\d)", text)
    if not match:
        raise BadInput(f"a week is written YYYY-Www, such as 2026-W17, got {text[:40]!r}.")
    try:
        return date.fromisocalendar(int(match[1]), int(match[2]), 1)
    except ValueError:
        raise BadInput(f"there is no week {text}.") from None


def parse_month(text: str) -> date:
    """The first day of a month such as 2026-04."""
    match = re.fullmatch(r"(\d{4})-(\d\d)", text)
    if not match or not (1 <= int(match[2]) <= 12 and int(match[1]) >= 1):
        raise BadInput(f"a month is written YYYY-MM, such as 2026-04, got {text[:40]!r}.")
    return date(int(match[1]), int(match[2]), 1)


def week_name(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year:04}-W{week:02}"


def latest_day() -> date | None:
    """The last day with papers."""
    return Paper.objects.visible().filter(day__isnull=False).order_by("-day").values_list("day", flat=True).first()


def of_day(day: date, sort: str = "votes") -> PaperList:
    """A day's list. Papers that a curator gave a place come first, the others by votes behind them."""
    shown = _period("day", reverse("day", args=[day.isoformat()]), f"{day:%A} {day.day} {day:%B %Y}", day, day, sort)
    if sort != "votes":
        return shown
    return replace(shown, papers=shown.papers.order_by(F("placement__place").asc(nulls_last=True), *SORTS["votes"]))


def of_week(monday: date, sort: str = "votes") -> PaperList:
    year, week, _ = monday.isocalendar()
    url = reverse("week", args=[week_name(monday)])
    return _period("week", url, f"Week {week} of {year}", monday, _plus(monday, 6), sort)


def of_month(first: date, sort: str = "votes") -> PaperList:
    last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
    return _period("month", reverse("month", args=[first.isoformat()[:7]]), f"{first:%B %Y}", first, last, sort)


def trending() -> PaperList:
    papers = Paper.objects.visible().filter(day__isnull=False).ranked("trending")
    return PaperList("Trending", reverse("trending"), papers, period="trending")


def of_author(author: Author, sort: str = "new") -> PaperList:
    return _named(author.name, author.get_absolute_url(), Paper.objects.filter(author_set=author), sort)


def of_organisation(organisation: Organisation, sort: str = "new") -> PaperList:
    return _named(organisation.name, organisation.get_absolute_url(), Paper.objects.filter(organisation=organisation), sort)


def of_topic(topic: Topic, sort: str = "new") -> PaperList:
    return _named(topic.name, topic.get_absolute_url(), Paper.objects.filter(topics=topic), sort)


def _named(title: str, url: str, papers: PaperQuerySet, sort: str) -> PaperList:
    return PaperList(title, _with_sort(url, sort, usual="new"), sorted_by(papers.visible(), sort))


def _period(period: str, url: str, title: str, first: date, last: date, sort: str) -> PaperList:
    """Papers of the days from `first` to `last`; its neighbours are the nearest days outside that have papers."""
    papers = Paper.objects.visible()
    earlier = papers.filter(day__lt=first).order_by("-day").values_list("day", flat=True)
    later = papers.filter(day__gt=last).order_by("day").values_list("day", flat=True)
    return PaperList(
        title,
        _with_sort(url, sort, usual="votes"),
        sorted_by(papers.filter(day__range=(first, last)), sort),
        period,
        earlier.first(),
        later.first(),
    )


def _with_sort(url: str, sort: str, usual: str) -> str:
    return url if sort == usual else f"{url}?sort={sort}"


def _plus(day: date, days: int) -> date:
    return min(day, date.max - timedelta(days)) + timedelta(days)


PERIODS: dict[str, tuple[Callable[[str], date], Callable[[date, str], PaperList]]] = {
    "date": (parse_day, of_day),
    "week": (parse_week, of_week),
    "month": (parse_month, of_month),
}


def by_name(kind: str, value: str = "", sort: str = "") -> PaperList:
    """The list of a kind (date, week, month, trending, author, organisation, topic) and its value, as people give them.

    No date means the latest day. Authors, organisations and topics go by name or slug.
    """
    if kind == "trending":
        return trending()
    if kind in PERIODS:
        parse, make = PERIODS[kind]
        day = parse(value) if value else latest_day()
        return make(day or date.today(), sort or "votes")  # noqa: DTZ011  an empty site's list is of this day, here
    if kind == "author":
        return of_author(_called(Author, value), sort or "new")
    if kind == "organisation":
        return of_organisation(_called(Organisation, value), sort or "new")
    if kind == "topic":
        return of_topic(_called(Topic, value), sort or "new")
    raise BadInput(f"there is no list by {kind[:40]!r}.")


Named = TypeVar("Named", Author, Organisation, Topic)


def _called(model: type[Named], name: str) -> Named:
    found = model._default_manager.filter(slug=slug_of(name)).first()
    if found is None:
        raise BadInput(f"there is no {model._meta.verbose_name} {name[:80]!r} here.")
    return found
