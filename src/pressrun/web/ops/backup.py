"""The whole installation in one file: database, runs, keys and whatever else stands in the data directory and is not derived.

A .tar.gz with `manifest.json` last: who made it, the migrations applied, and the SHA-256 of everything else. The database comes
first, in one consistent state, though others write meanwhile: on SQLite through its backup interface as `database.sqlite3`, on
PostgreSQL as a COPY of each table in `tables/`, all from one snapshot. Then the files of the data directory in `home/`. A run that
is in hand is taken as far as it is; where it is restored, it counts as lost, as after a power cut.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder

from pressrun import __version__
from pressrun.web.errors import BadInput
from pressrun.web.papers.imports import replaced_by
from pressrun.web.papers.models import Paper

__all__ = ["DATABASE", "FORMAT", "HOME", "MANIFEST", "TABLES", "Contents", "backup", "tables"]

FORMAT = 1
DATABASE = "database.sqlite3"
TABLES = "tables/"
HOME = "home/"
MANIFEST = "manifest.json"

DERIVED = ("index", "backups", "processes", "metrics", "owner-token", "pressrun.sqlite3")
"""Beginnings of names in the data directory that are made anew, or are the database itself."""


@dataclass(frozen=True)
class Contents:
    """What a backup holds, as its manifest says."""

    file: str
    made: str
    version: str
    engine: str
    papers: int
    runs: int
    files: dict[str, str]
    """SHA-256 by name in the archive."""
    migrations: list[list[str]]
    """[app, name] of each migration that was applied."""
    columns: dict[str, list[str]]
    """Of PostgreSQL: the columns of each table, in the order of its copy."""

    def sentence(self) -> str:
        return (
            f"{self.file} holds {self.papers:,} papers and {self.runs:,} runs of {self.made[:16].replace('T', ' ')} UTC "
            f"({self.engine}, pressrun {self.version})."
        )

    def as_json(self) -> dict[str, Any]:
        return {"file": self.file, "made": self.made, "version": self.version, "engine": self.engine} | {
            "papers": self.papers,
            "runs": self.runs,
            "files": len(self.files),
        }


def backup(path: Path) -> Contents:
    """Write a backup to `path`, readable by its owner only; an older file there gives way only when the new one is whole.

    Raises:
        BadInput: if `path` is a folder, or in none; or if nothing is installed yet.
    """
    if Paper._meta.db_table not in connection.introspection.table_names():
        raise BadInput(f"there is no installation in {settings.HOME} yet; `pressrun serve` makes one.")
    with replaced_by(path) as unfinished, tempfile.TemporaryDirectory(dir=path.parent, prefix=".backup-") as scratch:
        files: dict[str, str] = {}
        with tarfile.open(unfinished, "w:gz", compresslevel=3) as archive:
            columns, papers = _database(archive, files, Path(scratch))
            for name, found in _home(skip={path.resolve(), unfinished.resolve(), Path(scratch).resolve()}):
                _add_file(archive, files, HOME + name, found)
            runs = sum(name.startswith(f"{HOME}runs/") and name.endswith("/run.json") for name in files)
            applied = sorted([app, name] for app, name in MigrationRecorder(connection).applied_migrations())
            made = datetime.now(UTC).isoformat(timespec="seconds")
            contents = Contents(path.name, made, __version__, connection.vendor, papers, runs, files, applied, columns)
            _add(archive, MANIFEST, json.dumps({"format": FORMAT} | asdict(contents), indent=1).encode())
    return contents


def tables() -> list[str]:
    """Every table of the site that is there, with the record of its migrations."""
    there = set(connection.introspection.table_names())
    wanted = {*connection.introspection.django_table_names(), MigrationRecorder.Migration._meta.db_table}
    return sorted(wanted & there)


def _database(archive: tarfile.TarFile, files: dict[str, str], scratch: Path) -> tuple[dict[str, list[str]], int]:
    """Put the database into the archive; gives the columns of each table (PostgreSQL) and the number of papers."""
    if connection.vendor == "sqlite":
        copied = scratch / DATABASE
        papers = _copy_sqlite(copied)
        _add_file(archive, files, DATABASE, copied)
        return {}, papers
    columns = {}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for table in tables():
            names = [column.name for column in connection.introspection.get_table_description(cursor, table)]
            columns[table] = names
            _copy_table(cursor.cursor, table, names, scratch / table)
            _add_file(archive, files, TABLES + table, scratch / table)
            (scratch / table).unlink()
        papers = Paper.objects.count()
    return columns, papers


def _copy_sqlite(path: Path) -> int:
    """A copy of the database in the state of one moment; writers go on meanwhile. Gives the number of papers in it."""
    connection.ensure_connection()
    with closing(sqlite3.connect(path)) as copy:
        connection.connection.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise OSError(f"the database is damaged, and so is no backup: {found}")
        (papers,) = copy.execute(f"SELECT count(*) FROM {Paper._meta.db_table}").fetchone()  # nosec  # noqa: S608  our own name
    return int(papers)


def _copy_table(cursor: psycopg.Cursor, table: str, columns: list[str], path: Path) -> None:
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    with path.open("wb") as file, cursor.copy(f"COPY {quote(table)} ({names}) TO STDOUT") as rows:
        for block in rows:
            file.write(block)


def _home(skip: set[Path]) -> Iterator[tuple[str, Path]]:
    """Name and place of each file of the data directory that a backup needs."""
    root = Path(settings.HOME)
    for folder, folders, names in os.walk(root):
        top = Path(folder) == root
        folders[:] = sorted(name for name in folders if _needed(name, top) and (Path(folder) / name).resolve() not in skip)
        for name in sorted(names):
            path = Path(folder) / name
            if _needed(name, top) and path.resolve() not in skip and path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix(), path


def _needed(name: str, top: bool) -> bool:
    return not (top and name.startswith((".", *DERIVED))) and not name.endswith(".lock")


class _Hashed(io.RawIOBase):
    """A file read up to a length, hashed on the way. What grows meanwhile is cut there; what shrank is filled with spaces."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self.file, self.left, self.sha256 = file, length, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        wanted = self.left if size < 0 else min(size, self.left)
        block = self.file.read(wanted).ljust(wanted)
        self.left -= len(block)
        self.sha256.update(block)
        return block


def _add_file(archive: tarfile.TarFile, files: dict[str, str], name: str, path: Path) -> None:
    try:
        file = path.open("rb")
    except FileNotFoundError:  # gone since it was listed
        return
    with file:
        status = os.fstat(file.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = status.st_size, int(status.st_mtime), status.st_mode & 0o700
        hashed = _Hashed(file, status.st_size)
        archive.addfile(member, hashed)
        files[name] = hashed.sha256.hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    archive.addfile(member, io.BytesIO(content))
