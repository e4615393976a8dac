"""kill -9 at the worst moment: the record says what happened, and what was recorded is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from pressrun.replicate import Evidence
from pressrun.replicate.record import RunRecord, live, load_record, write_record
from pressrun.replicate.runs import cancel, mark_lost, read_run, start
from pressrun.replicate.watch import watch
from tests.replicate import runs


def worker_of(record: RunRecord, seed: int = 0) -> int:
    """The process id of a seed's worker."""
    return int(json.loads((record.path / "seeds" / f"{seed}.json").read_bytes())["pid"])


def supervisor_of(record: RunRecord) -> int:
    process = load_record(record.path).supervisor
    assert process is not None
    return process[0]


def evidence(record: RunRecord) -> dict[int, float]:
    return Evidence.read(record.path / "evidence.parquet").values("value", "arm")


def started(record: RunRecord, seeds: int = 1) -> RunRecord:
    start(record)
    return runs.recording(record, seeds)


def test_a_killed_worker_fails_the_run_with_its_signal(tmp_path: Path) -> None:
    record = started(runs.trouble(tmp_path, "hang", seeds=(0, 1), parallel=2), seeds=2)
    os.kill(worker_of(record, seed=1), signal.SIGKILL)
    record = runs.finished(record)
    assert record.state == "failed"
    assert record.note == "seed 1 was killed by signal 9 (SIGKILL), as the kernel does when memory runs out"
    assert [(result.seed, result.signal) for result in record.results] == [(0, "SIGKILL"), (1, "SIGKILL")]
    assert record.results[0].note == "stopped with the run"
    assert evidence(record) == {0: 1.0, 1: 2.0}


def test_a_killed_guard_takes_its_worker_with_it(tmp_path: Path) -> None:
    record = started(runs.trouble(tmp_path, "hang"))
    worker = psutil.Process(worker_of(record))
    guard = worker.parent()
    assert guard is not None
    guard.kill()
    record = runs.finished(record)
    assert (record.state, record.results[0].signal) == ("failed", "SIGKILL")
    assert runs.soon(lambda: runs.gone(worker.pid))
    assert evidence(record) == {0: 1.0}


def test_a_killed_supervisor_is_found_as_lost_and_its_workers_die(tmp_path: Path) -> None:
    record = started(runs.trouble(tmp_path, "child"))
    worker = worker_of(record)
    assert runs.soon(lambda: bool(runs.logged(record)))
    child = int(runs.logged(record)[0].removeprefix("child "))
    assert not runs.gone(child)
    os.kill(supervisor_of(record), signal.SIGKILL)
    assert runs.soon(lambda: runs.gone(worker) and runs.gone(child))  # before anybody reads the record
    record = read_run(record.path)
    assert record.state == "lost"
    assert record.note == f"lost: its supervisor (process {supervisor_of(record)}) was gone before it could end the run"
    assert record.not_judged == "not judged: the run was lost"
    assert evidence(record) == {0: 1.0}
    assert list(watch(record))[-1].data["state"] == "lost"
    assert not (record.path / "scratch").exists()


def test_a_restart_finds_what_was_lost(tmp_path: Path) -> None:
    lost, running, queued = (runs.trouble(tmp_path, "hang") for _ in range(3))
    started(lost)
    start(running, at_once=2)
    runs.recording(running)
    os.kill(supervisor_of(lost), signal.SIGKILL)
    assert runs.soon(lambda: runs.gone(supervisor_of(lost)))
    assert [record.id for record in mark_lost(tmp_path)] == [lost.id]
    assert mark_lost(tmp_path) == []
    assert [load_record(record.path).state for record in (running, queued)] == ["running", "queued"]
    cancel(running)
    runs.finished(running)


def test_a_killed_caller_changes_nothing(tmp_path: Path) -> None:
    record = runs.ask(tmp_path, "coin", preset="smoke")
    code = f"""
import os, signal
from pathlib import Path
from pressrun.replicate.record import load_record
from pressrun.replicate.runs import start
start(load_record(Path({str(record.path)!r})))
os.killpg(0, signal.SIGKILL)
"""
    caller = subprocess.run([sys.executable, "-c", code], start_new_session=True, check=False)
    assert caller.returncode == -signal.SIGKILL
    assert runs.finished(record).state == "succeeded"


def test_a_stopped_supervisor_ends_its_run_properly(tmp_path: Path) -> None:
    record = started(runs.trouble(tmp_path, "hang"))
    os.kill(supervisor_of(record), signal.SIGTERM)
    record = runs.finished(record)
    assert record.state == "cancelled"
    assert record.note == "the machine is shutting down, or somebody stopped the supervisor (SIGTERM)"
    assert evidence(record) == {0: 1.0}


def test_a_run_that_nobody_started_is_lost_after_a_while(tmp_path: Path) -> None:
    record = runs.ask(tmp_path, "coin")
    assert read_run(record.path).state == "queued"
    write_record(record.model_copy(update={"created": record.created - timedelta(minutes=2)}))
    assert (read_run(record.path).state, read_run(record.path).note) == ("lost", "lost: it was never started")


def test_a_full_disk_does_not_keep_anybody_from_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = runs.ask(tmp_path, "coin")
    (record.path / "supervisor.txt").touch()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert read_run(record.path).note == "lost, and it cannot be written down: No space left on device"
    assert load_record(record.path).state == "queued"


def test_a_supervisor_that_cannot_start_says_why(tmp_path: Path) -> None:
    record = runs.ask(tmp_path, "coin")
    (record.path / "supervisor.txt").write_text("Traceback\nImportError: no module named numpy\n")
    assert read_run(record.path).note == "lost: its supervisor could not start: Traceback ImportError: no module named numpy"


def test_a_fault_of_pressrun_itself_is_told_as_one(tmp_path: Path) -> None:
    record = runs.ask(tmp_path, "coin")
    (record.path / "seeds").write_text("in the way")
    record = runs.seen_through(record)
    assert record.state == "failed"
    assert record.note.startswith("pressrun itself failed while seeing the run through: ")


def test_rows_that_cannot_be_read_fail_the_run(tmp_path: Path) -> None:
    record = runs.ask(tmp_path, "coin", preset="smoke")
    (record.path / "seeds").mkdir()
    (record.path / "seeds" / "0.jsonl").write_text("not a row\n")
    record = runs.seen_through(record)
    assert record.state == "failed"
    assert record.note.startswith("the evidence cannot be put together or judged: 0.jsonl, line 1, is not a line of evidence")


def test_the_heart_beats_while_it_runs(tmp_path: Path) -> None:
    record = started(runs.trouble(tmp_path, "hang"))
    assert runs.soon(lambda: (heart := live(record)) is not None and heart.seeds == {0: "running"} and heart.memory > 10 * 2**20)
    before = live(record)
    assert runs.soon(lambda: live(record) != before)
    cancel(record)
    runs.finished(record)
