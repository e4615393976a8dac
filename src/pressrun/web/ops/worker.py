"""The process that does the work behind the pages: asks for what is due, does what waits, takes up what a killed worker left.

Several may work on one database. Claiming is django-tasks-db's: a row is locked, marked and committed before the work begins.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.db import OperationalError, close_old_connections, transaction
from django_tasks import TaskResultStatus
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult, get_date_max

from pressrun.web.ops import alive
from pressrun.web.ops.jobs import enqueue, open_runs, registered
from pressrun.web.ops.models import Job, Process

__all__ = ["ask_for_due", "know_jobs", "rescue", "work"]

log = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds between looks into an empty queue."""

PATIENCE = timedelta(minutes=1)
"""From the first failure of a piece of work to its second try; four times as long before each further one."""


def work(*, once: bool = False, parent: int | None = None) -> int:
    """Do work until told to stop (SIGTERM and SIGINT let the piece in hand come to its end); gives how many pieces were done.

    Args:
        once: end when nothing waits any more.
        parent: end also when this process is no longer the parent.
    """
    with alive.attending(Process.Kind.WORKER) as (key, check):
        worker = _Worker(key, check)
        know_jobs()
        if not once:
            worker.configure_signals()
        while worker.running and (parent is None or os.getppid() == parent):
            try:
                worker.turn()
                worker.run()
            except OperationalError as problem:
                if once:
                    raise
                check()
                log.warning("the database could not be asked, trying again: %s", problem)
            if once:
                break
            if worker.running:
                time.sleep(PAUSE)
    return worker.done


class _Worker(Worker):
    """django-tasks-db's worker, which looks after periods, pauses and killed workers between two pieces of work."""

    def __init__(self, key: str, check: Callable[[], None]) -> None:
        super().__init__(
            queue_names=["*"],
            excluded_queue_names=[],
            interval=0,
            batch=True,
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id=key,
        )
        self.check = check
        self.done = 0

    def turn(self) -> None:
        """What comes before each claim. The queues that pause are passed over."""
        self.check()
        close_old_connections()
        rescue()
        ask_for_due()
        self.excluded_queue_names[:] = Job.objects.filter(paused=True).values_list("name", flat=True)

    def run_task(self, db_task_result: DBTaskResult) -> None:  # type: ignore[type-arg]
        super().run_task(db_task_result)
        self.done += 1
        if db_task_result.status == TaskResultStatus.FAILED:
            _try_again(db_task_result)
        if self.running:
            self.turn()


def know_jobs() -> None:
    """A row for each kind of work; new periodic work is due at once. Rows of work that is registered no more go."""
    kinds = registered()
    Job.objects.exclude(name__in=kinds).delete()
    known = set(Job.objects.values_list("name", flat=True))
    now = datetime.now(UTC)
    fresh = [Job(name=kind.name, due=now if kind.every else None) for kind in kinds.values() if kind.name not in known]
    Job.objects.bulk_create(fresh, ignore_conflicts=True)
    for row in Job.objects.filter(due=None, name__in=[kind.name for kind in kinds.values() if kind.every]):
        Job.objects.filter(pk=row.pk, due=None).update(due=now)
    Job.objects.filter(name__in=[kind.name for kind in kinds.values() if not kind.every]).exclude(due=None).update(due=None)


def ask_for_due(now: datetime | None = None) -> None:
    """Ask for each periodic work whose time has come, once, whichever worker is first; and say when it is due next."""
    now = now or datetime.now(UTC)
    for row in Job.objects.filter(paused=False, due__lte=now):
        if row.due is None or row.every is None:
            continue
        # In step with the clock of its first time, and never twice for time that passed without a worker.
        missed = (now - row.due) // row.every
        with transaction.atomic():
            mine = Job.objects.filter(pk=row.pk, due=row.due, paused=False).update(due=row.due + (missed + 1) * row.every)
            if mine and not open_runs(row.name):
                enqueue(row.name)


def rescue() -> int:
    """Give work whose worker died back to the queue, or up after its last try; returns how many pieces were found."""
    found = 0
    for row in DBTaskResult.objects.running():
        if row.worker_ids and alive.is_held(row.worker_ids[-1]):
            continue
        again = _tries_left(row)
        # Only as it was read: another worker may have been quicker.
        mine = DBTaskResult.objects.filter(pk=row.pk, status=TaskResultStatus.RUNNING, started_at=row.started_at)
        status = TaskResultStatus.READY if again else TaskResultStatus.FAILED
        if mine.update(status=status, traceback=LOST, finished_at=None if again else datetime.now(UTC)):
            found += 1
            log.warning(
                "a worker died over %s, try %d; %s", row.queue_name, len(row.worker_ids), "again" if again else "given up"
            )
    return found


LOST = "Its worker died over it: killed, out of memory, or the machine went down."


def _try_again(row: DBTaskResult) -> None:  # type: ignore[type-arg]
    if not _tries_left(row):
        return
    later = datetime.now(UTC) + PATIENCE * 4 ** (len(row.worker_ids) - 1)
    failed = DBTaskResult.objects.filter(pk=row.pk, status=TaskResultStatus.FAILED)
    failed.update(status=TaskResultStatus.READY, run_after=min(later, get_date_max()), finished_at=None)


def _tries_left(row: DBTaskResult) -> bool:  # type: ignore[type-arg]
    """Each try has put its worker's id into the row."""
    kind = registered().get(row.queue_name)
    return kind is not None and len(row.worker_ids) < kind.tries
