"""The smoke preset: it runs, gives every number its claims read, draws them, and is the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pressrun.replicate import Evidence
from pressrun.replications import ei_snn as replication


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("ei_snn")


def test_the_figure_is_drawn_from_the_evidence(evidence: Evidence, tmp_path: Path) -> None:
    figure = replication.draw(evidence)
    figure.savefig(tmp_path / "figure.svg")
    labels = [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    assert {"hidden layers", "test accuracy", "density (1/threshold)"} <= set(labels)


def test_a_fixed_scale_leaves_the_currents_unbalanced_and_e_i_init_does_not(evidence: Evidence) -> None:
    assert evidence.values("initial_mean", "ei_kaiming_init", at=1)[0] < -0.5
    assert abs(evidence.values("initial_mean", "ei", at=1)[0]) < 0.3


def test_leaving_the_scaling_out_multiplies_the_gradient_by_the_fan_in(evidence: Evidence) -> None:
    assert evidence.values("gradient_factor", "ei_unscaled", at="mean")[0] == pytest.approx(1.0, rel=1e-4)
    # Fan-ins of 64 and three times 128, the read-out among them.
    assert evidence.values("gradient_factor", "ei", at="mean")[0] == pytest.approx((1 / 64 + 3 / 128) / 4)


def test_the_sign_is_kept_by_the_optimiser_and_by_nothing_else(evidence: Evidence) -> None:
    assert evidence.values("negative_weights", "ei")[0] == 0
    assert evidence.values("negative_weights", "ei_unclamped")[0] > 0


def test_the_splits_share_no_digit_and_pixels_lie_between_0_and_1() -> None:
    digits = replication.split_digits(3)
    assert [len(labels) for _, labels in digits] == [1200, 200, 397]
    everything = torch.cat([images for images, _ in digits])
    assert everything.min() == 0
    assert everything.max() == 1
    assert everything.sum().item() == pytest.approx(561718 / 16)


def test_the_rate_rises_over_the_first_epoch_and_falls_to_zero() -> None:
    factor = replication.warm_up_then_cosine(10, 110)
    assert [factor(0), factor(9), factor(10), factor(60)] == [0.1, 1.0, 1.0, pytest.approx(0.5)]
    assert factor(110) == pytest.approx(0.0)
