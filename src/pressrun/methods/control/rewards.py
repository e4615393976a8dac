"""Reward for tracking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pressrun.methods.control._elementwise import Value

__all__ = ["WeightedTrackingReward"]


@dataclass(frozen=True)
class WeightedTrackingReward:
    """r = b - Σ_k w_k (|s_k - s*_k| / l_k)^n with normalised states (arXiv:1910.09434, reward).

    l_k is the length of the state's range: 1 if it is never negative, else 2. A step that violates a limit earns
    `violation_reward` instead.

    Args:
        weights: w_k for each referenced state, in the order of the references; None weighs all equally, with sum 1.
        power: n.
        bias: b; 1 with weights that sum to 1 gives rewards in [0, 1].
        gamma: discount factor of the agent, for the violation.
        violation: reward of a violation; None for min(b - Σ w_k, 0) / (1 - gamma), the worst return an agent could collect.

    Raises:
        ValueError: if a weight is negative, the power not positive or gamma not in [0, 1).
    """

    weights: tuple[float, ...] | None = None
    power: float = 1.0
    bias: float = 0.0
    gamma: float = 0.9
    violation: float | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and (not self.weights or min(self.weights) < 0):
            raise ValueError(f"weights must be one number or more, none negative, got {self.weights}")
        if self.power <= 0:
            raise ValueError(f"power must be positive, got {self.power}")
        if not 0 <= self.gamma < 1:
            raise ValueError(f"gamma must lie in [0, 1), got {self.gamma}")

    @property
    def violation_reward(self) -> float:
        """Reward of the step that violates a limit."""
        if self.violation is not None:
            return self.violation
        total = 1.0 if self.weights is None else sum(self.weights)
        return min((self.bias - total) / (1.0 - self.gamma), 0.0)

    def terms(self, lengths: Sequence[float]) -> tuple[tuple[float, float], ...]:
        """(w_k, l_k) of each referenced state, whose ranges have these lengths.

        Raises:
            ValueError: if there are not as many weights as lengths.
        """
        weights = self.weights or (1.0 / len(lengths),) * len(lengths)
        if len(weights) != len(lengths):
            raise ValueError(f"{len(lengths)} referenced state(s) need as many weights, got {len(weights)}")
        return tuple(zip(weights, lengths, strict=True))

    def reward(self, errors: Sequence[Value], terms: Sequence[tuple[float, float]]) -> Value:
        """Reward of normalised errors s_k - s*_k, each a float or an array, with the (w_k, l_k) of `terms`."""
        loss: Any = 0.0
        for error, (weight, length) in zip(errors, terms):  # noqa: B905 - in every step, and both come from one task
            share = abs(error) / length
            loss = loss + weight * (share if self.power == 1.0 else share**self.power)
        reward: Value = self.bias - loss
        return reward
