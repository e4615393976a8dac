"""Requests wait their turn: a few at work at once, and those who read never behind those who write."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from pytest_django import Settings

from pressrun.web import serving
from pressrun.web.asgi import READERS, WRITERS, Site

GetResponse = Callable[[HttpRequest], HttpResponse]


def site_that(monkeypatch: pytest.MonkeyPatch, respond: GetResponse) -> Site:
    site = Site()
    monkeypatch.setattr(site, "get_response", respond)
    return site


def ask(site: Site, *methods: str) -> list[str]:
    """What is answered to these methods, all asked at once."""

    async def together() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://localhost") as client:
            answers = await asyncio.gather(*(client.request(method, "/") for method in methods))
        return [answer.text for answer in answers]

    return asyncio.run(together())


@pytest.mark.parametrize(("method", "most"), [("GET", READERS), ("HEAD", READERS), ("POST", WRITERS)])
def test_no_more_than_a_few_are_at_work_at_once(monkeypatch: pytest.MonkeyPatch, method: str, most: int) -> None:
    at_work, seen, counting = 0, [], threading.Lock()

    def respond(request: HttpRequest) -> HttpResponse:
        nonlocal at_work
        with counting:
            at_work += 1
            seen.append(at_work)
        time.sleep(0.02)
        with counting:
            at_work -= 1
        return HttpResponse("done")

    ask(site_that(monkeypatch, respond), *[method] * (3 * most))
    assert len(seen) == 3 * most
    assert max(seen) == most


def test_readers_do_not_wait_for_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    read = threading.Event()

    def respond(request: HttpRequest) -> HttpResponse:
        if request.method == "GET":
            read.set()
            return HttpResponse("read")
        return HttpResponse("written after" if read.wait(20) else "nobody could read")

    answers = ask(site_that(monkeypatch, respond), *["POST"] * (WRITERS + 1), "GET")
    assert answers == ["written after"] * (WRITERS + 1) + ["read"]


@pytest.mark.django_db(transaction=True)
def test_a_thread_keeps_its_connection_to_sqlite_and_gives_one_to_postgresql_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        before = connection.connection is not None
        connection.ensure_connection()
        return HttpResponse(f"{threading.current_thread().name} {before}")

    site = site_that(monkeypatch, respond)
    answers = [answer for _ in range(2 * READERS) for answer in ask(site, "GET")]
    threads = {answer.split()[0] for answer in answers}
    had_one = [answer for answer in answers if answer.endswith("True")]
    assert len(had_one) == (len(answers) - len(threads) if connection.vendor == "sqlite" else 0)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_broke_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def break_it(request: HttpRequest) -> HttpResponse:
        connection.ensure_connection()
        wrapper = connections["default"]
        wrapper.errors_occurred = True
        wrapper.is_usable = lambda: False  # type: ignore[method-assign]
        wrapper.close = lambda: (closed.append(wrapper.alias), type(wrapper).close(wrapper))  # type: ignore[method-assign]
        return HttpResponse("broken")

    ask(site_that(monkeypatch, break_it), "GET")
    assert closed == ["default"]


def test_mails_lead_to_the_port_that_is_served_unless_the_owner_named_an_address(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv("PRESSRUN_URL", "")
    settings.SITE_URL = "http://localhost:8017"
    listener = serving.bind("127.0.0.1", 0)
    here = f"http://localhost:{listener.getsockname()[1]}"
    monkeypatch.setenv("PRESSRUN_HOSTS", "papers.example.org")
    serving._name_address(listener)
    assert settings.SITE_URL == "http://localhost:8017"
    monkeypatch.delenv("PRESSRUN_HOSTS")
    serving._name_address(listener)
    listener.close()
    assert os.environ["PRESSRUN_URL"] == settings.SITE_URL == here
