"""The Hugging Face papers API as it stands on the wire; tests/clients drives it with the real client."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from pressrun.catalog import Author, Paper
from pressrun.web.papers import models
from pressrun.web.papers.ingest import Report, save

FORBIDDEN = {"self", "comments"}


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in keys_of(inner)}
    if isinstance(value, list):
        return {key for inner in value for key in keys_of(inner)}
    return set()


def test_a_list_item_is_nested_with_copies_at_the_top(client: Client, papers: tuple[Paper, ...]) -> None:
    item = client.get("/api/daily_papers?date=2026-04-20").json()[1]
    inner = item["paper"]
    assert inner["id"] == "2509.23253"
    assert "authors" not in item
    for key in ("title", "summary", "upvotes", "ai_keywords", "organization", "githubRepo"):
        assert item[key] == inner[key]
    assert item["publishedAt"] == "2026-04-20T00:00:00.000Z"
    assert inner["publishedAt"] == "2025-09-27T00:00:00.000Z"
    assert item["numComments"] == 1
    assert item["replication"] is None
    assert {"thumbnail", "submittedBy", "isAuthorParticipating"} <= set(item)
    assert {"id", "authors", "discussionId", "publishedAt", "summary", "title", "upvotes"} <= set(inner)
    assert item["submittedBy"]["user"] == item["submittedBy"]["name"] == "pressrun"


def test_a_single_paper_is_flat(client: Client, papers: tuple[Paper, ...]) -> None:
    found = client.get("/api/papers/2509.23253").json()
    assert "paper" not in found
    assert found["publishedAt"] == "2025-09-27T00:00:00.000Z"
    assert found["submittedOnDailyAt"] == "2026-04-20T00:00:00.000Z"
    assert found["numComments"] == 1
    assert found["linkedModels"] == found["linkedDatasets"] == found["linkedSpaces"] == []


def test_no_answer_holds_a_key_or_a_date_that_breaks_the_client(client: Client, papers: tuple[Paper, ...]) -> None:
    answers = [client.get("/api/daily_papers?month=2026-04"), client.get("/api/papers/math/0309136")]
    for answer in answers:
        assert not keys_of(answer.json()) & FORBIDDEN
        assert '"paper": null' not in answer.text
        moments = re.findall(r'At": "([^"]*)"', json.dumps(answer.json()))
        assert moments
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment) for moment in moments)


def test_unknown_facts_are_left_out(client: Client, db: None) -> None:
    save([Paper(title="Undated and alone", arxiv_id="2601.00001", listed=models.date(2026, 4, 20))], Report())
    (item,) = client.get("/api/daily_papers").json()
    assert "publishedAt" not in item
    assert "publishedAt" not in item["paper"]
    assert item["submittedOnDailyAt"] == "2026-04-20T00:00:00.000Z"
    assert "organization" not in item
    assert item["paper"]["authors"] == []


def test_a_withdrawn_paper_leaves_the_lists_and_says_when(client: Client, papers: tuple[Paper, ...]) -> None:
    row = models.Paper.objects.get(arxiv_id="2509.23253")
    row.withdrawn = True
    row.derive()
    row.save()
    assert len(client.get("/api/daily_papers").json()) == 2
    assert client.get("/api/papers/2509.23253").json()["withdrawnAt"].endswith("Z")


def test_a_summary_of_ours_stands_beside_an_abstract(client: Client, db: None) -> None:
    save(
        [Paper(title="Both", arxiv_id="2601.00001", abstract="Theirs.", summary="Ours.", listed=models.date(2026, 4, 20))],
        Report(),
    )
    (item,) = client.get("/api/daily_papers").json()
    assert (item["summary"], item["ai_summary"]) == ("Theirs.", "Ours.")


def test_a_person_who_submitted_is_named(client: Client, db: None) -> None:
    save([Paper(title="Mine", arxiv_id="2601.00001", submitted_by="ada", authors=(Author("Ada"),))], Report())
    (item,) = client.get("/api/daily_papers?submitter=ada").json()
    assert (item["submittedBy"]["user"], item["submittedBy"]["type"]) == ("ada", "user")
    assert client.get("/api/users/ada/overview").json()["numPapers"] == 1


def test_an_empty_site_has_empty_lists(client: Client, db: None) -> None:
    assert client.get("/api/daily_papers").json() == []
    assert client.get("/api/daily_papers?date=2026-04-20").json() == []
    assert client.get("/api/collections?item=papers/2509.23253").json() == []


def test_former_ids_lead_to_the_paper(client: Client, papers: tuple[Paper, ...]) -> None:
    row = models.Paper.objects.get(arxiv_id="2509.23253")
    models.FormerId.objects.create(public_id="lateral-inhibition-2025", paper=row)
    assert client.get("/api/papers/lateral-inhibition-2025").json()["id"] == "2509.23253"


def test_the_id_of_a_request_comes_back(client: Client, papers: tuple[Paper, ...]) -> None:
    assert client.get("/api/daily_papers", headers={"X-Amzn-Trace-Id": "trace-7"})["X-Request-Id"] == "trace-7"
    assert client.get("/api/papers/nothing", headers={"X-Request-Id": "id-8"})["X-Request-Id"] == "id-8"
    fresh = client.get("/api/daily_papers", headers={"X-Amzn-Trace-Id": "two words"})["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", fresh)


def test_errors_are_objects_with_a_sentence(client: Client, papers: tuple[Paper, ...]) -> None:
    answer = client.get("/api/daily_papers?date=2026-02-30")
    assert (answer.status_code, answer.json()) == (400, {"error": "there is no day 2026-02-30."})
    assert answer["X-Error-Message"] == "there is no day 2026-02-30."
    assert client.get("/api/papers/9999.99999").json() == {"error": "There is no paper '9999.99999' here."}
    assert client.get("/api/whoami-v2").status_code == 401
    assert client.get("/api/whoami-v2").json() == {"error": "The access token is missing; reading papers needs none."}
    wrong_way = client.post("/api/daily_papers")
    assert (wrong_way.status_code, wrong_way["Allow"]) == (405, "GET")
    assert wrong_way.json() == {"error": "POST does not work here; use GET."}


def test_a_list_costs_a_constant_number_of_queries(
    client: Client, papers: tuple[Paper, ...], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    more = [
        Paper(title=f"More {n}", arxiv_id=f"2601.{n:05}", topics=("t",), organisation=f"O{n}", listed=models.date(2026, 4, 20))
        for n in range(60)
    ]
    save(more, Report())
    with django_assert_max_num_queries(7):
        assert len(client.get("/api/daily_papers?date=2026-04-20&limit=100").json()) == 63


@pytest.mark.parametrize("path", ["/api/papers/search?q=refuse", "/api/papers/search"])
def test_search_answers_a_list(client: Client, indexed: tuple[Paper, ...], path: str) -> None:
    assert isinstance(client.get(path).json(), list)
