"""A run that is over tells which verdicts are new, once, and only while it is news."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pressrun.web.alerts.models import Event
from pressrun.web.runs import sync
from tests.web.runs import over

pytestmark = pytest.mark.django_db


def judged(*words: str, hours_ago: float = 1) -> None:
    over(list(words), at=datetime.now(UTC) - timedelta(hours=hours_ago))


def claims() -> list[list[tuple[str, str]]]:
    return [
        [(claim["verdict"], claim["before"]) for claim in event.data["claims"]]
        for event in Event.objects.filter(kind="verdict").order_by("pk")
    ]


def test_first_verdicts_and_changed_ones_are_events_and_the_same_ones_are_not(papers: object, shelf: None) -> None:
    judged("matched", "matched", hours_ago=3)
    judged("matched", "not matched", hours_ago=2)
    judged("matched", "not matched", hours_ago=1)
    assert claims() == [[("matched", ""), ("matched", "")], [("not matched", "matched")]]
    event = Event.objects.filter(kind="verdict").order_by("pk").first()
    assert event is not None
    assert event.paper is not None
    assert event.paper.arxiv_id == "2509.23253"
    assert event.data["url"].startswith("/runs/")


def test_reading_the_records_again_tells_nothing_again(papers: object, shelf: None) -> None:
    judged("matched", "void")
    sync.sync_all()
    sync.sync_all()
    assert len(claims()) == 1


def test_a_restored_site_tells_no_old_news(papers: object, shelf: None) -> None:
    judged("matched", "matched", hours_ago=49)
    assert claims() == []
