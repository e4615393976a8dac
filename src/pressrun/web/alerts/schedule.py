"""When a digest is due: at the reader's hour, in the reader's time zone, each day, on Mondays or on the first of the month."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from pressrun.web.papers.lists import week_name

__all__ = ["length", "next_due", "period_of", "zones"]


@cache
def zones() -> tuple[str, ...]:
    """The time zones that a reader may choose: places, and UTC."""
    return (
        "UTC",
        *sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/", "right/"))),
    )


def next_due(often: str, zone: str, hour: int, after: datetime) -> datetime:
    """The first due moment later than `after`, in UTC.

    An hour that the clocks skip in spring counts as the one after it; of one that comes twice in autumn, the first counts.
    """
    day = after.astimezone(ZoneInfo(zone)).date() - timedelta(days=1)
    while True:
        day = _next_day(often, day)
        due = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        if due > after:
            return due


def _next_day(often: str, day: date) -> date:
    """The first day after `day` on which a digest of this kind is due."""
    if often == "monthly":
        return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    if often == "weekly":
        return day + timedelta(days=7 - day.weekday())
    return day + timedelta(days=1)


def period_of(often: str, zone: str, moment: datetime) -> str:
    """The day (2026-04-20), week (2026-W17) or month (2026-04) that a moment falls into where the reader is."""
    day = moment.astimezone(ZoneInfo(zone)).date()
    return {"daily": day.isoformat(), "weekly": week_name(day), "monthly": day.isoformat()[:7]}[often]


def length(often: str) -> timedelta:
    """How far back the first digest looks."""
    return timedelta(days={"daily": 1, "weekly": 7, "monthly": 31}[often])
