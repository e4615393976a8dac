"""A mail server, people, and a subscription that works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from pressrun.web.alerts import subscribing
from pressrun.web.alerts.models import Reader, Subscription
from pressrun.web.people.accounts import make_account
from pressrun.web.people.roles import Role
from tests.web.alerts.post import Post, mail_server

NOW = datetime(2026, 4, 21, 6, 0, tzinfo=UTC)  # a Tuesday
Make = Callable[..., User]
Subscribe = Callable[..., Subscription]


@pytest.fixture
def post(settings: Settings) -> Iterator[Post]:
    with mail_server() as server:
        settings.MAIL_SERVER = server.server
        settings.MAIL_TIMEOUT = 0.5
        yield server


@pytest.fixture
def somebody(db: None) -> Make:
    """Makes an account of a name and a role, with a confirmed address."""

    def account(name: str = "ada", role: Role = Role.MEMBER) -> User:
        return make_account(name, f"{name}@example.org", "correct horse battery", role)

    return account


@pytest.fixture
def subscribe(db: None) -> Subscribe:
    """Makes a subscription that works, due since an hour; without a user for an address alone."""

    def made(address: str = "ada@example.org", user: User | None = None, **facts: str) -> Subscription:
        reader, _ = Reader.objects.get_or_create(email=address, defaults={"user": user, "hour": 5})
        wish = {"what": "trending", "often": "daily", **facts}
        subscription = Subscription.objects.create(reader=reader, asked=NOW, **wish)
        subscribing.confirm(subscription, NOW)
        subscription.due = NOW - timedelta(hours=1)
        subscription.since = datetime(2020, 1, 1, tzinfo=UTC)
        subscription.save()
        return subscription

    return made
