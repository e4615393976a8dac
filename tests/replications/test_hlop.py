"""The smoke preset: all arms share the first task, what protects differs, and the numbers fit together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pressrun.methods.plasticity import HebbianSubspace
from pressrun.replicate import Evidence
from pressrun.replications import hlop as replication


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("hlop")


def test_the_figure_is_drawn_from_the_evidence(evidence: Evidence, tmp_path: Path) -> None:
    figure = replication.draw(evidence)
    figure.savefig(tmp_path / "figure.svg")
    labels = [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    assert {"accuracy on task", "after learning task", "accuracy on the first task", "captured variance of its activity"} <= set(
        labels
    )


def test_arms_with_one_feedback_are_equal_after_the_first_task(evidence: Evidence) -> None:
    for suffix in replication.SUFFIXES.values():
        arms = [arm for arm in ("sequential", "hlop", "random") if f"{arm}{suffix}" in evidence.arms]
        assert len({evidence.values("accuracy_task_1", f"{arm}{suffix}", at="first")[0] for arm in arms}) == 1
    assert evidence.values("accuracy_task_1", "gpm", at="first") == evidence.values("accuracy_task_1", "hlop_spiking", at="first")


def test_a_frozen_network_forgets_and_learns_nothing(evidence: Evidence) -> None:
    assert evidence.values("backward_transfer", "frozen")[0] == 0
    matrix = np.stack([evidence.curves(f"accuracy_task_{task}", "frozen")[0].value for task in range(1, 6)])
    assert (matrix == matrix[:, :1]).all()


def test_no_rows_capture_more_of_the_training_digits_than_exact_ones_and_learnt_ones_more_than_random_ones(
    evidence: Evidence,
) -> None:
    assert (
        evidence.values("captured_of_pca", "hlop", at="first")[0] > evidence.values("captured_of_pca", "untrained", at="first")[0]
    )
    # Measured on test digits, so exact rows may be beaten by a hair.
    assert all(value < 1.02 for value in evidence.curves("captured_of_pca", "hlop")[0].value)


def test_rows_that_are_made_orthonormal_are(evidence: Evidence) -> None:
    assert evidence.values("frozen_orthonormality_error", "hlop_orthonormal", at="max")[0] < 1e-4
    assert evidence.values("frozen_orthonormality_error", "hlop", at="max")[0] > 1e-4


def test_the_rate_of_each_layer_is_the_one_that_captures_most() -> None:
    # Layer 1 sees the first axis, layer 2 the second; the rate decides which of them the single row holds.
    trials = {}
    for rate, axes in {0.1: (0, 0), 0.2: (1, 1)}.items():
        trials[rate] = [HebbianSubspace(2), HebbianSubspace(2)]
        for lateral, axis in zip(trials[rate], axes, strict=True):
            lateral.extend(torch.eye(2)[axis : axis + 1])
    assert replication.best_rates(trials, [torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 3.0]])]) == [0.1, 0.2]


def test_the_tasks_are_the_same_digits_in_other_orders_and_training_and_test_share_none() -> None:
    train, test = replication.permuted_digits(16, 3)
    assert [tuple(images.shape) for images, _ in (train[0], test[0])] == [(1300, 256), (497, 256)]
    assert abs(train[0][0].mean()) < 1e-5
    assert train[0][0].std().item() == pytest.approx(1.0)
    for images, labels in train[1:]:
        assert torch.equal(labels, train[0][1])
        assert not torch.equal(images, train[0][0])
        torch.testing.assert_close(images.sort(1).values, train[0][0].sort(1).values)


@pytest.mark.parametrize(("side", "width"), [(8, 20), (16, 200), (32, 801)])
def test_there_are_never_more_rows_than_inputs(side: int, width: int) -> None:
    model = replication.network("symmetric", replication.Config(side=side, width=width), 0)
    first, later = replication.sizes(model, replication.FIRST_ROWS), replication.sizes(model, replication.LATER_ROWS)
    for (features, at_first), (_, each) in zip(first, later, strict=True):
        assert at_first + (replication.TASKS - 1) * each <= features


def test_the_rows_at_the_laptop_preset_are_those_that_the_page_names() -> None:
    model = replication.network("symmetric", replication.PRESETS["laptop"], 0)
    assert replication.sizes(model, replication.FIRST_ROWS) == [(256, 32), (200, 60), (200, 40)]
    assert replication.sizes(model, replication.LATER_ROWS) == [(256, 32), (200, 35), (200, 35)]
