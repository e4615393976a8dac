"""Reference generators: what the drive is asked to follow, as normalised set-points drawn one sub-episode at a time.

A generator is a value without state; all chance comes from the `numpy.random.Generator` handed to `draw`, so one seed gives
one trajectory (arXiv:1910.09434, reference generators).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator

from pressrun.methods.control._elementwise import FloatArray

__all__ = ["Reference", "SinusReference", "StepReference", "WienerReference", "clipped_walk"]


class Reference(Protocol):
    """What an environment needs of a reference generator."""

    @property
    def state(self) -> str: ...
    @property
    def episode(self) -> tuple[int, int]: ...
    def draw(self, rng: Generator, value: float | None, low: float, high: float, tau: float) -> FloatArray:
        """The set-points of one sub-episode, one a step.

        Args:
            rng: source of chance.
            value: the last set-point, or None at the start of an episode.
            low, high: the range that the set-points keep to, normalised by the limit of the state.
            tau: seconds a step.

        Returns:
            (steps,) normalised set-points.
        """
        ...


@dataclass(frozen=True)
class WienerReference:
    """A Wiener process clipped to its range; an episode starts anywhere in the range.

    Args:
        state: the quantity that is to follow.
        sigma: range of the standard deviation of one step's increment, normalised; log-uniform for each sub-episode.
        episode: shortest and longest sub-episode in steps, uniform.

    Raises:
        ValueError: if a range is not positive and rising.
    """

    state: str = "omega"
    sigma: tuple[float, float] = (1e-3, 2e-2)
    episode: tuple[int, int] = (500, 2000)

    def __post_init__(self) -> None:
        _check_range("sigma", self.sigma)
        _check_range("episode", self.episode)

    def draw(self, rng: Generator, value: float | None, low: float, high: float, tau: float) -> FloatArray:  # noqa: ARG002
        start = float(rng.uniform(low, high)) if value is None else value
        steps = _length(rng, self.episode)
        sigma = 10.0 ** rng.uniform(np.log10(self.sigma[0]), np.log10(self.sigma[1]))
        return clipped_walk(start, sigma * rng.standard_normal(steps), low, high)


@dataclass(frozen=True)
class SinusReference:
    """A sine whose amplitude, offset, frequency and phase are drawn uniformly for each sub-episode; it never leaves its range.

    Args:
        state: the quantity that is to follow.
        frequency: range of the frequency in Hz.
        episode: shortest and longest sub-episode in steps, uniform.

    Raises:
        ValueError: if a range is not positive and rising.
    """

    state: str = "omega"
    frequency: tuple[float, float] = (1.0, 10.0)
    episode: tuple[int, int] = (500, 2000)

    def __post_init__(self) -> None:
        _check_range("frequency", self.frequency)
        _check_range("episode", self.episode)

    def draw(self, rng: Generator, value: float | None, low: float, high: float, tau: float) -> FloatArray:  # noqa: ARG002
        amplitude, offset, cycles = _wave(rng, self.frequency, self.episode, low, high, tau)
        return np.clip(offset + amplitude * np.sin(2 * np.pi * cycles), low, high)


@dataclass(frozen=True)
class StepReference:
    """A rectangle whose two levels, frequency, phase and share of the high level are drawn for each sub-episode.

    Args:
        state: the quantity that is to follow.
        frequency: range of the frequency in Hz.
        episode: shortest and longest sub-episode in steps, uniform.

    Raises:
        ValueError: if a range is not positive and rising.
    """

    state: str = "omega"
    frequency: tuple[float, float] = (1.0, 10.0)
    episode: tuple[int, int] = (500, 2000)

    def __post_init__(self) -> None:
        _check_range("frequency", self.frequency)
        _check_range("episode", self.episode)

    def draw(self, rng: Generator, value: float | None, low: float, high: float, tau: float) -> FloatArray:  # noqa: ARG002
        amplitude, offset, cycles = _wave(rng, self.frequency, self.episode, low, high, tau)
        high_share = rng.triangular(0.0, 0.5, 1.0)
        return np.clip(offset + np.where(cycles % 1.0 < high_share, amplitude, -amplitude), low, high)


def clipped_walk(start: float, increments: FloatArray, low: float, high: float) -> FloatArray:
    """The walk x_k = clip(x_{k-1} + increments_k, low, high) from x_0 = start, without a loop over its steps.

    A walk held up at one bound only is its free path plus the running maximum of what it would have fallen short; so the
    loop runs over the (few) times that the walk goes from one bound to the other.

    Args:
        start: within [low, high].
        increments: (steps,).

    Returns:
        (steps,) positions after each increment.
    """
    walk = np.empty_like(increments)
    done = 0
    while done < len(increments):
        path = start + np.cumsum(increments[done:])
        below, above = path < low, path > high
        if not below.any() and not above.any():
            walk[done:] = path
            break
        first_below, first_above = _first(below), _first(above)
        if first_below < first_above:
            path += np.maximum.accumulate(np.maximum(low - path, 0.0))
            end = _first(path > high)
            start = high
        else:
            path -= np.maximum.accumulate(np.maximum(path - high, 0.0))
            end = _first(path < low)
            start = low
        walk[done : done + end] = path[:end]
        if done + end < len(walk):
            walk[done + end] = start
        done += end + 1
    return walk


def _first(mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Index of the first True, or the length if there is none."""
    index = int(mask.argmax())
    return index if mask[index] else len(mask)


def _length(rng: Generator, episode: tuple[int, int]) -> int:
    return int(rng.integers(episode[0], episode[1] + 1))


def _wave(
    rng: Generator, frequency: tuple[float, float], episode: tuple[int, int], low: float, high: float, tau: float
) -> tuple[float, float, FloatArray]:
    """Amplitude, offset and (steps,) cycles of a wave that fits into [low, high]."""
    steps = _length(rng, episode)
    amplitude = rng.uniform(0.0, (high - low) / 2)
    offset = rng.uniform(low + amplitude, high - amplitude)
    cycles = rng.uniform(*frequency) * tau * np.arange(steps) + rng.uniform()
    return float(amplitude), float(offset), cycles.astype(np.float64)


def _check_range(name: str, bounds: tuple[float, float]) -> None:
    if not 0 < bounds[0] <= bounds[1]:
        raise ValueError(f"{name} must be a range (low, high) with 0 < low <= high, got {bounds}")
