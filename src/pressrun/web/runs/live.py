"""What is to be seen of a run at this moment: how far each seed is, its last words, its numbers; and the stream of what follows."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pressrun.replicate import Evidence, EvidenceError
from pressrun.replicate.ending import EVIDENCE
from pressrun.replicate.record import Live, RunError, RunRecord, State, live
from pressrun.replicate.runs import read_run
from pressrun.replicate.watch import Cursor, Event, events_after
from pressrun.web.runs.wording import lasting

__all__ = ["Line", "SeedView", "Seen", "look", "seeds_of", "stream"]

LAST_LINES = 200
LOOK_ON = 0.05  # seconds until the next look when there may be more than was read at once
LOOK_ANYWAY = 3.0  # seconds
LOOK_EVERY = 0.4  # seconds between two looks at the files of a run that is watched
SIGN_OF_LIFE = 15.0  # seconds of silence after which a comment keeps the connection open


@dataclass(frozen=True)
class Line:
    """A line of a seed's log or output; `at` in seconds since the run was asked for, None where it is not known."""

    seed: int
    text: str
    at: float | None = None

    @property
    def clock(self) -> str:
        return "     " if self.at is None else f"{int(self.at) // 60:02}:{int(self.at) % 60:02}"

    @property
    def warns(self) -> bool:
        return "warning" in self.text.lower()


@dataclass
class Seen:
    """Everything up to `cursor`. `evidence` is what was recorded so far; `problem` why it cannot be shown."""

    cursor: str = ""
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    progress: dict[int, Mapping[str, object]] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)
    problem: str = ""


@dataclass(frozen=True)
class SeedView:
    """How far a seed is: `done` of 100."""

    seed: int
    state: str
    done: int
    note: str

    @property
    def css_state(self) -> str:
        return self.state.replace(" ", "-")


def look(record: RunRecord) -> Seen:
    """Read everything that there is of a run."""
    seen, at = Seen(), Cursor()
    rows: list[dict[str, object]] = []
    while events := list(events_after(record, at)):
        for event in events:
            if event.kind == "evidence":
                rows.extend(_rows(event, record.metrics))
            elif event.kind == "progress" and event.seed is not None:
                seen.progress[event.seed] = event.data
            else:
                seen.lines.extend(_lines(event, record))
    seen.cursor = str(at)
    try:
        # A run that came in a bundle may have its evidence as a table only.
        seen.evidence = Evidence.from_rows(rows) if rows else _table(record)
    except EvidenceError as problem:
        seen.problem = f"The evidence cannot be shown: {problem}."
    return seen


def _table(record: RunRecord) -> Evidence:
    path = record.path / EVIDENCE
    return Evidence.read(path) if record.state.final and path.is_file() else Evidence()


def _rows(event: Event, units: Mapping[str, str]) -> Iterator[dict[str, object]]:
    values = event.data.get("values")
    for metric, value in values.items() if isinstance(values, dict) else ():
        yield {
            "seed": event.seed,
            "arm": event.data.get("arm"),
            "metric": metric,
            "value": float(value),
            "unit": units.get(metric, "1"),
            "step": event.data.get("step"),
        }


def _lines(event: Event, record: RunRecord) -> Iterator[Line]:
    if event.seed is None or event.kind not in ("log", "output"):
        return
    at = event.data.get("at")
    since = at - record.created.timestamp() if isinstance(at, int | float) else None
    for text in str(event.data.get("text", "")).splitlines():
        if text.strip():
            yield Line(event.seed, text[:2000], since)


def seeds_of(record: RunRecord, seen: Seen) -> list[SeedView]:
    """A bar for each seed."""
    ended = {result.seed: result for result in record.results}
    beat = live(record) if not record.state.final else None
    views = []
    for seed in record.seeds:
        if result := ended.get(seed):
            done = 100 if result.state is State.SUCCEEDED else _share(seen.progress.get(seed))
            views.append(SeedView(seed, result.state.value, done, lasting(result.wall)))
        else:
            views.append(_moving(seed, record, seen.progress.get(seed), beat))
    return views


def _moving(seed: int, record: RunRecord, progress: Mapping[str, object] | None, beat: Live | None) -> SeedView:
    if record.state.final and progress is None:
        return SeedView(seed, State.CANCELLED.value, 0, "not started")
    if record.state.final:
        return SeedView(seed, record.state.value, _share(progress), "no result")
    state = (beat.seeds.get(seed, "waiting") if beat else "waiting").replace("waiting", "queued")
    if state == "queued" and progress:
        state = "running"
    done = 100 if state == "succeeded" else _share(progress)
    return SeedView(seed, state, done, "" if state == "queued" else _note(progress))


def _share(progress: Mapping[str, object] | None) -> int:
    done, total = _counts(progress)
    return min(100, round(100 * done / total)) if total else 0


def _note(progress: Mapping[str, object] | None) -> str:
    if not progress:
        return ""
    done, total = _counts(progress)
    label = str(progress.get("label") or "")[:60]
    return f"{label} {done:,} of {total:,}".strip() if total else f"{label} {done:,}".strip()


def _counts(progress: Mapping[str, object] | None) -> tuple[int, int]:
    done, total = (progress or {}).get("done"), (progress or {}).get("total")
    return done if isinstance(done, int) else 0, total if isinstance(total, int) else 0


async def stream(path: Path, cursor: str) -> AsyncIterator[str]:
    """Server-sent events of a run after a cursor, until it is over. The id of each is the cursor behind it."""
    yield "retry: 2000\n\n"
    silent_since = looked = time.monotonic()
    traces = ""
    while True:
        # Most looks find nothing new, and with many watchers they must cost next to nothing. Now and then a look is taken
        # anyway: a supervisor that died leaves no trace.
        before, traces = traces, await asyncio.to_thread(_traces, path)
        if traces == before and time.monotonic() - looked < LOOK_ANYWAY:
            await asyncio.sleep(LOOK_EVERY)
            continue
        looked = time.monotonic()
        try:
            events, over, cursor = await asyncio.to_thread(_next, path, cursor)
        except RunError as problem:
            yield _sse("problem", {"sentence": str(problem).replace(str(path), path.name)}, "")
            return
        for event in events:
            yield _sse(event.kind, event.data | ({} if event.seed is None else {"seed": event.seed}), event.cursor)
        if events:
            silent_since, traces = time.monotonic(), ""
        elif over:
            yield _sse("over", {}, cursor)
            return
        elif time.monotonic() - silent_since > SIGN_OF_LIFE:
            silent_since = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_ON if events else LOOK_EVERY)


def _traces(path: Path) -> str:
    """Changes whenever a file that a run is told by does."""
    found = []
    for file in (path / "run.json", *(path / "seeds").glob("*")):
        with suppress(OSError):
            status = file.stat()
            found.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(sorted(found))


def _next(path: Path, cursor: str) -> tuple[list[Event], bool, str]:
    """What came after the cursor, whether the run is over, and the cursor behind it all."""
    record = read_run(path)
    at = Cursor.parse(cursor)
    events = list(events_after(record, at))
    return events, record.state.final, str(at)


def _sse(kind: str, data: Mapping[str, object], cursor: str) -> str:
    """One event. JSON has no line breaks, so it is one line of data."""
    identity = f"id: {cursor}\n" if cursor else ""
    return f"{identity}event: {kind}\ndata: {json.dumps(data, ensure_ascii=False, default=str)}\n\n"
