"""Following a run: what happens to it, as events, read from its files. Any number of people can watch, from any process."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pressrun.replicate.record import Live, RunRecord
from pressrun.replicate.record import live as live_of
from pressrun.replicate.run import events_path, rows_path
from pressrun.replicate.runs import read_run

AT_A_TIME = 256 * 2**10  # bytes read of one file at one look, so that a long log does not come as one lump
CURSOR = re.compile(r"[0-9]+(;[0-9]+:[0-9]+,[0-9]+,[0-9]+)*")

Kind = Literal["state", "progress", "log", "evidence", "output", "usage"]


@dataclass(frozen=True)
class Event:
    """One thing that happened. `cursor` is where to go on after it: give it back to `watch` after a reload.

    `data` holds plain JSON values, by kind:
        state: state, note, at. The last event of a run is its final state.
        progress: label, done, total (or None), at. log: text, at. data: a file that was read.
        evidence: arm, step (or None), values by metric, as number or as "inf", "-inf", "nan".
        output: text, a piece of what the seed printed.
        usage: memory (bytes), cpu (seconds), output (bytes), seeds (what each does), at.
    """

    kind: Kind
    data: dict[str, object]
    seed: int | None = None
    cursor: str = ""


@dataclass
class Cursor:
    """How many state changes were told, and how many bytes of each seed's rows, events and output."""

    states: int = 0
    offsets: dict[int, list[int]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """A cursor from its text; a text that is none starts from the beginning, since it comes from a browser."""
        if not CURSOR.fullmatch(text):
            return cls()
        states, *seeds = text.split(";")
        parts = [seed.split(":") for seed in seeds]
        return cls(int(states), {int(seed): [int(offset) for offset in offsets.split(",")] for seed, offsets in parts})

    def __str__(self) -> str:
        return ";".join([str(self.states), *(f"{seed}:{','.join(map(str, offsets))}" for seed, offsets in self.offsets.items())])


def watch(record: RunRecord, cursor: str = "", *, poll: float = 0.25, follow: bool = True) -> Iterator[Event]:
    """Every event after the cursor (all of them, by default), then new ones as they come, up to the final state.

    Args:
        record: of the run.
        cursor: of the last event that was seen, such as a browser's Last-Event-ID.
        poll: seconds between two looks at the files.
        follow: False to end with what there is now.
    """
    told_usage: Live | None = None
    while True:
        # The state is read before the files: when it is final, the files hold everything.
        current = read_run(record.path)
        at = Cursor.parse(cursor)
        told_any = False
        for event in events_after(current, at):
            told_any, cursor = True, event.cursor
            yield event
        if not told_any and not follow:
            return
        if not told_any and current.state.final:
            return
        if not current.state.final:
            usage = live_of(current)
            if usage and usage != told_usage:
                told_usage = usage
                yield Event("usage", usage.model_dump(mode="json"), cursor=cursor)
            if follow and not told_any:
                time.sleep(poll)


def events_after(record: RunRecord, at: Cursor) -> Iterator[Event]:
    """What is in the files after the cursor, which moves along. Final states come last, after all that led to them."""
    pending = record.states[at.states :]
    for change in (change for change in pending if not change.state.final):
        at.states += 1
        yield Event("state", {"state": change.state, "note": change.note, "at": change.at.isoformat()}, cursor=str(at))
    more = False
    for seed in record.seeds:
        yield from _of_seed(record.path / "seeds", seed, at)
        more = more or _unread(record.path / "seeds", seed, at)
    if record.state.final and not more and at.states < len(record.states):
        at.states += 1
        change = record.states[-1]
        yield Event("state", {"state": change.state, "note": change.note, "at": change.at.isoformat()}, cursor=str(at))


def _files(folder: Path, seed: int) -> tuple[Path, Path, Path]:
    return rows_path(folder, seed), events_path(folder, seed), folder / f"{seed}.txt"


def _of_seed(folder: Path, seed: int, at: Cursor) -> Iterator[Event]:
    offsets = at.offsets.setdefault(seed, [0, 0, 0])
    rows, events, output = _files(folder, seed)
    for index, path in enumerate((rows, events, output)):
        # A seed that is tried again starts its files anew: they are shorter then than what was read of them.
        if path.exists() and path.stat().st_size < offsets[index]:
            offsets[index] = 0
    for index, path in enumerate((rows, events)):
        for line in _whole_lines(path, offsets[index]):
            offsets[index] += len(line)
            if event := _parsed(line, index, seed, str(at)):
                yield event
    text = _piece(output, offsets[2])
    if text:
        offsets[2] += len(text)
        yield Event("output", {"text": text.decode(errors="replace")}, seed, str(at))


def _unread(folder: Path, seed: int, at: Cursor) -> bool:
    """Whether there is more than was read at this look, other than a line that a crash cut off."""
    rows, events, output = _files(folder, seed)
    offsets = at.offsets[seed]
    return bool(_whole_lines(rows, offsets[0]) or _whole_lines(events, offsets[1]) or _piece(output, offsets[2]))


def _parsed(line: bytes, index: int, seed: int, cursor: str) -> Event | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None  # a broken line is the business of the record, not of whoever watches
    if index == 0:
        return Event("evidence", found, seed, cursor)
    kind = found.pop("kind", "log")
    return Event("progress" if kind == "progress" else "log", found, seed, cursor)


def _piece(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(AT_A_TIME)
    except OSError:
        return b""


def _whole_lines(path: Path, offset: int) -> list[bytes]:
    return [line for line in _piece(path, offset).splitlines(keepends=True) if line.endswith(b"\n")]
