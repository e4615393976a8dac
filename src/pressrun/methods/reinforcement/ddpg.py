"""Deep deterministic policy gradient: an actor that climbs the gradient of a critic learned from replayed transitions.

Lillicrap et al., arXiv:1509.02971, algorithm 1, with the uncorrelated Gaussian exploration that arXiv:1910.09434 uses for
electric drives, on any number of environments at once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

__all__ = ["DDPG", "Replay"]

FloatArray = NDArray[np.float64]


class Replay:
    """The last `capacity` transitions, drawn uniformly.

    Args:
        capacity: transitions kept; the oldest are overwritten.
        obs_dim, act_dim: sizes of an observation and an action.
    """

    def __init__(self, capacity: int, obs_dim: int, act_dim: int) -> None:
        self.capacity = capacity
        self.columns = (
            torch.zeros(capacity, obs_dim),
            torch.zeros(capacity, act_dim),
            torch.zeros(capacity),
            torch.zeros(capacity, obs_dim),
            torch.zeros(capacity),
        )
        self.stored = 0

    def __len__(self) -> int:
        return min(self.stored, self.capacity)

    def add(self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, terminated: Tensor) -> None:
        """Store a batch: (n, obs_dim), (n, act_dim), (n,), (n, obs_dim) and (n,), 1.0 where no future follows."""
        rows = (self.stored + torch.arange(len(obs))) % self.capacity
        for column, values in zip(self.columns, (obs, action, reward, next_obs, terminated), strict=True):
            column[rows] = values
        self.stored += len(obs)

    def sample(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """`batch` transitions with replacement, in the order and shapes of `add`."""
        rows = torch.randint(len(self), (batch,), generator=generator)
        return tuple(column[rows] for column in self.columns)


class DDPG:
    """An actor-critic agent for continuous actions, learning off-policy.

    Targets are r + γ Q'(s', μ'(s')), without the second term where the episode was terminated; a truncated episode is
    bootstrapped through. Soft targets follow by θ' ← (1 - ρ) θ' + ρ θ.

    Args:
        obs_dim, act_dim: sizes of an observation and an action.
        low, high: bounds of each action, (act_dim,) or one number for all.
        hidden: units of the hidden layers of actor and critic, with ReLU; the actor ends in tanh, scaled to the bounds.
        gamma: discount factor of one decision.
        actor_lr, critic_lr: step sizes of Adam.
        soft: ρ.
        batch: transitions an update sees.
        capacity: transitions kept for replay.
        noise: standard deviation of the exploration at the start and at the end, in halves of the action's range.
        noise_steps: decisions over which it falls linearly.
        seed: of initial weights, exploration and replay.

    Raises:
        ValueError: if a size is not positive, the bounds do not enclose a range, or gamma is not in [0, 1).
    """

    def __init__(
        self,
        obs_dim: int,
        act_dim: int,
        *,
        low: float | Sequence[float] = -1.0,
        high: float | Sequence[float] = 1.0,
        hidden: Sequence[int] = (64, 64),
        gamma: float = 0.98,
        actor_lr: float = 1e-3,
        critic_lr: float = 1e-3,
        soft: float = 5e-3,
        batch: int = 128,
        capacity: int = 150_000,
        noise: tuple[float, float] = (0.8, 0.05),
        noise_steps: int = 10_000,
        seed: int = 0,
    ) -> None:
        if min(obs_dim, act_dim, batch, capacity, *hidden) < 1:
            raise ValueError(f"sizes must be positive, got obs_dim {obs_dim}, act_dim {act_dim}, hidden {tuple(hidden)}")
        if not 0 <= gamma < 1:
            raise ValueError(f"gamma must lie in [0, 1), got {gamma}")
        bounds = torch.tensor(np.array([np.broadcast_to(edge, act_dim) for edge in (low, high)]), dtype=torch.float32)
        if not (bounds[0] < bounds[1]).all():
            raise ValueError(f"low must be below high, got {low} and {high}")
        self.obs_dim, self.act_dim = obs_dim, act_dim
        self.gamma, self.soft, self.batch = gamma, soft, batch
        self.noise, self.noise_steps = noise, noise_steps
        self._middle, self._half = bounds.mean(dim=0), (bounds[1] - bounds[0]) / 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.actor = nn.Sequential(_perceptron(obs_dim, hidden, act_dim), nn.Tanh())
            self.critic = _perceptron(obs_dim + act_dim, hidden, 1)
        self._target_actor, self._target_critic = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self._actor_parameters = list(self.actor.parameters())
        self._actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=actor_lr, fused=True)
        self._critic_optimiser = torch.optim.Adam(self.critic.parameters(), lr=critic_lr, fused=True)
        self._pairs = [
            pair
            for target, network in ((self._target_actor, self.actor), (self._target_critic, self.critic))
            for pair in zip(target.parameters(), network.parameters(), strict=True)
        ]
        self.replay = Replay(capacity, obs_dim, act_dim)
        self._generator = torch.Generator().manual_seed(seed)
        self._decisions = 0
        self._env: gymnasium.vector.VectorEnv[Any, Any, Any] | None = None
        self._obs = torch.zeros(0)

    @torch.no_grad()
    def act(self, observation: FloatArray) -> FloatArray:
        """The actions, (..., act_dim) within the bounds, that the actor takes for observations, (..., obs_dim)."""
        squashed = self.actor(torch.as_tensor(np.asarray(observation), dtype=torch.float32))
        actions: FloatArray = self._scaled(squashed).numpy().astype(np.float64)
        return actions

    def train(
        self,
        env: gymnasium.vector.VectorEnv[Any, Any, Any],
        decisions: int,
        *,
        hold: int = 1,
        updates: int = 1,
        warm_up: int = 1_000,
        seed: int | None = None,
    ) -> None:
        """Act in the environments and learn; a further call with the same environments goes on where the last one ended.

        Args:
            env: environments that reset in the step that ends an episode (`AutoresetMode.SAME_STEP`).
            decisions: decisions taken in each environment.
            hold: environment steps that a decision lasts. Its reward is the mean over them, but a terminating step's reward
                counts in full: it stands for all that would have followed.
            updates: gradient updates of actor and critic after each decision.
            warm_up: transitions to be stored before the first update.
            seed: of the environments; used at the first call.

        Raises:
            ValueError: if the environments do not fit the agent, or reset in another way.
        """
        if env is not self._env:
            self._check(env)
            self._env = env
            self._obs = _tensor(env.reset(seed=seed)[0])
        for _ in range(decisions):
            squashed = self._explore(self._obs)
            self._obs = self._decide(env, self._obs, squashed, hold)
            self._decisions += 1
            if len(self.replay) >= max(warm_up, 1):
                for _ in range(updates):
                    self.update(*self.replay.sample(self.batch, self._generator))

    def update(self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, terminated: Tensor) -> tuple[float, float]:
        """One step of critic and actor on a batch, and of the soft targets.

        Args:
            obs, next_obs: (batch, obs_dim).
            action: (batch, act_dim) in [-1, 1], before scaling to the bounds.
            reward, terminated: (batch,).

        Returns:
            The critic's mean squared error and the actor's loss -Q(s, μ(s)) before the step.
        """
        with torch.no_grad():
            future = self._target_critic(torch.cat([next_obs, self._target_actor(next_obs)], dim=-1)).squeeze(-1)
            target = reward + self.gamma * (1.0 - terminated) * future
        critic_loss = nn.functional.mse_loss(self.critic(torch.cat([obs, action], dim=-1)).squeeze(-1), target)
        self._critic_optimiser.zero_grad()
        critic_loss.backward()
        self._critic_optimiser.step()
        actor_loss = -self.critic(torch.cat([obs, self.actor(obs)], dim=-1)).mean()
        self._actor_optimiser.zero_grad()
        # The critic is only passed through here: its own gradients would be thrown away.
        actor_loss.backward(inputs=self._actor_parameters)
        self._actor_optimiser.step()
        self._follow()
        return critic_loss.item(), actor_loss.item()

    @torch.no_grad()
    def _explore(self, obs: Tensor) -> Tensor:
        """The actor's actions in [-1, 1] with the noise that is due now, (envs, act_dim)."""
        first, last = self.noise
        level = first + (last - first) * min(self._decisions / self.noise_steps, 1.0)
        squashed: Tensor = self.actor(obs)
        return (squashed + level * torch.randn(squashed.shape, generator=self._generator)).clamp(-1.0, 1.0)

    def _decide(self, env: gymnasium.vector.VectorEnv[Any, Any, Any], obs: Tensor, squashed: Tensor, hold: int) -> Tensor:
        """Hold the actions for `hold` steps, store the transitions, and return the observations that follow."""
        actions = self._scaled(squashed).numpy()
        envs = len(actions)
        reward, going, terminated = np.zeros(envs), np.ones(envs, dtype=bool), np.zeros(envs, dtype=bool)
        seen: FloatArray = np.empty((envs, self.obs_dim))
        for _ in range(hold):
            following, rewards, ends, cuts, info = env.step(actions)
            last = np.where(info["_final_obs"][:, None], _rows(info["final_obs"], following), following) if info else following
            reward += going * np.where(ends, rewards, rewards / hold)
            seen[going] = last[going]
            terminated |= going & ends
            # A drive that was reset meanwhile plays the rest of the held action in its new episode; that is not stored.
            going &= ~(ends | cuts)
        self.replay.add(obs, squashed, _tensor(reward), _tensor(seen), _tensor(terminated))
        return _tensor(following)

    def _scaled(self, squashed: Tensor) -> Tensor:
        return self._middle + self._half * squashed

    @torch.no_grad()
    def _follow(self) -> None:
        """The soft targets come closer to the networks."""
        for slow, fast in self._pairs:
            slow.lerp_(fast, self.soft)

    def _check(self, env: gymnasium.vector.VectorEnv[Any, Any, Any]) -> None:
        observations, actions = env.single_observation_space, env.single_action_space
        if not isinstance(actions, Box):
            raise ValueError(f"DDPG needs continuous actions, got {actions}")
        if observations.shape != (self.obs_dim,) or actions.shape != (self.act_dim,):
            raise ValueError(
                f"the agent takes {self.obs_dim} observations and gives {self.act_dim} actions, "
                f"the environment has {observations.shape} and {actions.shape}"
            )
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise ValueError("DDPG needs environments that reset in the same step (AutoresetMode.SAME_STEP)")


def _perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    sizes = [inputs, *hidden]
    layers: list[nn.Module] = []
    for size, units in pairwise(sizes):
        layers += [nn.Linear(size, units), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


def _tensor(array: ArrayLike) -> Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)


def _rows(final: NDArray[Any], like: FloatArray) -> FloatArray:
    """Final observations as one array; gymnasium's own vector environments give an array of arrays and None."""
    if final.dtype != object:
        return final
    return np.stack([row if given is None else given for given, row in zip(final, like, strict=True)])
