"""What is special of spatial patterns: spikes against closed forms, what the controls do, precision and recall beside accuracy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pressrun.methods.spiking import all_binary_inputs, hamming
from pressrun.replicate import Evidence
from pressrun.replications import spatial_stdp as replication


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("spatial_stdp")


def test_spikes_are_what_the_response_says_everywhere(evidence: Evidence) -> None:
    arms = {row.arm: row.value for row in evidence.rows() if row.metric == "disagreement"}
    assert {"one_pattern", "exponential_synapses", "pairs", "triples", "factor_50", "fixed_threshold_50"} <= set(arms)
    assert set(arms.values()) == {0.0}


def test_pairs_lie_on_the_closed_form(evidence: Evidence) -> None:
    for metric in ("accuracy", "precision"):
        simulated, predicted = evidence.mean_curve(metric, "pairs"), evidence.mean_curve(f"predicted_{metric}", "pairs")
        assert simulated.step.tolist() == predicted.step.tolist() == [1, 2, 3, 4, 5, 6]
        assert simulated.value == pytest.approx(predicted.value)


def test_the_factor_decides_the_radius_by_the_closed_form() -> None:
    # k active bits and factor f: the response k - m of m flips reaches f k up to m = floor((1 - f) k); of 4 inputs at .5 the mean
    # over the 15 patterns is (4 * 0 + 6 * 1 + 4 * 1 + 1 * 2) / 15.
    recorded: dict[str, float] = {}

    class Recorder:
        def record(self, arm: str, **metrics: object) -> None:
            if "radius" in metrics:
                recorded[arm] = float(metrics["radius"])  # type: ignore[arg-type]

        def progress(self, items: object, label: str) -> object:
            return items

    replication.vary_factor(all_binary_inputs(4), Recorder())  # type: ignore[arg-type]
    assert recorded["factor_50"] == pytest.approx(12 / 15)
    assert recorded["factor_99"] == 0


def test_a_detector_that_never_answers_is_accurate_and_worth_nothing(evidence: Evidence) -> None:
    silent = {metric: evidence.values(metric, "no_teacher")[0] for metric in ("accuracy", "precision", "recall", "total_weight")}
    assert silent == {"accuracy": 63 / 64, "precision": 0, "recall": 0, "total_weight": 0}


def test_pairs_have_the_distances_and_sizes_they_were_made_for() -> None:
    p, q = replication.pair_with(both=2, one=1, other=3, n=8)
    assert hamming(p, q) == 4
    assert (p.sum(), q.sum(), (p & q).sum()) == (3, 5, 2)


def test_a_rank_correlation_with_something_constant_is_none() -> None:
    rising, flat = torch.tensor([1.0, 2.0, 3.0]), torch.ones(3)
    assert replication.rank_correlation(rising, flat) == 0
    assert replication.rank_correlation(rising, -rising) == pytest.approx(-1)


def test_recall_and_precision_stand_beside_every_accuracy(evidence: Evidence) -> None:
    of_metric = {
        metric: {row.arm for row in evidence.rows() if row.metric == metric} for metric in ("accuracy", "precision", "recall")
    }
    assert of_metric["accuracy"] == of_metric["precision"] == of_metric["recall"]
