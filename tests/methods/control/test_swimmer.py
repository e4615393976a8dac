"""The swimmer and the circuit that swims it: torques worked out by hand, symmetries, and what cutting a wire does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from pressrun.methods.control import NCAPSwimmer, SwimmerEnv, excitatory, inhibitory, square_wave


def swim(env: SwimmerEnv, circuit: NCAPSwimmer, seed: int = 0) -> float:
    """Mean reward of an episode."""
    observation, _ = env.reset(seed=seed)
    total = 0.0
    for step in range(env.steps):
        with torch.no_grad():
            torques = circuit(torch.from_numpy(observation[: env.n_joints]), step).numpy()
        observation, reward, *_ = env.step(torques)
        total += reward
    return total / env.steps


def test_the_torques_worked_out_by_hand() -> None:
    circuit = NCAPSwimmer(3)
    circuit.prop.data.fill_(0.5)
    circuit.contra.data.fill_(-0.25)
    # Dorsal parts .8, 0, .2, ventral 0, .6, 0. In the first half of the period the head's dorsal neuron is at 1.
    # Neurons: dorsal 1, .4, 0; ventral 0, 0, .3. Muscles: dorsal 1, .4, 0; ventral 0, 0, .3; the other sides stay below 0.
    torque = circuit(torch.tensor([0.8, -0.6, 0.2]), 0)
    torch.testing.assert_close(torque, torch.tensor([1.0, 0.4, -0.3]))
    # In the second half the head bends the other way.
    torch.testing.assert_close(circuit(torch.tensor([0.8, -0.6, 0.2]), 30), torch.tensor([-1.0, 0.4, -0.3]))


def test_turning_and_halting_worked_out_by_hand() -> None:
    circuit = NCAPSwimmer(2, speed=True, turn=True, oscillator=False)
    # Halted: both neurons of each joint lose 1, so the bend of .9 moves nothing; a right turn adds 1 to the head's dorsal neuron.
    assert circuit(torch.tensor([0.9, 0.0]), 0, speed=0.0).tolist() == [0.0, 0.0]
    assert circuit(torch.tensor([0.0, 0.0]), 0, right=1.0).tolist() == [1.0, 0.0]
    assert circuit(torch.tensor([0.0, 0.0]), 0, left=1.0).tolist() == [-1.0, 0.0]


def test_a_mirrored_bend_gives_mirrored_torques() -> None:
    circuit = NCAPSwimmer(5, init="uniform", oscillator=False, generator=torch.Generator().manual_seed(0))
    bend = torch.rand(100, 5) * 2 - 1
    torch.testing.assert_close(circuit(-bend, 7), -circuit(bend, 7))


def test_a_batch_with_times_of_its_own_is_each_row_alone() -> None:
    circuit = NCAPSwimmer(4, init="uniform", generator=torch.Generator().manual_seed(1))
    bend, times = torch.rand(6, 4) * 2 - 1, torch.tensor([0, 29, 30, 59, 60, 100])
    alone = torch.stack([circuit(row, int(time)) for row, time in zip(bend, times, strict=True)])
    torch.testing.assert_close(circuit(bend, times), alone)


def test_many_circuits_drive_many_bodies_in_one_call() -> None:
    circuits = [NCAPSwimmer(4, init="uniform", generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    stacked = {
        name: torch.stack([dict(each.named_parameters())[name] for each in circuits])
        for name in ("prop", "osc", "ipsi", "contra")
    }
    bend = torch.rand(3, 4) * 2 - 1
    together = torch.func.functional_call(circuits[0], stacked, (bend, 10))
    torch.testing.assert_close(together, torch.stack([each(row, 10) for each, row in zip(circuits, bend, strict=True)]))


def test_a_weight_of_the_wrong_sign_is_no_weight() -> None:
    assert excitatory(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]
    assert inhibitory(torch.tensor([-1.0, 2.0])).tolist() == [-1.0, 0.0]
    circuit, bend = NCAPSwimmer(2, oscillator=False), torch.tensor([1.0, 0.0])
    circuit.prop.data.fill_(-1.0)
    assert circuit(bend, 0).tolist() == [0.0, 0.0]
    circuit.signed = False
    circuit.contra.data.fill_(1.0)
    circuit.ipsi.data.fill_(-1.0)
    circuit.prop.data.fill_(1.0)
    assert circuit(bend, 0).tolist() == [0.0, -1.0]


def test_shared_weights_are_four_and_unshared_ones_one_a_joint_and_side() -> None:
    assert sum(weight.numel() for weight in NCAPSwimmer(5).parameters()) == 4
    # prop 4, osc 1, ipsi 5, contra 5, on two sides.
    assert sum(weight.numel() for weight in NCAPSwimmer(5, shared=False).parameters()) == 30


def test_an_odd_period_is_shorter_at_first() -> None:
    dorsal, ventral = square_wave(torch.arange(6), 5)
    assert dorsal.tolist() == [1, 1, 0, 0, 0, 1]
    assert ventral.tolist() == [0, 0, 1, 1, 1, 0]


def test_gradients_reach_every_weight() -> None:
    circuit = NCAPSwimmer(5)
    for name in ("prop", "osc", "ipsi", "contra"):
        getattr(circuit, name).data.mul_(0.5)  # away from the clipping
    circuit(torch.tensor([0.5, 0.4, -0.4, 0.3, 0.2]), 40).abs().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs() > 0 for weight in (circuit.prop, circuit.osc, circuit.ipsi))
    # A bend has one side, so inhibition meets a silent neuron except in the head.
    assert circuit.contra.grad is not None


@pytest.mark.filterwarnings("ignore:.*A Box observation space:UserWarning")
def test_it_is_a_gymnasium_environment() -> None:
    check_env(SwimmerEnv(4, steps=5), skip_render_check=True)


def test_an_episode_is_the_same_for_the_same_seed_and_is_cut_at_its_end() -> None:
    env = SwimmerEnv(6, steps=3)
    runs = []
    for _ in range(2):
        first, _ = env.reset(seed=5)
        steps = [env.step(np.full(5, 0.3)) for _ in range(3)]
        runs.append(np.stack([first, *(step[0] for step in steps)]))
        assert [step[3] for step in steps] == [False, False, True]
    assert np.array_equal(*runs)
    assert np.all(np.abs(runs[0][0][:5]) <= 1)


def test_the_circuit_swims_untrained_and_stops_when_a_wire_is_cut() -> None:
    env = SwimmerEnv(6, steps=300)
    intact = swim(env, NCAPSwimmer(5))
    assert intact > 0.6
    assert swim(env, NCAPSwimmer(5, proprioception=False)) < intact / 2
    assert swim(env, NCAPSwimmer(5, oscillator=False)) < intact / 2


def test_without_torque_nothing_moves() -> None:
    env = SwimmerEnv(6, steps=20)
    env.reset(seed=0)
    env.data.qpos[3:] = 0
    assert max(abs(env.step(np.zeros(5))[4]["speed"]) for _ in range(20)) < 1e-9


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="n_joints and n_turn_joints must be at least 1, got 0 and 1"):
        NCAPSwimmer(0)
    with pytest.raises(ValueError, match="oscillator_period must be at least 2 steps, got 1"):
        NCAPSwimmer(3, oscillator_period=1)
    with pytest.raises(ValueError, match='init must be "constant" or "uniform", got \'normal\''):
        NCAPSwimmer(3, init="normal")
    with pytest.raises(ValueError, match=r"joint_pos must be \(..., 3\), got \(2,\)"):
        NCAPSwimmer(3)(torch.zeros(2), 0)
    with pytest.raises(ValueError, match="period must be at least 2 steps, got 1"):
        square_wave(torch.zeros(1), 1)
    with pytest.raises(
        ValueError, match=r"n_links must be at least 2, steps at least 1 and desired_speed positive, got 1, 1000 and 0\.1"
    ):
        SwimmerEnv(1)
    with pytest.raises(ValueError, match=r"action must be \(5,\), got \(4,\)"):
        SwimmerEnv(6).step(np.zeros(4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_runs_on_cuda() -> None:
    bend = torch.rand(8, 5)
    torch.testing.assert_close(NCAPSwimmer(5).cuda()(bend.cuda(), 3).cpu(), NCAPSwimmer(5)(bend, 3))
