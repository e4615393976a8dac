"""Work done behind the pages: registered under a name, kept in the site's database, done once each by whichever worker is free.

The queue and the claiming are those of django-tasks-db, the same interface as Django 6 has of its own. Here come the names, the
periods (`models.Job`), and what `worker` needs to know: how often a piece of work that failed is tried again.

A job's function must be idempotent: when its worker is killed half-way, the work is done again from the start.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from django.db import transaction
from django_tasks import TaskResultStatus, task

__all__ = ["Registered", "enqueue", "enqueue_at", "job", "open_runs", "registered"]

P = ParamSpec("P")
R = TypeVar("R")

_NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")
OPEN = (TaskResultStatus.READY, TaskResultStatus.RUNNING)


@dataclass(frozen=True)
class Registered:
    """A kind of work. `every` is its period, None for work that is only done when asked for."""

    name: str
    do: Callable[..., object]
    every: timedelta | None
    tries: int
    says: str
    """The first line of the function's docstring, for the owner."""


_jobs: dict[str, Registered] = {}


def job(name: str, *, every: timedelta | None = None, tries: int = 3) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register a function as the work called `name`; it stays an ordinary function.

    Modules called `jobs` of all installed apps are imported at the start. What the function returns is kept as a sentence for the
    owner (None: nothing). A piece of work that raises, or takes its worker down with it, is tried `tries` times in all.

    Args:
        name: lower-case letters, digits, "-", "_" and ".", at most 32.
        every: period of periodic work. A slot that finds the one before unfinished is left out; of slots missed while no worker
            ran, one is made up for.
        tries: how often at most, from 1.

    Raises:
        ValueError: for another kind of name, one that is taken, a period below a second, or fewer than one try.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a job's name must be 1 to 32 lower-case letters, digits, '-', '_' and '.', got {name!r}")
    if every is not None and every < timedelta(seconds=1):
        raise ValueError(f"the period of job {name!r} must be a second or more, got {every}")
    if tries < 1:
        raise ValueError(f"job {name!r} must be tried once or more, got tries={tries}")

    def register(function: Callable[P, R]) -> Callable[P, R]:
        known = _jobs.get(name)
        if known and (known.do.__module__, known.do.__qualname__) != (function.__module__, function.__qualname__):
            raise ValueError(f"two functions want to be the job {name!r}: {known.do.__module__} and {function.__module__}")
        says = (function.__doc__ or "").strip().partition("\n")[0]
        _jobs[name] = Registered(name, function, every, tries, says)
        return function

    return register


def registered() -> dict[str, Registered]:
    """All kinds of work by name."""
    return dict(sorted(_jobs.items()))


def enqueue(name: str, /, **arguments: object) -> None:
    """Ask for a piece of work, to be done once and soon. It joins the caller's transaction: without the commit, no work.

    While the very same work (name and arguments) still waits, asking again adds nothing: it starts after this commit, and so
    sees what was written. The arguments must be JSON.

    Raises:
        LookupError: for a name that nothing is registered under.
    """
    _enqueue(name, None, arguments)


def enqueue_at(when: datetime, name: str, /, **arguments: object) -> None:
    """The same, not before `when`. The same work for another time is another piece of work."""
    _enqueue(name, when, arguments)


def _enqueue(name: str, when: datetime | None, arguments: dict[str, object]) -> None:
    from django_tasks_db.models import DBTaskResult

    if name not in _jobs:
        raise LookupError(f"no job is called {name!r}; there are {', '.join(registered()) or 'none'}")
    given = dict(sorted(arguments.items()))
    with transaction.atomic():
        waiting = DBTaskResult.objects.filter(queue_name=name, status=TaskResultStatus.READY, args_kwargs=_stored(name, given))
        waiting = waiting.ready() if when is None else waiting.filter(run_after=when)
        # Locked: a worker passes over it until this transaction ends, and so can't start before it.
        if waiting.select_for_update().first() is None:
            perform.using(queue_name=name, run_after=when).enqueue(name, given)


def open_runs(name: str, **arguments: object) -> int:
    """How many pieces of exactly this work wait or are in hand."""
    from django_tasks_db.models import DBTaskResult

    given = dict(sorted(arguments.items()))
    return DBTaskResult.objects.filter(queue_name=name, status__in=OPEN, args_kwargs=_stored(name, given)).count()


def _stored(name: str, arguments: dict[str, object]) -> dict[str, object]:
    return {"args": [name, arguments], "kwargs": {}}


@task
def perform(name: str, arguments: dict[str, object]) -> str | None:
    """Do one piece of work; the one task that the queue knows. Each kind of work is a queue of its own, so that it can pause."""
    result = _jobs[name].do(**arguments)
    return None if result is None else str(result)[:1000]
