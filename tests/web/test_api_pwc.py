"""The paths that `pwc` reads, with the keys that it looks for."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.test import Client

from pressrun.catalog import Paper
from pressrun.web.papers import models
from pressrun.web.papers.ingest import Report, save

ROOT = "/pwc/api/v1"
READ_BY_CLIENT = {"id", "arxiv_id", "route_identifier", "title", "published", "authors", "citation_count", "organizations"}


def ids(answer: object) -> list[str]:
    assert isinstance(answer, dict)
    return [item["id"] for item in answer["results"]]


def test_it_searches(client: Client, indexed: tuple[Paper, ...]) -> None:
    found = client.get(f"{ROOT}/papers/search", {"q": "refuse", "page": 1, "page_size": 20, "mode": "keyword"}).json()
    assert ids(found) == ["2510.06036"]
    assert found["count"] == 1
    assert set(found["results"][0]) >= READ_BY_CLIENT
    dated = {"q": "spiking", "mode": "keyword", "start_date": "2025-01-01", "end_date": "2025-12-31"}
    bounded = client.get(f"{ROOT}/papers/search", dated).json()
    assert ids(bounded) == ["2509.23253"]
    assert bounded["applied_filters"] == {"start_date": "2025-01-01", "end_date": "2025-12-31"}


def test_it_confirms_every_filter_that_it_applied(client: Client, papers: tuple[Paper, ...]) -> None:
    asked = {"task": "spiking networks", "organization": "Peking University", "author": "Peiyu Liu", "start_date": "2025-01-01"}
    found = client.get(f"{ROOT}/papers/", asked).json()
    assert ids(found) == ["2509.23253"]
    assert found["applied_filters"] == asked
    both = client.get(f"{ROOT}/papers/?author=Peiyu+Liu&author=Jianhao+Ding").json()
    assert ids(both) == ["2509.23253"]
    assert ids(client.get(f"{ROOT}/papers/?author=Peiyu+Liu&author=Zhouchen+Lin").json()) == []
    assert ids(client.get(f"{ROOT}/papers/?has_official_implementation=true").json()) == ["2509.23253"]
    assert ids(client.get(f"{ROOT}/papers/?search=sleep").json()) == ["a-bihemispheric-controller-for-motor-learning-2024"]


@pytest.mark.parametrize("name", ["method", "conference", "framework"])
def test_it_refuses_filters_that_it_can_not_apply(client: Client, db: None, name: str) -> None:
    answer = client.get(f"{ROOT}/papers/", {name: "x"})
    assert answer.status_code == 400
    assert answer.json() == {"error": f"papers are not filed by {name} here; leave the filter out."}


def test_it_orders_and_pages(client: Client, papers: tuple[Paper, ...]) -> None:
    asked = {"order_by": "date_published", "order_dir": "asc", "page_size": 2}
    first = client.get(f"{ROOT}/papers/", asked | {"page": 1}).json()
    assert ids(first) == ["10.1371/journal.pcbi.1011459", "math/0309136"]
    assert (first["count"], first["next_page"]) == (5, 2)
    last = client.get(f"{ROOT}/papers/", asked | {"page": 3}).json()
    assert ids(last) == ["2510.06036"]
    assert last["next_page"] is None
    assert ids(client.get(f"{ROOT}/papers/", asked | {"page": 4}).json()) == []


def test_it_shows_one_paper(client: Client, papers: tuple[Paper, ...]) -> None:
    found = client.get(f"{ROOT}/papers/2509.23253v1?include_resources=true").json()
    assert found["authors"] == ["Peiyu Liu", "Jianhao Ding", "Zhaofei Yu"]
    assert found["organizations"][0]["name"] == "Peking University"
    assert found["repositories"] == [{"url": "https://github.com/example/ei-snn", "is_official": True}]
    assert found["has_official_implementation"] is True
    assert found["code_repository_count"] == 1
    assert found["published"] == "2025-09-27"
    assert client.get(f"{ROOT}/papers/math/0309136").json()["arxiv_id"] == "math/0309136"
    assert client.get(f"{ROOT}/papers/9999.99999").json() == {"error": "There is no paper '9999.99999' here."}


def test_it_reads_a_paper_and_knows_no_lineage(client: Client, papers: tuple[Paper, ...]) -> None:
    text = client.get(f"{ROOT}/research/papers/math/0309136/read")
    assert text["Content-Type"] == "text/markdown; charset=utf-8"
    assert text.text.startswith("# Hebbian projection for continual learning\n")
    lineage = client.get(f"{ROOT}/research/papers/math/0309136/lineage").json()
    assert (lineage["predecessors"], lineage["successors"]) == ([], [])


def test_recent_and_related(client: Client, indexed: tuple[Paper, ...]) -> None:
    assert ids(client.get(f"{ROOT}/papers/recent?limit=2").json()) == ["2510.06036", "2509.23253"]
    assert "math/0309136" not in ids(client.get(f"{ROOT}/papers/math/0309136/related?limit=3").json())


def test_trending_by_age_and_votes_a_day(client: Client, db: None) -> None:
    today = models.datetime.now(models.UTC).date()

    def paper(n: int, days: int, upvotes: int) -> Paper:
        return Paper(title=f"P{n}", arxiv_id=f"2601.0000{n}", listed=today - timedelta(days=days), upvotes=upvotes)

    save([paper(1, 2, 10), paper(2, 2, 2), paper(3, 40, 500)], Report())
    assert set(ids(client.get(f"{ROOT}/papers/trending").json())) == {"2601.00001", "2601.00002", "2601.00003"}
    young = client.get(f"{ROOT}/papers/trending?max_age_days=30").json()
    assert ids(young) == ["2601.00001", "2601.00002"]
    assert ids(client.get(f"{ROOT}/papers/trending?max_age_days=30&min_velocity=5").json()) == ["2601.00001"]
    assert client.get(f"{ROOT}/papers/trending?min_velocity=nan").status_code == 400
    assert isinstance(today, date)


def test_topics_stand_in_for_tasks(client: Client, papers: tuple[Paper, ...]) -> None:
    found = client.get(f"{ROOT}/tasks/?q=spiking").json()["results"]
    assert [(task["slug"], task["paper_count"]) for task in found] == [("spiking-networks", 2)]
    assert client.get(f"{ROOT}/benchmarks/").json() == {"count": 0, "results": []}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("papers/search?q=a&mode=fuzzy", "mode must be one of hybrid, keyword, semantic, got 'fuzzy'."),
        ("papers/search?q=a&page_size=101", "page_size must be a whole number from 1 to 100, got '101'."),
        ("papers/?page=0", "page must be a whole number from 1 to 2000, got '0'."),
        ("papers/?start_date=2026-13-01", "there is no day 2026-13-01."),
        (
            "papers/?start_date=2026-02-01&end_date=2026-01-01",
            "start_date must not be after end_date, got 2026-02-01 and 2026-01-01.",
        ),
        (
            "papers/?order_by=citation_count",
            "order_by takes trending or date_published and order_dir asc or desc, got 'citation_count' and 'desc'.",
        ),
        ("papers/recent?limit=0", "limit must be a whole number from 1 to 100, got '0'."),
    ],
)
def test_bad_input_is_a_sentence(client: Client, db: None, asked: str, said: str) -> None:
    answer = client.get(f"{ROOT}/{asked}")
    assert (answer.status_code, answer.json()) == (400, {"error": said})
