"""Error rates by hand, circular deviations, wrapping."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.methods.dynamics import circular_std, error_rate, roc_curve, wrap_angle

numbers = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20)


def test_a_curve_by_hand() -> None:
    curve = roc_curve([0.0, 1.0, 2.0, 3.0], [2.0, 4.0])
    assert curve.threshold.tolist() == [math.inf, 4, 3, 2, 1, 0]
    assert curve.false_positive.tolist() == [0, 0, 0.25, 0.5, 0.75, 1]
    assert curve.false_negative.tolist() == [1, 0.5, 0.5, 0, 0, 0]
    assert error_rate([0.0, 1.0, 2.0, 3.0], [2.0, 4.0]) == 0.25


def test_the_prior_weighs_the_two_errors() -> None:
    # At the threshold 2: 0.9 · 0.5; at 4: 0.1 · 0.5.
    assert error_rate([0.0, 1.0, 2.0, 3.0], [2.0, 4.0], prior=0.1) == pytest.approx(0.05)
    assert error_rate([0.0, 1.0, 2.0, 3.0], [2.0, 4.0], prior=0.9) == pytest.approx(0.05)


def test_a_threshold_is_applied_as_given() -> None:
    assert error_rate([0.0, 1.0, 2.0, 3.0], [2.0, 4.0], threshold=3.0) == pytest.approx(0.5 * 0.25 + 0.5 * 0.5)
    assert error_rate([0.0, 1.0], [5.0], threshold=math.inf) == 0.5


@given(numbers, numbers)
def test_no_threshold_is_worse_than_guessing_or_better_than_the_best(null: list[float], other: list[float]) -> None:
    best = error_rate(null, other)
    assert 0 <= best <= 0.5
    assert all(best <= error_rate(null, other, threshold=t) + 1e-12 for t in (*null, *other))


@given(numbers, numbers)
def test_the_curve_rises_and_falls(null: list[float], other: list[float]) -> None:
    curve = roc_curve(null, other)
    assert (np.diff(curve.false_positive) >= 0).all()
    assert (np.diff(curve.false_negative) <= 0).all()
    assert (curve.false_positive[0], curve.false_positive[-1], curve.false_negative[-1]) == (0, 1, 0)


def test_normal_samples_give_the_error_of_their_distance() -> None:
    random = np.random.default_rng(0)
    null, other = random.normal(size=200_000), random.normal(2.0, 1.0, 200_000)
    # Φ(-1) = 0.1587.
    assert error_rate(null, other) == pytest.approx(0.1587, abs=0.003)


def test_infinite_statistics_count_as_contact() -> None:
    assert error_rate([0.0, 1.0], [math.inf, math.inf]) == 0.0
    assert error_rate([-math.inf], [0.0]) == 0.0


@given(st.floats(-50, 50))
def test_a_wrapped_angle_is_the_same_direction(angle: float) -> None:
    wrapped = float(wrap_angle(angle))
    assert -math.pi < wrapped <= math.pi
    assert math.cos(wrapped - angle) == pytest.approx(1.0, abs=1e-9)


def test_half_a_turn_stays_positive() -> None:
    assert wrap_angle([math.pi, -math.pi, 3 * math.pi]).tolist() == [math.pi] * 3


def test_deviation_across_the_cut_is_small() -> None:
    # Cosines of 0.1 all: R = cos 0.1.
    assert circular_std([math.pi - 0.1, -math.pi + 0.1]) == pytest.approx(math.sqrt(-2 * math.log(math.cos(0.1))))
    assert circular_std([math.pi - 0.1, -math.pi + 0.1], center=-math.pi) == pytest.approx(0.1, abs=1e-3)


def test_a_bias_counts_when_the_centre_is_given() -> None:
    assert circular_std([0.2, 0.2]) == pytest.approx(0.0, abs=1e-7)
    assert circular_std([0.2, 0.2], center=0.0) == pytest.approx(0.2, abs=1e-2)
    assert circular_std([math.pi, math.pi], center=0.0) == math.inf


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=10), st.floats(-10, 10))
def test_turning_all_angles_changes_no_deviation(angles: list[float], turn: float) -> None:
    turned = circular_std(np.array(angles) + turn)
    assert math.exp(-(turned**2) / 2) == pytest.approx(math.exp(-(circular_std(angles) ** 2) / 2), abs=1e-9)


def test_it_refuses_what_it_cannot_judge() -> None:
    with pytest.raises(ValueError, match="l0 must hold at least one value and no NaN"):
        roc_curve([], [1.0])
    with pytest.raises(ValueError, match="l1 must hold at least one value and no NaN"):
        error_rate([0.0], [math.nan], threshold=0.0)
    with pytest.raises(ValueError, match=r"prior must lie between 0 and 1, got 1\.5"):
        error_rate([0.0], [1.0], prior=1.5)
    with pytest.raises(ValueError, match="circular_std needs at least one angle"):
        circular_std([])
