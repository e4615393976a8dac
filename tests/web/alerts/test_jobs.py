"""The periodic work as the worker calls it."""

from __future__ import annotations

import pytest
from django.core.mail import send_mail
from pytest_django import Settings

from pressrun.web.alerts import jobs
from pressrun.web.alerts.events import publish
from pressrun.web.alerts.models import Delivery, Webhook
from pressrun.web.ops.jobs import open_runs, registered
from tests.web.alerts.conftest import Make, Subscribe
from tests.web.alerts.post import Post

pytestmark = pytest.mark.django_db


def test_the_worker_knows_the_work_and_how_often_it_is_due() -> None:
    known = {name: registered()[name].every for name in ("digest", "deliver-mail", "notify", "clean-alerts")}
    assert {name: every.total_seconds() for name, every in known.items() if every} == {
        "digest": 300, "deliver-mail": 60, "notify": 60, "clean-alerts": 86400,
    }  # fmt: skip


def test_site_mail_asks_for_its_delivery_at_once(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "pressrun.web.alerts.backends.Outbox"
    for _ in range(3):
        send_mail("Reset", "a link", None, ["ada@example.org"])
    assert open_runs("deliver-mail") == 1


def test_one_round_makes_and_sends_what_is_due(indexed: object, subscribe: Subscribe, post: Post) -> None:
    subscribe()
    assert jobs.digest() == "1 made, 1 sent, 0 to be tried again, 0 given up, 0 no longer wanted"
    assert jobs.digest() == "0 made, 0 sent, 0 to be tried again, 0 given up, 0 no longer wanted"
    assert post.recipients == ["ada@example.org"]


def test_one_round_spreads_events_and_posts_them_nowhere_private(somebody: Make) -> None:
    Webhook.objects.create(user=somebody(), url="http://127.0.0.1:9/in", kinds=["comment"], secret="whsec_AAAA")
    publish("comment")
    assert jobs.notify() == "0 papers announced, 1 events told, 0 posts taken"
    assert Delivery.objects.get().why == "its host is not one of the open internet, and nothing is posted there"


def test_cleaning_says_what_it_removed(db: None) -> None:
    assert jobs.clean_alerts() == (
        "0 events, 0 notifications, 0 mails, 0 files, 0 unconfirmed subscriptions and 0 readers removed"
    )
