"""Whether the work behind the pages gets done: findings beside those of `pressrun doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Max
from django_tasks import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from pressrun.web.ops import alive
from pressrun.web.ops.models import Job, Process

__all__ = ["backups", "processes", "work_done"]

LATE = timedelta(minutes=15)
"""How long work may wait before that is worth the owner's eye."""


def processes() -> Iterator[tuple[str, str, bool, str]]:
    """What, state, fine, advice: servers and workers that live."""
    if Process._meta.db_table not in connection.introspection.table_names():
        return
    living = alive.living()
    servers = [process for process in living if process.kind == Process.Kind.SERVER]
    workers = [process for process in living if process.kind == Process.Kind.WORKER]
    if servers or workers:
        yield "servers", ", ".join(map(str, servers)) or "none", True, ""
        advice = "" if workers else "run `pressrun worker`, or `pressrun serve` without --no-worker"
        yield "workers", ", ".join(map(str, workers)) or "none", bool(workers), advice
    else:
        yield "site", "not running", True, ""


def work_done() -> Iterator[tuple[str, str, bool, str]]:
    """What waits, for how long, what is paused, and what failed since it last went well."""
    if Job._meta.db_table not in connection.introspection.table_names():
        return
    now = datetime.now(UTC)
    paused = list(Job.objects.filter(paused=True).values_list("name", flat=True))
    if paused:
        yield "paused", ", ".join(paused), True, ""
    ready = DBTaskResult.objects.ready().exclude(queue_name__in=paused)
    late = ready.filter(enqueued_at__lt=now - LATE).exclude(run_after__gt=now - LATE, run_after__lte=now).count()
    state = f"{ready.count():,} pieces wait" + (f", {late:,} for over {LATE // timedelta(minutes=1)} minutes" if late else "")
    yield "work", state, not late, "see whether a worker runs, and what it has in hand, in the admin" if late else ""
    for name in _failing():
        advice = "its row in the admin, under pieces of work, says why"
        yield f"work: {name}", "failed the last time", False, advice


def _failing() -> list[str]:
    """Kinds of work whose last piece to end has failed."""
    ended = DBTaskResult.objects.finished().values("queue_name").annotate(last=Max("finished_at"))
    failed = DBTaskResult.objects.filter(status=TaskResultStatus.FAILED).values("queue_name").annotate(last=Max("finished_at"))
    last = {row["queue_name"]: row["last"] for row in ended}
    return sorted(row["queue_name"] for row in failed if row["last"] == last[row["queue_name"]])


def backups() -> Iterator[tuple[str, str, bool, str]]:
    """When the last scheduled backup was made, where there shall be any."""
    if not settings.BACKUPS:
        return
    made = [path.stat().st_mtime for path in Path(settings.BACKUPS).glob("pressrun-*.tar.gz")]
    if not made:
        yield "backup", "none yet", True, ""
        return
    age = datetime.now(UTC) - datetime.fromtimestamp(max(made), UTC)
    fine = age < timedelta(days=2)
    yield (
        "backup",
        f"{age.days} days and {age.seconds // 3600} hours old",
        fine,
        "" if fine else "see why the work `backup` is not done",
    )
