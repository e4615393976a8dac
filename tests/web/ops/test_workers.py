"""Several workers on one database, also when they are killed: real processes, no clock decides."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.web.ops.place import Place, place


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path / "yard") as made:
        yield made


def ask(yard: Place, count: int, seconds: float) -> None:
    yard.python(
        "from pressrun.web.ops.jobs import enqueue\n"
        f"for number in range({count}): enqueue('haul', number=number, seconds={seconds})"
    )


def until(true: Callable[[], bool], what: str, patience: float = 60) -> None:
    """Patience is only for a test that fails: it ends as soon as it is true."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.05)


def ended(yard: Place) -> Counter[int]:
    return Counter(number for what, number, _ in yard.trace() if what == "end")


def begun(yard: Place) -> Counter[int]:
    return Counter(number for what, number, _ in yard.trace() if what == "begin")


def test_three_workers_do_every_piece_exactly_once_between_them(yard: Place) -> None:
    ask(yard, 60, 0.03)
    workers = [yard.start("worker", "--once") for _ in range(3)]
    assert [_end(worker) for worker in workers] == [0, 0, 0]
    assert begun(yard) == ended(yard) == Counter(range(60))
    assert len({pid for what, _, pid in yard.trace() if what == "end"}) > 1


def test_a_killed_workers_piece_is_done_by_another_and_no_piece_by_two_that_live(yard: Place) -> None:
    ask(yard, 12, 0.4)
    killed: list[int] = []
    workers = [yard.start("worker") for _ in range(2)]
    try:
        for _ in range(3):
            busy = _at_work(yard, seen=len(yard.trace()))
            victim = next(worker for worker in workers if worker.pid == busy)
            victim.kill()
            victim.communicate()
            killed.append(victim.pid)
            workers.remove(victim)
            workers.append(yard.start("worker"))
        until(lambda: set(ended(yard)) == set(range(12)), "the end of all pieces")
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
            _end(worker)
    holder: dict[int, int] = {}
    for what, number, pid in yard.trace():
        if what == "begin":
            assert holder.get(number) in (None, *killed), f"piece {number} was taken from one that lives, or done twice"
            holder[number] = pid
        elif what == "end":
            assert holder[number] == pid
    again = begun(yard) - Counter(range(12))
    assert 1 <= again.total() <= 3


def _at_work(yard: Place, seen: int) -> int:
    """The worker that has just begun a piece, after the first `seen` lines of the trace."""
    found: list[int] = []

    def begins() -> bool:
        found[:] = [pid for what, _, pid in yard.trace()[seen:][-1:] if what == "begin"]
        return bool(found)

    until(begins, "a piece of work")
    return found[0]


def test_a_stopped_worker_keeps_its_piece_and_one_that_is_told_to_end_finishes_it(yard: Place) -> None:
    ask(yard, 2, 1.0)
    sleeper = yard.start("worker")
    until(lambda: bool(begun(yard)), "a piece of work")
    sleeper.send_signal(signal.SIGSTOP)
    assert yard.run("worker", "--once").returncode == 0
    assert begun(yard) == Counter([0, 1])
    sleeper.send_signal(signal.SIGTERM)
    sleeper.send_signal(signal.SIGCONT)
    assert _end(sleeper) == 0
    assert begun(yard) == ended(yard) == Counter([0, 1])


def test_periodic_work_is_done_once_a_period_by_two_workers(yard: Place) -> None:
    workers = [yard.start("worker") for _ in range(2)]
    until(lambda: sum(what == "tick" for what, _, _ in yard.trace()) >= 2, "the second tick")
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        _end(worker)
    slots = int(
        yard.python("from pressrun.web.ops.models import JobRun; print(JobRun.objects.filter(queue_name='tick').count())")
    )
    ticks = sum(what == "tick" for what, _, _ in yard.trace())
    assert slots - 1 <= ticks <= slots


def _end(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=60)
    return process.returncode
