"""An installation from its backup. Everything is unpacked and checked beside first; then files and database change places."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from django.apps import apps
from django.conf import settings
from django.core.management.color import no_style
from django.db import connection, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from pressrun.web.errors import BadInput
from pressrun.web.ops.alive import living
from pressrun.web.ops.backup import DATABASE, FORMAT, HOME, MANIFEST, TABLES, Contents, backup, tables
from pressrun.web.ops.models import Job, Process
from pressrun.web.papers.models import Paper

__all__ = ["check", "restore"]

BLOCK = 1 << 20


def check(path: Path) -> Contents:
    """What a backup holds, after every byte of it was proved.

    Raises:
        BadInput: if it is no backup, or not whole, or is of a later pressrun.
    """
    with _unpacked(path) as (contents, _):
        return contents


def restore(path: Path, *, replace: bool = False, paused: bool = False) -> Contents:
    """Bring an installation back into this data directory and database.

    Args:
        path: the backup.
        replace: also where papers are already; they are backed up into `backups/` of the data directory first.
        paused: pause all work behind the pages, so that a copy for trying things out sends no mail.

    Raises:
        BadInput: if the backup does not fit or is not whole, the site is running, or `replace` is missing. Nothing is changed then.
    """
    _check_at_rest()
    with _unpacked(path) as (contents, folder):
        _check_fits(contents)
        if _is_inhabited():
            if not replace:
                raise BadInput(f"there is an installation in {settings.HOME} already; --replace puts the backup in its place.")
            kept = Path(settings.HOME) / "backups"
            kept.mkdir(exist_ok=True, mode=0o700)
            backup(kept / f"before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar.gz")
        # The search index is derived, so it is not in the backup: every paper is marked to be indexed anew.
        after = [f"UPDATE {Paper._meta.db_table} SET to_index = true"]  # noqa: S608  our own name
        if paused:
            after.append(f"UPDATE {Job._meta.db_table} SET paused = true")  # noqa: S608  our own name
        # Files first: a run without a row is found again, a row without its run would be dropped.
        _put_files(folder / HOME)
        shutil.rmtree(Path(settings.HOME) / "index", ignore_errors=True)
        if connection.vendor == "sqlite":
            _put_sqlite(folder / DATABASE, after)
        else:
            _put_tables(contents, folder / TABLES, after)
    return contents


def _check_at_rest() -> None:
    if Process._meta.db_table in connection.introspection.table_names() and (found := living()):
        raise BadInput(f"the site is running ({', '.join(map(str, found))}); stop it first.")


def _check_fits(contents: Contents) -> None:
    if contents.engine != connection.vendor:
        raise BadInput(
            f"the backup is of {contents.engine}, this site is on {connection.vendor}; `pressrun export` and `pressrun import` "
            "carry papers from one to the other."
        )
    ours = MigrationExecutor(connection).loader.disk_migrations
    if unknown := [f"{app}.{name}" for app, name in contents.migrations if (app, name) not in ours]:
        raise BadInput(
            f"the backup is of pressrun {contents.version}, which knows {unknown[0]}; install that version or a later one."
        )


def _is_inhabited() -> bool:
    return Paper._meta.db_table in connection.introspection.table_names() and Paper.objects.exists()


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[Contents, Path]]:
    """The backup's contents in a folder of the data directory, once everything in it is as its manifest says."""
    with tempfile.TemporaryDirectory(dir=settings.HOME, prefix=".restore-") as name:
        folder = Path(name)
        try:
            found = _extract(path, folder)
        except (tarfile.TarError, EOFError, zlib.error, UnicodeDecodeError) as problem:
            raise BadInput(f"{path} is not a whole backup: {problem or type(problem).__name__}.") from problem
        contents = _contents(path, folder)
        if found != contents.files:
            wrong = sorted(name for name in found.keys() | contents.files.keys() if found.get(name) != contents.files.get(name))
            raise BadInput(f"{path} is not a whole backup: {wrong[0]} is missing, added or changed.")
        yield contents, folder


def _extract(path: Path, folder: Path) -> dict[str, str]:
    """Unpack regular files only, within the folder; gives the SHA-256 of each but the manifest."""
    found = {}
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            source = archive.extractfile(member) if member.isreg() else None
            target = (folder / member.name).resolve()
            if source is None or not target.is_relative_to(folder.resolve()):
                raise BadInput(f"{path} is not a backup of pressrun: it holds {member.name[:80]!r}.")
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            sha256 = hashlib.sha256()
            with target.open("xb") as file:
                target.chmod(member.mode & 0o700 | 0o400)
                while block := source.read(BLOCK):
                    sha256.update(block)
                    file.write(block)
            if member.name != MANIFEST:
                found[member.name] = sha256.hexdigest()
    return found


def _contents(path: Path, folder: Path) -> Contents:
    try:
        said = json.loads((folder / MANIFEST).read_text())
        if said.pop("format") != FORMAT:
            raise BadInput(f"{path} is of a later pressrun; install that version to restore it.")
        return Contents(**said | {"file": path.name})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        if isinstance(problem, BadInput):
            raise
        raise BadInput(f"{path} is not a whole backup of pressrun: it has no manifest that can be read.") from problem


def _put_files(folder: Path) -> None:
    if not folder.is_dir():
        return
    for new in folder.iterdir():
        old = Path(settings.HOME) / new.name
        if old.is_dir():
            shutil.rmtree(old)
        new.replace(old)


def _put_sqlite(path: Path, after: list[str]) -> None:
    """The copy takes the place of the database in one transaction."""
    with closing(sqlite3.connect(path)) as copy:
        for statement in after:
            copy.execute(statement)
        copy.commit()
        connection.ensure_connection()
        copy.backup(connection.connection)
    connection.close()


def _put_tables(contents: Contents, folder: Path, after: list[str]) -> None:
    """Make the tables as they were when the backup was made, and fill them, in one transaction."""
    executor = MigrationExecutor(connection)
    wanted = {(app, name) for app, name in contents.migrations}
    applied = set(executor.loader.applied_migrations)
    if applied - wanted:
        raise BadInput(
            f"the backup is of pressrun {contents.version}, whose tables are older than those here; restore it into an empty database."
        )
    if wanted - applied:
        executor.migrate([node for node in wanted if not _has_child_in(executor, node, wanted)])
    with transaction.atomic(), connection.cursor() as cursor:
        quote = connection.ops.quote_name
        there = tables()
        if strange := sorted(contents.columns.keys() - set(there)):
            raise BadInput(f"the backup has a table {strange[0][:80]!r} that is not known here.")
        cursor.execute(f"TRUNCATE {', '.join(map(quote, there))}")
        for table, columns in contents.columns.items():
            _fill(cursor.cursor, f"COPY {quote(table)} ({', '.join(map(quote, columns))}) FROM STDIN", folder / table)
        numbered: list[type[models.Model]] = [*apps.get_models(include_auto_created=True), MigrationRecorder.Migration]
        for statement in connection.ops.sequence_reset_sql(no_style(), [m for m in numbered if m._meta.db_table in there]):
            cursor.execute(statement)
        for statement in after:
            cursor.execute(statement)


def _has_child_in(executor: MigrationExecutor, node: tuple[str, str], wanted: set[tuple[str, str]]) -> bool:
    return any(child.key in wanted for child in executor.loader.graph.node_map[node].children)


def _fill(cursor: psycopg.Cursor, statement: str, path: Path) -> None:
    with path.open("rb") as file, cursor.copy(statement) as rows:
        while block := file.read(BLOCK):
            rows.write(block)
