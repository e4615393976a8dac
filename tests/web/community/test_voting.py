"""One person, one vote, and counts that are right whatever happens at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from lxml import html
from pytest_django import Settings

from pressrun import catalog
from pressrun.web.alerts.models import Event
from pressrun.web.community import voting
from pressrun.web.community.models import Bookmark, Vote
from pressrun.web.papers.ingest import Report, save
from pressrun.web.papers.models import Paper
from pressrun.web.people.limits import Rate
from tests.web.community.conftest import SNN, member
from tests.web.community.storm import storm

ROOT = Path(__file__).parents[3]
VOTERS = 500


@pytest.mark.django_db
def test_a_vote_counts_on_top_of_those_found_at_the_source(ada: User, bo: User, paper: Paper) -> None:
    voting.vote(ada, paper, on=True)
    assert voting.vote(bo, paper, on=True).votes == 33
    assert Paper.objects.get(pk=paper.pk).votes == 33


@pytest.mark.django_db
def test_voting_twice_and_taking_back_twice_change_nothing_more(ada: User, paper: Paper) -> None:
    assert [voting.vote(ada, paper, on=on).votes for on in (True, True, False, False)] == [32, 32, 31, 31]


@pytest.mark.django_db
def test_the_database_refuses_a_second_vote(ada: User, paper: Paper) -> None:
    Vote.objects.create(user=ada, paper=paper)
    with pytest.raises(IntegrityError), transaction.atomic():
        Vote.objects.create(user=ada, paper=paper)


@pytest.mark.django_db
def test_a_vote_moves_the_paper_in_trending_by_the_published_formula(ada: User, paper: Paper) -> None:
    # log2(1 + 32 + 1 / 2) = 5.0661; 2026-04-20 is 9606 days after 2000-01-01, by 7 gives 1372.2857.
    voting.vote(ada, paper, on=True)
    assert Paper.objects.get(pk=paper.pk).trending == pytest.approx(5.0661 + 1372.2857, abs=1e-3)


@pytest.mark.django_db
def test_a_vote_leaves_the_date_of_the_record_and_marks_it_for_search(ada: User, paper: Paper) -> None:
    Paper.objects.filter(pk=paper.pk).update(to_index=False)
    voting.vote(ada, paper, on=True)
    after = Paper.objects.get(pk=paper.pk)
    assert (after.modified, after.to_index) == (paper.modified, True)


@pytest.mark.django_db
def test_an_import_keeps_the_votes_of_people_here(ada: User, paper: Paper) -> None:
    voting.vote(ada, paper, on=True)
    save([catalog.Paper(title=paper.title, arxiv_id=SNN, upvotes=40)], Report())
    assert Paper.objects.get(pk=paper.pk).votes == 41


@pytest.mark.django_db
def test_two_papers_that_turn_out_to_be_one_keep_one_vote_a_person(ada: User, bo: User, paper: Paper) -> None:
    save([catalog.Paper(title="A twin", doi="10.1000/twin", published=date(2026, 1, 1), upvotes=2)], Report())
    twin = Paper.objects.get(doi="10.1000/twin")
    for person, voted in ((ada, paper), (ada, twin), (bo, twin)):
        voting.vote(person, voted, on=True)
    save([catalog.Paper(title=paper.title, arxiv_id=SNN, doi="10.1000/twin", upvotes=31)], Report())
    assert Vote.objects.filter(paper=paper).count() == 2
    assert Paper.objects.get(pk=paper.pk).votes == 33


@pytest.mark.django_db
def test_the_votes_of_an_account_go_with_it(ada: User, paper: Paper) -> None:
    voting.vote(ada, paper, on=True)
    ada.delete()
    assert Paper.objects.get(pk=paper.pk).votes == 31


@pytest.mark.django_db
def test_a_milestone_is_told_once(ada: User, bo: User, paper: Paper) -> None:
    Paper.objects.filter(pk=paper.pk).update(upvotes_found=49)
    for person, on in ((ada, True), (ada, False), (bo, True)):
        voting.vote(person, paper, on=on)
    assert list(Event.objects.filter(kind="vote-milestone").values_list("data__votes", flat=True)) == [50]


@pytest.mark.django_db(transaction=True)
def test_a_storm_of_500_voters_ends_with_the_exact_count(papers: object, tmp_path: Path) -> None:
    if connection.vendor == "sqlite":  # the tests' own database is in memory, where threads lock each other out
        program = [sys.executable, "-m", "tests.web.community.storm", str(VOTERS)]
        facts = {"PRESSRUN_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "pressrun.web.settings", "PYTHONPATH": str(ROOT)}
        said = subprocess.run(program, cwd=ROOT, env=os.environ | facts, capture_output=True, text=True, check=True).stdout
        after = json.loads(said)
    else:
        after = storm(VOTERS)
    assert after == {"votes": VOTERS, "count": 31 + VOTERS, "problems": []}


# On pages


@pytest.mark.django_db
def test_the_button_votes_and_goes_back_to_where_it_stood(ada: User, paper: Paper, as_user: Callable[[User], Client]) -> None:
    answer = as_user(ada).post(f"/vote/{SNN}", {"on": "1", "next": "/papers/trending?page=1"})
    assert (answer.status_code, answer["Location"]) == (302, "/papers/trending?page=1")
    assert Vote.objects.filter(user=ada, paper=paper).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\evil.example", "https:evil.example"]
)
def test_the_way_back_never_leads_elsewhere(ada: User, paper: Paper, as_user: Callable[[User], Client], elsewhere: str) -> None:
    assert as_user(ada).post(f"/vote/{SNN}", {"on": "1", "next": elsewhere})["Location"] == f"/papers/{SNN}"


@pytest.mark.django_db
def test_htmx_gets_the_button_with_the_new_count(ada: User, paper: Paper, as_user: Callable[[User], Client]) -> None:
    answer = as_user(ada).post(f"/vote/{SNN}", {"on": "1"}, headers={"HX-Request": "true"})
    button = html.fromstring(answer.text).xpath("//button[@class='vote']")[0]
    assert (button.get("aria-pressed"), button.get("value")) == ("true", "0")
    assert button.text_content().startswith("32")


@pytest.mark.django_db
def test_a_form_that_says_neither_on_nor_off_is_refused(ada: User, paper: Paper, as_user: Callable[[User], Client]) -> None:
    assert as_user(ada).post(f"/vote/{SNN}", {"on": "maybe"}).status_code == 400


@pytest.mark.django_db
def test_nobody_votes_without_signing_in(client: Client, paper: Paper) -> None:
    answer = client.post(f"/vote/{SNN}", {"on": "1"})
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/account/login/")
    assert Vote.objects.count() == 0


@pytest.mark.django_db
def test_a_form_of_another_site_does_not_vote(ada: User, paper: Paper) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    assert client.post(f"/vote/{SNN}", {"on": "1"}).status_code == 403
    assert Vote.objects.count() == 0


@pytest.mark.django_db
def test_a_list_shows_the_readers_marks_in_one_more_query(ada: User, paper: Paper, as_user: Callable[[User], Client]) -> None:
    Vote.objects.create(user=ada, paper=paper)
    Bookmark.objects.create(user=ada, paper=paper)
    client = as_user(ada)
    client.get("/papers/date/2026-04-20")
    with CaptureQueriesContext(connection) as queries:
        tree = html.fromstring(client.get("/papers/date/2026-04-20").text)
    marks = [query for query in queries if "community_vote" in query["sql"] or "community_bookmark" in query["sql"]]
    assert len(marks) == 1
    first = tree.xpath("//article")[0]
    assert [button.get("aria-pressed") for button in first.xpath(".//button")] == ["true", "true"]
    assert [button.get("aria-pressed") for button in tree.xpath("//article")[1].xpath(".//button")] == ["false", "false"]


@pytest.mark.django_db
def test_a_reader_who_is_not_signed_in_sees_plain_counts(client: Client, paper: Paper) -> None:
    tree = html.fromstring(client.get("/papers/date/2026-04-20").text)
    assert tree.xpath("//article//form") == []


@pytest.mark.django_db
def test_votes_are_limited(paper: Paper, as_user: Callable[[User], Client], settings: Settings) -> None:
    settings.LIMITS = {**settings.LIMITS, "vote": Rate(2, 3600)}
    client = as_user(member("keen"))
    answers = [client.post(f"/vote/{SNN}", {"on": "1"}).status_code for _ in range(3)]
    assert answers == [302, 302, 429]
