"""The replication runs, its claims come out as they did when it was published, and its cards are locked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pressrun_oja
import pytest
from pressrun_oja.oja import CLAIMS, METRICS, PRESETS, Config, draw, hebb, oja, replicate

from pressrun.replicate import Evidence, Run, judge, lock, unrecorded
from pressrun.replicate.run import read_rows, rows_path


def run(config: Config, seeds: range, folder: Path) -> Evidence:
    for seed in seeds:
        here = Run(folder, seed, METRICS)
        replicate(config, seed, here)
        here.close()
    return Evidence.from_rows(row for seed in seeds for row in read_rows(rows_path(folder, seed), seed, METRICS))


def test_the_updates_are_those_worked_out_by_hand() -> None:
    weight, x = np.array([1.0, 0.0]), np.array([2.0, 3.0])  # y = 2
    assert hebb(weight, x).tolist() == [4.0, 6.0]
    assert oja(weight, x).tolist() == [0.0, 6.0]  # 2 * ([2, 3] - 2 * [1, 0])


def test_the_smoke_preset_records_all_that_the_claims_read(tmp_path: Path) -> None:
    evidence = run(PRESETS["smoke"], range(1), tmp_path)
    assert unrecorded(CLAIMS, evidence) == ()


def test_the_same_seed_gives_the_same_evidence(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert run(PRESETS["smoke"], range(2), tmp_path / "a") == run(PRESETS["smoke"], range(2), tmp_path / "b")


def test_both_claims_match_and_neither_control_does(tmp_path: Path) -> None:
    evidence = run(PRESETS["laptop"], range(5), tmp_path)
    verdicts = [judge(claim, evidence) for claim in CLAIMS]
    assert [(each.claim_id, each.verdict, each.control.verdict) for each in verdicts] == [
        ("finds-the-first-component", "matched", "not matched"),
        ("stays-bounded", "matched", "not matched"),
    ]
    draw(evidence).savefig(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").stat().st_size > 10_000


def test_the_cards_are_locked() -> None:
    assert lock(Path(pressrun_oja.__file__).parent, write=False) == ()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_config(preset: str) -> None:
    assert isinstance(PRESETS[preset], Config)
