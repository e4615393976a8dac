"""arXiv's query language and the shape of its answers; tests/clients drives it with the real client."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from pressrun.catalog import Author, Paper
from pressrun.web.api import arxiv
from pressrun.web.api.arxiv_query import All, Any, Between, Not, Term, parse, required_texts
from pressrun.web.errors import BadInput
from pressrun.web.papers import models
from pressrun.web.papers.indexing import index_pending
from pressrun.web.papers.ingest import Report, save

ATOM = {"a": "http://www.w3.org/2005/Atom", "o": "http://a9.com/-/spec/opensearch/1.1/", "x": "http://arxiv.org/schemas/atom"}


def test_it_reads_terms_phrases_and_prefixes() -> None:
    assert parse("spiking") == Term("all", "spiking")
    assert parse('ti:"spiking  networks"') == Term("ti", "spiking networks")
    assert parse("au:del_maestro") == Term("au", "del_maestro")
    assert parse("ti:inhib*") == Term("ti", "inhib", begins=True)


def test_and_binds_more_tightly_than_or() -> None:
    a, b, c = Term("ti", "a"), Term("ti", "b"), Term("ti", "c")
    assert parse("ti:a OR ti:b AND ti:c") == Any((a, All((b, c))))
    assert parse("(ti:a OR ti:b) AND ti:c") == All((Any((a, b)), c))
    assert parse("ti:a ANDNOT ti:b") == All((a, Not(b)))
    assert parse("ti:a ti:b") == All((a, b))
    assert parse("ti:(a OR b) ANDNOT abs:c") == All((Any((a, b)), Not(Term("abs", "c"))))


def test_operators_are_upper_case_and_whole_words() -> None:
    assert parse("and or ANDROID") == All((Term("all", "and"), Term("all", "or"), Term("all", "ANDROID")))


def test_it_reads_ranges_of_dates() -> None:
    found = parse("submittedDate:[202501010600 TO 20250102]")
    last = datetime(2025, 1, 2, 23, 59, 59, 999999, tzinfo=UTC)
    assert found == Between("submittedDate", datetime(2025, 1, 1, 6, 0, tzinfo=UTC), last)
    assert parse("lastUpdatedDate:[* TO 20250102]") == Between("lastUpdatedDate", None, last)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("ti:(a", "search_query ends too early: a term, a phrase or a closing parenthesis is missing."),
        ("a AND", "search_query ends too early: a term, a phrase or a closing parenthesis is missing."),
        ("a )", "search_query can't be read from character 3 on: ')'."),
        (
            "title:a",
            "search_query has no prefix 'title'; it knows ti, abs, au, co, jr, cat, rn, id, all, submittedDate, lastUpdatedDate.",
        ),
        ("ti:***", "search_query needs letters or digits in every term, got '***'."),
        ("submittedDate:2025", "submittedDate takes a range: submittedDate:[202501010000 TO 202512312359]."),
        ("submittedDate:[20250230 TO 20250301]", "a date is written YYYYMMDD, with hour and minute if wanted, got '20250230'."),
        ("(" * 41 + "a" + ")" * 41, "search_query may nest 40 parentheses."),
        ("a " * 2001, "search_query may have 4000 characters, got 4002."),
        ("a " * 101, "search_query may have 100 terms, got 101."),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(query: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(query)
    assert str(caught.value) == said


@given(st.text(alphabet='ab ti:()"[]*ANDORT20250101_-\\%', max_size=60) | st.text(max_size=60))
def test_any_text_is_a_query_or_bad_input(text: str) -> None:
    with suppress(BadInput):
        parse(text)


def test_only_what_every_match_must_hold_is_looked_up_in_the_index() -> None:
    assert required_texts(parse('ti:a AND (abs:"b c" AND all:d) ANDNOT ti:e AND au:f AND ti:g*')) == ("a", "b c", "d")
    assert required_texts(parse("ti:a OR ti:b")) == ()


# Asking the database


def ids(client: Client, query: str, **more: str) -> list[str]:
    answer = client.get("/arxiv/api/query", {"search_query": query, "max_results": "100", **more})
    assert answer.status_code == 200, answer.text
    feed = etree.fromstring(answer.content)
    found = [text.rpartition("/abs/")[2].rpartition("/papers/")[2] for text in feed.xpath("a:entry/a:id/text()", namespaces=ATOM)]
    assert feed.xpath("string(o:totalResults)", namespaces=ATOM) == str(len(found))
    return found


SPARSE, SPIKING, REFUSAL, HEBB = "10.1371/journal.pcbi.1011459", "2509.23253", "2510.06036", "math/0309136"
MOTOR = "a-bihemispheric-controller-for-motor-learning-2024"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("ti:inhibition", {SPIKING}),
        ("ti:INHIBITION", {SPIKING}),
        ("ti:inhibit", set()),
        ("ti:inhibit*", {SPIKING}),
        ("abs:neurons", {SPIKING, SPARSE}),
        ('abs:"what makes"', {REFUSAL}),
        ('abs:"makes what"', set()),
        ("all:xiao", {HEBB}),
        ("au:xiao", {HEBB}),
        ("au:xiao_m", {HEBB}),
        ("au:perrinet_l", {SPARSE}),
        ("au:xiao_z", set()),
        ("cat:cs.LG", {SPIKING}),
        ("cat:cs.*", {SPIKING}),
        ("cat:cs.L", set()),
        ("jr:plos", {SPARSE}),
        ("rn:7", set()),
        ("id:2509.23253v3", {SPIKING}),
        ("ti:learning AND abs:sleep", {MOTOR}),
        ("ti:learning ANDNOT abs:sleep", {HEBB}),
        ("ti:refusal OR ti:sparse", {REFUSAL, SPARSE}),
        ("ti:learning AND (abs:sleep OR abs:forgetting)", {MOTOR, HEBB}),
        ("submittedDate:[20240101 TO 20241231]", {MOTOR, HEBB}),
        ("submittedDate:[202405030000 TO 202405032359]", {MOTOR}),
        ("ti:learning AND submittedDate:[* TO 20240430]", {HEBB}),
        ("abs:100_percent", set()),
        ("ti:.*learning", set()),
    ],
)
def test_it_finds(client: Client, indexed: tuple[Paper, ...], query: str, found: set[str]) -> None:
    assert set(ids(client, query)) == found


def test_it_finds_the_same_without_an_index(client: Client, papers: tuple[Paper, ...]) -> None:
    assert ids(client, "ti:inhibition") == [SPIKING]
    assert set(ids(client, "abs:neurons")) == {SPIKING, SPARSE}


def test_a_query_that_the_index_does_not_narrow_goes_to_the_database(
    client: Client, indexed: tuple[Paper, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arxiv, "FROM_INDEX", 1)
    assert set(ids(client, "abs:neurons")) == {SPIKING, SPARSE}


def test_candidates_come_from_the_index_in_slices(client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    save([Paper(title=f"Spiking study {n}", arxiv_id=f"2601.{n:05}", abstract="x") for n in range(25)], Report())
    index_pending()
    monkeypatch.setattr(arxiv, "INDEX_SLICE", 10)
    assert arxiv._ranks(["spiking"]) is not None
    assert len(ids(client, "ti:spiking")) == 25


def test_it_sorts(client: Client, indexed: tuple[Paper, ...]) -> None:
    everything = "submittedDate:[* TO *]"
    by_date = [REFUSAL, SPIKING, MOTOR, HEBB, SPARSE]
    assert ids(client, everything, sortBy="submittedDate") == by_date
    assert ids(client, everything, sortBy="submittedDate", sortOrder="ascending") == by_date[::-1]
    learning = ids(client, "all:learn", sortBy="relevance")
    assert ids(client, "all:learn", sortBy="relevance", sortOrder="ascending") == learning[::-1]
    assert set(learning) == {MOTOR, HEBB}


def test_withdrawn_papers_are_found_by_id_only(client: Client, papers: tuple[Paper, ...]) -> None:
    models.Paper.objects.filter(arxiv_id=SPIKING).update(withdrawn=True)
    assert ids(client, "ti:inhibition") == []
    assert ids(client, "", id_list=SPIKING) == [SPIKING]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "give a search_query or an id_list."),
        ({"search_query": "ti:("}, "search_query ends too early: a term, a phrase or a closing parenthesis is missing."),
        ({"search_query": "a", "start": "-1"}, "start must be a whole number from 0 to 30000, got '-1'."),
        ({"search_query": "a", "max_results": "2001"}, "max_results must be a whole number from 0 to 2000, got '2001'."),
        ({"search_query": "a", "max_results": "ten"}, "max_results must be a whole number from 0 to 2000, got 'ten'."),
        (
            {"search_query": "a", "start": "29000", "max_results": "2000"},
            "start and max_results may reach to result 30000, got 31000; narrow the query.",
        ),
        (
            {"search_query": "a", "sortBy": "votes"},
            "sortBy must be one of relevance, lastUpdatedDate, submittedDate, got 'votes'.",
        ),
        ({"search_query": "a", "sortOrder": "up"}, "sortOrder must be ascending or descending, got 'up'."),
    ],
)
def test_an_error_is_a_400_with_an_entry_that_says_what_was_wrong(
    client: Client, db: None, asked: dict[str, str], said: str
) -> None:
    answer = client.get("/arxiv/api/query", asked)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/atom+xml; charset=utf-8"
    feed = etree.fromstring(answer.content)
    assert feed.xpath("string(a:entry/a:title)", namespaces=ATOM) == "Error"
    assert feed.xpath("string(a:entry/a:summary)", namespaces=ATOM) == said


def test_an_entry_holds_what_is_known(client: Client, papers: tuple[Paper, ...]) -> None:
    models.Paper.objects.filter(arxiv_id=SPIKING).update(note="12 pages\x0b", title="A  title\nof two lines", doi="10.1000/xyz")
    feed = etree.fromstring(client.get("/arxiv/api/query", {"id_list": SPIKING}).content)

    def text(path: str) -> str:
        return str(feed.xpath(f"string(a:entry/{path})", namespaces=ATOM))

    assert text("a:title") == "A title of two lines"
    assert text("a:published") == "2025-09-27T00:00:00.000Z"
    assert text("x:comment") == "12 pages"
    assert text("x:doi") == "10.1000/xyz"
    assert text("x:primary_category/@term") == "cs.NE"
    assert text("a:link[@title='pdf']/@href") == "https://arxiv.org/pdf/2509.23253"
    assert text("a:link[@rel='alternate']/@href") == "http://testserver/papers/2509.23253"
    assert feed.xpath("a:entry/a:author/a:name/text()", namespaces=ATOM) == ["Peiyu Liu", "Jianhao Ding", "Zhaofei Yu"]


def test_no_results_wanted_counts_only(client: Client, papers: tuple[Paper, ...]) -> None:
    feed = etree.fromstring(
        client.get("/arxiv/api/query", {"search_query": "submittedDate:[* TO *]", "max_results": "0"}).content
    )
    assert feed.xpath("string(o:totalResults)", namespaces=ATOM) == "5"
    assert not feed.xpath("a:entry", namespaces=ATOM)


def test_it_answers_posts_too(client: Client, papers: tuple[Paper, ...]) -> None:
    answer = client.post("/arxiv/api/query", {"id_list": SPIKING})
    assert b"2509.23253" in answer.content


def test_a_paper_without_dates_has_those_of_its_record(client: Client, db: None) -> None:
    save([Paper(title="Undated", arxiv_id="2601.00001", authors=(Author("Ada"),))], Report())
    models.Paper.objects.update(created=datetime(2026, 3, 4, 5, 6, tzinfo=UTC))
    feed = etree.fromstring(client.get("/arxiv/api/query", {"id_list": "2601.00001"}).content)
    assert feed.xpath("string(a:entry/a:published)", namespaces=ATOM) == "2026-03-04T00:00:00.000Z"
