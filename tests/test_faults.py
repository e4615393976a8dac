"""What survives when processes are killed, ports are taken, disks are full and two servers share a directory.

These start the real command in a process of its own, on SQLite in a data directory of its own.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROWS = 12_000
PATIENCE = 60  # seconds after which a process that should have acted counts as stuck


def environment(home: Path) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "DJANGO_SETTINGS_MODULE"}} | {
        "PRESSRUN_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }


def pressrun(home: Path, *arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """One command; `limit` is the largest file, in bytes, that it may write: what a full disk looks like to a process."""

    def on_a_full_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit or 0, limit or 0))

    command = [sys.executable, "-m", "pressrun", *arguments]
    return subprocess.run(
        command,
        env=environment(home),
        text=True,
        capture_output=True,
        timeout=PATIENCE * 2,
        check=False,
        preexec_fn=on_a_full_disk if limit else None,
    )


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running server and its address."""
    command = [sys.executable, "-m", "pressrun", "serve", *arguments]
    process = subprocess.Popen(command, env=environment(home), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://[^/]+", line)
        assert found, line + (process.stderr.read() if process.stderr and process.poll() is not None else "")
        yield found[0].replace("localhost", "127.0.0.1"), process
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def snapshot(path: Path, rows: int) -> Path:
    """An arXiv metadata snapshot of so many invented papers."""
    with path.open("w") as file:
        for n in range(rows):
            row = {
                "id": f"{1001 + n // 9000:04}.{n % 9000:05}",
                "title": f"Invented paper {n}",
                "authors": f"A. Author{n}",
                "abstract": "words " * 60,
            }
            row |= {"categories": "cs.NE", "update_date": "2020-01-01", "authors_parsed": [[f"Author{n}", "A.", ""]]}
            row |= {"versions": [{"version": "v1", "created": "Mon, 6 Jan 2020 00:00:00 GMT"}]}
            file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the shipped papers, copied for each test."""
    home = tmp_path_factory.mktemp("ready") / "home"
    assert pressrun(home, "index", "--quiet").returncode == 0
    return home


@pytest.fixture
def home(ready: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(ready, tmp_path / "home"))


def papers(home: Path) -> int:
    return int(json.loads(pressrun(home, "list", "--trending", "--json", "--limit", "1").stdout)["total"])


def test_an_import_killed_in_the_middle_goes_on_where_it_stopped(home: Path, tmp_path: Path) -> None:
    source = snapshot(tmp_path / "snapshot.json", ROWS)
    command = [sys.executable, "-m", "pressrun", "import", str(source), "--quiet"]
    process = subprocess.Popen(command, env=environment(home))
    deadline = time.monotonic() + PATIENCE
    with sqlite3.connect(home / "pressrun.sqlite3") as database:
        while (seen := database.execute("SELECT count(*) FROM papers_paper").fetchone()[0]) <= 50 and time.monotonic() < deadline:
            time.sleep(0.01)
    process.kill()
    process.wait()
    assert 50 < seen < 50 + ROWS, "the import was over before it could be killed" if seen > 50 else "the import did not begin"
    # Whatever was written stays readable, searchable and is not read again.
    assert pressrun(home, "search", "refuse", "--json").returncode == 0
    summary = json.loads(pressrun(home, "import", str(source), "--json").stdout)[0]
    assert summary["added"] + summary["unchanged"] < ROWS
    assert papers(home) == 50 + ROWS
    assert json.loads(pressrun(home, "index", "--json").stdout)["documents"] == 50 + ROWS


def test_a_full_disk_is_one_sentence_and_the_site_goes_on(home: Path, tmp_path: Path) -> None:
    source = snapshot(tmp_path / "snapshot.json", 3000)
    result = pressrun(home, "import", str(source), "--quiet", limit=1_500_000)
    assert result.returncode == 1
    assert result.stderr.startswith("pressrun: ")
    assert result.stderr.count("\n") == 1
    assert json.loads(pressrun(home, "search", "refuse", "--json").stdout)["hits"]
    assert pressrun(home, "import", str(source), "--quiet").returncode == 0
    assert papers(home) == 3050


def test_two_servers_share_a_data_directory_from_its_first_moment(tmp_path: Path) -> None:
    home = tmp_path / "fresh"
    with serving(home) as (one, _), serving(home) as (other, _):
        assert one != other
        for address in (one, other):
            assert len(httpx.get(f"{address}/api/daily_papers?limit=50", timeout=PATIENCE).json()) == 50
            assert "Refus" in httpx.get(f"{address}/search?q=refusal", timeout=PATIENCE).text


def test_a_port_that_is_taken_is_one_sentence(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = pressrun(home, "serve", "--port", str(port))
    assert result.returncode == 2
    assert (
        result.stderr
        == f"pressrun: cannot listen on 127.0.0.1 port {port}: Address already in use; choose another with --port.\n"
    )


def test_the_processes_beside_the_server_end_with_it_also_when_it_is_killed(home: Path) -> None:
    with serving(home) as (address, process):
        assert httpx.get(address, timeout=PATIENCE).status_code == 200
        beside = children(process.pid)
        assert len(beside) == 2  # one indexes, one works
        process.kill()
        process.wait()
        deadline = time.monotonic() + PATIENCE
        while any(map(alive, beside)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not any(map(alive, beside))


def test_the_server_embeds_behind_the_requests(home: Path) -> None:
    with serving(home):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            state = json.loads(pressrun(home, "index", "--json").stdout)
            if state["embedded_whole"] == 50:
                break
        assert state["embedded_whole"] == 50


def test_a_data_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = pressrun(tmp_path / "file" / "home", "list")
    assert result.returncode == 1
    assert result.stderr.startswith("pressrun: ")
    assert result.stderr.count("\n") == 1


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
