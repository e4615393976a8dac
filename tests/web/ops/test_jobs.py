"""Work behind the pages: asked for once, done once, tried again, taken up after a worker that died, paused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django_tasks_db.models import DBTaskResult

from pressrun.web.ops import alive, jobs, worker
from pressrun.web.ops.jobs import enqueue, enqueue_at, job
from pressrun.web.ops.models import Job, Process

# With transactions of its own: a worker closes connections between pieces of work, and a test inside of one would lose its own.
pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 4, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry without the site's own work, so that nothing but the test's is done."""
    monkeypatch.setattr(jobs, "_jobs", {})


@pytest.fixture
def said() -> list[str]:
    """What the jobs called `tell` were told, in order."""
    told: list[str] = []

    @job("tell")
    def tell(what: str) -> str:
        """Keep what it is told."""
        told.append(what)
        return f"told {what}"

    return told


def test_it_does_what_was_asked_for_in_order_and_keeps_what_it_says(said: list[str]) -> None:
    enqueue("tell", what="first")
    enqueue("tell", what="second")
    assert worker.work(once=True) == 2
    assert said == ["first", "second"]
    assert list(DBTaskResult.objects.order_by("enqueued_at").values_list("status", "return_value")) == [
        ("SUCCESSFUL", "told first"),
        ("SUCCESSFUL", "told second"),
    ]


def test_it_does_the_same_waiting_work_once(said: list[str]) -> None:
    for _ in range(3):
        enqueue("tell", what="once")
    worker.work(once=True)
    enqueue("tell", what="once")
    worker.work(once=True)
    assert said == ["once", "once"]


def test_work_asked_for_in_a_transaction_that_fails_is_not_done(said: list[str]) -> None:
    with transaction.atomic():
        enqueue("tell", what="never")
        transaction.set_rollback(True)
    assert worker.work(once=True) == 0
    assert said == []


def test_it_waits_for_the_time_it_was_asked_for(said: list[str]) -> None:
    enqueue_at(datetime.now(UTC) + timedelta(hours=1), "tell", what="later")
    enqueue_at(datetime.now(UTC) - timedelta(hours=1), "tell", what="now")
    worker.work(once=True)
    assert said == ["now"]


def test_work_that_fails_is_tried_again_later_and_then_given_up() -> None:
    calls = []

    @job("breaks", tries=2)
    def breaks() -> None:
        calls.append(1)
        raise ValueError("no luck")

    enqueue("breaks")
    worker.work(once=True)
    row = DBTaskResult.objects.get()
    assert row.status == "READY"
    assert timedelta(seconds=50) < row.run_after - datetime.now(UTC) <= timedelta(minutes=1)
    DBTaskResult.objects.update(run_after=datetime.now(UTC))
    worker.work(once=True)
    row.refresh_from_db()
    assert (len(calls), row.status) == (2, "FAILED")
    assert "no luck" in row.traceback


def test_periodic_work_is_asked_for_once_a_period_and_made_up_for_once(said: list[str]) -> None:
    times = []

    @job("tick", every=timedelta(hours=1))
    def tick() -> None:
        times.append(1)

    worker.know_jobs()
    Job.objects.filter(name="tick").update(due=NOON)
    worker.ask_for_due(NOON - timedelta(seconds=1))
    assert DBTaskResult.objects.count() == 0
    worker.ask_for_due(NOON + timedelta(hours=5, minutes=20))
    worker.ask_for_due(NOON + timedelta(hours=5, minutes=21))
    assert DBTaskResult.objects.count() == 1
    assert Job.objects.get(name="tick").due == NOON + timedelta(hours=6)


def test_a_slot_that_finds_the_one_before_unfinished_is_left_out() -> None:
    @job("tick", every=timedelta(hours=1))
    def tick() -> None:
        pass

    worker.know_jobs()
    Job.objects.update(due=NOON)
    worker.ask_for_due(NOON)
    DBTaskResult.objects.update(status="RUNNING")
    worker.ask_for_due(NOON + timedelta(hours=1))
    assert DBTaskResult.objects.count() == 1
    DBTaskResult.objects.update(status="SUCCESSFUL")
    worker.ask_for_due(NOON + timedelta(hours=2))
    assert DBTaskResult.objects.count() == 2


def test_the_owners_period_goes_before_the_built_in_one() -> None:
    @job("tick", every=timedelta(hours=1))
    def tick() -> None:
        pass

    worker.know_jobs()
    Job.objects.update(due=NOON, period=timedelta(days=1))
    worker.ask_for_due(NOON)
    assert Job.objects.get().due == NOON + timedelta(days=1)


def test_paused_work_is_neither_asked_for_nor_done_until_it_goes_on(said: list[str]) -> None:
    @job("tick", every=timedelta(hours=1))
    def tick() -> None:
        said.append("tick")

    worker.know_jobs()
    Job.objects.update(paused=True)
    enqueue("tell", what="waits")
    assert worker.work(once=True) == 0
    Job.objects.update(paused=False)
    worker.work(once=True)
    assert sorted(said) == ["tick", "waits"]


def test_rows_of_work_that_is_gone_are_removed_and_the_owners_choices_stay() -> None:
    Job.objects.create(name="gone")

    @job("tick", every=timedelta(hours=1))
    def tick() -> None:
        pass

    Job.objects.create(name="tick", paused=True)
    worker.know_jobs()
    row = Job.objects.get()
    assert (row.name, row.paused, row.due is not None) == ("tick", True, True)


def test_work_of_a_worker_that_died_goes_back_to_the_queue_and_is_given_up_after_its_last_try(said: list[str]) -> None:
    enqueue("tell", what="again")
    row = DBTaskResult.objects.get()
    row.claim("of-a-dead-worker")
    assert worker.rescue() == 1
    worker.work(once=True)
    assert said == ["again"]

    enqueue("tell", what="poison")
    row = DBTaskResult.objects.get(status="READY")
    for _ in range(3):
        row.claim("of-a-dead-worker")
    assert worker.rescue() == 1
    row.refresh_from_db()
    assert (row.status, row.traceback) == ("FAILED", "Its worker died over it: killed, out of memory, or the machine went down.")


def test_work_of_a_worker_that_lives_is_left_to_it(said: list[str]) -> None:
    enqueue("tell", what="mine")
    with alive.attending(Process.Kind.WORKER) as (key, check):
        check()
        DBTaskResult.objects.get().claim(key)
        assert [process.pk for process in alive.living()] == [key]
        assert worker.rescue() == 0
        assert worker.work(once=True) == 0
    assert worker.rescue() == 1
    assert alive.living() == []


@pytest.mark.parametrize("name", ["", "Big", "with space", "x" * 33])
def test_it_refuses_a_name_that_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="a job's name must be 1 to 32 lower-case letters, digits"):
        job(name)


def test_it_refuses_two_functions_under_one_name(said: list[str]) -> None:
    with pytest.raises(ValueError, match="two functions want to be the job 'tell'"):

        @job("tell")
        def other() -> None:
            pass


def test_it_refuses_work_that_nobody_registered() -> None:
    with pytest.raises(LookupError, match="no job is called 'dance'; there are none"):
        enqueue("dance")
