"""Runs on disk: ask for one, start it, end it, read it, do it again. The site and the command line call these and nothing below."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Literal

from pressrun.replicate import local
from pressrun.replicate.discovery import Replication
from pressrun.replicate.ending import EVIDENCE, close, write_cards
from pressrun.replicate.knobs import Value
from pressrun.replicate.machine import allowed_cores
from pressrun.replicate.record import (
    CardRef,
    Limits,
    RunError,
    RunRecord,
    State,
    StateChange,
    checked_seeds,
    hashed_files,
    load_record,
    locked,
    new_id,
    plain_config,
    run_directories,
    try_lock,
    write_record,
    write_whole,
)
from pressrun.replicate.supervisor import figure

SUPERVISOR = "supervisor.txt"  # what the supervisor itself says; it exists once the run was started
UNSTARTED = timedelta(minutes=1)  # a run that was asked for and that nobody started in this time will not start any more


def submit(
    runs_dir: Path,
    replication: Replication,
    config: Mapping[str, Value],
    preset: str,
    changed: Mapping[str, Value],
    seeds: Sequence[int],
    *,
    on: Literal["local", "ray"] = "local",
    limits: Limits | None = None,
    requester: str,
    command: str,
    parent: str | None = None,
    threads: int | None = None,
    parallel: int | None = None,
) -> RunRecord:
    """Write the directory of a new run in state queued; `start` starts it.

    Args:
        runs_dir: where the runs are; made if need be.
        replication: what to run, as discovered.
        config: the value of every knob.
        preset: the name of the preset that the config comes from.
        changed: the knobs whose value is not the preset's. With any, the verdicts never count in the ledger.
        seeds: distinct whole numbers from 0 up.
        limits: `Limits()` when not given.
        requester: who asked for it, as it shall stand in the record.
        command: what does the same on a command line.
        parent: the run that this repeats.
        threads, parallel: how many threads a seed has and how many seeds run side by side; by the cores when not given.

    Raises:
        RunError: if a seed or knob is none, or the preset does not exist.
    """
    if preset not in replication.presets:
        raise RunError(f"{replication.name} has no preset {preset!r}; it has {', '.join(replication.presets)}")
    chosen = checked_seeds(seeds)
    side_by_side, threads_each = share_cores(len(chosen))
    now = datetime.now(UTC)
    record = RunRecord(
        id=new_id(replication.name, now),
        paper=replication.paper,
        replication=replication.name,
        title=replication.title,
        module=replication.module,
        version=f"{replication.distribution} {replication.version}".strip(),
        source_sha256=replication.source_sha256,
        cards=tuple(CardRef(id=card.id, version=card.version, sha256=replication.hashes[card.id]) for card in replication.cards),
        not_tested=replication.not_tested,
        metrics=dict(replication.metrics),
        preset=preset,
        config=plain_config(config),
        changed=plain_config(changed),
        seeds=chosen,
        command=command,
        requester=requester,
        parent=parent,
        created=now,
        on=on,
        limits=limits or Limits(),
        threads=threads or threads_each,
        parallel=parallel or side_by_side,
        states=(StateChange(state=State.QUEUED, at=now),),
    )
    record = record.model_copy(update={"path": runs_dir / record.id})
    record.path.mkdir(parents=True, mode=0o700)
    write_cards(record.path, replication.cards)
    write_record(record)
    return record


def share_cores(seeds: int, cores: int | None = None) -> tuple[int, int]:
    """How many seeds run side by side, and how many threads each has: all cores are used, none twice."""
    cores = cores or allowed_cores()
    parallel = min(seeds, cores)
    return parallel, max(1, cores // parallel)


def start(record: RunRecord, *, at_once: int = 1) -> None:
    """Start the supervisor of a queued run, in a session of its own: it lives on when the caller ends.

    Args:
        record: of the run, in state queued.
        at_once: how many runs of its data directory may run at the same time; more wait, in the order of submission.

    Raises:
        RunError: if the run is not queued, or was started before.
    """
    lock = _lock_within(record.path, seconds=5.0)
    if lock is None:
        raise RunError(f"run {record.id} was started before")
    with lock:
        current = load_record(record.path)
        if current.state is not State.QUEUED:
            raise RunError(f"run {record.id} is {current.state}; only a queued run can be started")
        with (record.path / SUPERVISOR).open("ab") as output:
            process = subprocess.Popen(  # noqa: S603
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "pressrun.replicate.supervisor",
                    str(record.path.resolve()),
                    "--at-once",
                    str(at_once),
                    "--lock",
                    str(lock.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(lock.fileno(),),  # the lock goes over without a moment in which nobody holds it
            )
    # Somebody has to take note of its end, or it stays in the process table as long as the caller lives.
    threading.Thread(target=process.wait, daemon=True, name=f"end of {record.id}").start()


def _lock_within(path: Path, seconds: float) -> IO[bytes] | None:
    """The lock of a run; a reader may hold it for a moment, a supervisor holds it for long."""
    deadline = time.monotonic() + seconds
    while True:
        lock = try_lock(path)
        if lock is not None or load_record(path).supervisor is not None or time.monotonic() > deadline:
            return lock
        time.sleep(0.01)


def cancel(record: RunRecord, by: str = "the owner") -> None:
    """Ask for the end of a run, queued or running. Returns at once; a run that nobody sees to ends here.

    Raises:
        RunError: if it is over, or came in a bundle.
    """
    current = read_run(record.path)
    if current.state.final:
        raise RunError(f"run {record.id} is over ({current.state}); there is nothing to cancel")
    write_whole(record.path / "cancel", by.encode())
    with locked(record.path) as free:
        current = load_record(record.path)
        if free and not current.state.final:
            close(current, State.CANCELLED, f"cancelled by {by}")


def read_run(path: Path) -> RunRecord:
    """A run's record. One whose supervisor is gone is written as lost first, and what it left running is ended.

    Raises:
        RunError: if there is none, or it cannot be read.
    """
    record = load_record(path)
    if record.state.final or record.imported:
        return record
    try:
        with locked(path) as free:
            # Between the first look and the lock the supervisor may have finished; what counts is what stands there now.
            record = load_record(path)
            return as_lost(record) if free and is_orphan(record) else record
    except OSError as problem:  # a full or read-only disk must not keep anybody from reading
        return record.moved(State.LOST, f"lost, and it cannot be written down: {problem.strerror or problem}")


def is_orphan(record: RunRecord) -> bool:
    """Whether a run whose lock is free is lost: it is not over, and was started, or will not be started any more."""
    if record.state.final:
        return False
    return (record.path / SUPERVISOR).exists() or datetime.now(UTC) - record.created > UNSTARTED


def as_lost(record: RunRecord) -> RunRecord:
    """Write an orphan as lost; the evidence that it recorded stays."""
    local.sweep(record.id)
    local.empty(record.path / "scratch")
    if record.supervisor is None:
        told = (record.path / SUPERVISOR).read_text(errors="replace").split() if (record.path / SUPERVISOR).exists() else []
        note = f"lost: its supervisor could not start: {' '.join(told)[-300:]}" if told else "lost: it was never started"
    else:
        note = f"lost: its supervisor (process {record.supervisor[0]}) was gone before it could end the run"
    return close(record, State.LOST, note)


def read_runs(runs_dir: Path, *, imported: bool = True) -> Iterator[RunRecord | RunError]:
    """Every run, the newest first. One that cannot be read comes as the RunError that says why, and never hides the others."""
    for path in run_directories(runs_dir, imported=imported):
        try:
            yield read_run(path)
        except RunError as problem:
            yield problem


def mark_lost(runs_dir: Path) -> list[RunRecord]:
    """Find the runs whose supervisor is gone and write them as lost; for the start of the site. Returns them."""
    before = {path for path in run_directories(runs_dir, imported=False) if _open(path)}
    records = [record for record in read_runs(runs_dir, imported=False) if isinstance(record, RunRecord)]
    return [record for record in records if record.path in before and record.state is State.LOST]


def _open(path: Path) -> bool:
    try:
        return not load_record(path).state.final
    except RunError:
        return False


def rerun(
    record: RunRecord,
    replication: Replication,
    *,
    requester: str,
    runs_dir: Path | None = None,
    on: Literal["local", "ray"] | None = None,
) -> RunRecord:
    """The same again, queued: same replication as installed now, config, seeds, limits and threads. Its parent is `record`.

    Raises:
        RunError: if `replication` is another one.
    """
    if replication.name != record.replication:
        raise RunError(f"run {record.id} is of {record.replication}, not of {replication.name}")
    return submit(
        runs_dir or record.path.parent,
        replication,
        record.config,
        record.preset,
        record.changed,
        record.seeds,
        on=on or record.on,
        limits=record.limits,
        requester=requester,
        command=record.command,
        parent=record.id,
        threads=record.threads,
        parallel=record.parallel,
    )


def redraw(record: RunRecord) -> RunRecord:
    """Draw the figure again from the evidence, with the replication as it is installed now.

    Raises:
        RunError: if the run is not over, came in a bundle, has no evidence, or the figure cannot be drawn.
    """
    if record.imported:
        raise RunError(f"run {record.id} was imported, and stays as it came")
    with locked(record.path) as free:
        current = load_record(record.path)
        if not free or not current.state.final:
            raise RunError(f"run {record.id} is {current.state}; its figure can be drawn when it is over")
        if not (record.path / EVIDENCE).is_file():
            raise RunError(f"run {record.id} has no evidence to draw")
        why_not = figure(current)
        local.empty(current.path / "scratch")
        if why_not:
            raise RunError(why_not)
        drawn = current.model_copy(update={"no_figure": "", "files": hashed_files(current.path)})
        write_record(drawn)
        return drawn
