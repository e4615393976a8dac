"""Data with a known effect, an unmeasured confounder and an instrument that acts on the outcome directly."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["InvalidIVData", "simulate_invalid_iv"]

Floats = NDArray[np.float64]


class InvalidIVData(NamedTuple):
    """n units: X is (n, 2), Z, A and Y are (n,). The average treatment effect in the population is 1."""

    X: Floats
    Z: Floats
    A: Floats
    Y: Floats


def simulate_invalid_iv(
    n: int,
    seed: int | np.random.Generator | None = None,
    direct: float = 0.8,
    *,
    design: Literal["linear", "curved", "mixed"] = "linear",
    interaction: float = 0.0,
) -> InvalidIVData:
    """Draw n units. X1, X2 and the confounder U are uniform on (-1, 1); noise of Y is standard normal.

    Designs, with c = 1.5 X1² - 0.5 and w = sign(sin(2π X1)), which both have mean 0:

    - linear: P(Z=1) = expit(0.5 X1 - 0.5 X2), P(A=1) = 0.15 + 0.35 Z + 0.1 X1 Z + 0.12 U,
      Y = (1 + 0.5 X1) A + direct (1 + 0.375 X2) Z + 2 U + X1 + 0.5 X2 + noise;
    - curved: no part is near linear. P(Z=1) = expit(c), P(A=1) = 0.1 + 0.03 c + Z (0.4 + 0.09 c) + 0.06 (1 + 0.5 c) U,
      Y = (1 + c) A + direct (1 + 0.375 X2) Z + 2 (1 + 0.5 c) U + 3 c + X1 X2 + noise;
    - mixed: parts of different shape. P(Z=1) = expit(2 X1 X2), P(A=1) = 0.15 + 0.35 Z + 0.15 w Z + 0.1 U,
      Y = (1 + 0.5 X1) A + direct (1 + 0.375 X2) Z + 2 U + 3 w + 5 X1 X2 + noise.

    Args:
        n: units.
        seed: of the generator, or the generator.
        direct: effect of Z on Y that does not go through A; 0 makes the instrument valid.
        design: shapes of the nuisance functions.
        interaction: what Z adds to the weight of U in P(A=1). Other than 0 it breaks the assumption that identifies the effect.

    Raises:
        ValueError: if n is not positive, the design is unknown, or the interaction would take a probability out of [0, 1].
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more, got {n}")
    if design not in ("linear", "curved", "mixed"):
        raise ValueError(f"design must be linear, curved or mixed, got {design!r}")
    random = np.random.default_rng(seed)
    x1, x2, u = random.uniform(-1, 1, (3, n))
    curve, wave = 1.5 * x1**2 - 0.5, np.sign(np.sin(2 * np.pi * x1))
    logit = {"linear": 0.5 * x1 - 0.5 * x2, "curved": curve, "mixed": 2 * x1 * x2}[design]
    z = (random.uniform(size=n) < expit(logit)).astype(np.float64)
    if design == "linear":
        base, pull, effect = 0.15 + 0.35 * z + 0.1 * x1 * z, 0.12, 1 + 0.5 * x1
        rest = 2 * u + x1 + 0.5 * x2
    elif design == "curved":
        base, pull, effect = 0.1 + 0.03 * curve + z * (0.4 + 0.09 * curve), 0.06 * (1 + 0.5 * curve), 1 + curve
        rest = 2 * (1 + 0.5 * curve) * u + 3 * curve + x1 * x2
    else:
        base, pull, effect = 0.15 + 0.35 * z + 0.15 * wave * z, 0.1, 1 + 0.5 * x1
        rest = 2 * u + 3 * wave + 5 * x1 * x2
    probability = base + (pull + interaction * z) * u
    # Clipping would make U interact with Z, so probabilities that leave [0, 1] are refused instead.
    if (np.minimum(base, 1 - base) < np.abs(pull + interaction * z)).any():
        raise ValueError(f"interaction {interaction} takes the probability of the exposure out of [0, 1] in the design {design}")
    a = (random.uniform(size=n) < probability).astype(np.float64)
    y = effect * a + direct * (1 + 0.375 * x2) * z + rest + random.standard_normal(n)
    return InvalidIVData(np.column_stack([x1, x2]), z, a, y)
