"""What is special of it: every policy sees what it should, and batches of weights are each by themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pressrun.methods.control import NCAPSwimmer
from pressrun.replicate import Evidence
from pressrun.replications import neural_circuit_prior as replication


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("neural_circuit_prior")


def test_the_policy_of_many_circuits_is_the_circuit() -> None:
    policy, draw_weights = replication.circuit()
    weights = torch.stack([draw_weights("uniform", torch.Generator().manual_seed(seed)) for seed in range(3)])
    observation = torch.rand(3, 23) * 2 - 1
    for row in range(3):
        alone = NCAPSwimmer(5, init="uniform", generator=torch.Generator().manual_seed(row))
        torch.testing.assert_close(policy(weights, observation, 12)[row], alone(observation[row, :5], 12))


def test_the_perceptron_has_a_clock_and_weights_of_its_own_a_row() -> None:
    policy, draw_weights = replication.perceptron((replication.observed(), 4, 5))
    weights = torch.stack([draw_weights(torch.Generator().manual_seed(seed)) for seed in (0, 1)])
    assert weights.shape == (2, 25 * 4 + 4 + 4 * 5 + 5)
    still = torch.zeros(2, 23)
    assert not torch.allclose(policy(weights, still, 0), policy(weights, still, 15))
    torch.testing.assert_close(policy(weights, still, 7), policy(weights, still, 67))
    torch.testing.assert_close(policy(weights, still, 7)[1:], policy(weights[1:], still[1:], 7))


def test_the_wave_travels_from_head_to_tail() -> None:
    torques = [replication.travelling_wave(torch.tensor([[1.0, 1.0, 1.0]]), torch.zeros(1, 23), step) for step in range(60)]
    peaks = torch.cat(torques).argmax(0)
    # A lag of one radian is 60 / (2 pi) = 9.5 steps.
    assert peaks.diff().tolist() == [10, 9, 10, 9]


def test_the_same_start_gives_the_same_episode_in_any_company() -> None:
    policy, draw_weights = replication.circuit()
    weights = draw_weights("constant", torch.Generator()).expand(2, -1)
    together = replication.swim(policy, weights, 6, 40, [7, 8])[0]
    alone = replication.swim(policy, weights[:1], 6, 40, [8])[0]
    assert together[1] == alone[0]


def test_what_is_not_reached_costs_one_episode_more_than_the_budget(evidence: Evidence) -> None:
    config = replication.PRESETS["smoke"]
    assert evidence.values("episodes_to_reach", "perceptron")[0] in {1.0, 5.0, config.updates * config.population + 1.0}


def test_four_parameters_beside_thousands(evidence: Evidence) -> None:
    # 23 observed numbers and a clock of 2: (25 + 1) 64 + (64 + 1) 64 + (64 + 1) 5, and (25 + 1) 5.
    counts = [evidence.values("parameters", arm)[0] for arm in ("circuit", "perceptron of 64 and 64", "linear policy")]
    assert counts == [4, 6149, 130]
