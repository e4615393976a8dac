"""Many who write to one SQLite file: each is answered or told to try again, and what was answered is there afterwards."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
from django.db import OperationalError

from pressrun.web import errors
from tests.web.ops.place import Place, place

pytestmark = pytest.mark.skipif(bool(os.environ.get("DATABASE_URL")), reason="of SQLite alone: PostgreSQL has many writers")

WRITERS, EACH = 8, 15


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("writers") / "home") as made:
        yield made


@pytest.fixture(scope="module")
def address(here: Place) -> Iterator[str]:
    """Where its site is served by two processes."""
    server = here.start("serve", "--port", "0", "--workers", "2", "--no-worker")
    assert server.stdout is not None
    found = re.search(r"http://[^/]+", server.stdout.readline())
    assert found
    try:
        yield found[0].replace("localhost", "127.0.0.1")
    finally:
        server.terminate()
        server.communicate(timeout=60)


def rows(here: Place, of: str) -> set[str]:
    with closing(sqlite3.connect(here.home / "pressrun.sqlite3")) as database:
        return {name for (name,) in database.execute("SELECT name FROM auth_group") if name.startswith(of)}


def test_a_storm_of_writers_is_answered_or_told_to_try_again_and_loses_nothing(here: Place, address: str) -> None:
    with httpx.Client(base_url=address, timeout=60) as client:

        def storm(writer: int) -> dict[str, int]:
            names = [f"storm {writer} {number}" for number in range(EACH)]
            return {name: client.post(f"/yard/{name}").status_code for name in names}

        with ThreadPoolExecutor(WRITERS) as pool:
            answers = {name: status for found in pool.map(storm, range(WRITERS)) for name, status in found.items()}
    assert set(answers.values()) <= {200, 503}
    written = {name for name, status in answers.items() if status == 200}
    assert len(written) > 0
    assert rows(here, "storm") == {f"{name} {part}" for name in written for part in ("begun", "ended")}


def test_who_comes_while_another_writes_for_long_is_told_to_try_again_and_readers_are_not_kept(here: Place, address: str) -> None:
    with httpx.Client(base_url=address, timeout=60) as client, closing(sqlite3.connect(here.home / "pressrun.sqlite3")) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = client.post("/yard/mine", headers={"Accept": "application/json"})
        assert refused.status_code == 503
        assert refused.json() == {
            "error": "Too many are at work at this moment, so nothing was changed. Try again in a few seconds."
        }
        assert refused.headers["Retry-After"] == "5"
        assert client.get("/topics").status_code == 200
        other.rollback()
        assert client.post("/yard/mine").status_code == 200
    assert rows(here, "mine") == {"mine begun", "mine ended"}


def test_other_errors_of_the_database_are_not_called_busy() -> None:
    assert errors._is_locked(OperationalError("database is locked"))
    assert errors._is_locked(OperationalError("couldn't get a connection after 20.00 sec"))
    assert not errors._is_locked(OperationalError("no such table: papers"))
    assert not errors._is_locked(ValueError("database is locked"))
