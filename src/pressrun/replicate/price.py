"""What a run will cost, before anybody presses Run: from runs here, else from the committed ledger, else it is not known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from pydantic import BaseModel

from pressrun.replicate.local import as_size
from pressrun.replicate.machine import Machine
from pressrun.replicate.record import Limits, RunError, RunRecord, State
from pressrun.replicate.runs import share_cores


class Cost(BaseModel, frozen=True):
    """What one seed cost in one run: seconds, and bytes at the peak. `overhead` is what the run took beside its seeds."""

    replication: str
    preset: str
    seconds: float
    overhead: float
    memory: int
    threads: int
    machine: str


@dataclass(frozen=True)
class Price:
    """What a run will probably take: `seconds` in all, `memory` in bytes for all seeds together; None where nothing is known.

    `runs` is from how many earlier runs; `machine` is where those of the ledger ran. Speeds of machines are not converted:
    no single factor between two machines holds for two replications.
    """

    source: Literal["here", "ledger", "unknown"]
    seconds: float | None = None
    memory: int | None = None
    runs: int = 0
    machine: str = ""

    def sentence(self) -> str:
        if self.seconds is None or self.memory is None:
            return "Cost not known: it was not run yet."
        about = f"About {as_duration(self.seconds)} and {as_size(self.memory)}"
        runs = f"{self.runs} run{'' if self.runs == 1 else 's'}"
        return (
            f"{about}, from {runs} here."
            if self.source == "here"
            else f"{about}, from {runs} on another machine ({self.machine})."
        )


@dataclass(frozen=True)
class Fit:
    """Whether a run fits the machine and its limits; None where its price is not known."""

    fits: bool | None
    sentence: str


def cost_of(record: RunRecord) -> Cost | None:
    """What a seed of this run cost; None if it did not succeed."""
    if record.state is not State.SUCCEEDED or not record.results or record.seconds is None:
        return None
    seconds = median(result.wall for result in record.results)
    rounds = math.ceil(len(record.seeds) / record.parallel)
    return Cost(
        replication=record.replication,
        preset=record.preset,
        seconds=seconds,
        overhead=max(0.0, record.seconds - rounds * seconds),
        memory=max(result.peak_memory for result in record.results),
        threads=record.threads,
        machine=record.machine.sentence() if record.machine else "unknown",
    )


def price(
    runs: Iterable[RunRecord | RunError],
    replication: str,
    preset: str,
    seeds: int,
    *,
    ledger: Sequence[Cost] = (),
    cores: int | None = None,
) -> Price:
    """The price of a run with this many seeds: the median of earlier runs here with the preset's own knobs, else of the ledger's.

    Args:
        runs: those of the data directory, as `read_runs` gives them; imported ones and changed knobs do not count.
        replication: its name.
        preset: its name.
        seeds: how many.
        ledger: costs that are committed with the replications.
        cores: as many as this process may use, when not given.
    """
    parallel, _ = share_cores(seeds, cores)
    mine = [run for run in runs if isinstance(run, RunRecord) and not run.changed and not run.imported and run.on == "local"]
    here = [cost for cost in map(cost_of, mine) if cost and (cost.replication, cost.preset) == (replication, preset)]
    there = [cost for cost in ledger if (cost.replication, cost.preset) == (replication, preset)]
    costs = here or there
    if not costs:
        return Price("unknown")
    return Price(
        source="here" if here else "ledger",
        seconds=median(cost.overhead for cost in costs) + math.ceil(seeds / parallel) * median(cost.seconds for cost in costs),
        memory=round(parallel * median(cost.memory for cost in costs)),
        runs=len(costs),
        machine="" if here else costs[-1].machine,
    )


def fits(expected: Price, limits: Limits, machine: Machine) -> Fit:
    """Whether a run of this price stays within its limits and fits this machine."""
    if limits.memory is not None and limits.memory > machine.memory and expected.memory is None:
        return Fit(None, f"Its memory limit, {as_size(limits.memory)}, is more than this machine has, {as_size(machine.memory)}.")
    if expected.seconds is None or expected.memory is None:
        return Fit(None, "Whether it fits this machine is not known: it was not run yet.")
    if expected.memory > machine.memory:
        return Fit(False, f"Does not fit this machine: it needs {as_size(expected.memory)}, there are {as_size(machine.memory)}.")
    if limits.memory is not None and expected.memory > limits.memory:
        return Fit(False, f"Would hit its memory limit, {as_size(limits.memory)}: it needs {as_size(expected.memory)}.")
    if limits.wall is not None and expected.seconds > limits.wall:
        return Fit(False, f"Would hit its wall limit, {as_duration(limits.wall)}: it takes {as_duration(expected.seconds)}.")
    return Fit(True, "Fits this machine.")


def as_duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
