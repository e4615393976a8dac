"""Verdicts wherever they show: the ledger, cards, search, feeds, badges, the APIs, and the ledger that a package brings."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import feedparser
import pytest
from django.test import Client
from lxml import etree

from pressrun.replicate.record import Machine, RunError, State, StateChange, load_record, write_record
from pressrun.web.papers.indexing import index, index_pending
from pressrun.web.papers.models import Paper
from pressrun.web.runs import installed, ledger, sync
from pressrun.web.runs.models import Outcome, Run
from tests.web.runs import PAPER, over, owner, queued
from tests.web.test_runs import MANY, page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("papers", "shelf")]

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def cells(query: str = "") -> list[str]:
    return re.findall(r'class="cell ([\w-]+)', page(Client(), f"/ledger?{query}"))


def test_the_ledger_shows_every_claim_with_its_verdict() -> None:
    over(MANY)
    assert cells() == ["matched", "partly", "not-matched", "too-noisy", "void", "matched"]
    shown = page(Client(), "/ledger")
    assert "1 paper, 6 claims judged" in shown
    assert f'href="/papers/{PAPER}#learns-a-lot"' in shown
    assert "1 min 40 s" in shown
    assert "Inhibition" in shown


def test_claims_that_nobody_ran_are_in_the_ledger_too() -> None:
    assert cells() == ["pending"] * 6
    assert "0 claims judged" in page(Client(), "/ledger")


@pytest.mark.parametrize(
    ("query", "there"),
    [
        ("verdict=void", True),
        ("verdict=not+run+yet", False),
        ("scale=reduced", True),
        ("scale=reduced&verdict=not+matched", True),
        ("scale=reduced&verdict=void", False),
        ("topic=inhibition", True),
        ("topic=refusal", False),
        ("q=lateral+SPIKING", True),
        ("q=weights+stay+small", True),
        ("q=refusal", False),
        ("order=cost", True),
        ("order=matched&verdict=matched", True),
    ],
)
def test_the_ledger_is_filtered(query: str, there: bool) -> None:
    over(MANY)
    assert bool(cells(query)) is there
    assert ("No claim fits these filters" in page(Client(), f"/ledger?{query}")) is not there


@pytest.mark.parametrize("query", ["verdict=good", "scale=huge", "order=best"])
def test_a_filter_that_is_none_is_bad_input(query: str) -> None:
    assert "must be one of" in page(Client(), f"/ledger?{query}", status=400)


def test_the_ledger_is_a_table_to_take_away() -> None:
    run = over(MANY)
    rows = list(csv.DictReader(io.StringIO(page(Client(), "/ledger.csv"))))
    assert [row["verdict"] for row in rows] == MANY
    assert rows[0]["paper"] == PAPER
    assert (rows[0]["estimate"], rows[0]["threshold"], rows[0]["n"], rows[0]["seconds"]) == ("0.5", "0.3", "5", "100.0")
    assert rows[0]["run"] == run.run_id
    assert page(Client(), "/ledger.csv?verdict=not+run+yet").count("\n") == 1


def test_a_later_run_replaces_the_verdicts_and_the_earlier_ones_stay_known() -> None:
    over(["matched", "void"], at=AT)
    later = over(["not matched", "void"], at=AT + timedelta(days=1))
    over(["matched", "matched"], at=AT - timedelta(days=1))
    assert list(Outcome.objects.filter(latest=True).values_list("verdict", "before", "run__run_id")) == [
        ("not matched", "matched", later.run_id),
        ("void", "void", later.run_id),
    ]


def test_runs_that_do_not_count_change_no_verdict() -> None:
    kept = over(["matched"], at=AT)
    over(["void"], at=AT + timedelta(days=1), given={"knob.steps": "5"})
    over(state=State.FAILED, at=AT + timedelta(days=2))
    over(at=AT + timedelta(days=3), given={"preset": "smoke"})
    assert [(outcome.run_id, outcome.verdict) for outcome in Outcome.objects.filter(latest=True)] == [(kept.pk, "matched")]


# Cards and lists


def strip(address: str = "/") -> str:
    found = re.search(r'<p class="strip">.*?</p>', page(Client(), address), re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split()) if found else ""


def test_a_card_tells_verdicts_scale_and_cost() -> None:
    assert strip() == "not run yet toy to full Run Lateral Inhibition Trains Deep Spiking Networks"
    over(MANY)
    told = "2 matched, 1 partly matched, 1 not matched, 1 too noisy, 1 void toy to full 1 min 40 s"
    assert strip() == f"{told} Run Lateral Inhibition Trains Deep Spiking Networks"
    assert strip(f"/papers/{PAPER}") == told
    patches = re.search(r'class="patches".*?</span>', page(Client(), "/"), re.DOTALL)
    assert patches is not None
    assert re.findall(r'<svg class="([\w-]+)"', patches[0]) == [
        "matched",
        "partly",
        "not-matched",
        "too-noisy",
        "void",
        "matched",
    ]


def test_a_card_tells_of_a_run_that_moves_or_fell_short() -> None:
    record = queued()
    sync.catch_up()
    assert strip().startswith("queued")
    assert "On the press now" in page(Client(), "/")
    over(state=State.TIMED_OUT, at=datetime.now(UTC) + timedelta(minutes=1))
    assert strip().startswith("timed out so no verdict toy to full")
    assert Run.objects.get(run_id=record.id).newest is False


def test_a_day_counts_how_its_claims_came_out() -> None:
    assert "How the claims came out" not in page(Client(), "/")
    over(MANY)
    shown = page(Client(), "/")
    assert "How the claims came out" in shown
    assert "6 claims of 1 paper on this list" in shown
    assert "How the claims came out" not in page(Client(), "/papers/date/2026-04-16")


# Search


def hits(query: str) -> list[str]:
    index_pending()
    return [hit.id for hit in index().search(query, mode="lexical").hits]


def test_search_filters_by_verdict_scale_and_time() -> None:
    assert hits("has:replication") == [PAPER]
    assert hits("scale:toy") == [PAPER]
    assert hits("verdict:matched") == []
    over(["matched", "not matched"])
    for query in ("verdict:matched", "verdict:not-matched", "runs:<2min", "runs:100", "scale:toy verdict:matched lateral"):
        assert hits(query) == [PAPER], query
    for query in ("verdict:void", "runs:<1min", "runs:>2min", "scale:full"):
        assert hits(query) == [], query
    shown = page(Client(), "/search?q=inhibition")
    assert "verdict%3Anot-matched" in shown
    over(["void"], at=AT + timedelta(days=9))
    assert hits("verdict:matched") == []
    assert hits("verdict:void") == [PAPER]


# Feeds and badge


def test_new_and_changed_verdicts_are_a_feed() -> None:
    over(["matched", "void"], at=AT)
    over(["matched", "void"], at=AT + timedelta(days=1))
    last = over(["not matched", "void"], at=AT + timedelta(days=2))
    atom = Client().get("/ledger/feed.atom")
    found = feedparser.parse(atom.content)
    assert not found.bozo
    title = "Lateral Inhibition Trains Deep Spiking Networks"
    assert [entry.title for entry in found.entries] == [
        f"Not matched, was matched: learns ({title})",
        f"Matched: learns ({title})",
        f"Void: learns a lot ({title})",
    ]
    assert found.entries[0].link == f"http://testserver/runs/{last.run_id}#learns"
    assert len({entry.id for entry in found.entries}) == 3
    assert Client().get("/ledger/feed.atom", headers={"If-None-Match": atom["ETag"]}).status_code == 304
    rss = feedparser.parse(Client().get("/ledger/feed.rss").content)
    assert not rss.bozo
    items = json.loads(Client().get("/ledger/feed.json").content)["items"]
    assert [item["_pr"]["before"] for item in items] == ["matched", "", ""]
    assert [entry.title for entry in rss.entries] == [item["title"] for item in items]


def test_a_badge_is_an_image_of_its_own() -> None:
    assert "not run yet" in page(Client(), f"/papers/{PAPER}/badge.svg")
    over(["matched", "void"])
    response = Client().get(f"/papers/{PAPER}/badge.svg")
    image = etree.fromstring(response.content)
    assert image.get("aria-label") == "pressrun: 1 matched, 1 void"
    assert [use.get("href") for use in image.iter("{*}use")] == ["#matched", "#void"]
    assert "sandbox" in response["Content-Security-Policy"]
    assert Client().get("/papers/2510.06036/badge.svg").status_code == 404


# APIs


def test_the_hugging_face_answers_carry_the_replication() -> None:
    run = over(["matched", "void"])
    found = Client().get(f"/api/papers/{PAPER}").json()["replication"]
    assert found == {
        "name": "tiny", "verdicts": "1 matched, 1 void", "scale": "toy", "judged": "2026-05-01T12:01:40+00:00",
        "seconds": "100.0", "run": run.run_id,
    }  # fmt: skip
    items = {item["paper"]["id"]: item["replication"] for item in Client().get("/api/daily_papers").json()}
    assert items[PAPER] == found
    assert items["2510.06036"] is None


def test_our_own_api_gives_every_claim() -> None:
    over(["matched", "void"])
    found = Client().get(f"/api/v1/papers/{PAPER}").json()["replication"]
    assert (found["name"], found["installed"], found["elsewhere"], found["seconds"]) == ("tiny", True, False, 100.0)
    assert [(claim["id"], claim["verdict"]) for claim in found["claims"]][:3] == [
        ("learns", "matched"),
        ("learns-a-lot", "void"),
        ("stays-small", "not run yet"),
    ]
    first = found["claims"][0]
    assert (first["estimate"], first["low"], first["high"], first["threshold"]) == (0.5, 0.4, 0.6, 0.3)
    assert first["rule"] == "The score of ours is higher than that of plain by at least 0.3."
    assert Client().get("/api/v1/papers/2510.06036").json()["replication"] is None


def test_oai_harvesters_get_the_papers_with_verdicts_as_a_set() -> None:
    def records(query: str) -> list[str]:
        tree = etree.fromstring(Client().get(f"/oai?verb=ListIdentifiers&metadataPrefix=oai_dc&{query}").content)
        return [found.text.rsplit(":", 1)[-1] for found in tree.iter("{*}identifier")]

    assert records("set=replicated") == []
    before = Paper.objects.get(arxiv_id=PAPER).modified
    over(["matched"])
    assert records("set=replicated") == [PAPER]
    assert Paper.objects.get(arxiv_id=PAPER).modified > before
    sets = etree.fromstring(Client().get("/oai?verb=ListSets").content)
    assert "replicated" in [found.text for found in sets.iter("{*}setSpec")]


def test_agents_read_verdicts_and_runs_and_may_start_one_at_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from pressrun.web.api import mcp
    from pressrun.web.errors import BadInput
    from pressrun.web.runs import starting

    run = over(["matched", "void"])
    found = mcp.verdicts(PAPER)
    assert [(claim.id, claim.verdict) for claim in found.claims][:2] == [("learns", "matched"), ("learns-a-lot", "void")]
    assert found.run == run.run_id
    with pytest.raises(BadInput, match=r"nobody has written a replication of 2510\.06036 yet"):
        mcp.verdicts("2510.06036")
    status = mcp.run_status(run.run_id)
    assert (status.state, status.verdicts) == ("succeeded", {"learns": "matched", "learns-a-lot": "void"})
    with pytest.raises(BadInput, match="there is no run 'nothing' here"):
        mcp.run_status("nothing")

    with pytest.raises(BadInput, match="runs can be started over standard input and output only"):
        mcp.run_replication(PAPER, preset="smoke")
    monkeypatch.setattr(mcp, "_owner_asks", True)
    monkeypatch.setattr(starting, "start", lambda record, at_once: None)
    status = mcp.run_replication(PAPER, preset="smoke", knobs={"steps": "4"})
    assert (status.state, status.preset, status.changed_knobs) == ("queued", "smoke", {"steps": 4})
    assert load_record(sync.runs_dir() / status.run).requester == "the owner, by an agent"
    with pytest.raises(BadInput, match="steps must be a whole number from 2 to 1000, got '0'"):
        mcp.run_replication(PAPER, knobs={"steps": "0"})


# The ledger that a package brings


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ledger of the replication, written from a run elsewhere, whose directory is then gone."""
    import shutil

    path = tmp_path / "package" / "ledger" / "tiny.json"
    monkeypatch.setattr(ledger, "path_of", lambda replication: path)
    run = over(MANY)
    folder = sync.runs_dir() / run.folder
    record = load_record(folder)
    machine = Machine(cpu="Some CPU", cores=4, memory=8 * 2**30, accelerator="none", driver="none")
    write_record(record.model_copy(update={"machine": machine}))
    ledger.write(path, load_record(folder))
    shutil.rmtree(folder)
    sync.sync_all()
    return path


