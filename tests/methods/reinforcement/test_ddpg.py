"""The agent on updates worked out by hand, and on a task whose best action is known."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from torch import nn

from pressrun.methods.reinforcement import DDPG, Replay


class Chase(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """One number is shown, and the reward is minus the distance of the action from it; every fifth step ends an episode."""

    def __init__(
        self, num_envs: int = 8, *, terminates: bool = False, autoreset: AutoresetMode = AutoresetMode.SAME_STEP
    ) -> None:
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": autoreset}
        self.single_observation_space = Box(-1, 1, shape=(1,))
        self.single_action_space: Any = Box(0.0, 2.0, shape=(1,))
        self.terminates = terminates
        self.steps = 0
        self.actions: list[np.ndarray] = []

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[np.ndarray, dict[str, object]]:
        self.rng = np.random.default_rng(seed)
        self.shown = self.rng.uniform(0.2, 0.8, (self.num_envs, 1))
        return self.shown, {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        self.actions.append(np.array(actions))
        self.steps += 1
        rewards = -np.abs(actions - 2 * self.shown)[:, 0]
        final, self.shown = self.shown, self.rng.uniform(0.2, 0.8, (self.num_envs, 1))
        ends = np.full(self.num_envs, self.steps % 5 == 0)
        none = np.zeros(self.num_envs, dtype=bool)
        info = {"final_obs": final, "_final_obs": ends} if ends.any() else {}
        flags = (ends, none) if self.terminates else (none, ends)
        return self.shown, rewards, *flags, info


def constant(network: nn.Module, value: float) -> None:
    """Make the network give `value` for every input."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        list(network.parameters())[-1].fill_(value)


def linear_agent(**settings: float) -> DDPG:
    return DDPG(1, 1, hidden=(4,), **settings)  # type: ignore[arg-type]


def test_the_replay_keeps_the_newest_transitions() -> None:
    replay = Replay(3, 1, 1)
    for number in (1.0, 3.0):
        batch = torch.tensor([[number], [number + 1]])
        replay.add(batch, batch, batch[:, 0], batch, torch.zeros(2))
    assert len(replay) == 3
    assert sorted(replay.columns[2].tolist()) == [2.0, 3.0, 4.0]
    drawn = replay.sample(50, torch.Generator().manual_seed(0))
    assert [tuple(column.shape) for column in drawn] == [(50, 1), (50, 1), (50,), (50, 1), (50,)]
    assert set(drawn[0][:, 0].tolist()) == {2.0, 3.0, 4.0}


def test_the_critics_target_bootstraps_only_where_the_episode_goes_on() -> None:
    agent = linear_agent(gamma=0.5)
    constant(agent.critic, 1.0)
    constant(agent._target_critic, 4.0)
    one = torch.ones(2, 1)
    # Targets: 3 + 0.5 * 4 = 5 and, terminated, 3; the critic says 1: mean of 16 and 4.
    loss, _ = agent.update(one, one, torch.full((2,), 3.0), one, torch.tensor([0.0, 1.0]))
    assert loss == pytest.approx(10.0)


def test_the_targets_follow_softly() -> None:
    agent = linear_agent(soft=0.25, critic_lr=0.0, actor_lr=0.0)
    constant(agent.critic, 1.0)
    constant(agent._target_critic, 5.0)
    one = torch.ones(2, 1)
    agent.update(one, one, torch.zeros(2), one, torch.zeros(2))
    # 5 + 0.25 * (1 - 5).
    assert list(agent._target_critic.parameters())[-1].item() == pytest.approx(4.0)


def test_the_actor_climbs_the_critics_gradient_and_leaves_the_critic_alone() -> None:
    agent = linear_agent(actor_lr=1e-2, critic_lr=0.0)
    with torch.no_grad():
        # Q(s, a) = relu(a + 2): larger actions are better.
        constant(agent.critic, 0.0)
        agent.critic[0].weight[0, 1] = 1.0
        agent.critic[0].bias[0] = 2.0
        agent.critic[2].weight[0, 0] = 1.0
    before = agent.actor(torch.zeros(1, 1)).item()
    critic = [parameter.clone() for parameter in agent.critic.parameters()]
    for _ in range(20):
        agent.update(torch.zeros(4, 1), torch.zeros(4, 1), torch.zeros(4), torch.zeros(4, 1), torch.zeros(4))
    assert agent.actor(torch.zeros(1, 1)).item() > before + 0.05
    assert all(torch.equal(old, new) for old, new in zip(critic, agent.critic.parameters(), strict=True))


def test_it_learns_the_action_that_is_shown() -> None:
    agent = DDPG(1, 1, low=0.0, high=2.0, gamma=0.0, noise_steps=300, batch=64, seed=1)
    agent.train(Chase(), 800, warm_up=64, seed=0)
    shown = np.linspace(0.25, 0.75, 11)[:, None]
    assert np.abs(agent.act(shown) - 2 * shown).max() < 0.15


