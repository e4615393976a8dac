"""Evolution strategies: ranks by hand, pairs that mirror each other, and a hill that is climbed."""

from __future__ import annotations

import pytest
import torch

from pressrun.methods.reinforcement import EvolutionStrategy, centred_ranks


def test_ranks_are_centred_and_ties_share_theirs() -> None:
    assert centred_ranks(torch.tensor([10.0, -3.0, 10.0, 50.0, 0.0])).tolist() == [0.125, -0.5, 0.125, 0.5, -0.25]
    assert centred_ranks(torch.tensor([1.0, 1.0])).tolist() == [0.0, 0.0]


def test_a_missing_return_ranks_last_and_an_infinite_one_where_it_belongs() -> None:
    assert centred_ranks(torch.tensor([float("nan"), 0.0, float("inf")])).tolist() == [-0.5, 0.0, 0.5]


def test_the_second_half_of_a_population_mirrors_the_first() -> None:
    strategy = EvolutionStrategy(torch.tensor([1.0, 2.0]), population=6, sigma=0.5)
    asked = strategy.ask()
    torch.testing.assert_close(asked[:3] + asked[3:], torch.tensor([[2.0, 4.0]]).expand(3, 2))


def test_the_first_step_is_that_of_adam_uphill() -> None:
    strategy = EvolutionStrategy(torch.zeros(1), population=2, sigma=0.1, lr=0.01, weight_decay=0)
    asked = strategy.ask()
    # Adam's first step has the size of the learning rate, whatever the slope.
    assert strategy.tell(asked[:, 0]).item() == pytest.approx(0.01, rel=1e-4)


def test_equal_returns_leave_only_the_decay() -> None:
    still = EvolutionStrategy(torch.ones(3), weight_decay=0)
    still.ask()
    assert torch.equal(still.tell(torch.zeros(8)), torch.ones(3))
    shrinking = EvolutionStrategy(torch.ones(3), weight_decay=0.1)
    shrinking.ask()
    assert (shrinking.tell(torch.zeros(8)) < 1).all()


def test_it_climbs_a_hill() -> None:
    generator = torch.Generator().manual_seed(0)
    top = torch.tensor([1.0, -2.0, 0.5])
    strategy = EvolutionStrategy(torch.zeros(3), population=16, sigma=0.1, lr=0.1, weight_decay=0, generator=generator)
    for _ in range(100):
        strategy.tell(-(strategy.ask() - top).square().sum(1))
    torch.testing.assert_close(strategy.theta, top, atol=0.1, rtol=0)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="population must be even and at least 2, got 5"):
        EvolutionStrategy(torch.zeros(1), population=5)
    with pytest.raises(ValueError, match=r"theta must be a vector, got \(1, 1\)"):
        EvolutionStrategy(torch.zeros(1, 1))
    with pytest.raises(ValueError, match=r"sigma and lr must be positive and weight_decay not negative, got 0, 0\.01 and 0\.005"):
        EvolutionStrategy(torch.zeros(1), sigma=0)
    with pytest.raises(ValueError, match=r"tell needs the returns of 8 candidates asked for, got \(8,\)"):
        EvolutionStrategy(torch.zeros(1)).tell(torch.zeros(8))
    with pytest.raises(ValueError, match=r"fitness must be a vector of at least 2, got \(1,\)"):
        centred_ranks(torch.zeros(1))
