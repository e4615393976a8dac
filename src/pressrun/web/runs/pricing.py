"""The price tag of a replication: how long each preset takes, and whether it fits this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from django.core.cache import cache

from pressrun.replicate import Replication
from pressrun.replicate.machine import Machine, machine
from pressrun.replicate.price import Cost, Fit, Price, cost_of, fits, price
from pressrun.replicate.record import Limits, RunError, RunRecord, load_record
from pressrun.web.runs import ledger, sync
from pressrun.web.runs.models import Run
from pressrun.web.runs.wording import lasting, size

__all__ = ["Tag", "expected_seconds", "tags_of", "this_machine"]

SECONDS_KEPT = 30
RUNS_READ = 9  # of a preset, the newest: a median of them is steady


@dataclass(frozen=True)
class Tag:
    """What a preset costs with its usual number of seeds."""

    preset: str
    seeds: int
    price: Price
    fit: Fit

    @property
    def total(self) -> str:
        return f"about {lasting(_rounded(self.price.seconds))}" if self.price.seconds is not None else "time not known yet"

    @property
    def memory(self) -> str:
        limit = Limits().memory
        return f"{size(self.price.memory) or 'not known yet'}, limit {size(limit)}"

    @property
    def basis(self) -> str:
        """Where the figures are from."""
        runs = f"{self.price.runs} run{'' if self.price.runs == 1 else 's'}"
        match self.price.source:
            case "here":
                return f"{runs} here"
            case "ledger":
                return f"{runs} elsewhere ({self.price.machine})"
        return "never run here"


def tags_of(replication: Replication, seeds: dict[str, int]) -> list[Tag]:
    """A tag for each preset; `seeds` says how many it has."""
    key = "-".join(("run-tags", replication.name, *(f"{preset}{count}" for preset, count in sorted(seeds.items()))))
    found: list[Tag] | None = cache.get(key)
    if found is None:
        entry = ledger.shipped(replication)
        elsewhere = [cost for cost in [cost_of(entry.record)] if cost] if entry else []
        found = [_tag(replication, preset, seeds[preset], elsewhere) for preset in replication.presets]
        cache.set(key, found, SECONDS_KEPT)
    return found


def expected_seconds(replication: Replication | None, preset: str, seeds: int) -> float | None:
    """How long a run of a preset will probably take, None where nothing is known."""
    tags = tags_of(replication, dict.fromkeys(replication.presets, seeds)) if replication else []
    return next((tag.price.seconds for tag in tags if tag.preset == preset), None)


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """It is asked once: finding an accelerator starts a process."""
    return machine()


def _tag(replication: Replication, preset: str, seeds: int, elsewhere: list[Cost]) -> Tag:
    found = price(_runs(replication.name, preset), replication.name, preset, seeds, ledger=elsewhere)
    return Tag(preset, seeds, found, fits(found, Limits(), this_machine()))


def _runs(name: str, preset: str) -> Iterable[RunRecord | RunError]:
    rows = Run.objects.filter(replication=name, preset=preset, state="succeeded", changed=False, imported=False)[:RUNS_READ]
    for row in rows:
        try:
            yield load_record(sync.runs_dir() / row.folder)
        except RunError as problem:
            yield problem


def _rounded(seconds: float | None) -> float | None:
    """To what the guess is worth: whole seconds below a minute, then steps of 10 s, then minutes."""
    if seconds is None or seconds < 1:
        return seconds
    step = 1 if seconds < 60 else 10 if seconds < 600 else 60
    return round(seconds / step) * step