def test_verdicts_from_elsewhere_are_shown_as_such_until_there_are_own_ones(shipped: Path) -> None:
    assert [outcome.verdict for outcome in Outcome.objects.filter(latest=True, run=None)] == MANY
    paper = page(Client(), f"/papers/{PAPER}")
    assert "Not run on this installation yet." in paper
    assert "1 May 2026, elsewhere<br>Some CPU, 4 cores, 8 GB, no accelerator" in paper
    assert "run elsewhere" in page(Client(), "/ledger")
    assert "run elsewhere" in strip()
    assert Client().get(f"/api/v1/papers/{PAPER}").json()["replication"]["elsewhere"] is True
    assert not feedparser.parse(Client().get("/ledger/feed.atom").content).entries

    over(["void"], at=AT - timedelta(days=99))
    assert [outcome.verdict for outcome in Outcome.objects.filter(latest=True)] == ["void"]
    assert "Not run on this installation yet." not in page(Client(), f"/papers/{PAPER}")
    sync.sync_all()
    assert [outcome.verdict for outcome in Outcome.objects.filter(latest=True)] == ["void"]


def test_a_ledger_that_is_gone_or_broken_is_left_out(shipped: Path) -> None:
    content = shipped.read_text()
    shipped.write_text(content[:200])
    sync.sync_all()
    assert not Outcome.objects.exists()
    shipped.write_text(content)
    sync.sync_all()
    assert Outcome.objects.count() == 6
    shipped.unlink()
    sync.sync_all()
    assert not Outcome.objects.exists()
    assert page(Client(), "/ledger")


def test_only_a_run_that_counts_becomes_the_ledger(tmp_path: Path) -> None:
    run = over(["matched"], given={"knob.steps": "5"})
    with pytest.raises(RunError, match="does not count for the ledger"):
        ledger.write(tmp_path / "tiny.json", load_record(sync.runs_dir() / run.folder))


def test_a_replication_that_cannot_be_read_is_named_to_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "broken-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[pressrun.replications]\nnowhere = nowhere_at_all.module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed.forget()
    assert "replication nowhere cannot be found" in page(owner(), "/ledger")
    assert "nowhere" not in page(Client(), "/ledger")


def test_a_card_follows_a_run_that_ended_while_nobody_looked() -> None:
    record = queued()
    sync.catch_up()
    assert strip().startswith("queued")
    ended = StateChange(state=State.FAILED, at=datetime.now(UTC))
    write_record(record.model_copy(update={"states": (*record.states, ended)}))
    assert strip().startswith("failed so no verdict")
