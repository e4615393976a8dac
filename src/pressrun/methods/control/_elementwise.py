"""Operations that serve one drive (Python floats) and many (arrays) alike.

A simulation step is a few dozen operations. On NumPy scalars each would cost ten times what it costs on a Python float,
so the room's equations are written once, component by component, and run on either.
"""

from __future__ import annotations

import math
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["FloatArray", "Value", "clip", "cos_sin", "larger", "length", "sign"]

FloatArray: TypeAlias = NDArray[np.float64]
Value = TypeVar("Value", float, FloatArray)


def clip(value: Value, low: float, high: float) -> Value:
    """`value` limited to [low, high], elementwise."""
    if isinstance(value, np.ndarray):
        return np.minimum(np.maximum(value, low), high)
    return low if value < low else high if value > high else value


def larger(one: Value, other: Value) -> Value:
    """The larger of two, elementwise."""
    if isinstance(one, np.ndarray):
        return np.maximum(one, other)
    return max(one, other)


def length(x: Value, y: Value) -> Value:
    """√(x² + y²), elementwise."""
    if isinstance(x, np.ndarray):
        return np.hypot(x, y)
    return math.hypot(x, y)


def sign(value: Value) -> Value:
    """-1, 0 or 1, elementwise."""
    if isinstance(value, np.ndarray):
        return np.sign(value)
    return float((value > 0) - (value < 0))


def cos_sin(angle: Value) -> tuple[Value, Value]:
    """Cosine and sine of an angle in rad, elementwise."""
    if isinstance(angle, np.ndarray):
        return np.cos(angle), np.sin(angle)
    return math.cos(angle), math.sin(angle)
