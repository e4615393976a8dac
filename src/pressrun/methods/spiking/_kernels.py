"""Compiled loops over time for `_sequence`: the same arithmetic as its loops of tensors, without a tensor for every operation.

Every function works on the neurons lo to hi and releases the interpreter's lock. Arrays are flat: element i of step t is at
t * stride + i; a stride of 0 shows the same current at every step. Products and sums of potentials are rounded one by one, so that spikes
are those of the loops of tensors to the bit. Slices are filled in loops: assigning to them takes numba seconds to compile.

Only `_sequence` imports this module, on first use, because that imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from math import factorial, pi, sqrt
from typing import Any

import numba
import numpy as np
from numba.extending import overload, register_jitable

from . import _compiled

Array = np.ndarray[tuple[int], np.dtype[Any]]

LN_2 = Fraction("0.693147180559945309417232121458176568")

bump = register_jitable(fastmath={"contract"}, error_model="numpy")
"""Marks a surrogate's derivative at distance u from the threshold: a gradient, not a spike, so it may be contracted."""


compiled = partial(_compiled.compiled, error_model="numpy")


def exponential(x: float) -> float:
    """exp(x) for x <= 0, in operations that are done for many numbers at once; 0 below the smallest normal number."""
    return float(np.exp(x))


@overload(exponential, jit_options={"fastmath": {"contract"}})
def _exponential(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 (it has to look like what it returns)
    # x = n ln 2 + r with |r| <= ln 2 / 2; the series of exp(r) is cut where its next term is below the rounding.
    single = x == numba.float32
    number: Any = np.float32 if single else np.float64
    whole: Any = np.int32 if single else np.int64
    lowest, digits, bias = (number(-87), whole(23), whole(127)) if single else (number(-708), whole(52), whole(1023))
    # ln 2 in two parts, the first with so few digits that n times it is exact
    high = Fraction(355, 512) if single else Fraction(int(LN_2 * 2**32), 2**32)
    much, little = number(float(high)), number(float(LN_2 - high))
    per_ln2, half, one = number(1 / np.log(2)), number(0.5), number(1)
    c2, c3, c4, c5, c6, c7 = (number(1 / factorial(n)) for n in range(2, 8))
    c8, c9, c10, c11, c12, c13 = (number(1 / factorial(n)) for n in range(8, 14))

    def of(x):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        n = whole((x if x > lowest else lowest) * per_ln2 - half)
        y = lowest if x < lowest else x  # what is not a number stays that
        r = (y - number(n) * much) - number(n) * little
        if single:  # noqa: SIM108 (numba leaves out the branch not taken)
            p = c7
        else:
            p = (((((c13 * r + c12) * r + c11) * r + c10) * r + c9) * r + c8) * r + c7
        p = ((((((p * r + c6) * r + c5) * r + c4) * r + c3) * r + c2) * r + one) * r + one
        return p * whole((n + bias) << digits).view(number)

    return of


@bump
def sigmoid(u: float, a: float, b: float, one: float) -> float:
    e = exponential(-abs(a * u))
    return b * e / ((one + e) * (one + e))


@bump
def atan(u: float, a: float, b: float, one: float) -> float:
    return b / (one + (a * u) * (a * u))


@bump
def fast_sigmoid(u: float, a: float, b: float, one: float) -> float:
    return b / ((one + a * abs(u)) * (one + a * abs(u)))


@bump
def triangle(u: float, a: float, b: float, one: float) -> float:
    height = b - a * abs(u)
    return one - one if height < 0 else height


@bump
def rectangle(u: float, a: float, b: float, one: float) -> float:
    return b if abs(u) < a else one - one


@bump
def gaussian(u: float, a: float, b: float, one: float) -> float:  # noqa: ARG001
    return b * exponential(-(a * u) * (a * u))


@bump
def two_sided(u: float, a: float, b: float, one: float) -> float:  # noqa: ARG001
    return b * exponential(-abs(a * u))


@bump
def straight_through(u: float, a: float, b: float, one: float) -> float:  # noqa: ARG001
    return b


BUMPS = {
    "sigmoid": sigmoid,
    "atan": atan,
    "fast_sigmoid": fast_sigmoid,
    "triangle": triangle,
    "rectangle": rectangle,
    "gaussian": gaussian,
    "exponential": two_sided,
    "straight_through": straight_through,
}


def scale_and_height(surrogate: str, slope: float) -> tuple[float, float]:
    """The numbers a and b of a bump."""
    match surrogate:
        case "atan":
            return pi * slope / 2, slope / 2
        case "fast_sigmoid":
            return slope, 1.0
        case "triangle":
            return slope * slope, slope
        case "rectangle":
            return 1 / (2 * slope), slope
        case "gaussian":
            return slope, slope / sqrt(pi)
        case "exponential":
            return slope, slope / 2
        case _:
            return slope, slope


@compiled
def lif_forward(
    x: Array,
    stride: int,
    v: Array,
    spikes: Array,
    kept: Array,
    kept_stride: int,
    decay: float,
    threshold: float,
    hard: bool,
    lo: int,
    hi: int,
) -> None:
    """Spikes of all steps, and h in `kept`; v is the potential before the first step and becomes the one after the last."""
    one = x.dtype.type(1)
    size = len(v)
    potential = v[lo:hi]
    for t in range(len(spikes) // size):
        current = x[t * stride + lo : t * stride + hi]
        spiking = spikes[t * size + lo : t * size + hi]
        keep = kept[t * kept_stride + lo : t * kept_stride + hi]
        for i in range(hi - lo):
            h = potential[i] * decay + current[i]
            s = one if h >= threshold else one - one
            keep[i] = h
            spiking[i] = s
            potential[i] = h - (h if hard else threshold) * s


@cache
def lif_backward(surrogate: str) -> Callable[..., None]:
    """The backward pass with one surrogate in it."""
    derivative = BUMPS[surrogate]

    @compiled
    def lif_backward(
        kept: Array,
        above: Array,
        stride: int,
        carry: Array,
        grad: Array,
        decay: float,
        threshold: float,
        hard: bool,
        detach: bool,
        scale: float,
        height: float,
        lo: int,
        hi: int,
    ) -> None:
        """The gradient of x from the gradient `above` of the spikes; `carry` is that of the last potential and becomes that of v."""
        one = kept.dtype.type(1)
        size = len(carry)
        after = carry[lo:hi]
        for t in range(len(grad) // size - 1, -1, -1):
            h = kept[t * size + lo : t * size + hi]
            given = above[t * stride + lo : t * stride + hi]
            out = grad[t * size + lo : t * size + hi]
            for i in range(hi - lo):
                slope = derivative(h[i] - threshold, scale, height, one)
                # Times dv/dh: all of it, or none where a spike reset the potential; less the path through the reset.
                through = after[i]
                if hard and h[i] >= threshold:
                    through = one - one
                if not detach:
                    through -= (h[i] if hard else threshold) * slope * after[i]
                g = slope * given[i] + through
                out[i] = g
                after[i] = g * decay

    return lif_backward


@compiled
def alif_forward(
    x: Array,
    stride: int,
    v: Array,
    a: Array,
    spikes: Array,
    kept: Array,
    levels: Array,
    kept_stride: int,
    decay: float,
    threshold: float,
    hard: bool,
    rho: float,
    beta: float,
    lo: int,
    hi: int,
) -> None:
    """As `lif_forward`, with the raised threshold in `levels`; a is the adaptation before the first step and after the last."""
    one = x.dtype.type(1)
    size = len(v)
    potential = v[lo:hi]
    adaptation = a[lo:hi]
    for t in range(len(spikes) // size):
        current = x[t * stride + lo : t * stride + hi]
        spiking = spikes[t * size + lo : t * size + hi]
        keep = kept[t * kept_stride + lo : t * kept_stride + hi]
        level = levels[t * kept_stride + lo : t * kept_stride + hi]
        for i in range(hi - lo):
            h = potential[i] * decay + current[i]
            raised = adaptation[i] * beta + threshold
            s = one if h >= raised else one - one
            keep[i] = h
            level[i] = raised
            spiking[i] = s
            potential[i] = h - (h if hard else threshold) * s
            adaptation[i] = adaptation[i] * rho + s


@cache
def alif_backward(surrogate: str) -> Callable[..., None]:
    """The backward pass with one surrogate in it."""
    derivative = BUMPS[surrogate]

    @compiled
    def alif_backward(
        kept: Array,
        levels: Array,
        above: Array,
        stride: int,
        carry_v: Array,
        carry_a: Array,
        grad: Array,
        decay: float,
        threshold: float,
        hard: bool,
        detach: bool,
        scale: float,
        height: float,
        rho: float,
        beta: float,
        lo: int,
        hi: int,
    ) -> None:
        """As `lif_backward`; `carry_a` is the gradient of the last adaptation and becomes that of the first."""
        one = kept.dtype.type(1)
        size = len(carry_v)
        after_v = carry_v[lo:hi]
        after_a = carry_a[lo:hi]
        for t in range(len(grad) // size - 1, -1, -1):
            h = kept[t * size + lo : t * size + hi]
            level = levels[t * size + lo : t * size + hi]
            given = above[t * stride + lo : t * stride + hi]
            out = grad[t * size + lo : t * size + hi]
            for i in range(hi - lo):
                of_spike = given[i] + after_a[i]
                if not detach:
                    of_spike -= (h[i] if hard else threshold) * after_v[i]
                through = derivative(h[i] - level[i], scale, height, one) * of_spike
                g = through + (one - one if hard and h[i] >= level[i] else after_v[i])
                out[i] = g
                after_v[i] = g * decay
                after_a[i] = after_a[i] * rho - beta * through

    return alif_backward
