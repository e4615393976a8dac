"""An installation of its own on disk, for tests with several processes on one database."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg

ROOT = Path(__file__).parents[3]


class Place:
    """A data directory and a database: SQLite in the directory, or a fresh database on the server that DATABASE_URL names."""

    def __init__(self, home: Path, database: str = "") -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "PRESSRUN_HOME": str(home),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
            "DJANGO_SETTINGS_MODULE": "tests.web.ops.yard.settings",
            "YARD": str(home / "yard"),
            "DATABASE_URL": database,
            "PRESSRUN_LOG": "ERROR",
        }
        self.environment.pop("PRESSRUN_PARENT", None)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`pressrun` with these arguments, running."""
        return subprocess.Popen(
            [sys.executable, "-m", "pressrun", *arguments],
            env=self.environment,
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`pressrun` with these arguments, to its end."""
        with self.start(*arguments) as process:
            said, complained = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, said, complained)

    def python(self, code: str) -> str:
        """What a piece of code with the site at hand prints."""
        script = f"import django; django.setup()\n{code}"
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def trace(self) -> list[tuple[str, int, int]]:
        """What, which number and which process, in the order in which it happened."""
        path = self.home / "yard"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(what, int(number), int(pid)) for what, number, pid in map(str.split, lines)]


@contextmanager
def place(home: Path) -> Iterator[Place]:
    """A fresh installation with its tables made and nothing in it: a copy of one that is made once for all tests."""
    server = os.environ.get("DATABASE_URL", "")
    if not server:
        shutil.copytree(_empty(), home)
        yield Place(home)
        return
    home.mkdir(mode=0o700)
    name = f"yard_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {_empty_database(server)}")
        try:
            yield Place(home, _beside(server, name))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _empty() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pressrun-yard-"))
    atexit.register(shutil.rmtree, folder)
    return _made(Place(folder)).home


@cache
def _empty_database(server: str) -> str:
    name = f"yard_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    atexit.register(_drop, server, name)
    with tempfile.TemporaryDirectory() as folder:
        _made(Place(Path(folder), _beside(server, name)))
    return name


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _beside(server: str, name: str) -> str:
    return f"{server.rpartition('/')[0]}/{name}"


def _made(fresh: Place) -> Place:
    fresh.python("from django.core.management import call_command; call_command('migrate', verbosity=0)")
    return fresh
