"""Electric drives as Gymnasium environments: one at a time in plain floats, or many at once in arrays.

Both follow arXiv:1910.09434: the observation holds the normalised state and the set-point for the coming step; the reward of
a step compares the state after it with the set-point that was shown before it; exceeding the current limit ends the
episode. Row k of a `VectorMotorEnv` reset with a seed is the `ElectricMotorEnv` reset with that seed + k.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from operator import mul, sub
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from pressrun.methods.control._elementwise import FloatArray, Value, cos_sin
from pressrun.methods.control.drive import Drive
from pressrun.methods.control.references import Reference, WienerReference
from pressrun.methods.control.rewards import WeightedTrackingReward

__all__ = ["ElectricMotorEnv", "VectorMotorEnv"]


class _Task:
    """A drive and what it is asked to do: the part that an environment of one drive and one of many share."""

    def __init__(
        self, drive: Drive, references: Sequence[Reference], reward: WeightedTrackingReward, episode_steps: int | None
    ) -> None:
        names = ("omega", "torque", *drive.motor.CURRENTS)
        unknown = [reference.state for reference in references if reference.state not in names]
        if not references or unknown:
            raise ValueError(f"references must name states among {', '.join(names)}, got {unknown or 'none'}")
        if episode_steps is not None and episode_steps < 1:
            raise ValueError(f"episode_steps must be at least 1, got {episode_steps}")
        self.drive = drive
        self.reward = reward
        self.references = tuple(references)
        self.episode_steps = episode_steps
        self.tracked = [names.index(reference.state) for reference in references]
        lowest = [drive.lowest(reference.state) for reference in references]
        highest = [drive.nominal(reference.state) / drive.limit(reference.state) for reference in references]
        self.ranges = [(low * high, high) for low, high in zip(lowest, highest, strict=True)]
        self.terms = reward.terms([1.0 - low for low in lowest])
        self.observation_names = (
            *names,
            *drive.motor.VOLTAGES,
            *(("cos_epsilon", "sin_epsilon") if drive.motor.HAS_ANGLE else ()),
            *(f"{reference.state}_reference" for reference in references),
            *(f"{reference.state}_error" for reference in references),
        )
        self.scales = [1.0 / drive.limit(name) for name in (*names, *drive.motor.VOLTAGES)]
        self.torque = drive.motor.torque
        self.currents = len(drive.motor.CURRENTS)
        self.has_angle = drive.motor.HAS_ANGLE
        self.nothing_before = (-1,) * drive.action_size

    def observation_space(self) -> Box:
        """Normalised quantities; unbounded, because a state may exceed its limit before the episode ends."""
        return Box(-np.inf, np.inf, shape=(len(self.observation_names),), dtype=np.float64)

    def errors(self, set_points: Sequence[Value], values: Sequence[Value]) -> list[Value]:
        """Set-point minus state, normalised, for each reference."""
        return list(map(sub, set_points, map(values.__getitem__, self.tracked)))

    def normalised(self, state: Sequence[Value], voltages: Sequence[Value]) -> list[Value]:
        """omega, torque, currents and winding voltages by their limits, then cosine and sine of the angle if there is one."""
        electrical = state[1:]
        quantities = [state[0], self.torque(electrical)]
        quantities += electrical[: self.currents]
        quantities += voltages
        values = list(map(mul, quantities, self.scales))
        if self.has_angle:
            values.extend(cos_sin(electrical[-1]))
        return values


def _task(
    drive: Drive | None,
    references: Sequence[Reference] | None,
    reward: WeightedTrackingReward | None,
    episode_steps: int | None,
) -> _Task:
    wanted = (WienerReference(),) if references is None else references
    return _Task(drive or Drive(), wanted, reward or WeightedTrackingReward(), episode_steps)


class ElectricMotorEnv(gymnasium.Env[NDArray[Any], Any]):
    """One electric drive that is to follow set-points; by default speed control of a series DC motor.

    Observation: (observations,) float64, normalised by the limits of the drive, in the order of `observation_names`: omega,
    torque, currents, winding voltages of the last step, for a synchronous motor cosine and sine of the electrical
    angle, then set-points and (set-point - state). Action: what the converter's `action_space` says; continuous
    actions outside it are clipped. An episode starts at standstill without current; it is terminated by a violated
    current limit and truncated after `episode_steps`.

    Args:
        drive: supply, converter, motor and load.
        references: one generator for each state that is to follow: omega, torque or a current.
        reward: how tracking is paid.
        episode_steps: steps until truncation; None for no end.

    Raises:
        ValueError: if a reference names no state of the drive, weights do not fit the references, or there are no steps.
    """

    def __init__(
        self,
        drive: Drive | None = None,
        references: Sequence[Reference] | None = None,
        reward: WeightedTrackingReward | None = None,
        *,
        episode_steps: int | None = 10_000,
    ) -> None:
        self._task = _task(drive, references, reward, episode_steps)
        self.drive = self._task.drive
        self.observation_names = self._task.observation_names
        self.episode_steps = episode_steps
        self.observation_space = self._task.observation_space()
        self.action_space = self.drive.converter.action_space
        self._finite = self.drive.converter.finite
        self._action_size = self.drive.action_size
        self._overload = self.drive.motor.overload
        self._state: Sequence[float] | None = None
        self._terminated = False
        self._steps = 0
        self._previous: Sequence[Any] = self._task.nothing_before
        self._tracks: list[_Track] = []
        self._set_points: list[float] = []

    @property
    def state(self) -> tuple[float, ...]:
        """(omega in rad/s, currents in A, angle in rad) as it is now.

        Raises:
            RuntimeError: before the first reset.
        """
        if self._state is None:
            raise RuntimeError("reset the environment before asking for its state")
        return tuple(self._state)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[FloatArray, dict[str, Any]]:
        """Standstill, no current, a new set-point; the first observation and an empty dict."""
        super().reset(seed=seed, options=options)
        task = self._task
        self._state = (0.0,) * self.drive.state_size
        self._terminated = False
        self._steps = 0
        self._previous = task.nothing_before
        self._tracks = [
            _Track(reference, self.np_random, low, high, self.drive.tau)
            for reference, (low, high) in zip(task.references, task.ranges, strict=True)
        ]
        self._set_points = [track.next() for track in self._tracks]
        values = task.normalised(self._state, (0.0,) * len(self.drive.motor.VOLTAGES))
        errors = task.errors(self._set_points, values)
        return np.array([*values, *self._set_points, *errors]), {}

    def step(self, action: ArrayLike) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """One control step; (observation, reward, terminated, truncated, {}).

        Raises:
            RuntimeError: before a reset, or after the episode was terminated.
            ValueError: if the action does not have the components of the action space, or is not a number.
        """
        if self._terminated or self._state is None:
            raise RuntimeError("reset the environment before a step, and after an episode has been terminated")
        task, points = self._task, self._set_points
        components = self._components(action)
        state, voltages = self.drive.advance(self._state, components, self._previous)
        self._state, self._previous = state, components
        values = task.normalised(state, voltages)
        self._terminated = terminated = self._overload(state[1:]) > 1.0
        reward = task.reward.violation_reward if terminated else task.reward.reward(task.errors(points, values), task.terms)
        self._set_points = points = [track.next() for track in self._tracks]
        errors = task.errors(points, values)
        self._steps += 1
        return np.array(values + points + errors), reward, terminated, self._steps == task.episode_steps, {}

    def _components(self, action: ArrayLike) -> list[Any]:
        """The action as plain numbers."""
        components: list[Any] = (action if isinstance(action, np.ndarray) else np.array(action)).ravel().tolist()
        if len(components) != self._action_size:
            raise ValueError(f"an action must have {self.drive.action_size} component(s), got {len(components)}")
        if self._finite:
            if not self.action_space.contains(np.asarray(action, dtype=np.int64) if len(components) > 1 else components[0]):
                raise ValueError(f"an action must be an element of {self.action_space}, got {action!r}")
        elif isnan(sum(components)):
            raise ValueError(f"an action must be a number, got {action!r}")
        return components


class _Track:
    """The set-points of one reference, sub-episode after sub-episode."""

    def __init__(self, reference: Reference, rng: Generator, low: float, high: float, tau: float) -> None:
        self._reference, self._rng, self._low, self._high, self._tau = reference, rng, low, high, tau
        self._last: float | None = None
        self._coming: Iterator[float] = iter(())

    def next(self) -> float:
        point = next(self._coming, None)
        if point is not None:
            return point
        points: list[float] = self._reference.draw(self._rng, self._last, self._low, self._high, self._tau).tolist()
        self._last = points[-1]
        self._coming = iter(points)
        return next(self._coming)


class VectorMotorEnv(gymnasium.vector.VectorEnv[FloatArray, Any, NDArray[Any]]):
    """Many electric drives of one kind, stepped together as arrays.

    Observations, actions, rewards and the ends of episodes are those of `ElectricMotorEnv`, with a leading axis (num_envs,).
    A row whose episode ends is reset in the same step (`AutoresetMode.SAME_STEP`): its observation is then the first of
    the new episode, and `info["final_obs"]` holds the last of the old one where `info["_final_obs"]` is True.

    Args:
        num_envs: number of drives.
        drive, references, reward, episode_steps: as for `ElectricMotorEnv`.

    Raises:
        ValueError: as for `ElectricMotorEnv`, or if there is no drive.
    """

    def __init__(
        self,
        num_envs: int,
        drive: Drive | None = None,
        references: Sequence[Reference] | None = None,
        reward: WeightedTrackingReward | None = None,
        *,
        episode_steps: int | None = 10_000,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        self._task = _task(drive, references, reward, episode_steps)
        self.drive = self._task.drive
        self.observation_names = self._task.observation_names
        self.episode_steps = episode_steps
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = num_envs
        self.single_observation_space = self._task.observation_space()
        self.single_action_space = self.drive.converter.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._finite = self.drive.converter.finite
        self._rngs: list[Generator] = []
        self._state: Sequence[FloatArray] = ()
        self._tracks: list[_TrackTable] = []

    @property
    def state(self) -> tuple[FloatArray, ...]:
        """(omega in rad/s, currents in A, angle in rad) as it is now, each (num_envs,); empty before the first reset."""
        return tuple(self._state)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> tuple[FloatArray, dict[str, Any]]:
        """All drives at standstill without current; (num_envs, observations) and an empty dict.

        Args:
            seed: one for each drive, or one for the first drive: the others count up from it.
            options: not used.

        Raises:
            ValueError: if there are as many seeds as not drives.
        """
        count, task = self.num_envs, self._task
        self._reseed(seed)
        self._state = tuple(np.zeros(count) for _ in range(self.drive.state_size))
        self._steps = np.zeros(count, dtype=np.int64)
        self._previous = [np.full(count, -1) for _ in task.nothing_before]
        self._tracks = [
            _TrackTable(reference, self._rngs, low, high, self.drive.tau)
            for reference, (low, high) in zip(task.references, task.ranges, strict=True)
        ]
        self._set_points = [track.next() for track in self._tracks]
        return self._first_observation(np.arange(count)), {}

    def step(self, actions: ArrayLike) -> tuple[FloatArray, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One control step of every drive; (observations, rewards, terminated, truncated, info).

        Raises:
            RuntimeError: before the first reset.
            ValueError: if the actions do not fit the action space, or one is not a number.
        """
        if not self._state:
            raise RuntimeError("reset the environment before a step")
        task, drive = self._task, self.drive
        components = self._components(actions)
        self._state, voltages = drive.advance(self._state, components, self._previous)
        self._previous = components
        values = task.normalised(self._state, voltages)
        terminated = drive.motor.overload(self._state[1:]) > 1.0
        errors = task.errors(self._set_points, values)
        rewards = task.reward.reward(errors, task.terms)
        self._set_points = [track.next() for track in self._tracks]
        errors = task.errors(self._set_points, values)
        observations = np.array([*values, *self._set_points, *errors]).T
        self._steps += 1
        truncated = self._steps == (task.episode_steps or -1)
        done = terminated | truncated
        if not done.any():
            return observations, rewards, terminated, truncated, {}
        rewards[terminated] = task.reward.violation_reward
        info = {"final_obs": observations.copy(), "_final_obs": done}
        rows = np.flatnonzero(done)
        self._restart(rows)
        observations[rows] = self._first_observation(rows)
        return observations, rewards, terminated, truncated, info

    def _reseed(self, seed: int | Sequence[int | None] | None) -> None:
        """One source of chance a drive; without a seed those of the last reset go on."""
        if seed is None and self._rngs:
            return
        seeds = [None if seed is None else seed + k for k in range(self.num_envs)] if not isinstance(seed, Sequence) else seed
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} drives need as many seeds, got {len(seeds)}")
        self._rngs = [seeding.np_random(one)[0] for one in seeds]

    def _components(self, actions: ArrayLike) -> list[Any]:
        """The actions as one array (num_envs,) a component."""
        batch = np.asarray(actions, dtype=np.int64 if self._finite else np.float64)
        if batch.shape != self.action_space.shape:
            raise ValueError(f"actions must be {self.action_space.shape}, got {batch.shape}")
        if self._finite:
            if not self.action_space.contains(batch):
                raise ValueError(f"actions must be elements of {self.single_action_space}")
        elif np.isnan(batch.sum()):
            raise ValueError("actions must be numbers, got NaN")
        # The reshape takes a Discrete action, which has no axis of its own, to one component.
        return list(batch.reshape(self.num_envs, -1).T)

    def _restart(self, rows: NDArray[np.int64]) -> None:
        """Put the drives of `rows` to standstill and give them new set-points."""
        for component in self._state:
            component[rows] = 0.0
        self._steps[rows] = 0
        self._previous = [before.copy() for before in self._previous]
        for before in self._previous:
            before[rows] = -1
        for track, points in zip(self._tracks, self._set_points, strict=True):
            points[rows] = track.restart(rows)

    def _first_observation(self, rows: NDArray[np.int64]) -> FloatArray:
        """Observation of drives at standstill, (rows, observations)."""
        still = [np.zeros(len(rows)) for _ in range(self.drive.state_size)]
        values = self._task.normalised(still, [np.zeros(len(rows)) for _ in self.drive.motor.VOLTAGES])
        points = [point[rows] for point in self._set_points]
        errors = self._task.errors(points, values)
        return np.array([*values, *points, *errors]).T