def test_actions_keep_to_their_bounds_and_shapes() -> None:
    agent = DDPG(3, 2, low=[0.0, -1.0], high=[1.0, 5.0], seed=0)
    actions = agent.act(100 * np.random.default_rng(0).standard_normal((50, 3)))
    assert actions.shape == (50, 2)
    assert (actions >= [0.0, -1.0]).all()
    assert (actions <= [1.0, 5.0]).all()
    assert agent.act(np.zeros(3)).shape == (2,)


def test_a_decision_is_held_and_its_reward_is_the_mean() -> None:
    env = Chase(2)
    agent = DDPG(1, 1, low=0.0, high=2.0, seed=0)
    agent.train(env, 1, hold=4, warm_up=10**6, seed=0)
    assert len(env.actions) == 4
    assert all((action == env.actions[0]).all() for action in env.actions)
    _, squashed, rewards, *_ = (column[:2] for column in agent.replay.columns)
    np.testing.assert_allclose(squashed + 1, env.actions[0], rtol=1e-6)
    fresh = Chase(2)
    fresh.reset(seed=0)
    expected = np.mean([fresh.step(env.actions[0])[1] for _ in range(4)], axis=0)
    np.testing.assert_allclose(rewards, expected, rtol=1e-5)


@pytest.mark.parametrize("terminates", [True, False])
def test_a_terminated_episode_has_no_future_and_a_truncated_one_has(terminates: bool) -> None:
    env = Chase(2, terminates=terminates)
    agent = DDPG(1, 1, low=0.0, high=2.0, seed=0)
    agent.train(env, 5, warm_up=10**6, seed=0)
    obs, _, _, following, ended = (column[:10] for column in agent.replay.columns)
    assert ended.tolist() == [0.0] * 8 + [float(terminates)] * 2
    # What follows the last decision is what was seen then, not the first observation of the next episode.
    assert torch.equal(following[8:], obs[8:])
    assert torch.equal(following[:2], obs[2:4])


def test_what_is_played_after_an_episode_ended_within_a_decision_is_not_stored() -> None:
    env = Chase(2, terminates=True)
    agent = DDPG(1, 1, low=0.0, high=2.0, seed=0)
    agent.train(env, 1, hold=8, warm_up=10**6, seed=0)
    assert len(env.actions) == 8
    fresh = Chase(2)
    fresh.reset(seed=0)
    rewards = [fresh.step(env.actions[0])[1] for _ in range(5)]
    # Four steps count by an eighth, the terminating one in full, the three after it not at all.
    expected = sum(rewards[:4]) / 8 + rewards[4]
    np.testing.assert_allclose(agent.replay.columns[2][:2], expected, rtol=1e-5)


def test_one_seed_gives_one_agent_and_training_can_go_on() -> None:
    agents = [DDPG(1, 1, low=0.0, high=2.0, seed=seed) for seed in (5, 5, 5, 6)]
    envs = [Chase() for _ in agents]
    for agent, env in zip(agents, envs, strict=True):
        parts = (20, 20) if agent is agents[1] else (40,)
        for part in parts:
            agent.train(env, part, warm_up=16, seed=2)
    outputs = [agent.act(np.array([0.4])).tolist() for agent in agents]
    assert outputs[0] == outputs[1] == outputs[2] != outputs[3]


def test_making_an_agent_leaves_torchs_own_randomness_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    linear_agent(seed=9)
    assert torch.equal(torch.rand(3), expected)


def test_it_refuses_bounds_without_a_range() -> None:
    with pytest.raises(ValueError, match=r"low must be below high, got 1\.0 and 1\.0"):
        DDPG(1, 1, low=1.0, high=1.0)


def test_it_refuses_a_discount_of_one() -> None:
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\), got 1\.0"):
        DDPG(1, 1, gamma=1.0)


def test_it_refuses_sizes_that_are_not_positive() -> None:
    with pytest.raises(ValueError, match=r"sizes must be positive, got obs_dim 0, act_dim 1, hidden \(64, 64\)"):
        DDPG(0, 1)


def test_it_refuses_an_environment_of_another_size() -> None:
    with pytest.raises(
        ValueError, match=r"the agent takes 2 observations and gives 1 actions, the environment has \(1,\) and \(1,\)"
    ):
        DDPG(2, 1).train(Chase(), 1)


def test_it_refuses_an_environment_that_resets_a_step_later() -> None:
    with pytest.raises(ValueError, match="DDPG needs environments that reset in the same step"):
        DDPG(1, 1).train(Chase(autoreset=AutoresetMode.NEXT_STEP), 1)


def test_it_refuses_discrete_actions() -> None:
    env = Chase()
    env.single_action_space = Discrete(2)
    with pytest.raises(ValueError, match=r"DDPG needs continuous actions, got Discrete\(2\)"):
        DDPG(1, 1).train(env, 1)
