"""Deciding between two hypotheses by a statistic, and errors of angles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["RocCurve", "circular_std", "error_rate", "roc_curve", "wrap_angle"]

Floats = NDArray[np.float64]


class RocCurve(NamedTuple):
    """Both error rates at each threshold, (k,) each: contact is what reaches the threshold. Thresholds fall from infinity."""

    false_positive: Floats
    false_negative: Floats
    threshold: Floats


def roc_curve(l0: ArrayLike, l1: ArrayLike) -> RocCurve:
    """Error rates of deciding for H1 where the statistic reaches a threshold, at every threshold that makes a difference.

    Args:
        l0: values of the statistic under H0, (n0,).
        l1: values under H1, (n1,).

    Raises:
        ValueError: if a sample is empty or holds NaN.
    """
    null, other = _sample(l0, "l0"), _sample(l1, "l1")
    threshold = np.concatenate([[np.inf], np.unique(np.concatenate([null, other]))[::-1]])
    # The number of values below the threshold; an infinite value reaches an infinite threshold, so count from the right.
    false_positive = 1 - np.searchsorted(null, threshold, side="left") / len(null)
    false_negative = np.searchsorted(other, threshold, side="left") / len(other)
    return RocCurve(false_positive, false_negative, threshold)


def error_rate(l0: ArrayLike, l1: ArrayLike, prior: float = 0.5, *, threshold: float | None = None) -> float:
    """Probability of a wrong decision, (1 - prior) FP + prior FN.

    Args:
        l0: values of the statistic under H0, (n0,).
        l1: values under H1, (n1,).
        prior: probability of H1.
        threshold: from which value on the decision is H1. None takes the one that is best on these very samples, which makes the
            error look smaller than it is on others; to judge, find the threshold on one pair of samples and use it on another.

    Raises:
        ValueError: if prior is not between 0 and 1, or a sample is empty or holds NaN.
    """
    if not 0 <= prior <= 1:
        raise ValueError(f"prior must lie between 0 and 1, got {prior}")
    if threshold is not None:
        null, other = _sample(l0, "l0"), _sample(l1, "l1")
        return float((1 - prior) * (null >= threshold).mean() + prior * (other < threshold).mean())
    curve = roc_curve(l0, l1)
    return float(((1 - prior) * curve.false_positive + prior * curve.false_negative).min())


def wrap_angle(angle: ArrayLike) -> Floats:
    """The same angle in (-π, π], in radians; any shape."""
    return np.asarray(np.pi - np.mod(np.pi - np.asarray(angle, dtype=np.float64), 2 * np.pi))


def circular_std(angles: ArrayLike, center: float | None = None) -> float:
    """Circular standard deviation √(-2 ln R) in radians, R being the mean cosine of the distance from `center`.

    Args:
        angles: (n,), radians, wrapped or not.
        center: what they are measured from, such as the true angle; their circular mean if None. Then it is the usual circular
            standard deviation.

    Returns:
        The deviation; infinite where the angles are on average no nearer to the centre than chance.

    Raises:
        ValueError: if there is no angle.
    """
    values = np.asarray(angles, dtype=np.float64)
    if values.size == 0:
        raise ValueError("circular_std needs at least one angle")
    length = abs(np.exp(1j * values).mean()) if center is None else float(np.cos(values - center).mean())
    if length <= 0:
        return float("inf")
    return float(np.sqrt(-2 * np.log(min(length, 1.0))))


def _sample(values: ArrayLike, name: str) -> Floats:
    sample = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if not len(sample) or np.isnan(sample).any():
        raise ValueError(f"{name} must hold at least one value and no NaN")
    return sample
