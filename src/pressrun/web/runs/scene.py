"""A run as its page shows it at one moment. What was made of the same files is kept, for all who watch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.core.cache import cache

from pressrun.replicate import Claim
from pressrun.replicate.record import RunRecord, live
from pressrun.web.runs.charts import Chart, Number, charts_of, numbers_of
from pressrun.web.runs.live import Line, SeedView, look, seeds_of
from pressrun.web.runs.wording import lasting, size

__all__ = ["Scene", "scene_of"]

SECONDS_KEPT = 600
SHOWN_LINES = 60


@dataclass(frozen=True)
class Scene:
    """`cursor` is where the stream of events goes on behind what is shown here."""

    cursor: str
    charts: tuple[Chart, ...]
    numbers: tuple[Number, ...]
    seeds: tuple[SeedView, ...]
    lines: tuple[Line, ...]
    problem: str
    progress: str
    usage: str


def scene_of(record: RunRecord, cards: Sequence[Claim], expected: float | None = None) -> Scene:
    """What there is to see. `expected` is how many seconds the whole run will probably take."""
    key = f"run-scene-{record.id}-{_sizes(record)}"
    found: Scene | None = cache.get(key)
    if found is None:
        found = _made(record, cards, expected)
        cache.set(key, found, SECONDS_KEPT if record.state.final else 2)
    return found


def _made(record: RunRecord, cards: Sequence[Claim], expected: float | None) -> Scene:
    seen = look(record)
    seeds = tuple(seeds_of(record, seen))
    return Scene(
        cursor=seen.cursor,
        charts=tuple(charts_of(seen.evidence, cards)),
        numbers=tuple(numbers_of(seen.evidence)),
        seeds=seeds,
        lines=tuple(seen.lines)[-SHOWN_LINES:],
        problem=seen.problem,
        progress=_progress(record, seeds, expected),
        usage=_usage(record),
    )


def _sizes(record: RunRecord) -> str:
    """Changes with every line that is written about the run."""
    total = count = 0
    for path in (record.path / "seeds").glob("*"):
        total, count = total + path.stat().st_size, count + 1
    return f"{record.state.value.replace(' ', '-')}-{len(record.states)}-{count}-{total}"


def _progress(record: RunRecord, seeds: Sequence[SeedView], expected: float | None) -> str:
    """ "3 of 5 seeds done, about 42 s left"; once it is over how long it took."""
    done = sum(seed.state == "succeeded" for seed in seeds)
    counted = f"{done} of {len(seeds)} seed{'' if len(seeds) == 1 else 's'} done"
    if record.state.final:
        return f"{counted}, {lasting(record.seconds)}" if record.seconds is not None else counted
    began = next((change.at for change in record.states if change.state.value == "running"), None)
    beat = live(record)
    if began is None or beat is None or expected is None:
        return counted
    left = expected - (beat.at - began).total_seconds()
    return f"{counted}, about {lasting(left)} left" if left > 1 else f"{counted}, longer than usual"


def _usage(record: RunRecord) -> str:
    beat = live(record) if not record.state.final else None
    return f"{size(beat.memory)} of memory, {lasting(beat.cpu)} of CPU time" if beat else ""
