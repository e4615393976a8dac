"""The smoke preset: it runs, gives every number its claims read, draws them, and is the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pressrun.replicate import Evidence
from pressrun.replications import counter_current as replication


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("counter_current")


def test_the_figure_is_drawn_from_the_evidence(evidence: Evidence, tmp_path: Path) -> None:
    figure = replication.draw(evidence)
    figure.savefig(tmp_path / "figure.svg")
    labels = [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    assert {"epoch", "test accuracy", "hidden level (5 is next to the label)", "CKA of the two networks"} <= set(labels)


def test_all_arms_start_from_the_same_forward_weights() -> None:
    config = replication.PRESETS["smoke"]
    models = [replication.learner(arm, 1.0, config, 0)[0] for arm in replication.ARMS]
    first = [next(model.parameters()) for model in models]
    assert all(torch.equal(weight, first[0]) for weight in first)


def test_what_is_frozen_does_not_move() -> None:
    config, x, y = replication.PRESETS["smoke"], torch.randn(16, 64), torch.arange(16) % 10
    moved = {}
    for arm in ("ccl", "ccl_frozen", "readout", "bp"):
        model, step = replication.learner(arm, 0.1, config, 0)
        before = [parameter.clone() for parameter in model.parameters()]
        step(x, y, y)
        names = [name for name, _ in model.named_parameters()]
        changed = [name for name, a, b in zip(names, before, model.parameters(), strict=True) if not torch.equal(a, b)]
        moved[arm] = (sum("up" in name for name in changed), sum("down" in name for name in changed))
    assert moved == {"ccl": (6, 6), "ccl_frozen": (6, 0), "readout": (1, 0), "bp": (6, 0)}


def test_prediction_runs_the_forward_network_alone() -> None:
    digits = replication.split_digits(0)
    model, _ = replication.learner("ccl", 1.0, replication.PRESETS["smoke"], 0)
    before = replication.score(model, digits.test, False)
    for weight in model.feedback_parameters():
        weight.data.fill_(float("nan"))
    assert replication.score(model, digits.test, False) == before


def test_the_splits_share_no_digit_and_are_standardised_by_the_training_part() -> None:
    digits = replication.split_digits(3)
    assert [len(labels) for _, labels in digits] == [1260, 140, 397]
    assert abs(digits.train[0].mean()) < 1e-5
    assert digits.train[0].std().item() == pytest.approx(1.0)


def test_shuffled_labels_leave_the_test_accuracy_near_chance(evidence: Evidence) -> None:
    assert evidence.values("test_accuracy", "ccl_shuffled")[0] < 0.3
