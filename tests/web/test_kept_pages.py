"""Pages kept for a few seconds for strangers, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.test import Client, RequestFactory
from pytest_django import DjangoAssertNumQueries, Settings

from pressrun.catalog import Paper as Found
from pressrun.web.papers.ingest import Report, save
from pressrun.web.papers.keeping import kept
from pressrun.web.papers.models import Paper
from pressrun.web.people import tokens
from pressrun.web.people.accounts import make_account
from pressrun.web.people.roles import Role

PAGES = ("/", "/papers/date/2026-04-20", "/papers/2604.00001", "/search?q=inhibition", "/papers/trending", "/topics", "/about")


@pytest.fixture(autouse=True)
def paper(db: None, settings: Settings) -> Iterator[Paper]:
    settings.PAGE_SECONDS = 60
    save([Found(title="Inhibition", arxiv_id="2604.00001", abstract="Of inhibition.", listed=date(2026, 4, 20))], Report())
    caches["pages"].clear()
    yield Paper.objects.get()
    caches["pages"].clear()


@pytest.fixture
def ada() -> User:
    return make_account("ada", "ada@example.org", "correct horse battery", Role.MEMBER)


def rename(title: str) -> None:
    Paper.objects.update(title=title)


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_gets_the_same_page_again_without_a_query(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, page: str
) -> None:
    first = client.get(page)
    assert first.status_code == 200
    assert not client.cookies
    with django_assert_num_queries(0):
        again = Client().get(page)
    assert (again.content, dict(again.items())) == (first.content, dict(first.items()))


def test_a_kept_page_carries_the_headers_of_any_other(client: Client) -> None:
    client.get("/")
    again = client.get("/")
    assert "default-src 'none'" in again["Content-Security-Policy"]
    assert again["Content-Type"] == "text/html; charset=utf-8"
    assert {"HX-Request", "Cookie"} <= set(again["Vary"].split(", "))


def test_another_address_query_host_or_way_of_asking_is_another_page(client: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["a.example", "b.example"]
    whole = client.get("/", headers={"Host": "a.example"})
    assert b"a.example" in whole.content
    assert b"a.example" not in client.get("/", headers={"Host": "b.example"}).content
    piece = client.get("/", headers={"Host": "a.example", "HX-Request": "true"})
    assert len(piece.content) < len(whole.content)
    assert client.get("/?sort=new", headers={"Host": "a.example"}).content != whole.content


def test_who_acts_sees_it_at_once_and_a_stranger_soon(client: Client, ada: User, settings: Settings) -> None:
    client.get("/")
    own = Client()
    own.force_login(ada)
    assert b'value="1" aria-pressed="false"' in own.get("/").content
    own.post("/vote/2604.00001", {"on": "1"})
    assert b'value="0" aria-pressed="true"' in own.get("/").content
    own.post("/discussion/2604.00001", {"text": "I have a question."})
    assert b"I have a question." in own.get("/papers/2604.00001").content
    assert b"aria-pressed" not in Client().get("/").content
    settings.PAGE_SECONDS = 0
    assert b"<span>1<span" in client.get("/").content


@pytest.mark.parametrize("page", PAGES)
def test_what_somebody_gets_is_never_kept(ada: User, page: str) -> None:
    own = Client()
    own.force_login(ada)
    assert b"ada" in own.get(page).content
    assert b"Sign in" in Client().get(page).content
    assert b"ada" in own.get(page).content


def test_a_token_asks_anew(client: Client, ada: User) -> None:
    client.get("/papers/2604.00001")
    rename("Excitation")
    secret = tokens.make(ada, "t", ["read"], None)[1]
    assert b"Excitation" in client.get("/papers/2604.00001", headers={"Authorization": f"Bearer {secret}"}).content
    assert b"Inhibition" in Client().get("/papers/2604.00001").content


def test_errors_and_redirects_are_not_kept(client: Client) -> None:
    assert client.get("/papers/date/nonsense").status_code == 400
    assert client.get("/papers/2604.00001v2").status_code == 302
    assert client.get("/papers/nothing").status_code == 404
    rename("Excitation")
    assert b"Excitation" in client.get("/papers/2604.00001").content


def test_a_page_with_a_cookie_or_a_form_is_not_kept() -> None:
    seen = 0

    def counted(request: HttpRequest) -> HttpResponse:
        nonlocal seen
        seen += 1
        if request.path == "/form":
            return HttpResponse(get_token(request))
        response = HttpResponse("cookie")
        response.set_cookie("a", "b")
        return response

    view = kept(counted)
    for path in ("/form", "/cookie"):
        seen = 0
        for _ in range(2):
            request = RequestFactory().get(path)
            request.session = Client().session
            view(request)
        assert seen == 2


def test_searching_counts_kept_pages_too(client: Client, settings: Settings) -> None:
    from pressrun.web.people.rates import parse_rates

    settings.LIMITS = {**settings.LIMITS, **parse_rates("search=2/1h")}
    settings.ADDRESS_FACTOR = 1
    answers = [client.get("/search?q=inhibition", REMOTE_ADDR="192.0.2.40").status_code for _ in range(3)]
    assert answers == [200, 200, 429]
    assert client.get("/search/feed.atom?q=inhibition", REMOTE_ADDR="192.0.2.40").status_code == 429
    assert client.get("/", REMOTE_ADDR="192.0.2.40").status_code == 200
