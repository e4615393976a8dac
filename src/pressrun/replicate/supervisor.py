"""The process that sees one run through: it waits for its turn, starts the workers, and writes what became of them.

It holds the run's lock from before it starts until it dies, and is in a session of its own, so neither the end of the
site nor a closed terminal touches it. It loads no learning library.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

from pressrun.replicate import local
from pressrun.replicate.ending import close
from pressrun.replicate.machine import environment, machine
from pressrun.replicate.record import Limits, Live, RunError, RunRecord, State, load_record, write_record, write_whole
from pressrun.replicate.worker import Job, read_facts

TURN = 0.1  # seconds between two looks at the queue
HEARTBEAT = 1.0  # seconds
DRAWING = Limits(wall=120, cpu=None, memory=None, output=64 * 2**20)


def main(arguments: list[str] | None = None) -> int:
    """`python -m pressrun.replicate.supervisor RUN_DIRECTORY --at-once N`, with the run's lock inherited."""
    parser = argparse.ArgumentParser(prog="supervisor", description="See one queued run through.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--at-once", type=int, default=1, help="how many runs of this data directory may run at once")
    parser.add_argument("--lock", type=int, help="the descriptor of the run's lock")
    given = parser.parse_args(arguments)
    if given.lock is not None:
        os.set_inheritable(given.lock, False)  # no daemon that a library starts may hold the lock when this process is gone
    stopped: list[str] = []
    signal.signal(
        signal.SIGTERM, lambda *_: stopped.append("the machine is shutting down, or somebody stopped the supervisor (SIGTERM)")
    )
    record = load_record(given.directory)
    process = psutil.Process()
    record = record.model_copy(update={"supervisor": (process.pid, process.create_time())})
    write_record(record)
    supervise(record, given.at_once, lambda: why_stop(record.path, stopped))
    return 0


def why_stop(directory: Path, stopped: list[str]) -> str | None:
    """Why to end now: who asked for it, or the signal that came."""
    try:
        return f"cancelled by {(directory / 'cancel').read_text().strip() or 'somebody'}"
    except OSError:
        return stopped[0] if stopped else None


def supervise(record: RunRecord, at_once: int, stop: Callable[[], str | None]) -> RunRecord:
    """Take the run from queued to its end. Whatever goes wrong here itself becomes the run's failure, in a sentence."""
    try:
        with turn(record, at_once, stop) as granted:
            if not granted:
                return close(record, State.CANCELLED, stop() or "cancelled")
            record = execute(record, stop)
    except Exception as problem:
        traceback.print_exc()
        current = load_record(record.path)
        if not current.state.final:
            told = " ".join(str(problem).split()) or type(problem).__name__
            record = close(current, State.FAILED, f"pressrun itself failed while seeing the run through: {told}")
    finally:
        local.sweep(record.id)
        local.empty(record.path / "scratch")
    return record


@contextmanager
def turn(record: RunRecord, at_once: int, stop: Callable[[], str | None]) -> Iterator[bool]:
    """Wait in the order of submission until fewer than `at_once` runs of this data directory run; False when asked to stop."""
    queue = record.path.parent / ".queue"
    queue.mkdir(exist_ok=True)
    ticket = queue / f"{int(record.created.timestamp() * 1e6):020d}-{record.id}"
    slot: IO[bytes] | None = None
    with deciding(queue):  # or somebody could take it for the ticket of a dead one before it is locked
        held = ticket.open("wb")
        fcntl.flock(held, fcntl.LOCK_EX)
    with held:
        try:
            while slot is None and stop() is None:
                slot = next_slot(queue, ticket, at_once)
                if slot is None:
                    time.sleep(TURN)
        finally:
            ticket.unlink(missing_ok=True)
    try:
        yield slot is not None
    finally:
        if slot is not None:
            slot.close()


@contextmanager
def deciding(queue: Path) -> Iterator[None]:
    """One supervisor at a time looks at the queue."""
    with (queue / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def next_slot(queue: Path, ticket: Path, at_once: int) -> IO[bytes] | None:
    """A slot to run in, if one is free and nobody who waits came earlier."""
    with deciding(queue):
        earlier = [other for other in queue.glob("0*-*") if other.name < ticket.name]
        if any(is_held(other) for other in earlier):
            return None
        for number in range(at_once):
            slot = (queue / f"slot-{number}").open("ab")
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                slot.close()
            else:
                return slot
    return None


def is_held(ticket: Path) -> bool:
    """Whether the supervisor that waits with this ticket lives; the ticket of a dead one is removed."""
    try:
        with ticket.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ticket.unlink(missing_ok=True)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def execute(record: RunRecord, stop: Callable[[], str | None]) -> RunRecord:
    """Starting, running, the end."""
    variables = local.variables(record.threads, record.path / "scratch", record.id)
    record = record.moved(State.STARTING, environment=environment(variables), machine=machine())
    write_record(record)
    job = job_of(record)
    job.scratch.mkdir(exist_ok=True, mode=0o700)
    record = record.moved(State.RUNNING)
    write_record(record)
    outcome = executor(record)(
        job, record.seeds, limits=record.limits, parallel=record.parallel, run_id=record.id, stop=stop, beat=Heart(record.path)
    )
    return close(
        record,
        outcome.state,
        outcome.note,
        draw=figure,
        limit_hit=outcome.limit,
        results=outcome.results,
        peak_memory=outcome.peak_memory,
    )


def executor(record: RunRecord) -> local.Executor:
    if record.on == "ray":
        from pressrun.replicate.ray_executor import run_seeds

        return run_seeds
    return local.run_seeds


def job_of(record: RunRecord) -> Job:
    """The job of all seeds; each gets its own seed and scratch folder."""
    return Job(
        module=record.module,
        config=record.config,
        cards={card.id: card.sha256 for card in record.cards},
        units=record.metrics,
        directory=record.path,
        scratch=record.path / "scratch",
        cache=record.path.parent / ".cache",
        threads=record.threads,
        cpu_seconds=record.limits.cpu,
        output_bytes=record.limits.output,
    )


def figure(record: RunRecord) -> str:
    """Draw the figure from the evidence, in a process of its own. Returns why there is none; empty when there is.

    A run whose figure cannot be drawn has succeeded: its verdicts do not depend on it.
    """
    job = job_of(record).model_copy(
        update={"kind": "draw", "scratch": record.path / "scratch", "cpu_seconds": DRAWING.wall, "output_bytes": DRAWING.output}
    )
    worker = local.start_worker(job, record.id)
    deadline = time.monotonic() + (DRAWING.wall or 0)
    while not worker.poll() and time.monotonic() < deadline:
        time.sleep(0.05)
    if worker.ended is None:
        worker.kill()
        worker.wait()
        return f"the figure took longer than {DRAWING.wall:g} s"
    facts = read_facts(record.path / "seeds" / "draw.json")
    _, note = local.ending(worker.process.returncode, facts)
    return f"the figure could not be drawn: it {note}" if note else ""


class Heart:
    """Writes a heartbeat, at most once in `HEARTBEAT` seconds."""

    def __init__(self, directory: Path) -> None:
        self.path, self.last = directory / "live.json", 0.0

    def __call__(self, live: Live) -> None:
        if time.monotonic() - self.last >= HEARTBEAT:
            self.last = time.monotonic()
            write_whole(self.path, live.model_dump_json().encode(), sync=False)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RunError as told:
        sys.exit(str(told))
