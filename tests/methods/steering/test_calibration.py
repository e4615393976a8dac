"""The strength for an effect: exact curves, budgets, noise."""

import math

import pytest
import torch

from pressrun.methods.steering import ProbabilisticBisection, calibrate_noisy, find_strength


def test_it_finds_the_strength_of_a_known_curve() -> None:
    found = find_strength(lambda s: (4 * s**2, None), 1.0, tolerance=0.001, steps=20)
    assert found.strength == pytest.approx(0.5, rel=0.001)
    assert found.reached
    assert str(found) == "Strength 0.5 has an effect of 1, as asked."


def test_it_finds_the_first_of_two_crossings() -> None:
    # The effect rises to 1 at .5 and falls again: .6 is reached at .3 and at .7.
    found = find_strength(lambda s: (1 - abs(s - 0.5) * 2, None) if s else (0.0, None), 0.6, tolerance=0.01)
    assert found.strength == pytest.approx(0.3, abs=0.01)


def test_a_negative_target_is_reached_with_negative_strengths() -> None:
    found = find_strength(lambda s: (3 * s, None), -0.75, high=-1.0, tolerance=0.01)
    assert found.strength == pytest.approx(-0.25, abs=0.01)


def test_it_says_when_nothing_reaches_the_target() -> None:
    found = find_strength(lambda s: (math.tanh(s), None), 2.0)
    assert not found.reached
    assert found.needed is None
    assert found.strength == 1.0
    assert str(found) == "Strength 1 has an effect of 0.7616, and no strength up to 1 reaches 2."


def test_it_stays_within_the_budget_and_says_what_the_target_would_cost() -> None:
    # Effect 1 takes strength .5, which costs 1.25; the budget of 1.1 ends at .316.
    found = find_strength(lambda s: (2 * s, 1 + s**2), 1.0, budget=1.1, tolerance=0.01, steps=16)
    assert not found.reached
    assert found.within_budget
    assert found.strength == pytest.approx(0.1**0.5, abs=0.001)
    assert found.cost is not None
    assert found.cost <= 1.1
    assert found.needed is not None
    assert found.needed.cost == pytest.approx(1.25, abs=0.02)
    assert str(found) == (
        "Strength 0.3162 has an effect of 0.6325 at a cost of 1.1 (budget 1.1), the most the budget allows: the effect of 1 takes "
        "strength 0.5, which costs 1.25."
    )


def test_it_says_when_every_strength_breaks_the_budget() -> None:
    found = find_strength(lambda s: (s, 2.0 + s), 0.5, budget=1.1)
    assert not found.within_budget
    assert str(found) == (
        "Every strength tried breaks the budget. The cheapest: strength 0.0002441 has an effect of 0.0002441 at a cost of 2 (budget 1.1)."
    )


def test_every_trial_is_kept() -> None:
    found = find_strength(lambda s: (s, None), 0.125, tolerance=0.01)
    assert [t.strength for t in found.tried] == [0.0625, 0.125]


def test_a_target_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"target and high must not be 0, .* got 0, 1.0, 0.05, 8"):
        find_strength(lambda s: (s, None), 0)


def test_a_budget_needs_a_cost() -> None:
    with pytest.raises(ValueError, match="A budget needs a measure that returns the cost beside the effect, got None"):
        find_strength(lambda s: (s, None), 1.0, budget=1.1)


def test_an_update_moves_mass_as_worked_out_by_hand() -> None:
    search = ProbabilisticBisection(0.0, 4.0, grid=5)
    assert search.query() == 2.0
    search.update(2.0, 1.0, 0.5, weight=0.5)
    # Beta(1, 1/2): P(above 1/2) = √(1/2). Left .2929, the cell √(.2929 · .7071) = .4551, right .7071, then to a sum of 1.
    p = math.sqrt(0.5)
    weights = torch.tensor([1 - p, 1 - p, math.sqrt(p * (1 - p)), p, p], dtype=torch.double)
    torch.testing.assert_close(search.mass, weights / weights.sum())


def test_a_prior_is_where_the_search_begins() -> None:
    assert ProbabilisticBisection(0.0, 100.0, prior=(7.0, 5.0)).query() == pytest.approx(8.0, abs=0.6)  # normal, cut off at 0


def test_a_noisy_score_is_crossed_where_its_mean_crosses_the_target() -> None:
    generator = torch.Generator().manual_seed(0)

    def score(x: float) -> float:
        # The mean of five answers that are right with probability 1 / (1 + e^(x - 6)): .3 at 6.85.
        return float((torch.rand(5, generator=generator) < 1 / (1 + math.exp(x - 6))).double().mean())

    found = [calibrate_noisy(score, 0.3, low=0.0, high=20.0, trials=60) for _ in range(5)]
    assert sum(found) / 5 == pytest.approx(6.85, abs=0.5)


def test_scores_are_within_zero_and_one() -> None:
    with pytest.raises(ValueError, match=r"score and target are within 0 and 1 and the weight positive, got 30, 0.3 and 5.0"):
        ProbabilisticBisection(0, 1).update(0.5, 30, 0.3)
