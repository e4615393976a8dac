"""What `replicate(config, seed, run)` is handed: a place to record evidence, say how far it is, and find its data.

Every call of `record` appends one line to `<seed>.jsonl` and flushes it, so that whatever was recorded before a crash
is there afterwards. A line holds one arm at one step: `{"arm": …, "step": …, "values": {metric: number}}`; JSON knows
no infinity and no NaN, so these are the texts "inf", "-inf" and "nan".
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, SupportsIndex, TypeVar

from pressrun.replicate.evidence import EvidenceError, Row, number

Item = TypeVar("Item")

PROGRESS_EVERY = 0.2  # seconds between two progress lines: the page redraws no faster, and a file must not fill with them
LOG_AT_MOST = 10_000


@dataclass(frozen=True)
class DataFile:
    """A file that a replication read: its path as it was asked for, its sha256 and its size in bytes."""

    path: str
    sha256: str
    size: int


class Run:
    """One seed's run. Files go to `directory`: `<seed>.jsonl` (evidence) and `<seed>.events.jsonl` (progress, log, data).

    Args:
        directory: where the files of the seed are; it must exist.
        seed: the seed, which names the files.
        units: unit by metric, as the replication declares in METRICS. Recording another metric is an error.
        scratch: a folder to write in; it is emptied after the run. `directory` by default.
        threads: how many threads this seed may use.
        data_root: what relative paths given to `data` start from; the working directory by default.
    """

    def __init__(
        self,
        directory: Path,
        seed: int,
        units: Mapping[str, str],
        *,
        scratch: Path | None = None,
        threads: int = 1,
        data_root: Path | None = None,
    ) -> None:
        self.seed = seed
        self.scratch = scratch or directory
        self.threads = threads
        self.data_files: dict[str, DataFile] = {}
        self._units = dict(units)
        self._data_root = data_root or Path()
        self._steps: dict[tuple[str, str], set[int | None]] = {}
        self._rows = rows_path(directory, seed).open("ab")
        self._events = events_path(directory, seed).open("ab")

    def record(self, arm: str, step: SupportsIndex | None = None, **metrics: object) -> None:
        """Add one value a metric to the evidence, for this arm and this step (None for a result without steps).

        Raises:
            EvidenceError: if a metric is not declared, is not one number, or was recorded for this arm and step before.
        """
        if not isinstance(arm, str) or not arm:
            raise EvidenceError(f"an arm must have a name, got {arm!r}")
        if not metrics:
            raise EvidenceError(f"nothing to record for arm {arm!r}: give at least one metric, such as accuracy=0.9")
        at = None if step is None else _step(step)
        values = {metric: self._checked(arm, metric, at, value) for metric, value in metrics.items()}
        _append(self._rows, {"arm": arm, "step": at, "values": {metric: _as_json(value) for metric, value in values.items()}})
        for metric in values:
            self._steps.setdefault((arm, metric), set()).add(at)

    def progress(self, iterable: Iterable[Item], label: str = "") -> Iterator[Item]:
        """The same items, counted where people can watch. The total is known when the iterable has a length."""
        total = len(iterable) if isinstance(iterable, Collection) else None
        self._progress(label, 0, total)
        said, done = time.monotonic(), 0
        for done, item in enumerate(iterable, start=1):
            yield item
            if done == total or time.monotonic() - said >= PROGRESS_EVERY:
                self._progress(label, done, total)
                said = time.monotonic()
        if total is None:
            self._progress(label, done, done)

    def log(self, text: str) -> None:
        """Say one line to whoever watches; kept with the run. What goes beyond `LOG_AT_MOST` characters is cut."""
        _append(self._events, {"kind": "log", "at": time.time(), "text": str(text)[:LOG_AT_MOST]})

    def data(self, path: str | Path) -> Path:
        """The path of a file that the experiment reads; its sha256 and size go into the run record.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        found = self._data_root / path
        if not found.is_file():
            raise FileNotFoundError(f"there is no data file {path} (looked for {found})")
        self.data_files[str(path)] = DataFile(str(path), sha256_of(found), found.stat().st_size)
        return found

    def close(self) -> None:
        self._rows.close()
        self._events.close()

    def _progress(self, label: str, done: int, total: int | None) -> None:
        _append(self._events, {"kind": "progress", "at": time.time(), "label": label, "done": done, "total": total})

    def _checked(self, arm: str, metric: str, step: int | None, value: object) -> float:
        if metric not in self._units:
            raise EvidenceError(
                f"metric {metric!r} is not declared in METRICS, which has {', '.join(sorted(self._units)) or 'none'}"
            )
        steps = self._steps.get((arm, metric), set())
        if step in steps:
            raise EvidenceError(
                f"metric {metric!r} of arm {arm!r} was recorded before {'without a step' if step is None else f'at step {step}'}"
            )
        if steps and (step is None or None in steps):
            raise EvidenceError(f"metric {metric!r} of arm {arm!r} was recorded both with and without a step; use one of the two")
        try:
            return number(value)
        except EvidenceError as problem:
            raise EvidenceError(f"{problem} as metric {metric!r} of arm {arm!r}") from None


def rows_path(directory: Path, seed: int) -> Path:
    """Where a seed's evidence is written while it runs."""
    return directory / f"{seed}.jsonl"


def events_path(directory: Path, seed: int) -> Path:
    """Where a seed's progress and log are written while it runs."""
    return directory / f"{seed}.events.jsonl"


def read_rows(path: Path, seed: int, units: Mapping[str, str]) -> Iterator[Row]:
    """A seed's evidence, in the order it was recorded. A last line cut off by a crash is left out.

    Raises:
        EvidenceError: if another line is not what `record` writes, naming file and line.
    """
    for number_of_line, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if line.endswith(b"\n"):
            yield from _parsed(line, seed, units, f"{path.name}, line {number_of_line},")


def _parsed(line: bytes, seed: int, units: Mapping[str, str], where: str) -> Iterator[Row]:
    try:
        row = json.loads(line)
        arm, step, values = row["arm"], row["step"], row["values"]
        if not isinstance(arm, str) or not (step is None or type(step) is int):
            raise TypeError("arm or step")
        yield from [Row(seed, arm, metric, float(value), units[metric], step) for metric, value in values.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise EvidenceError(f"{where} is not a line of evidence ({type(problem).__name__}: {problem})") from None


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Appendable(Protocol):
    def write(self, data: bytes, /) -> int: ...
    def flush(self) -> None: ...


def _append(file: _Appendable, line: Mapping[str, object]) -> None:
    file.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    file.flush()


def _step(step: SupportsIndex) -> int:
    try:
        return operator.index(step)
    except TypeError:
        raise EvidenceError(f"a step must be a whole number or None, got {step!r}") from None


def _as_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
