"""Runs on the site: who may start one, what its page shows, what becomes of broken ones."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries, Settings

from pressrun.replicate.record import State, load_record, write_record
from pressrun.web.papers.models import Paper
from pressrun.web.runs import installed, starting, sync
from pressrun.web.runs.live import stream
from pressrun.web.runs.models import Outcome, Run
from tests.web.runs import PAPER, events, finished, over, owner, queued

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("papers", "shelf")]

MANY = ["matched", "partly matched", "not matched", "too noisy", "void", "matched"]


def page(client: Client, address: str, status: int = 200) -> str:
    response = client.get(address)
    assert response.status_code == status, response.content[:300]
    return response.content.decode()


def started(client: Client, **given: str) -> Run:
    response = client.post(f"/papers/{PAPER}/runs", given)
    assert response.status_code == 302, response.content[-3000:]
    return Run.objects.get(run_id=response["Location"].rsplit("/", 1)[1])


# The whole way


@pytest.mark.django_db(transaction=True)
def test_a_run_goes_from_the_button_to_verdicts_figure_and_files() -> None:
    client = owner()
    run = started(client, preset="laptop")
    assert load_record(sync.runs_dir() / run.folder).command == f"pressrun run {PAPER} --preset laptop"
    assert finished(run.run_id).state == "succeeded"

    assert list(Outcome.objects.values_list("claim_id", "verdict", "latest")) == [
        ("learns", "matched", True),
        ("learns-a-lot", "partly matched", True),
        ("stays-small", "not matched", True),
        ("is-steady", "too noisy", True),
        ("cannot-tell", "void", True),
        ("counts", "matched", True),
    ]
    shown = page(client, f"/runs/{run.run_id}")
    assert "2 matched, 1 partly matched, 1 not matched, 1 too noisy, 1 void" in shown
    assert "5 of 5 seeds done" in shown
    assert "passes too: this test cannot tell" in shown
    assert f'src="/runs/{run.run_id}/files/figure.svg"' in shown
    assert 'aria-label="score by step, last values: ours 0.8945, plain 0.3905, shuffled 0.3711"' in shown

    paper = page(Client(), f"/papers/{PAPER}")
    assert (
        'aria-label="matched: estimate 0.5041, interval 0.4879 to 0.5202, threshold at least 0.3, control, labels shuffled: '
        in paper
    )
    assert "Rule: The score of ours is higher than that of plain by at least 0.3." in paper
    assert "exact" in paper

    figure = client.get(f"/runs/{run.run_id}/files/figure.svg")
    assert figure["Content-Type"] == "image/svg+xml"
    assert figure["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    table = page(client, f"/runs/{run.run_id}/files/evidence.csv").splitlines()
    assert table[0] == "seed,arm,metric,value,unit,step"
    assert len(table) == 1 + 5 * (3 * 20 + 6)
    assert client.get(f"/runs/{run.run_id}/files/evidence.parquet").content[:4] == b"PAR1"
    assert client.get(f"/runs/{run.run_id}/bundle").content[:2] == b"PK"

    second = client.post(f"/runs/{run.run_id}/again")
    repeated = finished(second["Location"].rsplit("/", 1)[1])
    assert load_record(sync.runs_dir() / repeated.folder).parent == run.run_id
    beside = page(client, f"/runs/{run.run_id}/compare/{repeated.run_id}")
    assert "The evidence is identical, to the last bit." in beside
    assert "the run that this repeats" in page(client, f"/runs/{repeated.run_id}")


@pytest.mark.django_db(transaction=True)
def test_a_run_with_a_changed_knob_is_marked_and_stays_out_of_the_ledger() -> None:
    client = owner()
    run = finished(started(client, preset="laptop", **{"knob.steps": "5", "knob.rate": ""}, seeds="2").run_id)
    assert (run.state, run.changed, run.counts) == ("succeeded", True, False)
    assert len(run.verdicts) == 6
    assert not Outcome.objects.exists()
    shown = page(client, f"/runs/{run.run_id}")
    assert "With changed knobs:</b> steps 5." in shown
    assert f"pressrun run {PAPER} --preset laptop --seeds 2 --set steps=5" in shown
    assert "not run yet" in page(client, f"/papers/{PAPER}")


@pytest.mark.django_db(transaction=True)
def test_a_run_that_raises_says_so_and_keeps_what_it_recorded() -> None:
    run = finished(started(owner(), preset="smoke", **{"knob.ending": "badly"}).run_id)
    assert run.state == "failed"
    shown = page(Client(), f"/runs/{run.run_id}")
    assert "ValueError: the rate 0.1 led nowhere in seed 0" in shown
    assert "score by step" in shown
    assert "not judged" in shown


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_supervisor_is_killed_is_shown_as_lost() -> None:
    run = started(owner(), preset="laptop", **{"knob.pace": "5"})
    path = sync.runs_dir() / run.folder
    while (record := load_record(path)).state is not State.RUNNING:
        asyncio.run(asyncio.sleep(0.05))
    assert record.supervisor is not None
    os.kill(record.supervisor[0], signal.SIGKILL)
    assert finished(run.run_id).state == "lost"
    assert "was gone before it could end the run" in page(Client(), f"/runs/{run.run_id}")


@pytest.mark.django_db(transaction=True)
def test_a_run_is_cancelled_by_whoever_asked_for_it() -> None:
    client = owner()
    run = started(client, preset="laptop", **{"knob.pace": "5"})
    assert "Cancel the run" in page(client, f"/runs/{run.run_id}")
    assert "Cancel the run" not in page(Client(), f"/runs/{run.run_id}")
    assert client.post(f"/runs/{run.run_id}/cancel").status_code == 302
    assert finished(run.run_id).state == "cancelled"
    again = client.post(f"/runs/{run.run_id}/cancel")
    assert again.status_code == 400
    assert "there is nothing to cancel" in again.content.decode()


@pytest.mark.django_db(transaction=True)
def test_two_watchers_see_the_same_and_one_that_reloads_goes_on_where_it_was() -> None:
    run = started(owner(), preset="laptop", seeds="2", **{"knob.steps": "10", "knob.pace": "0.05"})

    async def told(last: str = "", until: int | None = None) -> list[tuple[str, dict[str, object], str]]:
        headers = {"Last-Event-ID": last} if last else {}
        response = await AsyncClient().get(f"/runs/{run.run_id}/events", headers=headers)
        assert response["Content-Type"] == "text/event-stream"
        text = ""
        async for part in response.streaming_content:
            text += part.decode()
            if until is not None and len(events(text)) >= until:
                break
        return events(text)

    async def watch() -> tuple[list[tuple[str, dict[str, object], str]], ...]:
        begun = await told(until=12)
        rest, whole = await asyncio.gather(told(last=begun[-1][2]), told())
        return begun, rest, whole

    begun, rest, whole = asyncio.run(watch())
    scores = [data for kind, data, _ in whole if kind == "evidence" and "score" in data["values"]]
    assert len(scores) == 2 * 3 * 10
    assert [kind for kind, _, _ in whole][-2:] == ["state", "over"]
    assert [data for kind, data, _ in whole if kind == "state"][-1]["state"] == "succeeded"
    # Nothing is told twice and nothing is left out by the reload.
    seen = [(kind, json.dumps(data)) for kind, data, _ in begun + rest]
    assert sorted(seen) == sorted((kind, json.dumps(data)) for kind, data, _ in whole)


def test_the_stream_of_a_run_that_is_over_ends_and_goes_on_after_any_cursor() -> None:
    run = over(MANY)

    async def text(cursor: str) -> str:
        return "".join([part async for part in stream(sync.runs_dir() / run.folder, cursor)])

    whole = events(asyncio.run(text("")))
    assert [(kind, data.get("state")) for kind, data, _ in whole] == [
        ("state", "queued"),
        ("state", "running"),
        ("state", "succeeded"),
        ("over", None),
    ]
    assert [kind for kind, _, _ in events(asyncio.run(text(whole[1][2])))] == ["state", "over"]
    assert len(events(asyncio.run(text("no cursor at all")))) == 4


# Who may


def member(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name)
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    ("who", "status"), [("nobody", 403), ("a reader", 403), ("a member", 302), ("the owner", 302), ("the owner elsewhere", 403)]
)
def test_runs_are_started_by_those_who_may(who: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "start", lambda record, at_once: None)
    clients = {
        "nobody": Client,
        "a reader": lambda: member("reader"),
        "a member": lambda: member("member", "add_run"),
        "the owner": owner,
        "the owner elsewhere": lambda: _moved(owner()),
    }
    client = clients[who]()
    response = client.post(f"/papers/{PAPER}/runs", {"preset": "smoke"})
    assert response.status_code == status
    assert Run.objects.count() == (status == 302)
    assert ("Only the owner of this installation" in response.content.decode()) == (status == 403)
    assert ('type="submit">Run<' in page(client, f"/papers/{PAPER}")) == (status == 302)


def _moved(client: Client) -> Client:
    client.defaults["REMOTE_ADDR"] = "192.0.2.7"
    return client


def test_a_member_cancels_their_own_run_only() -> None:
    mine, other = queued(requester="ada"), queued(requester="the owner")
    client = member("ada", "add_run")
    sync.catch_up()
    assert client.post(f"/runs/{other.id}/cancel").status_code == 403
    assert client.post(f"/runs/{mine.id}/cancel").status_code == 302
    assert Run.objects.get(run_id=mine.id).state == "cancelled"
    assert Client().post(f"/runs/{other.id}/cancel").status_code == 403


def test_looking_at_a_run_that_moves_writes_nothing_while_it_stays_as_it_is() -> None:
    run = queued()
    sync.catch_up()
    with CaptureQueriesContext(connection) as asked:
        sync.catch_up()
        Client().get(f"/papers/{PAPER}")
    assert [query["sql"] for query in asked if not query["sql"].startswith("SELECT")] == []
    assert Run.objects.get(run_id=run.id).moving


def test_a_post_without_the_token_of_the_page_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post(f"/papers/{PAPER}/runs", {"preset": "smoke"}).status_code == 403
    assert not Run.objects.exists()


def test_readers_get_no_cookie() -> None:
    for address in (f"/papers/{PAPER}", "/runs", "/ledger"):
        assert not Client().get(address).cookies


def test_the_owners_link_works_once_and_from_this_machine_only(settings: Settings) -> None:
    from pressrun.web.runs.access import new_token

    token = new_token()
    kept = settings.HOME / "owner-token"
    assert token not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert Client().get("/owner", {"token": "wrong"}).status_code == 403
    assert Client(REMOTE_ADDR="192.0.2.7").get("/owner", {"token": token}).status_code == 403
    assert Client().get("/owner", {"token": token}).status_code == 302
    used = Client().get("/owner", {"token": token})
    assert used.status_code == 403
    assert "This link was used before" in used.content.decode()
    old, _ = new_token(), new_token()
    assert Client().get("/owner", {"token": old}).status_code == 403
    assert Client().get("/owner").status_code == 403


# What is asked for


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"knob.steps": "0"}, "steps must be a whole number from 2 to 1000, got &#x27;0&#x27;"),
        ({"knob.steps": "many"}, "steps must be a whole number from 2 to 1000, got &#x27;many&#x27;"),
        ({"knob.rate": "nan"}, "rate must be a number from 0 to 1, got &#x27;nan&#x27;"),
        ({"knob.ending": "soon"}, "ending must be one of well, badly, got &#x27;soon&#x27;"),
        ({"seeds": "51"}, "seeds must be a whole number from 1 to 50, got &#x27;51&#x27;"),
        ({"preset": "huge"}, "The preset must be one of smoke, laptop, paper, got &#x27;huge&#x27;"),
    ],
)
def test_a_form_that_does_not_fit_comes_back_with_what_is_wrong(given: dict[str, str], sentence: str) -> None:
    response = owner().post(f"/papers/{PAPER}/runs", {"preset": "laptop", **given})
    assert response.status_code == 400
    assert sentence in response.content.decode()
    assert not Run.objects.exists()
    assert not sync.runs_dir().exists()


def test_a_form_keeps_what_was_typed_beside_the_field_that_is_wrong() -> None:
    shown = owner().post(f"/papers/{PAPER}/runs", {"preset": "paper", "knob.steps": "1<", "knob.rate": "0.5"}).content.decode()
    assert 'value="1&lt;"' in shown
    assert 'value="0.5"' in shown
    assert re.search(r'value="paper" checked', shown)
    assert 'aria-invalid="true"' in shown


def test_a_knob_that_does_not_exist_is_named() -> None:
    shown = owner().post(f"/papers/{PAPER}/runs", {"knob.speed": "1"}).content.decode()
    assert "1 field does not fit" in shown
    with pytest.raises(starting.Refused, match="there is no knob 'speed'; knobs are steps, rate, pace, ending, loud"):
        starting.asked(installed.replications()["tiny"], {"knob.speed": "1"})


def test_the_queue_has_an_end(settings: Settings) -> None:
    settings.RUNS_WAITING = 2
    queued(), queued()
    client = owner()
    sync.catch_up()
    response = client.post(f"/papers/{PAPER}/runs", {"preset": "smoke"})
    assert response.status_code == 503
    assert "2 runs wait or run already, which is as many as this installation takes" in response.content.decode()
    assert "disabled>Run<" in page(client, f"/papers/{PAPER}")
    assert Run.objects.count() == 2


def test_a_paper_without_a_replication_says_so() -> None:
    shown = page(owner(), "/papers/2510.06036")
    assert "Nobody has written a replication of this paper" in shown
    assert "What it claims" not in shown
    response = owner().post("/papers/2510.06036/runs", {"preset": "smoke"})
    assert response.status_code == 400
    assert "there is no replication of 2510.06036 here" in response.content.decode()
    assert owner().post("/papers/2512.99999/runs").status_code == 404


def test_the_panel_offers_presets_knobs_with_bounds_and_the_command() -> None:
    shown = page(owner(), f"/papers/{PAPER}")
    assert re.findall(r'name="preset" value="(\w+)"', shown) == ["smoke", "laptop", "paper"]
    assert 'name="knob.steps" type="number" inputmode="decimal" value="" placeholder="20" step="1" min="2" max="1000"' in shown
    assert 'data-paper="200"' in shown
    assert '<select id="knob-4" name="knob.ending"' in shown
    assert "time not known yet" in shown
    assert f"pressrun run {PAPER}" in shown


# Untrusted text


def test_text_of_a_replication_is_text() -> None:
    run = over(MANY)
    path = sync.runs_dir() / run.folder / "seeds"
    path.mkdir()
    (path / "0.events.jsonl").write_text(json.dumps({"kind": "log", "at": 1.0, "text": "<script>alert(2)</script>"}) + "\n")
    (path / "0.jsonl").write_text(
        "".join(json.dumps({"arm": "<img src=x>", "step": n, "values": {"score": n}}) + "\n" for n in range(3))
    )
    for address in (f"/papers/{PAPER}", f"/runs/{run.run_id}", "/ledger", "/runs"):
        shown = page(Client(), address)
        assert "<script>alert" not in shown
        assert "<img src=x>" not in shown
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in page(Client(), f"/runs/{run.run_id}")
    assert "&lt;img src=x&gt;" in page(Client(), f"/runs/{run.run_id}")
    assert "Anything &lt;b&gt;larger&lt;/b&gt; than this." in page(Client(), f"/papers/{PAPER}")


# Broken records


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 9}', '{"format": 1, "id": "x"}'])
def test_a_record_that_cannot_be_read_is_a_sentence_and_hides_no_other_run(content: str) -> None:
    whole, broken = over(MANY), over(MANY, at=datetime(2026, 5, 2, tzinfo=UTC))
    (sync.runs_dir() / broken.folder / "run.json").write_text(content)
    sync.sync_all()
    shown = page(Client(), "/runs")
    assert whole.run_id in shown
    assert "unreadable" in shown
    for address in (f"/runs/{broken.run_id}", f"/papers/{PAPER}"):
        shown = page(Client(), address)
        assert f"{broken.run_id}/run.json" in shown
        assert str(sync.runs_dir()) not in shown
    assert "This run cannot be shown" in page(Client(), f"/runs/{broken.run_id}")
    assert page(Client(), "/ledger")


def test_a_run_that_was_never_started_is_lost() -> None:
    record = queued(at=datetime.now(UTC) - timedelta(minutes=5))
    assert sync.start_up() == 1
    assert "lost: it was never started" in page(Client(), f"/runs/{record.id}").lower()
    assert sync.start_up() == 0


def test_a_run_whose_directory_is_removed_leaves_the_site() -> None:
    import shutil

    first, second = over(["not matched"]), over(["matched"], at=datetime(2026, 5, 2, tzinfo=UTC))
    shutil.rmtree(sync.runs_dir() / second.folder)
    assert page(Client(), f"/runs/{second.run_id}", status=404)
    assert [(outcome.verdict, outcome.latest) for outcome in Outcome.objects.all()] == [("not matched", True)]
    assert first.run_id in page(Client(), "/runs")


@pytest.mark.parametrize("run_id", ["nothing", "..", "%00", "a" * 300, "tiny-20260101-000000-0000"])
def test_a_run_that_is_not_here_is_not_found(run_id: str) -> None:
    for rest in ("", "/events", "/files/run.json", "/bundle"):
        assert Client().get(f"/runs/{run_id}{rest}").status_code in (400, 404)


@pytest.mark.parametrize("name", ["secret-key", "..%2Frun.json", "live.json", "run.lock", "figure.svg"])
def test_only_named_files_are_given_out(name: str) -> None:
    run = over(MANY)
    assert Client().get(f"/runs/{run.run_id}/files/{name}").status_code == 404


# Lists


def test_runs_are_filtered() -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    good = over(["matched", "void"], at=at)
    bad = over(state=State.FAILED, at=at + timedelta(hours=1))
    small = over(at=at + timedelta(hours=2), given={"preset": "smoke"})

    def shown(query: str) -> set[str]:
        return set(re.findall(r'href="/runs/(tiny-[\w-]+)"', page(Client(), f"/runs?{query}")))

    assert shown("") == {good.run_id, bad.run_id, small.run_id}
    assert shown("state=failed") == {bad.run_id}
    assert shown("preset=smoke") == {small.run_id}
    assert shown("verdict=void") == {good.run_id}
    assert shown("verdict=not+matched") == set()
    assert shown(f"paper={PAPER}&state=succeeded") == {good.run_id, small.run_id}
    assert shown("paper=tiny") == {good.run_id, bad.run_id, small.run_id}
    assert shown("paper=2510.06036") == set()


@pytest.mark.parametrize("query", ["state=done", "verdict=maybe", "preset=huge", "page=0", "page=x", "page=9"])
def test_a_filter_that_is_none_is_bad_input(query: str) -> None:
    response = Client().get(f"/runs?{query}")
    assert response.status_code == 400
    assert "must be" in response.content.decode()


def test_lists_cost_a_constant_number_of_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    def cost(address: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            page(Client(), address)
        return len(asked)

    over(MANY)
    addresses = ("/runs", "/ledger", "/", "/ledger.csv", "/ledger/feed.atom", "/api/daily_papers", "/api/v1/papers")
    for address in addresses:
        page(Client(), address)
    few = {address: cost(address) for address in addresses}
    for number in range(8):
        over(MANY, at=datetime(2026, 5, 2 + number, tzinfo=UTC))
    for address in addresses:
        page(Client(), address)
    assert {address: cost(address) for address in addresses} == few


def test_rows_follow_the_records_and_syncing_twice_changes_nothing() -> None:
    over(["matched"])
    record = load_record(sync.runs_dir() / Run.objects.get().folder)
    sync.sync_all()
    before = list(Run.objects.values()), list(Outcome.objects.values())
    sync.sync_all()
    sync.catch_up()
    assert (list(Run.objects.values()), list(Outcome.objects.values())) == before
    write_record(record.model_copy(update={"requester": "somebody else"}))
    sync.sync_all()
    assert Run.objects.get().requester == "somebody else"


def test_a_paper_that_arrives_later_gets_its_runs() -> None:
    over(["matched"])
    Paper.objects.filter(arxiv_id=PAPER).delete()
    assert Outcome.objects.get().paper is None
    assert "which is not in this catalogue" in page(Client(), f"/runs/{Run.objects.get().run_id}")
    from pressrun.web.papers.ingest import Report, save
    from tests.conftest import PAPERS

    save([PAPERS[0]], Report())
    sync.sync_all()
    assert Outcome.objects.get().paper == Paper.objects.get(arxiv_id=PAPER)


def test_an_imported_run_is_shown_and_counts_nowhere() -> None:
    run = over(["matched"])
    (sync.runs_dir() / "imported").mkdir()
    (sync.runs_dir() / run.folder).rename(sync.runs_dir() / "imported" / run.run_id)
    sync.sync_all()
    moved = Run.objects.get()
    assert (moved.imported, moved.counts, moved.folder) == (True, False, f"imported/{run.run_id}")
    assert not Outcome.objects.exists()
    assert "Imported:" in page(Client(), f"/runs/{run.run_id}")
    # This installation vouches for its own runs only.
    assert "was made elsewhere" in page(Client(), f"/runs/{run.run_id}/bundle", status=400)


def test_the_data_directory_of_runs_is_under_home(settings: Settings) -> None:
    assert sync.runs_dir() == Path(settings.HOME) / "runs"