class _TrackTable:
    """The set-points of one reference for many drives: a row each of the running sub-episode, and where it stands in it."""

    def __init__(self, reference: Reference, rngs: list[Generator], low: float, high: float, tau: float) -> None:
        self._reference, self._rngs, self._low, self._high, self._tau = reference, rngs, low, high, tau
        self._width = reference.episode[1]
        self._table = np.zeros(len(rngs) * self._width)
        self._start = np.arange(len(rngs)) * self._width
        self._cursor = self._start.copy()
        self._end = self._start.copy()
        for row in range(len(rngs)):
            self._refill(row, None)
        self._cursor -= 1

    def next(self) -> FloatArray:
        """The next set-point of every drive, (drives,)."""
        self._cursor += 1
        over = self._cursor == self._end
        if over.any():
            for row in np.flatnonzero(over):
                self._refill(int(row), float(self._table[self._end[row] - 1]))
        return self._table.take(self._cursor)

    def restart(self, rows: NDArray[np.int64]) -> FloatArray:
        """The first set-points of new episodes of the drives in `rows`, (rows,)."""
        for row in rows:
            self._refill(int(row), None)
        return self._table.take(self._cursor[rows])

    def _refill(self, row: int, last: float | None) -> None:
        points = self._reference.draw(self._rngs[row], last, self._low, self._high, self._tau)
        start = self._start[row]
        self._table[start : start + len(points)] = points
        self._cursor[row] = start
        self._end[row] = start + len(points)
