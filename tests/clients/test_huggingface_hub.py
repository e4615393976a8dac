"""The real huggingface_hub client and its command line `hf papers` against a live server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
from pytest_django.live_server_helper import LiveServer

from pressrun.catalog import Paper
from pressrun.web.people.accounts import make_account
from pressrun.web.people.roles import Role
from pressrun.web.people.tokens import make

pytestmark = pytest.mark.client


@pytest.fixture
def hub(live_server: LiveServer, indexed: tuple[Paper, ...]) -> HfApi:
    return HfApi(endpoint=live_server.url, token=False)


def test_it_lists_the_latest_day(hub: HfApi) -> None:
    found = list(hub.list_daily_papers())
    assert [paper.id for paper in found] == ["2510.06036", "2509.23253", "10.1371/journal.pcbi.1011459"]
    spiking = found[1]
    assert spiking.title == "Lateral Inhibition Trains Deep Spiking Networks"
    assert spiking.upvotes == 31
    assert spiking.comments == 1
    assert [author.name for author in spiking.authors or []] == ["Peiyu Liu", "Jianhao Ding", "Zhaofei Yu"]
    assert spiking.published_at == datetime(2025, 9, 27, tzinfo=UTC)
    assert spiking.submitted_at == datetime(2026, 4, 20, tzinfo=UTC)
    assert spiking.organization is not None
    assert spiking.organization.fullname == "Peking University"
    assert spiking.github_repo == "https://github.com/example/ei-snn"
    assert spiking.ai_keywords == ["inhibition", "spiking networks"]
    assert spiking.replication is None  # type: ignore[attr-defined]  # a key of ours, kept by the client


def test_a_paper_without_votes_has_zero_of_them(hub: HfApi) -> None:
    without_votes = list(hub.list_daily_papers())[2]
    assert without_votes.upvotes == 0
    assert hub.paper_info("10.1371/journal.pcbi.1011459").upvotes == 0


def test_a_paper_without_named_authors_has_none(hub: HfApi) -> None:
    assert hub.paper_info("2510.06036").authors is None


def test_it_selects_by_date_week_and_month(hub: HfApi) -> None:
    earlier = {"math/0309136", "a-bihemispheric-controller-for-motor-learning-2024"}
    assert {paper.id for paper in hub.list_daily_papers(date="2026-04-16")} == earlier
    assert {paper.id for paper in hub.list_daily_papers(week="2026-W16")} == earlier
    assert len(list(hub.list_daily_papers(month="2026-04"))) == 5
    assert list(hub.list_daily_papers(date="2026-04-18")) == []


def test_it_sorts_by_trending_and_turns_pages(hub: HfApi) -> None:
    first = [paper.id for paper in hub.list_daily_papers(sort="trending", limit=2)]
    second = [paper.id for paper in hub.list_daily_papers(sort="trending", limit=2, p=1)]
    assert first == ["2509.23253", "2510.06036"]
    assert second == ["10.1371/journal.pcbi.1011459"]
    assert list(hub.list_daily_papers(sort="trending", limit=2, p=2)) == []


def test_it_selects_by_submitter(hub: HfApi) -> None:
    assert list(hub.list_daily_papers(submitter="nobody-here")) == []
    assert len(list(hub.list_daily_papers(submitter="pressrun"))) == 5


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"date": "2026-02-30"}, "there is no day 2026-02-30."),
        ({"date": "yesterday"}, "a date is written YYYY-MM-DD, got 'yesterday'."),
        ({"week": "2026-W54"}, "there is no week 2026-W54."),
        ({"month": "2026-13"}, "a month is written YYYY-MM, such as 2026-04, got '2026-13'."),
        ({"sort": "upvotes"}, "sort must be one of publishedAt, trending, got 'upvotes'."),
        ({"limit": -1}, "limit must be a whole number from 0 to 500, got '-1'."),
        ({"p": 10**9}, "p must be a whole number from 0 to 2000, got '1000000000'."),
        ({"date": "2026-04-16", "month": "2026-04"}, "give one of date, week and month, got date and month."),
    ],
)
def test_bad_input_is_an_error_that_says_what_was_wrong(hub: HfApi, asked: dict[str, str], said: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        list(hub.list_daily_papers(**asked))  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_it_searches(hub: HfApi) -> None:
    found = list(hub.list_papers(query="refuse language model", limit=2))
    assert found[0].id == "2510.06036"
    assert found[0].title == "Refusal Falls off a Cliff"
    assert len(found) <= 2
    assert list(hub.list_papers(query="refuse", limit=0)) == []
    assert list(hub.list_papers()) == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("2509.23253", "2509.23253"),
        ("2509.23253v2", "2509.23253"),
        ("math/0309136", "math/0309136"),
        ("math/0309136v1", "math/0309136"),
        ("10.1371/journal.pcbi.1011459", "10.1371/journal.pcbi.1011459"),
    ],
)
def test_it_finds_a_paper_by_every_form_of_its_id(hub: HfApi, asked: str, found: str) -> None:
    paper = hub.paper_info(asked)
    assert paper.id == found
    assert paper.title
    assert paper.submitted_at is not None
    assert hub.read_paper(asked).startswith(f"# {paper.title}\n")


def test_an_unknown_id_is_not_found(hub: HfApi) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        hub.paper_info("9999.99999")
    assert caught.value.response.status_code == 404
    assert "There is no paper '9999.99999' here." in str(caught.value)
    with pytest.raises(HfHubHTTPError) as caught:
        hub.read_paper("9999.99999")
    assert caught.value.response.status_code == 404


def test_a_token_of_another_site_is_nobodys(live_server: LiveServer) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi(endpoint=live_server.url).whoami(token="hf_abc")
    assert caught.value.response.status_code == 401


def test_a_token_of_ours_says_whose_it_is(live_server: LiveServer) -> None:
    user = make_account("ada", "ada@example.org", "correct horse battery", Role.MEMBER)
    _, secret = make(user, "a laptop", ["write"], 1)
    found = HfApi(endpoint=live_server.url).whoami(token=secret)
    assert (found["name"], found["auth"]["accessToken"]["displayName"]) == ("ada", "a laptop")
    assert found["auth"]["accessToken"]["role"] == "write"


def test_the_organisation_and_user_overviews_parse(hub: HfApi) -> None:
    assert hub.get_organization_overview("peking-university").num_papers == 1
    with pytest.raises(HfHubHTTPError, match="Nobody called 'ada' submitted a paper here"):
        hub.get_user_overview("ada")


# The command line


def hf(live_server: LiveServer, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Ours alone: an agent's variables would change how the command prints.
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_HOME": str(home), "HF_ENDPOINT": live_server.url}
    env |= {"HF_HUB_DISABLE_UPDATE_CHECK": "1", "NO_COLOR": "1", "COLUMNS": "200", "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", "from huggingface_hub.cli.hf import main; main()", "papers", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_line_lists_in_every_mode(live_server: LiveServer, indexed: tuple[Paper, ...], tmp_path: Path) -> None:
    for mode in ("human", "agent", "json", "quiet"):
        done = hf(live_server, tmp_path, "ls", "--date", "2026-04-20", "--format", mode)
        assert done.returncode == 0, done.stderr
        assert "2510.06036" in done.stdout
        assert "10.1371/journal.pcbi.1011459" in done.stdout
        if mode == "json":
            rows = {row["id"]: row for row in json.loads(done.stdout)}
            assert rows["2509.23253"]["upvotes"] == 31
            assert rows["10.1371/journal.pcbi.1011459"]["upvotes"] == 0


def test_the_command_line_searches_informs_and_reads(live_server: LiveServer, indexed: tuple[Paper, ...], tmp_path: Path) -> None:
    found = hf(live_server, tmp_path, "search", "refuse", "--format", "quiet")
    assert found.stdout.split() == ["2510.06036"]
    info = hf(live_server, tmp_path, "info", "math/0309136", "--format", "json")
    assert json.loads(info.stdout)["title"] == "Hebbian projection for continual learning"
    text = hf(live_server, tmp_path, "read", "2509.23253v2")
    assert "# Lateral Inhibition Trains Deep Spiking Networks" in text.stdout


def test_the_command_line_says_what_is_wrong(live_server: LiveServer, indexed: tuple[Paper, ...], tmp_path: Path) -> None:
    missing = hf(live_server, tmp_path, "info", "9999.99999")
    assert missing.returncode == 1
    assert "not found" in missing.stderr.lower()
    bad = hf(live_server, tmp_path, "ls", "--month", "2026-13")
    assert bad.returncode != 0
    assert "a month is written YYYY-MM" in bad.stderr + bad.stdout


def test_its_registry_of_agents_is_asked_for_once(live_server: LiveServer, indexed: tuple[Paper, ...], tmp_path: Path) -> None:
    hf(live_server, tmp_path, "ls")
    kept = [path for path in tmp_path.rglob("*.json") if "harness" in path.name]
    assert [json.loads(path.read_text()) for path in kept] == [{"standardEnvVars": [], "harnesses": {}}]
