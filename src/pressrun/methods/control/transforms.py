"""Clarke and Park transforms, amplitude-invariant: a three-phase sine of amplitude 1 becomes a vector of length 1."""

from __future__ import annotations

from collections.abc import Sequence

from pressrun.methods.control._elementwise import Value, cos_sin

__all__ = ["clarke", "inverse_clarke", "inverse_park", "park"]

HALF_ROOT_3 = 3**0.5 / 2


def clarke(abc: Sequence[Value]) -> tuple[Value, Value]:
    """Three phase quantities to the stator frame: α = (2a - b - c) / 3, β = (b - c) / √3.

    Args:
        abc: three components in one unit, each a float or an array of any one shape; their mean (the zero sequence) is lost.

    Returns:
        (α, β) in the unit and shape of the components.

    Raises:
        ValueError: if there are not three components.
    """
    a, b, c = _components(abc, 3, "abc")
    return (2.0 * a - b - c) / 3.0, (b - c) / (2.0 * HALF_ROOT_3)


def inverse_clarke(alpha_beta: Sequence[Value]) -> tuple[Value, Value, Value]:
    """The stator frame to three phase quantities that sum to zero: a = α, b, c = -α/2 ± √3/2 β.

    Raises:
        ValueError: if there are not two components.
    """
    alpha, beta = _components(alpha_beta, 2, "alpha_beta")
    return alpha, -0.5 * alpha + HALF_ROOT_3 * beta, -0.5 * alpha - HALF_ROOT_3 * beta


def park(alpha_beta: Sequence[Value], epsilon: Value) -> tuple[Value, Value]:
    """The stator frame to the rotor frame: d = α cos ε + β sin ε, q = -α sin ε + β cos ε.

    Args:
        alpha_beta: (α, β), each a float or an array of any one shape.
        epsilon: electrical rotor angle in rad, in the shape of the components.

    Raises:
        ValueError: if there are not two components.
    """
    alpha, beta = _components(alpha_beta, 2, "alpha_beta")
    cos, sin = cos_sin(epsilon)
    return alpha * cos + beta * sin, beta * cos - alpha * sin


def inverse_park(dq: Sequence[Value], epsilon: Value) -> tuple[Value, Value]:
    """The rotor frame to the stator frame: α = d cos ε - q sin ε, β = d sin ε + q cos ε; `epsilon` in rad.

    Raises:
        ValueError: if there are not two components.
    """
    d, q = _components(dq, 2, "dq")
    cos, sin = cos_sin(epsilon)
    return d * cos - q * sin, d * sin + q * cos


def _components(quantity: Sequence[Value], count: int, name: str) -> Sequence[Value]:
    if len(quantity) != count:
        raise ValueError(f"{name} must have {count} components, got {len(quantity)}")
    return quantity
