"""Harvests from a live server: paging, resuming, and every way in which a server may let us down."""

from __future__ import annotations

import pytest

from pressrun.catalog import Extra, FetchError, Paper, Reader, Rejected, SourceError, open_source
from tests.catalog import samples
from tests.catalog.server import Answer, Route, fetcher, serving

ATOM_HEAD = (
    '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">'
    "<id>http://arxiv.org/api/x</id><opensearch:totalResults>{}</opensearch:totalResults>"
)


def entry(number: int) -> str:
    return f"<entry><id>http://arxiv.org/abs/2509.{number:05}v1</id><title>Paper {number}</title><published>2025-09-27T00:00:00Z</published></entry>"


def api(total: int, page: int = 2) -> Route:
    """An arXiv API with `total` papers that never gives more than `page` at once."""

    def route(query: dict[str, str]) -> Answer:
        start, size = int(query["start"]), min(page, int(query["max_results"]))
        return Answer(ATOM_HEAD.format(total) + "".join(map(entry, range(start, min(total, start + size)))) + "</feed>")

    return route


def titles(reader: Reader) -> list[str]:
    return [item.title for item in reader if isinstance(item, Paper)]


def broken_off(reader: Reader) -> tuple[list[str], str]:
    """What was read before the harvest broke off, and why it did."""
    found: list[str] = []
    with pytest.raises(SourceError) as caught:
        found.extend(item.title for item in reader if isinstance(item, Paper))
    return found, str(caught.value)


def test_it_pages_through_a_query() -> None:
    with serving(api(5)) as site:
        reader = open_source(f"{site.address}/api/query?search_query=cat:cs.NE", fetch=fetcher())
        assert reader.name == "an answer of the arXiv API (Atom)"
        assert titles(reader) == [f"Paper {n}" for n in range(5)]
        assert (reader.done, reader.total, reader.unit) == (5, 5, "records")
    asked = "/api/query?search_query=cat:cs.NE&sortBy=submittedDate&sortOrder=ascending&start={}&max_results=200"
    assert site.asked == [asked.format(start) for start in (0, 2, 4)]


def test_start_and_max_results_say_where_to_begin_and_how_many_to_take() -> None:
    with serving(api(50)) as site:
        reader = open_source(
            f"{site.address}/api/query?search_query=all:x&sortBy=relevance&start=10&max_results=3", fetch=fetcher()
        )
        assert titles(reader) == ["Paper 10", "Paper 11", "Paper 12"]
        assert (reader.done, reader.total) == (3, 3)
    assert [asked.partition("start=")[2] for asked in site.asked] == ["10&max_results=3", "12&max_results=1"]


def test_a_query_goes_on_behind_any_record() -> None:
    with serving(api(5)) as site:
        url = f"{site.address}/api/query?search_query=cat:cs.NE"
        reader = open_source(url, fetch=fetcher())
        for number, _ in enumerate(reader, start=1):
            assert titles(open_source(url, fetch=fetcher(), position=reader.position)) == [f"Paper {n}" for n in range(number, 5)]


def test_a_query_without_results_has_no_papers() -> None:
    with serving(api(0)) as site:
        assert list(open_source(f"{site.address}/api/query?search_query=x", fetch=fetcher())) == []


def test_a_bad_entry_in_a_harvest_is_rejected_with_its_place() -> None:
    def route(query: dict[str, str]) -> Answer:
        answer = api(3)(query)
        assert isinstance(answer.body, str)
        return Answer(answer.body.replace("<title>Paper 1</title>", ""))

    with serving(route) as site:
        first, second, third = open_source(f"{site.address}/api/query?search_query=x", fetch=fetcher())
    assert isinstance(second, Rejected)
    assert (second.where, second.why) == ("record 2", "a paper needs a title")
    assert isinstance(first, Paper)
    assert isinstance(third, Paper)


def after(good: int, then: Route, before: Route) -> Route:
    """The first `good` requests as `before` has it, all others as `then` has it."""
    count = 0

    def route(query: dict[str, str]) -> Answer:
        nonlocal count
        count += 1
        return before(query) if count <= good else then(query)

    return route


def hang(_: dict[str, str]) -> Answer:
    return Answer(raw=lambda handler: handler.connection.recv(1) and None)


