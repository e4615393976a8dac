"""Which processes of the site live: each holds a lock for as long as it does, and the system lets go of it however the process ends.

So nothing is decided by a clock: a process that is stopped or slow still holds its lock, and one that was killed is known to be gone
at once. On SQLite, where all processes share a machine, it is a lock on a file; on PostgreSQL an advisory lock of a session.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import Error, OperationalError, connection
from django.utils.crypto import get_random_string
from filelock import FileLock, Timeout

from pressrun.web.ops.models import Process

__all__ = ["attending", "is_held", "living"]


@contextmanager
def attending(kind: Process.Kind) -> Iterator[tuple[str, Callable[[], None]]]:
    """Be one of the site's processes; gives its id, and a check that raises `OperationalError` once its lock was lost."""
    key = get_random_string(32)
    with _held(key) as check:
        Process.objects.create(id=key, kind=kind, host=socket.gethostname()[:200], pid=os.getpid())
        try:
            yield key, check
        finally:
            with suppress(Error):  # a row that stays is of a process without a lock, and is swept away by the next
                Process.objects.filter(pk=key).delete()
    if connection.vendor == "sqlite":
        _file(key).unlink(missing_ok=True)


def living() -> list[Process]:
    """The processes that live. Rows of those that don't are removed."""
    known = list(Process.objects.all())
    alive = [process for process in known if is_held(process.pk)]
    if gone := {process.pk for process in known} - {process.pk for process in alive}:
        Process.objects.filter(pk__in=gone).delete()
    return alive


def is_held(key: str) -> bool:
    """Whether the process of this id lives."""
    if connection.vendor == "sqlite":
        return _file_is_held(_file(key))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_number(key)])
        (free,) = cursor.fetchone()
        if free:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_number(key)])
    return not free


@contextmanager
def _held(key: str) -> Iterator[Callable[[], None]]:
    if connection.vendor == "sqlite":
        _file(key).parent.mkdir(exist_ok=True, mode=0o700)
        with FileLock(_file(key)):
            yield lambda: None
        return
    # A session of its own: the one that does the work is closed and opened again between pieces of work.
    session = connection.copy()
    session.settings_dict["OPTIONS"].pop("pool", None)  # what goes back into a pool keeps its locks
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_number(key)])

        def check() -> None:
            if session.connection is None or not session.is_usable():
                raise OperationalError("the connection that shows that this process lives was lost")

        yield check
    finally:
        session.close()


def _file_is_held(path: Path) -> bool:
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    path.unlink(missing_ok=True)
    return False


def _file(key: str) -> Path:
    return Path(settings.HOME) / "processes" / f"{key}.lock"


def _number(key: str) -> int:
    """The id as PostgreSQL takes it: 64 bits with a sign."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
