"""Our own JSON API."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from pressrun.catalog import Paper
from pressrun.web.papers import models
from pressrun.web.papers.ingest import Report, save


def ids(client: Client, query: str) -> list[str]:
    return [paper["id"] for paper in client.get(f"/api/v1/papers?{query}").json()["papers"]]


SPARSE, SPIKING, REFUSAL, HEBB = "10.1371/journal.pcbi.1011459", "2509.23253", "2510.06036", "math/0309136"
MOTOR = "a-bihemispheric-controller-for-motor-learning-2024"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [REFUSAL, SPIKING, SPARSE, MOTOR, HEBB]),
        ("day=2026-04-20", [SPIKING, REFUSAL, SPARSE]),
        ("day=2026-04-20&sort=new", [REFUSAL, SPIKING, SPARSE]),
        ("day=2026-04-18", []),
        ("week=2026-W16", [MOTOR, HEBB]),
        ("month=2026-04&topic=spiking-networks", [SPIKING, HEBB]),
        ("author=zhouchen-lin", [HEBB]),
        ("organisation=peking-university", [SPIKING]),
        ("topic=inhibition&author=peiyu-liu", [SPIKING]),
        ("sort=trending&page_size=1&page=2", [REFUSAL]),
    ],
)
def test_it_lists_papers(client: Client, papers: tuple[Paper, ...], query: str, found: list[str]) -> None:
    assert ids(client, query) == found


def test_a_list_says_where_it_stands(client: Client, papers: tuple[Paper, ...]) -> None:
    found = client.get("/api/v1/papers?day=2026-04-20&page_size=2").json()
    assert {key: found[key] for key in ("title", "total", "page", "pages", "page_size", "sort")} == {
        "title": "Monday 20 April 2026",
        "total": 3,
        "page": 1,
        "pages": 2,
        "page_size": 2,
        "sort": "votes",
    }


def test_it_shows_a_paper(client: Client, papers: tuple[Paper, ...]) -> None:
    found = client.get("/api/v1/papers/2509.23253v2").json()
    assert found["id"] == "2509.23253"
    assert found["authors"][0] == {"name": "Peiyu Liu", "affiliation": "Zhejiang University", "orcid": ""}
    assert found["organisation"] == {"name": "Peking University", "slug": "peking-university"}
    assert found["published"] == "2025-09-27"
    assert found["links"]["page"] == "http://testserver/papers/2509.23253"
    assert found["links"]["arxiv"] == "https://arxiv.org/abs/2509.23253"
    # log2(1 + 31 votes + 1 comment / 2), and the days from 2000-01-01 to 2026-04-20 by 7.
    assert found["trending"]["attention"] == pytest.approx(5.0224, abs=1e-4)
    assert found["trending"]["freshness"] == pytest.approx(9606 / 7)
    assert client.get("/api/v1/papers/math/0309136").json()["title"] == "Hebbian projection for continual learning"


def test_it_searches_and_says_why(client: Client, indexed: tuple[Paper, ...]) -> None:
    found = client.get("/api/v1/search?q=refuse&mode=lexical&facets=true").json()
    assert (found["total"], found["total_is_exact"], found["page"]) == (1, True, 1)
    (hit,) = found["hits"]
    assert hit["paper"]["id"] == REFUSAL
    assert hit["why"]["lexical_rank"] == 1
    assert hit["why"]["semantic_rank"] is None
    assert hit["why"]["matched"] == ["refuse"]
    assert {"text": "refuse", "marked": True} in hit["why"]["snippet"]
    assert {"value": "refusal", "papers": 1} in found["facets"]["topic"]
    assert found["feeds"]["atom"] == "http://testserver/search/feed.atom?q=refuse&mode=lexical"
    assert client.get("/api/v1/search?q=2509.23253").json()["direct"] == SPIKING


def test_it_knows_similar_papers(client: Client, indexed: tuple[Paper, ...]) -> None:
    found = client.get("/api/v1/papers/math/0309136/similar?limit=2").json()
    assert len(found) == 2
    assert HEBB not in {neighbour["paper"]["id"] for neighbour in found}


def test_it_counts(client: Client, indexed: tuple[Paper, ...]) -> None:
    topics = client.get("/api/v1/topics?page_size=2").json()
    assert topics["items"] == [
        {"name": "inhibition", "slug": "inhibition", "papers": 2},
        {"name": "spiking networks", "slug": "spiking-networks", "papers": 2},
    ]
    assert (topics["total"], topics["pages"]) == (6, 3)
    assert client.get("/api/v1/authors").json()["total"] == 9
    assert client.get("/api/v1/organisations").json()["total"] == 2
    stats = client.get("/api/v1/stats").json()
    assert (stats["papers"], stats["with_code"], stats["indexed"], stats["last_day"]) == (5, 1, 5, "2026-04-20")


def test_withdrawn_papers_leave_the_lists_and_counts(client: Client, papers: tuple[Paper, ...]) -> None:
    models.Paper.objects.filter(arxiv_id=REFUSAL).update(withdrawn=True)
    assert REFUSAL not in ids(client, "")
    assert client.get("/api/v1/organisations").json()["total"] == 1
    assert client.get(f"/api/v1/papers/{REFUSAL}").json()["withdrawn"] is True


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("papers?day=2026-02-30", 400, "there is no day 2026-02-30."),
        ("papers?day=2026-04-20&week=2026-W16", 400, "give one of day, week and month."),
        ("papers?sort=colour", 400, "sort must be one of votes, new, trending, got 'colour'."),
        ("papers?page=2", 400, "page must be from 1 to 1, got 2."),
        ("papers?page=-1", 400, "page does not fit: input should be greater than or equal to 1."),
        ("papers?page=many", 400, "page does not fit: input should be a valid integer, unable to parse string as an integer."),
        ("papers?page_size=100000", 400, "page_size does not fit: input should be less than or equal to 200."),
        ("papers?topic=nothing", 404, "There is no topic 'nothing' here."),
        ("papers/9999.99999", 404, "There is no paper '9999.99999' here."),
        ("papers/9999.99999/similar", 404, "There is no paper '9999.99999' here."),
        ("search", 400, "q needs a query."),
        ("search?q=a&mode=fuzzy", 400, "mode does not fit: input should be 'hybrid', 'lexical' or 'semantic'."),
        ("search?q=a&page=51", 400, "page times page_size may reach hit 1000, got 1020; narrow the query instead."),
        ("nothing", 404, "There is no page at /api/v1/nothing."),
    ],
)
def test_errors_are_sentences(client: Client, indexed: tuple[Paper, ...], path: str, status: int, said: str) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.json()) == (status, {"error": said})


def test_a_wrong_method_is_a_405(client: Client, db: None) -> None:
    answer = client.delete("/api/v1/papers")
    assert (answer.status_code, answer["Allow"]) == (405, "GET")
    assert answer.json() == {"error": "DELETE does not work here; use GET."}


def test_the_description_needs_nothing_from_elsewhere(client: Client, db: None) -> None:
    described = client.get("/api/v1/openapi.json").json()
    assert described["openapi"].startswith("3.")
    assert set(described["paths"]) == {
        "/api/v1/papers",
        "/api/v1/papers/{paper_id}",
        "/api/v1/papers/{paper_id}/similar",
        "/api/v1/search",
        "/api/v1/topics",
        "/api/v1/authors",
        "/api/v1/organisations",
        "/api/v1/stats",
        "/api/v1/papers/{paper_id}/mine",
        "/api/v1/papers/{paper_id}/vote",
        "/api/v1/papers/{paper_id}/bookmark",
        "/api/v1/papers/{paper_id}/read",
        "/api/v1/papers/{paper_id}/comments",
        "/api/v1/comments/{comment_id}",
        "/api/v1/bookmarks",
        "/api/v1/follows",
        "/api/v1/submissions",
        "/api/v1/days/{day}",
        "/api/v1/days/{day}/complete",
    }
    assert client.get("/api/v1/docs").status_code == 404


def test_a_list_costs_a_constant_number_of_queries(
    client: Client, papers: tuple[Paper, ...], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    save([Paper(title=f"More {n}", arxiv_id=f"2601.{n:05}", topics=("t",), organisation=f"O{n}") for n in range(60)], Report())
    with django_assert_max_num_queries(4):
        assert len(ids(client, "page_size=100")) == 65
