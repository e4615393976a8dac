"""What a run will cost, and whether it fits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pressrun.replicate.machine import Machine
from pressrun.replicate.price import Cost, as_duration, cost_of, fits, price
from pressrun.replicate.record import Limits, RunError, RunRecord, State, StateChange

GB = 2**30
HERE = Machine(cpu="a CPU", cores=2, memory=4 * GB, accelerator="none", driver="none")


def took(record: RunRecord, *, seed: float, whole: float, memory: int, parallel: int = 2, **changes: object) -> RunRecord:
    """A run like this one, whose three seeds took so long each and the whole so long."""
    began = record.states[0].at
    course = [(State.RUNNING, began), (record.state, began + timedelta(seconds=whole))]
    return record.model_copy(
        update={
            "states": tuple(StateChange(state=state, at=at) for state, at in course),
            "results": tuple(result.model_copy(update={"wall": seed, "peak_memory": memory}) for result in record.results),
            "parallel": parallel,
            **changes,
        }
    )


def test_it_is_the_median_of_earlier_runs_here(coin_run: RunRecord) -> None:
    # Three seeds, two at a time: two rounds. 10 s a seed and 23 s in all leave 3 s beside the seeds; 12 and 29 leave 5; 30 and 61 leave 1.
    runs = [
        took(coin_run, seed=10, whole=23, memory=GB),
        took(coin_run, seed=12, whole=29, memory=2 * GB),
        took(coin_run, seed=30, whole=61, memory=GB),
    ]
    found = price(runs, "coin", "laptop", 5, cores=2)
    # 5 seeds are three rounds of 12 s, and 3 s beside them; two seeds at a time hold 2 x 1 GB.
    assert (found.source, found.seconds, found.memory, found.runs) == ("here", 39.0, 2 * GB, 3)
    assert found.sentence() == "About 39 s and 2 GB, from 3 runs here."


def test_it_does_not_count_runs_of_another_kind(coin_run: RunRecord) -> None:
    other = [
        took(coin_run, seed=1, whole=2, memory=1, changed={"load": 0.5}),
        took(coin_run, seed=1, whole=2, memory=1, preset="paper"),
        took(coin_run, seed=1, whole=2, memory=1, replication="die"),
        took(coin_run, seed=1, whole=2, memory=1, on="ray"),
        took(coin_run, seed=1, whole=2, memory=1, path=coin_run.path.parent / "imported" / coin_run.id),
        coin_run.model_copy(update={"states": (StateChange(state=State.FAILED, at=coin_run.created),)}),
        RunError("broken"),
    ]
    assert price(other, "coin", "laptop", 5).source == "unknown"
    assert price(other, "coin", "laptop", 5).sentence() == "Cost not known: it was not run yet."


def test_it_falls_back_to_the_ledger_and_names_its_machine(coin_run: RunRecord) -> None:
    cost = Cost(
        replication="coin",
        preset="laptop",
        seconds=60,
        overhead=6,
        memory=GB,
        threads=1,
        machine="Big Iron, 64 cores, 256 GB, no accelerator",
    )
    found = price([], "coin", "laptop", 5, ledger=[cost], cores=2)
    assert found.sentence() == "About 3 min and 2 GB, from 1 run on another machine (Big Iron, 64 cores, 256 GB, no accelerator)."
    assert price([took(coin_run, seed=1, whole=2, memory=1)], "coin", "laptop", 5, ledger=[cost]).source == "here"


def test_a_run_knows_what_it_cost(coin_run: RunRecord) -> None:
    cost = cost_of(coin_run)
    assert cost is not None
    assert cost.seconds > 0
    assert cost.memory == max(result.peak_memory for result in coin_run.results)
    assert Cost.model_validate_json(cost.model_dump_json()) == cost


@pytest.mark.parametrize(
    ("seconds", "memory", "limits", "fit", "sentence"),
    [
        (60, GB, Limits(), True, "Fits this machine."),
        (60, 6 * GB, Limits(), False, "Does not fit this machine: it needs 6 GB, there are 4 GB."),
        (60, 2 * GB, Limits(memory=GB), False, "Would hit its memory limit, 1 GB: it needs 2 GB."),
        (7200, GB, Limits(wall=600), False, "Would hit its wall limit, 10 min: it takes 2.0 h."),
        (7200, GB, Limits(wall=None, memory=None), True, "Fits this machine."),
    ],
)
def test_it_says_whether_a_run_fits(seconds: float, memory: int, limits: Limits, fit: bool, sentence: str) -> None:
    cost = Cost(replication="coin", preset="laptop", seconds=seconds, overhead=0, memory=memory, threads=1, machine="")
    found = fits(price([], "coin", "laptop", 1, ledger=[cost], cores=1), limits, HERE)
    assert (found.fits, found.sentence) == (fit, sentence)


def test_it_does_not_guess_whether_an_unknown_run_fits() -> None:
    unknown = price([], "coin", "laptop", 5)
    assert fits(unknown, Limits(memory=GB), HERE).fits is None
    assert fits(unknown, Limits(memory=8 * GB), HERE).sentence == "Its memory limit, 8 GB, is more than this machine has, 4 GB."


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (150, "2 min"), (5400, "1.5 h")])
def test_durations_are_told_for_people(seconds: float, text: str) -> None:
    assert as_duration(seconds) == text
