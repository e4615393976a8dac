"""Where an index lies on disk, which generation is in force, and who may write.

CURRENT            the number of the generation in force
writer.lock        held while somebody writes
writer.json        who that is
g7/lexical         the tantivy index of generation 7
g7/vectors         its vectors
g7/state.json      what both need to know
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = [
    "IndexBusy",
    "IndexDamaged",
    "State",
    "clean",
    "current",
    "folder",
    "locked",
    "read_state",
    "switch",
    "unused",
    "usable",
    "write_atomically",
    "write_state",
]


class IndexBusy(RuntimeError):
    """Somebody else is writing to the index; the message says who."""


class IndexDamaged(RuntimeError):
    """The index cannot be read; the message says what to do."""


@dataclass(frozen=True)
class State:
    """What a generation knows of itself.

    `next_row` is the first row never given to a paper. `slots` maps a number field of `Document.extra` to its column, `words`
    lists its word fields. `changed` counts the vectors replaced since the lists were made; `fitted` the papers that the
    linear map was fitted on.
    """

    next_row: int = 0
    slots: Mapping[str, int] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    built: str = ""
    model: str = ""
    changed: int = 0
    fitted: int = 0


def current(path: Path) -> int:
    """The number of the generation in force; 0 where there is no index yet."""
    try:
        return int((path / "CURRENT").read_text())
    except FileNotFoundError:
        return 0
    except ValueError:
        raise IndexDamaged(f"The file {path / 'CURRENT'} does not hold a number; rebuild the index.") from None


def usable(path: Path) -> int:
    """The number of the generation in force; 0 where none is, or nobody can tell which."""
    try:
        return current(path)
    except IndexDamaged:
        return 0


def unused(path: Path) -> int:
    """A number above that of every generation that has left anything behind."""
    return max((int(one.name[1:]) for one in path.glob("g[0-9]*") if one.name[1:].isdecimal()), default=0) + 1


def folder(path: Path, generation: int) -> Path:
    return path / f"g{generation}"


def switch(path: Path, generation: int) -> None:
    """Put a generation in force, in one step that survives a crash."""
    write_atomically(path / "CURRENT", f"{generation}\n")


def clean(path: Path) -> None:
    """Remove every generation but the one in force: replaced ones and what a crash left."""
    kept = folder(path, current(path))
    for other in path.glob("g[0-9]*"):
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)


def read_state(home: Path) -> State:
    try:
        found = json.loads((home / "state.json").read_text())
        return State(**{**found, "words": tuple(found["words"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise IndexDamaged(f"The index in {home} cannot be read ({error}); rebuild it.") from None


def write_state(home: Path, state: State) -> None:
    write_atomically(home / "state.json", json.dumps(asdict(state)))


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by another in one step, on disk before this returns."""
    new = path.with_name(path.name + ".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def locked(path: Path, wait: float) -> Iterator[None]:
    """Hold the right to write, waiting up to `wait` seconds for it. The system gives it back when a process dies.

    Raises:
        IndexBusy: if another writer still holds it.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path / "writer.lock", timeout=wait, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise IndexBusy(f"The index in {path} is being written by {_holder(path)}; try again when it is done.") from None
    try:
        (path / "writer.json").write_text(
            json.dumps({"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")})
        )
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    try:
        found = json.loads((path / "writer.json").read_text())
        return f"process {found['pid']} since {found['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"
