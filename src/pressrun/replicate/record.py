"""The record of a run: one directory, whose `run.json` says everything that is needed to judge it or do it again.

    run.json           this record, always whole: written beside, synced and renamed
    cards.json         the claim cards in full, as they were when the run was asked for
    seeds/             per seed: rows (N.jsonl), progress and log (N.events.jsonl), output (N.txt), what it ran on (N.json)
    evidence.parquet   all rows, once the run has ended in whatever way
    figures/           figure.svg and figure.png
    stdout.txt         the output of all seeds, one after the other
    live.json          the heartbeat: time, memory and CPU time now
    run.lock           held by the supervisor as long as it lives
    cancel             present once somebody asked for the end

Whoever holds `run.lock` is the only one who writes `run.json`. The kernel lets go of the lock when its holder dies, in
whatever way, so a run that is not over and whose lock is free has lost its supervisor. (A process id could have been
given to another process, or mean nothing in another container.)
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import BaseModel, Field, JsonValue, ValidationError

from pressrun.replicate.knobs import Value
from pressrun.replicate.machine import Environment, Machine
from pressrun.replicate.run import sha256_of

FORMAT = 1
RUN_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,119}")
IMPORTED = "imported"  # the folder of runs that came in bundles; its runs are read, never changed
PASSING = (
    "run.lock",
    "supervisor.txt",
    "live.json",
    "cancel",
    "scratch",
    "run.json",
)  # not part of what a run leaves behind, so not hashed


class RunError(Exception):
    """A run that cannot be read, started, cancelled or passed on, in one sentence."""


class State(StrEnum):
    """What became of the run as a process. Whether a claim holds is another matter: only a succeeded run has verdicts."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def final(self) -> bool:
        return self not in (State.QUEUED, State.STARTING, State.RUNNING)


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(gt=0)]


class Limits(BaseModel, frozen=True, extra="forbid"):
    """What a run may use at most; None is no limit. The run is stopped at the first one that it hits."""

    wall: Positive | None = Field(
        default=3600, description="seconds from start to end of the whole run, without waiting in the queue"
    )
    cpu: Positive | None = Field(default=None, description="seconds of CPU time of one seed")
    memory: PositiveInt | None = Field(default=8 * 2**30, description="bytes of memory of all seeds together")
    output: PositiveInt | None = Field(
        default=512 * 2**20, description="bytes of evidence, output and scratch files of all seeds together"
    )


class StateChange(BaseModel, frozen=True):
    """When a state began, and why in a sentence where there is more to say than its name."""

    state: State
    at: datetime
    note: str = ""


class CardRef(BaseModel, frozen=True):
    """Which claim card, at which version, with the sha256 that the lock holds for it."""

    id: str
    version: int
    sha256: str


class SeedResult(BaseModel, frozen=True):
    """How one seed ended. Seconds, bytes; `exit_code` and `signal` as the kernel gave them, one of the two."""

    seed: int
    state: State
    exit_code: int | None = None
    signal: str | None = None
    note: str = ""
    wall: float = 0.0
    cpu: float = 0.0
    peak_memory: int = 0
    attempts: int = 1
    host: str = ""


class FileHash(BaseModel, frozen=True):
    sha256: str
    size: int


class DataRef(BaseModel, frozen=True):
    """A data file that a seed read."""

    path: str
    sha256: str
    size: int


class RunRecord(BaseModel, frozen=True, extra="forbid"):
    """Everything about one run but its rows and files. Times are UTC, durations seconds, sizes bytes."""

    format: Literal[1] = 1
    id: str = Field(pattern=f"^{RUN_ID.pattern}$")
    paper: str
    replication: str
    title: str = ""
    module: str
    version: str
    source_sha256: str
    cards: tuple[CardRef, ...]
    not_tested: tuple[str, ...] = ()
    metrics: dict[str, str]

    preset: str
    config: dict[str, Value]
    changed: dict[str, Value] = {}
    seeds: tuple[int, ...] = Field(min_length=1)
    command: str
    requester: str
    parent: str | None = None
    created: datetime

    on: Literal["local", "ray"] = "local"
    limits: Limits = Limits()
    threads: PositiveInt = 1
    parallel: PositiveInt = 1

    states: tuple[StateChange, ...] = Field(min_length=1)
    supervisor: tuple[int, float] | None = None
    limit_hit: str | None = None
    environment: Environment | None = None
    machine: Machine | None = None
    network: str = "not run yet"
    determinism: dict[str, JsonValue] = {}
    libraries: dict[str, str] = {}
    code: dict[str, str] = {}
    data: tuple[DataRef, ...] = ()
    results: tuple[SeedResult, ...] = ()
    peak_memory: int = 0

    not_judged: str = ""
    verdicts: tuple[dict[str, JsonValue], ...] = ()
    no_figure: str = ""
    files: dict[str, FileHash] = {}

    path: Path = Field(default=Path(), exclude=True)

    @property
    def state(self) -> State:
        return self.states[-1].state

    @property
    def note(self) -> str:
        return self.states[-1].note

    @property
    def imported(self) -> bool:
        return self.path.parent.name == IMPORTED

    @property
    def counts(self) -> bool:
        """Whether the verdicts may stand in the ledger: judged, with the preset's own knobs, and run here."""
        return bool(self.verdicts) and not self.changed and not self.imported

    @property
    def source_changed(self) -> bool:
        """Whether the source that ran is another one than the locked one."""
        return self.code.get(self.module, self.source_sha256) != self.source_sha256

    @property
    def seconds(self) -> float | None:
        """Seconds from running to the end; None before the end, or when it never ran."""
        began = next((change.at for change in self.states if change.state is State.RUNNING), None)
        return (self.states[-1].at - began).total_seconds() if began and self.state.final else None

    def moved(self, state: State, note: str = "", **changes: object) -> RunRecord:
        """The record in the next state. A final state is final.

        Raises:
            RunError: if the run is over.
        """
        if self.state.final:
            raise RunError(f"run {self.id} is over ({self.state}) and cannot become {state}")
        return self.model_copy(
            update={**changes, "states": (*self.states, StateChange(state=state, at=datetime.now(UTC), note=note))}
        )


