"""Digests are due at the reader's hour, wherever the reader is and whatever the clocks do there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.web.alerts.schedule import next_due, period_of, zones


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("often", "zone", "hour", "after", "due"),
    [
        ("daily", "UTC", 7, "2026-04-20T06:59", "2026-04-20T07:00"),
        ("daily", "UTC", 7, "2026-04-20T07:00", "2026-04-21T07:00"),
        ("daily", "Europe/Berlin", 7, "2026-04-20T06:00", "2026-04-21T05:00"),  # summer time: two hours ahead of UTC
        ("daily", "Europe/Berlin", 7, "2026-01-20T06:30", "2026-01-21T06:00"),  # winter: one hour
        ("daily", "Asia/Kathmandu", 0, "2026-04-20T12:00", "2026-04-20T18:15"),  # 5:45 ahead
        ("daily", "Pacific/Kiritimati", 7, "2026-04-20T16:00", "2026-04-20T17:00"),  # the 21st there, 14 hours ahead
        ("daily", "America/New_York", 2, "2026-03-08T00:00", "2026-03-08T07:00"),  # 2:00 is skipped that day: 3:00 there
        ("daily", "America/New_York", 1, "2026-11-01T00:00", "2026-11-01T05:00"),  # 1:00 comes twice: the first
        ("weekly", "UTC", 7, "2026-04-20T06:00", "2026-04-20T07:00"),  # a Monday
        ("weekly", "UTC", 7, "2026-04-20T08:00", "2026-04-27T07:00"),
        ("weekly", "Pacific/Auckland", 7, "2026-04-19T18:00", "2026-04-19T19:00"),  # Monday there, Sunday in UTC
        ("monthly", "UTC", 7, "2026-01-31T08:00", "2026-02-01T07:00"),
        ("monthly", "UTC", 7, "2026-12-01T07:00", "2027-01-01T07:00"),
    ],
)
def test_the_next_moment_is_the_one_worked_out_by_hand(often: str, zone: str, hour: int, after: str, due: str) -> None:
    assert next_due(often, zone, hour, at(after)) == at(due)


@pytest.mark.parametrize(
    ("often", "zone", "moment", "period"),
    [
        ("daily", "UTC", "2026-04-20T23:30", "2026-04-20"),
        ("daily", "Europe/Berlin", "2026-04-20T22:30", "2026-04-21"),
        ("weekly", "UTC", "2027-01-01T07:00", "2026-W53"),
        ("monthly", "America/New_York", "2026-05-01T02:00", "2026-04"),
    ],
)
def test_a_period_is_the_one_that_the_reader_lives_in(often: str, zone: str, moment: str, period: str) -> None:
    assert period_of(often, zone, at(moment)) == period


MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  the zone comes with it


@given(st.sampled_from(["daily", "weekly", "monthly"]), st.sampled_from(zones()), st.integers(0, 23), MOMENTS)
def test_it_is_due_once_in_every_period_and_never_in_the_past(often: str, zone: str, hour: int, after: datetime) -> None:
    first = next_due(often, zone, hour, after)
    second = next_due(often, zone, hour, first)
    assert after < first < second
    assert period_of(often, zone, first) != period_of(often, zone, second)
    longest = {"daily": 1, "weekly": 7, "monthly": 31}[often]
    assert second - first <= timedelta(days=longest, hours=26)  # an island may skip a day when it changes sides
    local = first.astimezone(ZoneInfo(zone))
    assert local.weekday() == 0 or often != "weekly"
    assert local.day == 1 or often != "monthly"
