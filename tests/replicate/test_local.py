"""Runs on this machine: what a worker has and has not, what it may use, and what is said when it takes more."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pressrun.replicate import Evidence
from pressrun.replicate.compare import compare
from pressrun.replicate.ending import judge_run
from pressrun.replicate.local import as_size
from pressrun.replicate.record import Limits, RunError, RunRecord, live
from pressrun.replicate.run import sha256_of
from pressrun.replicate.runs import cancel, read_run, redraw, rerun, start
from pressrun.replicate.watch import watch
from tests.replicate import runs


def test_it_judges_the_claims_of_a_run_that_succeeded(coin_run: RunRecord) -> None:
    assert coin_run.state == "succeeded"
    assert [(verdict["claim_id"], verdict["verdict"]) for verdict in coin_run.verdicts] == [
        ("loaded-coin-shows-heads", "matched")
    ]
    assert coin_run.counts
    assert [verdict.to_json() for verdict in judge_run(coin_run)] == list(coin_run.verdicts)
    assert Evidence.read(coin_run.path / "evidence.parquet").seeds == (0, 1, 2)
    assert "--- seed 2\na word on standard output\n" in (coin_run.path / "stdout.txt").read_text()
    assert not (coin_run.path / "scratch").exists()


def test_the_same_again_gives_the_same_evidence(coin_run: RunRecord) -> None:
    again = rerun(coin_run, runs.fixture("coin"), requester="another test")
    start(again)
    again = runs.finished(again)
    comparison = compare(coin_run, again)
    assert again.parent == coin_run.id
    assert comparison.identical
    assert comparison.sentence() == "The evidence is identical, to the last bit."
    assert comparison.asked == ()
    assert sha256_of(again.path / "figures/figure.svg") == coin_run.files["figures/figure.svg"].sha256


def test_it_tells_two_runs_apart(coin_run: RunRecord, tmp_path: Path) -> None:
    other = runs.seen_through(runs.ask(tmp_path, "coin", seeds=(0, 1, 2), knobs={"load": 0.5}))
    comparison = compare(coin_run, other)
    assert [(each.what, each.a, each.b) for each in comparison.asked] == [("knob load", "0.8", "0.5")]
    assert [(pair.a.verdict, pair.b.verdict) for pair in comparison.claims if pair.a and pair.b] == [("matched", "not matched")]
    # 5 steps in 3 arms for 3 seeds; the fair coins are tossed after the loaded one by the same generator, so they are the same
    assert [(pair.shared, pair.differing) for pair in comparison.metrics] == [(45, 15)]
    assert comparison.sentence().endswith("the verdict changed for loaded-coin-shows-heads.")
    assert other.changed == {"load": 0.5}
    assert not other.counts


def test_a_smoke_run_has_no_verdict(tmp_path: Path) -> None:
    record = runs.seen_through(runs.ask(tmp_path, "coin", preset="smoke"))
    assert record.state == "succeeded"
    assert record.verdicts == ()
    assert record.not_judged == "not judged: smoke proves only that it runs"
    with pytest.raises(RunError, match="has no verdicts: not judged: smoke proves only that it runs"):
        judge_run(record)


def test_a_worker_sees_no_secrets_and_no_network(tmp_path: Path) -> None:
    record = runs.seen_through(runs.trouble(tmp_path, "look"))
    seen = json.loads(runs.logged(record)[0])
    assert seen["environment"]["PRESSRUN_RUN"] == record.id
    assert "PRESSRUN_SECRET_KEY" not in seen["environment"]
    assert seen["environment"]["OMP_NUM_THREADS"] == str(record.threads)
    assert seen["environment"]["HOME"] == seen["cwd"] == str(record.path / "scratch" / "0")
    assert seen["umask"] == 0o077
    assert record.network == "cut" or record.network.startswith("open: ")
    assert (seen["network"] == "Network is unreachable") or record.network != "cut"


def test_a_run_whose_figure_cannot_be_drawn_has_succeeded(tmp_path: Path) -> None:
    record = runs.seen_through(runs.trouble(tmp_path, "nothing", seeds=(0, 1)))
    assert record.state == "succeeded"
    assert record.no_figure == "the figure could not be drawn: it failed: RuntimeError: there is nothing to see"
    assert len(record.verdicts) == 1
    with pytest.raises(RunError, match="the figure could not be drawn: it failed: RuntimeError: there is nothing to see"):
        redraw(record)


@pytest.mark.parametrize(
    ("way", "note"),
    [
        ("raise", "seed 0 failed: ValueError: lr must be positive, got 0"),
        ("exit", "seed 0 failed: SystemExit: 0"),
        ("kill", "seed 0 was killed by signal 11 (SIGSEGV)"),
        ("undeclared", "seed 0 failed: EvidenceError: metric 'other' is not declared in METRICS, which has value"),
    ],
)
def test_it_says_why_a_seed_failed_and_keeps_what_it_recorded(tmp_path: Path, way: str, note: str) -> None:
    record = runs.seen_through(runs.trouble(tmp_path, way))
    assert (record.state, record.note) == ("failed", note)
    assert record.not_judged == "not judged: the run failed"
    assert Evidence.read(record.path / "evidence.parquet").values("value", "arm") == {0: 1.0}
    assert record.results[0].signal == ("SIGSEGV" if way == "kill" else None)
    assert record.results[0].exit_code == (None if way == "kill" else 1)


@pytest.mark.parametrize(
    ("way", "limits", "state", "note", "hit"),
    [
        ("hang", Limits(wall=3), "timed out", "timed out: wall limit 3 s", "wall"),
        ("spin", Limits(cpu=2), "timed out", "timed out: CPU limit 2 s in seed 0", "cpu"),
        ("eat", Limits(memory=400 * 2**20), "out of memory", "out of memory: memory limit 400 MB", "memory"),
        ("shout", Limits(output=2 * 2**20), "failed", "too much output: output limit 2 MB", "output"),
    ],
)
def test_it_names_the_limit_that_was_hit(tmp_path: Path, way: str, limits: Limits, state: str, note: str, hit: str) -> None:
    record = runs.seen_through(runs.trouble(tmp_path, way, limits=limits))
    assert (record.state, record.note, record.limit_hit) == (state, note, hit)
    if hit != "wall":  # on a busy machine the time may be over before there is anything
        assert Evidence.read(record.path / "evidence.parquet").values("value", "arm") == {0: 1.0}
    assert record.results[0].state == state


def test_a_traceback_does_not_say_where_things_lie_on_this_machine(tmp_path: Path) -> None:
    record = runs.seen_through(runs.trouble(tmp_path, "raise"))
    said = (record.path / "stdout.txt").read_text()
    assert 'File "tests/replicate/fixtures/trouble.py"' in said
    assert str(runs.ROOT) not in said
    assert sys.prefix not in said


def test_the_first_failure_ends_the_other_seeds(tmp_path: Path) -> None:
    record = runs.seen_through(runs.trouble(tmp_path, "raise", seeds=(0, 1, 2, 3, 4, 5), parallel=1))
    assert [result.seed for result in record.results] == [0]


def test_it_refuses_cards_that_are_not_the_locked_ones(tmp_path: Path) -> None:
    record = runs.ask(tmp_path, "coin")
    forged = record.model_copy(update={"cards": (record.cards[0].model_copy(update={"sha256": "0" * 64}),)})
    record = runs.seen_through(forged)
    assert record.state == "failed"
    assert record.note == (
        "seed 0 failed: the claim cards of tests.replicate.fixtures.coin differ from the locked ones (loaded-coin-shows-heads): "
        "give them a new version and lock them"
    )


def test_a_queued_run_can_be_cancelled(tmp_path: Path) -> None:
    record = runs.ask(tmp_path, "coin")
    cancel(record, "a test")
    record = read_run(record.path)
    assert (record.state, record.note) == ("cancelled", "cancelled by a test")
    with pytest.raises(RunError, match=r"is over \(cancelled\); there is nothing to cancel"):
        cancel(record)
    with pytest.raises(RunError, match="is cancelled; only a queued run can be started"):
        start(record)


def test_a_running_run_can_be_cancelled(tmp_path: Path) -> None:
    record = runs.trouble(tmp_path, "hang", seeds=(0, 1))
    start(record)
    runs.recording(record, seeds=2)
    with pytest.raises(RunError, match="was started before"):
        start(record)
    cancel(record, "a test")
    record = runs.finished(record)
    assert (record.state, record.note) == ("cancelled", "cancelled by a test")
    assert Evidence.read(record.path / "evidence.parquet").values("value", "arm") == {0: 1.0, 1: 2.0}
    assert {result.state for result in record.results} == {"cancelled"}


def test_runs_wait_for_their_turn_in_order(tmp_path: Path) -> None:
    first, second, third, fourth = (runs.trouble(tmp_path, way) for way in ("hang", "raise", "raise", "raise"))
    start(first)
    runs.recording(first)
    for record in (fourth, third, second):  # the order of submission counts, not of starting
        start(record)
    for record in (second, third, fourth):
        assert runs.soon(lambda: any((tmp_path / ".queue").glob(f"*-{record.id}")))  # noqa: B023
        assert read_run(record.path).state == "queued"
    cancel(third, "a test")  # a waiting one can be cancelled, too
    third = runs.finished(third)
    assert read_run(second.path).state == "queued"
    cancel(first, "a test")
    began = [
        next(change.at for change in runs.finished(record).states if change.state == "running") for record in (second, fourth)
    ]
    assert began == sorted(began)
    assert [change.state for change in third.states] == ["queued", "cancelled"]
    assert not list((tmp_path / ".queue").glob("0*"))


def test_two_may_run_at_once_where_that_is_allowed(tmp_path: Path) -> None:
    both = [runs.trouble(tmp_path, "hang") for _ in range(2)]
    for record in both:
        start(record, at_once=2)
    for record in both:
        runs.recording(record)
    for record in both:
        cancel(record)
        runs.finished(record)


def test_watching_tells_everything_and_goes_on_after_a_reload(coin_run: RunRecord) -> None:
    events = list(watch(coin_run))
    assert [event.data["state"] for event in events if event.kind == "state"] == ["queued", "starting", "running", "succeeded"]
    assert events[-1].data["state"] == "succeeded"
    assert sum(event.kind == "evidence" for event in events) == 45
    assert [event.data["text"] for event in events if event.kind == "log"] == ["all tossed"] * 3
    assert {event.data["text"] for event in events if event.kind == "output"} == {"a word on standard output\n"}
    for seen in (1, 7, len(events) - 1):
        assert list(watch(coin_run, events[seen - 1].cursor)) == events[seen:]
    assert list(watch(coin_run, events[-1].cursor)) == []
    assert list(watch(coin_run, "nonsense")) == events


def test_many_watch_while_it_runs(tmp_path: Path) -> None:
    record = runs.trouble(tmp_path, "slow")
    start(record)
    early = watch(record)
    first = [next(early) for _ in range(5)]
    late = list(watch(record))
    seen = [event for event in [*first, *early] if event.kind != "usage"]
    assert [(event.kind, event.data) for event in seen if event.kind == "evidence"] == [
        (event.kind, event.data) for event in late if event.kind == "evidence"
    ]
    assert sum(event.kind == "evidence" for event in late) == 41
    assert seen[-1].data["state"] == "succeeded"
    heart = live(read_run(record.path))
    assert heart is not None
    assert heart.memory > 0


@pytest.mark.parametrize(
    ("size", "text"), [(400 * 2**20, "400 MB"), (512, "512 bytes"), (1.5 * 2**30, "1.5 GB"), (2**41, "2048 GB")]
)
def test_sizes_are_told_for_people(size: float, text: str) -> None:
    assert as_size(size) == text
