"""The smoke preset: it runs, gives every number its claims read, draws them, and is the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pressrun.replicate import Evidence, Run, judge
from pressrun.replicate.run import read_rows, rows_path
from pressrun.replications import invalid_instrument as replication


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("invalid_instrument")


def test_the_figure_is_drawn_from_the_evidence(evidence: Evidence, tmp_path: Path) -> None:
    figure = replication.draw(evidence)
    figure.savefig(tmp_path / "figure.svg")
    assert [axes.get_title() for axes in figure.axes] == [
        "The instrument acts on the outcome",
        "Any one set is enough",
        "401(k), a degenerate case",
    ]


def test_no_two_data_sets_of_any_seeds_or_parts_are_the_same(tmp_path: Path) -> None:
    run = Run(tmp_path, 0, replication.METRICS)
    first = [data.Y[0] for seed in (0, 1) for part in (0, 1) for data in replication.simulations(run, "", 3, 50, seed, part)]
    run.close()
    assert len(set(first)) == 12


def test_the_savings_are_those_of_the_textbook() -> None:
    covariates, eligible, participates, savings = replication.savings()
    assert covariates.shape == (9275, 6)
    assert (eligible.mean(), participates.mean()) == (pytest.approx(0.392, abs=5e-4), pytest.approx(0.276, abs=5e-4))
    assert participates[eligible == 0].sum() == 0
    assert savings.mean() == pytest.approx(19.07, abs=0.01)


def test_the_degeneracy_of_the_savings_data_is_recorded_and_told(evidence: Evidence) -> None:
    assert evidence.values("largest_exposure_of_ineligible", "new_401k")[0] == 0.0
    (card,) = [claim for claim in replication.CLAIMS if claim.id == "participation-raises-savings"]
    assert "Nobody ineligible participates" in card.tested


def test_the_comparison_estimates_on_the_savings_data_are_the_known_ones(evidence: Evidence) -> None:
    known = {"ols_401k": 14.2, "tsls_401k": 13.1, "eligible_ols_401k": 15.2}
    assert {arm: round(evidence.values("effect", arm)[0], 1) for arm in known} == known


def test_biased_estimates_do_not_match_the_first_claim() -> None:
    claim = replication.CLAIMS[0]
    rows = [
        {"seed": seed, "arm": arm, "metric": metric, "value": value + 0.001 * seed}
        for seed in range(5)
        for arm, bias in {"new": 0.4, "tsls": 2.3, "new_uz_interaction": 1.1}.items()
        for metric, value in {"bias": bias, "absolute_bias": bias}.items()
    ]
    assert judge(claim, Evidence.from_rows(rows)).verdict == "not matched"


def test_a_plug_in_interval_is_too_narrow(tmp_path: Path) -> None:
    run = Run(tmp_path, 0, replication.METRICS)
    replication.compare_estimators(replication.Config(units=1000, replications=8), 0, run)
    run.close()
    evidence = Evidence(read_rows(rows_path(tmp_path, 0), 0, replication.METRICS))
    assert evidence.values("se_over_sd", "plug_in")[0] < 0.5
    assert np.isfinite(evidence.values("smallest_relevance", "new")[0])
