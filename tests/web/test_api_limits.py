"""What no caller can break: every operation of both JSON APIs fuzzed by its own description, and limits everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance, unsupported_method

from pressrun.catalog import Paper

FUZZED = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
# Whether a query parameter that nobody knows is refused, and whether any text is a date, is ours to say.
LEFT_OUT = [positive_data_acceptance, negative_data_rejection, unsupported_method]


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Requests keep the connection that the test's transaction is on, as they do with Django's own test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("one_connection")
@pytest.mark.parametrize("description", ["/api/v1/openapi.json", "/api/papers-openapi.json"])
def test_every_operation_answers_as_described(indexed: tuple[Paper, ...], description: str) -> None:
    schema = schemathesis.openapi.from_wsgi(description, get_wsgi_application())
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 8
    for operation in operations:

        @FUZZED
        @given(case=operation.as_strategy())
        def answers(case: schemathesis.Case) -> None:
            case.call_and_validate(excluded_checks=LEFT_OUT)

        answers()


ADDRESSES = [
    "/api/daily_papers?limit={}",
    "/api/papers/search?q=a&limit={}",
    "/api/v1/papers?page_size={}",
    "/api/v1/search?q=a&page={}",
    "/arxiv/api/query?search_query=a&max_results={}",
    "/arxiv/api/query?search_query=a&start={}",
    "/pwc/api/v1/papers/?page_size={}",
    "/pwc/api/v1/papers/search?q=a&page={}",
    "/papers/feed.json?page={}",
    "/sitemap-papers.xml?p={}",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_numbers_out_of_bounds_are_refused(client: Client, indexed: tuple[Paper, ...], address: str) -> None:
    for number in ("-1", "99999999999999999999", "1e9", "٣", "NaN", "%00"):
        answer = client.get(address.format(number), headers={"Accept": "application/json"})
        assert answer.status_code in {400, 404}, number


SEARCHES = [
    "/api/papers/search?q=",
    "/api/v1/search?q=",
    "/search/feed.atom?q=",
    "/pwc/api/v1/papers/search?q=",
    "/arxiv/api/query?search_query=",
]


@pytest.mark.parametrize("address", SEARCHES)
def test_a_query_of_100_kilobytes_is_refused_with_a_sentence(client: Client, indexed: tuple[Paper, ...], address: str) -> None:
    answer = client.get(address + "word+" * 20_000, headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert "100,000" in answer.text or "100000" in answer.text or "99,999" in answer.text or "99999" in answer.text


@pytest.mark.parametrize("address", SEARCHES)
def test_odd_queries_never_break_anything(client: Client, indexed: tuple[Paper, ...], address: str) -> None:
    odd = ['"', "((", "a:b:c", "-", "*", "%27%3B--", "%F0%9F%A7%A0", "%D0%BC%D0%BE%D0%B7%D0%B3", "%ff%fe", "\\", "[* TO *]"]
    for text in odd:
        assert client.get(address + text).status_code in {200, 400}, text


@pytest.mark.parametrize(
    "address",
    [
        "/api/papers/a%00b",
        "/api/v1/papers/a%00b",
        "/papers/a%00b.md",
        "/api/daily_papers?submitter=%00",
        "/oai?verb=%00",
        "/pwc/api/v1/papers/%00",
    ],
)
def test_a_nul_character_is_refused(client: Client, db: None, address: str) -> None:
    answer = client.get(address, headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "an address can't hold a NUL character (%00)."}


@pytest.mark.parametrize("address", ["/api/v1/papers/a%0Ab", "/api/papers/a%0D%0Ab", "/papers/%0D.md", "/api/v1/%E2%80%A8"])
def test_line_breaks_in_an_address_do_not_reach_the_headers(client: Client, indexed: tuple[Paper, ...], address: str) -> None:
    answer = client.get(address, headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert answer["X-Error-Message"].isprintable()


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("/api/daily_papers", "GET"),
        ("/api/v1/stats", "GET"),
        ("/papers/feed.rss", "GET, HEAD"),
        ("/papers/2509.23253.bib", "GET, HEAD"),
        ("/pwc/api/v1/papers/", "GET, HEAD"),
        ("/oai", "GET, HEAD, POST"),
        ("/arxiv/api/query", "GET, HEAD, POST"),
    ],
)
def test_other_methods_are_told_which_ones_work(client: Client, papers: tuple[Paper, ...], address: str, allowed: str) -> None:
    answer = client.put(address, headers={"Accept": "application/json"})
    assert (answer.status_code, answer["Allow"]) == (405, allowed)
    assert answer.json() == {"error": f"PUT does not work here; use {allowed}."}


@pytest.mark.parametrize(
    "address", ["/api/daily_papers", "/api/v1/stats", "/papers/feed.rss", "/oai?verb=Identify", "/papers/2509.23253.md"]
)
def test_an_unknown_accept_header_gets_what_there_is(client: Client, indexed: tuple[Paper, ...], address: str) -> None:
    assert client.get(address, headers={"Accept": "application/x-unheard-of"}).status_code == 200


@pytest.mark.parametrize(
    "address", ["/api/daily_papers", "/api/v1/stats", "/papers/feed.rss", "/oai?verb=Identify", "/sitemap.xml"]
)
def test_asking_for_the_headers_only_gives_those_of_the_answer(client: Client, indexed: tuple[Paper, ...], address: str) -> None:
    whole, headers = client.get(address), client.head(address)
    assert (headers.status_code, headers.content) == (200, b"")
    assert headers["Content-Type"] == whole["Content-Type"]
    assert headers.get("ETag") == whole.get("ETag")
