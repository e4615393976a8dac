"""The smoke preset: it runs, gives every number its claims read, draws them, and is the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pressrun.replicate import Evidence, Run, judge
from pressrun.replicate.run import read_rows, rows_path
from pressrun.replications import contact_inhibition as replication


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("contact_inhibition")


def test_the_figure_is_drawn_from_the_evidence(evidence: Evidence, tmp_path: Path) -> None:
    figure = replication.draw(evidence)
    figure.savefig(tmp_path / "figure.svg")
    assert [axes.get_title() for axes in figure.axes] == [
        "Position does not depend on width",
        "Information round the cell",
        "Narrow and wide contacts",
    ]


def test_the_bounds_are_those_found_before_by_another_program() -> None:
    config = replication.Config()
    # σ of the position and relative σ of the level with 2,000 receptors, ratio 2, 10 interferers, and ratio 20.
    position, level = replication.errors(config, "bound_times", 2, 10, 1.0)
    assert position == pytest.approx(0.020, abs=0.0005)
    assert replication.errors(config, "bound_times", 2, 10, 6.1)[1] == pytest.approx(0.035, abs=0.001)
    assert replication.errors(config, "bound_times", 20, 10, 0.1)[1] == pytest.approx(0.17, abs=0.01)
    assert level == pytest.approx(0.091, abs=0.002)


def test_theory_does_not_depend_on_the_seed(tmp_path: Path) -> None:
    numbers = []
    for seed in (0, 1):
        run = Run(tmp_path, seed, replication.METRICS)
        replication.bound_errors(replication.PRESETS["smoke"], run)
        replication.locate_information(replication.PRESETS["smoke"], run)
        run.close()
        numbers.append([row._replace(seed=0) for row in read_rows(rows_path(tmp_path, seed), seed, replication.METRICS)])
    assert numbers[0] == numbers[1]


def test_exact_claims_can_fail() -> None:
    claim = next(claim for claim in replication.CLAIMS if claim.id == "position-error-ignores-width")
    rows = [
        {"seed": seed, "arm": arm, "metric": "error_range", "value": value}
        for seed in (0, 1)
        for arm, value in {"position": 1.3, "level": 7.0}.items()
    ]
    assert judge(claim, Evidence.from_rows(rows)).verdict == "not matched"


def test_the_threshold_lies_between_the_samples_it_separates() -> None:
    assert replication.best_threshold(np.array([0.0, 1.0]), np.array([5.0, 6.0])) == 3.0
    assert replication.judged(np.array([0.0, 1.0, 2.0, 4.0]), np.array([5.0, 6.0, 2.0, 9.0])) == pytest.approx(
        0.5 * 0.5 + 0.5 * 0.5
    )


def test_a_decision_that_is_never_wrong_is_not_reported_as_never_wrong() -> None:
    claim = next(claim for claim in replication.CLAIMS if claim.id == "reliable-at-a-micron")
    rows = [
        {"seed": seed, "arm": arm, "metric": metric, "value": value}
        for seed in range(5)
        for arm, wrong in {"micron": 0, "micron_counts_only": 40 + seed}.items()
        for metric, value in {"wrong_decisions": wrong, "decisions": 100}.items()
    ]
    verdict = judge(claim, Evidence.from_rows(rows))
    assert verdict.verdict == "matched"
    # Clopper and Pearson's upper end for 0 of 500.
    assert verdict.rule.high == pytest.approx(0.00735, abs=1e-4)
