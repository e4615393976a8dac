"""Reference generators and the reward."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.methods.control import SinusReference, StepReference, WeightedTrackingReward, WienerReference, clipped_walk

REFERENCES = [WienerReference(), SinusReference(), StepReference()]


@given(
    increments=st.lists(st.floats(-2, 2), min_size=1, max_size=60),
    start=st.floats(0, 1),
)
def test_the_clipped_walk_is_the_one_that_a_loop_takes(increments: list[float], start: float) -> None:
    expected, position = [], start
    for increment in increments:
        position = min(max(position + increment, 0.0), 1.0)
        expected.append(position)
    np.testing.assert_allclose(clipped_walk(start, np.array(increments), 0.0, 1.0), expected, atol=1e-12)


def test_the_clipped_walk_goes_from_bound_to_bound() -> None:
    # 0.5 → 0.9 → 1 (clipped) → 0.8 → 0 (clipped) → 0 → 0.3.
    walk = clipped_walk(0.5, np.array([0.4, 0.4, -0.2, -0.9, -0.1, 0.3]), 0.0, 1.0)
    assert walk.tolist() == pytest.approx([0.9, 1.0, 0.8, 0.0, 0.0, 0.3])


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: type(reference).__name__)
def test_one_seed_gives_one_sub_episode_within_its_range_and_length(reference: WienerReference) -> None:
    one, same, other = (reference.draw(np.random.default_rng(seed), None, -0.2, 0.75, 1e-4) for seed in (1, 1, 2))
    assert one.tolist() == same.tolist()
    assert one[:500].tolist() != other[:500].tolist()
    assert 500 <= len(one) <= 2000
    assert one.min() >= -0.2
    assert one.max() <= 0.75


def test_a_wiener_reference_goes_on_from_the_last_set_point_with_the_increments_asked_for() -> None:
    reference = WienerReference(sigma=(1e-3, 1e-3), episode=(2000, 2000))
    points = reference.draw(np.random.default_rng(0), 0.4, 0.0, 0.75, 1e-4)
    increments = np.diff(points, prepend=0.4)
    assert abs(increments[0]) < 5e-3
    assert increments.std() == pytest.approx(1e-3, rel=0.06)


def test_a_sine_has_the_frequency_asked_for() -> None:
    points = SinusReference(frequency=(5.0, 5.0), episode=(2000, 2000)).draw(np.random.default_rng(1), None, 0.0, 1.0, 1e-3)
    spectrum = np.abs(np.fft.rfft(points - points.mean()))
    # 2,000 steps of 1 ms are ten periods of 5 Hz.
    assert spectrum.argmax() == 10


def test_a_step_reference_has_two_levels() -> None:
    points = StepReference(episode=(2000, 2000)).draw(np.random.default_rng(3), None, 0.0, 0.75, 1e-3)
    assert len(np.unique(points)) == 2


def test_it_refuses_a_range_that_falls() -> None:
    with pytest.raises(ValueError, match=r"sigma must be a range \(low, high\) with 0 < low <= high, got \(0\.02, 0\.001\)"):
        WienerReference(sigma=(2e-2, 1e-3))


def test_the_reward_is_the_weighted_sum_worked_out_by_hand() -> None:
    reward = WeightedTrackingReward(weights=(0.75, 0.25), power=2.0, bias=1.0)
    # 1 - 0.75 (0.2 / 1)² - 0.25 (1 / 2)².
    assert reward.reward([0.2, -1.0], reward.terms([1.0, 2.0])) == pytest.approx(1 - 0.03 - 0.0625)


def test_without_weights_all_references_weigh_the_same() -> None:
    reward = WeightedTrackingReward()
    assert reward.reward([0.2, -0.4], reward.terms([1.0, 2.0])) == pytest.approx(-0.5 * 0.2 - 0.5 * 0.2)


def test_a_violation_costs_the_worst_return() -> None:
    assert WeightedTrackingReward(gamma=0.9).violation_reward == pytest.approx(-10.0)
    assert WeightedTrackingReward(gamma=0.9, bias=1.0).violation_reward == 0.0
    assert WeightedTrackingReward(violation=-3.0).violation_reward == -3.0


def test_the_reward_refuses_weights_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"1 referenced state\(s\) need as many weights, got 2"):
        WeightedTrackingReward(weights=(1.0, 1.0)).terms([1.0])


def test_the_reward_refuses_a_discount_of_one() -> None:
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\), got 1"):
        WeightedTrackingReward(gamma=1)