class Live(BaseModel, frozen=True):
    """The last heartbeat of a supervisor: bytes and CPU seconds of all its workers together, and what each seed does."""

    at: datetime
    memory: int = 0
    cpu: float = 0.0
    output: int = 0
    seeds: dict[int, str] = {}


def new_id(name: str, now: datetime) -> str:
    """A run id that sorts by time and reads at a glance: replication, date, time, four random digits."""
    slug = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-_") or "run"
    return f"{slug[:60]}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def write_record(record: RunRecord) -> None:
    """Put run.json in place, whole or not at all, even if the power goes."""
    write_whole(record.path / "run.json", record.model_dump_json(indent=1, exclude={"path"}).encode())


def write_whole(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a file so that readers see the old content or the new one, never a part."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    if sync:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def parse_record(content: bytes, where: str) -> RunRecord:
    """A record from the bytes of a run.json; `where` names it in the error.

    Raises:
        RunError: saying what is wrong with it.
    """
    try:
        found = json.loads(content)
    except ValueError as problem:
        raise RunError(f"{where} is not JSON, so the run cannot be read: {problem}") from None
    if not isinstance(found, dict):
        raise RunError(f"{where} must hold an object, it holds {type(found).__name__}")
    if found.get("format") != FORMAT:
        raise RunError(
            f"{where} has record format {found.get('format', 'none')!r}; this version of pressrun reads format {FORMAT}"
        )
    try:
        return RunRecord.model_validate_json(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the record"
        raise RunError(f"{where} is not a run record: {field}: {first['msg'].lower()}") from None


def load_record(path: Path) -> RunRecord:
    """The record as it stands in the directory, whatever became of its supervisor.

    Raises:
        RunError: if there is none, or it cannot be read.
    """
    try:
        content = (path / "run.json").read_bytes()
    except FileNotFoundError:
        raise RunError(f"there is no run in {path}") from None
    except OSError as problem:
        raise RunError(f"{path / 'run.json'} cannot be read: {problem.strerror}") from None
    return parse_record(content, str(path / "run.json")).model_copy(update={"path": path})


def live(record: RunRecord) -> Live | None:
    """The last heartbeat, None before the first."""
    try:
        return Live.model_validate_json((record.path / "live.json").read_bytes())
    except (OSError, ValidationError):
        return None


def run_directories(runs_dir: Path, *, imported: bool = True) -> Iterator[Path]:
    """Every run's directory under `runs_dir`, the newest first."""
    folders = [runs_dir, runs_dir / IMPORTED] if imported else [runs_dir]
    found = [run.parent for folder in folders for run in folder.glob("*/run.json")]
    yield from sorted(found, key=lambda path: (path / "run.json").stat().st_mtime_ns if path.exists() else 0, reverse=True)


def find_run(runs_dir: Path, run_id: str) -> Path:
    """The directory of a run, by its id or an unambiguous beginning of it.

    Raises:
        RunError: if there is none, or more than one.
    """
    if not RUN_ID.fullmatch(run_id):
        raise RunError(f"{run_id!r} is not a run id; they look like ei-snn-20260420-181500-3fa9")
    found = [path for path in run_directories(runs_dir) if path.name.startswith(run_id)]
    exact = sorted((path for path in found if path.name == run_id), key=lambda path: path.parent.name == IMPORTED)  # ours first
    if exact or len(found) == 1:
        return (exact or found)[0]
    raise RunError(f"there is no run {run_id}" if not found else f"{len(found)} runs begin with {run_id}; give more of the id")


def try_lock(path: Path) -> IO[bytes] | None:
    """The lock of a run, if nobody holds it; kept as long as the file is open, by every process that has it open."""
    file = (path / "run.lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a run for the block if it is free, and say whether it was."""
    lock = try_lock(path)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.close()


def hashed_files(path: Path) -> dict[str, FileHash]:
    """The sha256 and size of everything a run leaves behind but its record, by path within the run."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    names = ((file.relative_to(path), file) for file in files)
    return {
        name.as_posix(): FileHash(sha256=sha256_of(file), size=file.stat().st_size)
        for name, file in names
        if name.parts[0] not in PASSING and not name.name.startswith(".")
    }


def plain_config(config: Mapping[str, object]) -> dict[str, Value]:
    """A config of plain values, as the record keeps it.

    Raises:
        RunError: naming a knob whose value is no number, switch or text.
    """
    plain: dict[str, Value] = {}
    for name, value in config.items():
        if not isinstance(value, int | float | bool | str):
            raise RunError(f"knob {name} must be a number, a switch or text, got {value!r:.80}")
        plain[name] = value
    return plain


def checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Distinct whole numbers from 0 up.

    Raises:
        RunError: saying which is not.
    """
    wrong = [seed for seed in seeds if type(seed) is not int or not 0 <= seed < 2**32]
    if wrong or not seeds:
        raise RunError(f"seeds must be whole numbers from 0 up, got {wrong[0]!r}" if wrong else "a run needs at least one seed")
    if len(set(seeds)) < len(seeds):
        raise RunError(f"each seed runs once, got {', '.join(map(str, seeds))}")
    return tuple(seeds)