FAULTS: dict[str, tuple[Route, str]] = {
    "hangs": (hang, "did not answer in time (2 tries)"),
    "500": (lambda _: Answer(status=500), "answers 500 Internal Server Error (2 tries)"),
    "429": (lambda _: Answer(status=429, headers={"Retry-After": "5"}), "answers 429 Too Many Requests (2 tries)"),
    "redirects": (lambda _: Answer(status=302, headers={"Location": "/again"}), "redirects more than 5 times"),
    "huge": (lambda _: Answer("x" * 20_000), "is larger than 10000 bytes"),
    "garbage": (lambda _: Answer("\x00\x01garbage"), "127.0.0.1 gave something else in the middle of the harvest"),
    "empty": (
        lambda _: Answer(ATOM_HEAD.format(5) + "</feed>"),
        "127.0.0.1 gives empty pages after 2 of 5 records; try again later",
    ),
    "repeats": (lambda _: api(5)({"start": "0", "max_results": "2"}), "127.0.0.1 gives the same page again and again"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_read_before_a_fault_is_kept_and_can_be_gone_on_from(fault: str) -> None:
    then, why = FAULTS[fault]
    healed = False
    with serving(lambda query: api(5)(query) if healed else broken(query)) as site:
        broken = after(1, then, api(5))
        url = f"{site.address}/api/query?search_query=cat:cs.NE"
        reader = open_source(url, fetch=fetcher(max_bytes=10_000))
        found, said = broken_off(reader)
        assert found[:2] == ["Paper 0", "Paper 1"]
        assert why in said
        healed = True
        rest = titles(open_source(url, fetch=fetcher(), position=reader.position))
        assert rest == [f"Paper {n}" for n in range(len(found), 5)]


@pytest.mark.parametrize("fault", ["hangs", "500", "429", "redirects", "huge"])
def test_a_fault_at_the_first_page_is_told_before_anything_is_read(fault: str) -> None:
    then, why = FAULTS[fault]
    with serving(then) as site, pytest.raises(FetchError) as caught:
        open_source(f"{site.address}/feed.rss", fetch=fetcher(max_bytes=10_000))
    assert why in str(caught.value)


def test_something_else_than_a_source_is_told() -> None:
    with serving(lambda _: Answer("Hello!")) as site, pytest.raises(SourceError, match="looks like text of another kind"):
        open_source(site.address, fetch=fetcher())


@pytest.mark.parametrize(("name", "count"), [("arxiv_rss", 2), ("hf_json", 2), ("html_props", 2), ("page", 4), ("bibtex", 2)])
def test_any_other_address_is_fetched_once(name: str, count: int) -> None:
    with serving(lambda _: Answer(samples.ALL[name])) as site:
        reader = open_source(f"{site.address}/some/list", fetch=fetcher())
        assert len(titles(reader)) == count
        assert len(site.asked) == 1


def record(number: int) -> str:
    return (
        f"<record><header><identifier>oai:arXiv.org:2509.{number:05}</identifier><datestamp>2025-10-{1 + number:02}</datestamp></header>"
        f'<metadata><arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>2509.{number:05}</id><title>Paper {number}</title></arXiv></metadata></record>'
    )


def oai(body: str) -> Answer:
    return Answer(f'<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">{body}</OAI-PMH>')


def repository(query: dict[str, str]) -> Answer:
    """Six records, two a page, from the day of the `from` argument on."""
    if "resumptionToken" in query:
        assert query.keys() == {"verb", "resumptionToken"}
        start = int(query["resumptionToken"].removeprefix("token/+"))
    else:
        start = int(query.get("from", "2025-10-01")[-2:]) - 1
    token = f'<resumptionToken completeListSize="6">token/+{start + 2}</resumptionToken>' if start < 4 else "<resumptionToken/>"
    return oai(f"<ListRecords>{''.join(map(record, range(start, min(6, start + 2))))}{token}</ListRecords>")


LIST = "/oai?verb=ListRecords&metadataPrefix=arXiv&set=cs:cs:NE"


def test_it_follows_resumption_tokens() -> None:
    with serving(repository) as site:
        reader = open_source(site.address + LIST, fetch=fetcher())
        assert titles(reader) == [f"Paper {n}" for n in range(6)]
        assert (reader.done, reader.total, reader.unit, reader.notes) == (6, 6, "records", [])
    assert site.asked == [
        LIST,
        "/oai?verb=ListRecords&resumptionToken=token%2F%2B2",
        "/oai?verb=ListRecords&resumptionToken=token%2F%2B4",
    ]


def test_a_harvest_goes_on_behind_any_record() -> None:
    with serving(repository) as site:
        reader = open_source(site.address + LIST, fetch=fetcher())
        for number, _ in enumerate(reader, start=1):
            again = open_source(site.address + LIST, fetch=fetcher(), position=reader.position)
            assert titles(again) == [f"Paper {n}" for n in range(number, 6)]


def test_an_expired_token_restarts_the_harvest_from_the_last_day_seen() -> None:
    expired = False

    def route(query: dict[str, str]) -> Answer:
        if expired and query.get("resumptionToken") == "token/+2":
            return oai('<error code="badResumptionToken">expired</error>')
        return repository(query)

    with serving(route) as site:
        reader = open_source(site.address + LIST, fetch=fetcher())
        first = [next(iter(reader)) for _ in range(3)]
        assert isinstance(first[2], Paper)
        expired = True
        again = open_source(site.address + LIST, fetch=fetcher(), position=reader.position)
        # The last day is read once more, since more of it may lie behind the record that was read.
        assert titles(again) == ["Paper 2", "Paper 3", "Paper 4", "Paper 5"]
        assert again.notes == ["the resumption token has expired; the harvest starts again from 2025-10-03"]
    assert site.asked[3] == LIST + "&from=2025-10-03"


def test_a_repository_that_refuses_its_tokens_is_given_up() -> None:
    def route(query: dict[str, str]) -> Answer:
        return oai('<error code="badResumptionToken">no</error>') if "resumptionToken" in query else repository({})

    with serving(route) as site:
        found, why = broken_off(open_source(site.address + LIST, fetch=fetcher()))
    assert found == ["Paper 0", "Paper 1", "Paper 0", "Paper 1"]
    assert why == "127.0.0.1 refuses its own resumption tokens, twice after 2025-10-02; the harvest stops"


def test_a_token_that_comes_again_is_given_up() -> None:
    with serving(lambda _: repository({})) as site:
        found, why = broken_off(open_source(site.address + LIST, fetch=fetcher()))
    assert len(found) == 4
    assert why == "127.0.0.1 gives the same resumption token again; the harvest stops after 4 records"


def test_an_error_of_the_repository_is_told() -> None:
    with serving(lambda _: oai('<error code="cannotDisseminateFormat">no arXiv here</error>')) as site:
        assert broken_off(open_source(site.address + LIST, fetch=fetcher())) == (
            [],
            "127.0.0.1 refuses the request: cannotDisseminateFormat (no arXiv here)",
        )


def test_no_records_that_match_is_no_error() -> None:
    with serving(lambda _: oai('<error code="noRecordsMatch">none</error>')) as site:
        reader = open_source(site.address + LIST, fetch=fetcher())
        assert list(reader) == []
        assert reader.notes == ["127.0.0.1 has no records that match"]


def test_deleted_records_are_told() -> None:
    deleted = '<record><header status="deleted"><identifier>oai:arXiv.org:2509.00001</identifier><datestamp>2025-10-01</datestamp></header></record>'
    with serving(lambda _: oai(f"<ListRecords>{deleted}</ListRecords>")) as site:
        found = list(open_source(site.address + LIST, fetch=fetcher()))
    assert found == [Extra("deleted", {"id": "2509.00001", "datestamp": "2025-10-01"})]


@pytest.mark.parametrize("fault", ["hangs", "500", "429", "redirects", "garbage"])
def test_a_harvest_that_breaks_off_goes_on_later(fault: str) -> None:
    then, why = FAULTS[fault]
    healed = False
    with serving(lambda query: repository(query) if healed else broken(query)) as site:
        broken = after(2, then, repository)
        reader = open_source(site.address + LIST, fetch=fetcher())
        found, said = broken_off(reader)
        assert (found, why in said) == ([f"Paper {n}" for n in range(4)], True)
        healed = True
        assert titles(open_source(site.address + LIST, fetch=fetcher(), position=reader.position)) == ["Paper 4", "Paper 5"]


@pytest.mark.parametrize(
    ("path", "position", "why"),
    [
        (LIST, "oai nonsense", "the position 'oai nonsense' does not belong to an OAI-PMH harvest; start from its beginning"),
        (
            LIST,
            'oai {"skip":"1"}',
            'the position \'oai {"skip":"1"}\' does not belong to an OAI-PMH harvest; start from its beginning',
        ),
        (
            "/api/query?id_list=1",
            "oai {}",
            "the position 'oai {}' does not belong to a query of the arXiv API; start from its beginning",
        ),
        ("/api/query?id_list=1&start=-1", None, "start in the address is '-1'; a whole number is needed"),
    ],
)
def test_a_position_or_number_that_makes_no_sense_is_told(path: str, position: str | None, why: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(f"http://127.0.0.1:1{path}", fetch=fetcher(), position=position)
    assert str(caught.value) == why
