"""How often somebody may do something."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, connections
from django.http import HttpRequest
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from pressrun.catalog import Paper
from pressrun.web.errors import TooMany
from pressrun.web.people import limits
from pressrun.web.people.models import Spending
from pressrun.web.people.rates import Rate, parse_rates
from pressrun.web.runs.access import new_token
from tests.web.people.conftest import PASSWORD, Make


@pytest.fixture(autouse=True)
def _small(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.LIMITS = parse_rates("comment=2/1h sign-in=2/15m sign-up=1/1h api=2/1m write=3/1h search=2/1m")
    settings.ADDRESS_FACTOR = 2
    monkeypatch.setattr(limits.time, "time", lambda: 7200.0)
    return


def _request(address: str = "192.0.2.7", user: User | None = None) -> HttpRequest:
    request = RequestFactory().post("/", REMOTE_ADDR=address)
    request.user = user or AnonymousUser()
    request.session = SessionBase()
    if user:
        request.COOKIES["sessionid"] = "x"
    return request


def _spent(kind: str = "comment", **asked: str) -> int:
    """How many go through until it is too many."""
    for count in range(100):
        try:
            limits.spend(_request(**asked), kind)
        except TooMany:
            return count
    raise AssertionError("there is no limit")


def test_an_account_spends_what_its_kind_allows_wherever_it_comes_from(somebody: Make) -> None:
    ada = somebody("ada")
    for n in range(2):
        limits.spend(_request(f"192.0.2.{n}", ada), "comment")
    with pytest.raises(
        TooMany, match=r"^Too many requests of this kind \(comment\): this site takes 2 in an hour from one place\."
    ):
        limits.spend(_request("192.0.2.9", ada), "comment")
    limits.spend(_request("192.0.2.9", somebody("bob")), "comment")


@pytest.mark.django_db
def test_an_address_spends_a_few_times_as_much_as_an_account() -> None:
    assert _spent() == 4
    assert _spent(address="192.0.2.8") == 4


@pytest.mark.django_db
def test_one_customer_has_one_ipv6_network_and_a_mapped_address_is_itself() -> None:
    assert _spent(address="2001:db8:1:2::1") == 4
    assert _spent(address="2001:db8:1:2:ffff::9") == 0
    assert _spent(address="2001:db8:1:3::1") == 4
    assert limits.address_of(_request("::ffff:192.0.2.7")) == "192.0.2.7"
    assert limits.address_of(_request("")) == "unknown"


@pytest.mark.django_db
def test_a_window_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _spent() == 4
    with pytest.raises(TooMany) as problem:
        limits.spend(_request(), "comment")
    assert problem.value.seconds == 3600
    monkeypatch.setattr(limits.time, "time", lambda: 10800.0)
    assert _spent() == 4
    assert Spending.objects.count() == 2
    assert limits.forget_old() == 0
    monkeypatch.setattr(limits.time, "time", lambda: 10801.0)
    assert limits.forget_old() == 1  # its window ended at 10,800


@pytest.mark.django_db
def test_a_kind_without_a_rate_has_that_of_writing() -> None:
    assert _spent("gardening") == 6


@pytest.mark.django_db
def test_kinds_and_accounts_are_counted_apart() -> None:
    assert _spent("comment") == 4
    assert _spent("write") == 6


@pytest.mark.django_db
def test_no_address_and_no_name_is_kept() -> None:
    limits.spend(_request("192.0.2.7"), "sign-in", key="ada@example.org")
    kept = str(list(Spending.objects.values()))
    assert Spending.objects.count() == 2
    assert "192" not in kept.replace("1920", "")
    assert "ada" not in kept


@pytest.mark.django_db
def test_guessing_one_password_from_many_addresses_comes_to_an_end(somebody: Make) -> None:
    somebody("ada")
    wrong = {"login": "ADA", "password": "not the password"}
    codes = [Client(REMOTE_ADDR=f"192.0.2.{n}").post("/account/login/", wrong).status_code for n in range(3)]
    assert codes == [200, 200, 429]
    right = Client(REMOTE_ADDR="192.0.2.9").post("/account/login/", {"login": "ada", "password": PASSWORD})
    assert right.status_code == 429
    assert right.headers["Retry-After"] == "900"
    assert "Slow down" in right.content.decode()


@pytest.mark.django_db
def test_sign_ups_from_one_address_come_to_an_end() -> None:
    client = Client(REMOTE_ADDR="192.0.2.7")
    assert [client.post("/account/signup/").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/account/signup/").status_code == 200


def test_a_program_is_told_when_to_come_again(papers: tuple[Paper, ...]) -> None:
    client = Client(REMOTE_ADDR="192.0.2.7")
    codes = [client.get("/api/daily_papers").status_code for _ in range(4)]
    refused = client.get("/api/daily_papers")
    assert codes == [200] * 4
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "60"
    assert refused.headers["RateLimit"] == '"api";r=0;t=60'
    assert refused.json()["error"].startswith("Too many requests of this kind (api): this site takes 4 in a minute")
    # This machine itself reads as it likes.
    assert [Client().get("/api/daily_papers").status_code for _ in range(9)] == [200] * 9


@pytest.mark.django_db
def test_the_owner_at_this_machine_spends_nothing() -> None:
    client = Client()
    client.get("/owner", {"token": new_token()})
    codes = {client.post("/people/invitations", {"role": "member", "days": "1"}).status_code for _ in range(9)}
    assert codes == {200}


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_as_many_get_through_as_may() -> None:
    through = []

    def one() -> None:
        try:
            for wait in range(100):
                # SQLite in memory, as tests have it, refuses at once where a file waits for its turn.
                with suppress(OperationalError):
                    limits.spend(_request(), "comment")
                    through.append(1)
                    return
                time.sleep(0.01 * wait)
        except TooMany:
            pass
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(through) == 4
    assert Spending.objects.get().count == 12
    assert connection.vendor in {"sqlite", "postgresql"}


@given(st.integers(1, 10**9 - 1), st.integers(1, 99999), st.sampled_from("smhd"))
def test_a_rate_reads_as_it_is_written(amount: int, count: int, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit] * count
    assert parse_rates(f"vote={amount}/{count}{unit}") == {"vote": Rate(amount, seconds)}


@pytest.mark.parametrize("text", ["vote", "vote=10", "vote=0/h", "vote=1/0h", "vote=1/h2", "vote=-1/h", "vote=1/w", "VOTE=1/h"])
def test_a_rate_that_does_not_read_stops_the_start(text: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        parse_rates(text)
