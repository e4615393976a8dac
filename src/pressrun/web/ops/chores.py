"""The site's own periodic work: harvests, runs, clean-up, backups. What each keeps and fetches is a setting."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Max, Q
from django_tasks_db.models import DBTaskResult

from pressrun.catalog import FetchError, SourceError
from pressrun.replicate.record import RunError
from pressrun.replicate.runs import read_run
from pressrun.web.errors import BadInput, Busy
from pressrun.web.ops.backup import backup as write_backup
from pressrun.web.ops.jobs import enqueue, job
from pressrun.web.papers.imports import import_source
from pressrun.web.papers.indexing import index_pending
from pressrun.web.papers.models import ImportRun
from pressrun.web.runs import starting, sync
from pressrun.web.runs.models import Run

__all__ = ["backup", "clean", "harvest", "harvest_source", "rerun", "watch_runs"]

DAY = timedelta(days=1)
SCHEDULE = "the schedule"  # no user can be called so: a user name has no space


@job("harvest", every=DAY)
def harvest() -> str:
    """Reads the sources that PRESSRUN_HARVEST names."""
    for location in settings.HARVEST:
        enqueue("harvest-source", location=location)
    return f"{len(settings.HARVEST)} sources asked for"


@job("harvest-source")
def harvest_source(location: str) -> str:
    """Reads one source into the catalogue and indexes what is new."""
    try:
        _, report, _ = import_source(location)
    except (FetchError, SourceError) as problem:
        raise RuntimeError(f"{location} could not be read: {problem}") from problem
    index_pending()
    return f"{report.added} added, {report.merged} merged, {report.unchanged} unchanged, {report.rejected} rejected of {location}"


@job("runs", every=timedelta(minutes=1))
def watch_runs() -> None:
    """Notes runs that came, ended or were lost, so that nobody has to look at a page for it."""
    sync.catch_up()


@job("rerun", every=timedelta(hours=1))
def rerun() -> str | None:
    """Does the runs again that are older than PRESSRUN_RERUN_DAYS, one at a time and none beside another run."""
    if not settings.RERUN_DAYS or Run.objects.filter(moving=True).exists():
        return None
    said = None
    old = Run.objects.filter(newest=True, counts=True, created__lt=_ago(settings.RERUN_DAYS)).order_by("created")
    for row in old:
        try:
            again = starting.again(read_run(sync.runs_dir() / row.folder), requester=SCHEDULE)
        except (BadInput, Busy, RunError) as problem:
            said = str(problem)
            continue
        return f"{row.run_id} again as {again.run_id}"
    return said


@job("clean", every=DAY)
def clean() -> str:
    """Removes what was kept for as long as the settings say: sessions, done work, import reports, runs."""
    counts = {
        "sessions": Session.objects.filter(expire_date__lt=datetime.now(UTC)).delete()[0],
        "pieces of work": _old_work(),
        "import reports": _old_imports(),
        "runs": _old_runs(),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items())


@job("backup", every=DAY)
def backup() -> str | None:
    """Writes a backup into PRESSRUN_BACKUPS and keeps the last PRESSRUN_KEEP_BACKUPS of them."""
    if not settings.BACKUPS:
        return None
    folder = Path(settings.BACKUPS)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = write_backup(folder / f"pressrun-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar.gz")
    for path in sorted(folder.glob("pressrun-*.tar.gz"))[: -settings.KEEP_BACKUPS]:
        path.unlink()
    return made.sentence()


def _ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _old_work() -> int:
    if not settings.KEEP_WORK_DAYS:
        return 0
    return DBTaskResult.objects.finished().filter(finished_at__lt=_ago(settings.KEEP_WORK_DAYS)).delete()[0]


def _old_imports() -> int:
    """All but the newest reading of each source: that one says where the next goes on, and what was loaded already."""
    if not settings.KEEP_IMPORTS_DAYS:
        return 0
    newest = ImportRun.objects.values("identity").annotate(last=Max("pk")).values("last")
    loaded = ImportRun.objects.filter(state=ImportRun.State.FINISHED).values("identity").annotate(last=Max("pk")).values("last")
    old = ImportRun.objects.filter(started__lt=_ago(settings.KEEP_IMPORTS_DAYS)).exclude(Q(pk__in=newest) | Q(pk__in=loaded))
    count = old.count()
    old.delete()
    return count


def _old_runs() -> int:
    """Runs that are over, and neither the newest of their replication nor in the ledger. Their directories go first."""
    if not settings.KEEP_RUNS_DAYS:
        return 0
    old = Run.objects.filter(moving=False, newest=False, created__lt=_ago(settings.KEEP_RUNS_DAYS)).exclude(outcomes__latest=True)
    count = 0
    for folder in old.values_list("folder", flat=True):
        shutil.rmtree(sync.runs_dir() / folder)
        count += 1
    if count:
        sync.sync_all()  # drops the rows of runs that are gone
    return count
