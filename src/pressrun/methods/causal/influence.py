"""The efficient influence function of the average treatment effect with an invalid instrument (arXiv:1907.11882).

The exposure A and the outcome Y are confounded by an unmeasured U, and the instrument Z may act on Y directly. What identifies
the effect β(x) is that U interacts additively with neither Z in the exposure nor Z or A in the outcome, so that it adds the same
ω(x) to Cov(A, Y | z, x) at both values of z:  Cov(A, Y | z, x) = β(x) Var(A | z, x) + ω(x).
"""

# ruff: noqa: N803 - X, Z, A and Y are the field's names.
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Nuisances", "efficient_influence"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Nuisances:
    """What the influence function needs to know of each unit, all (n,).

    Args:
        instrument: π(x) = P(Z = 1 | x), strictly between 0 and 1.
        exposure: m(z, x) = E(A | z, x) at the unit's own z.
        outcome: μ(z, x) = E(Y - β(x) A | z, x) at the unit's own z.
        effect: β(x).
        remainder: ω(x) = E[(A - m)(Y - β(x) A) | z, x], which does not depend on z.
        relevance: δ(x) = Var(A | Z = 1, x) - Var(A | Z = 0, x), nowhere 0.
    """

    instrument: Floats
    exposure: Floats
    outcome: Floats
    effect: Floats
    remainder: Floats
    relevance: Floats


def efficient_influence(A: ArrayLike, Y: ArrayLike, Z: ArrayLike, nuisances: Nuisances) -> Floats:
    """The influence function plus the effect, φ(O) + ψ, one value a unit: their mean estimates ψ = E β(X).

    φ(O) + ψ = β(X) + (2Z - 1) / (π(Z|X) δ(X)) · {(A - m(Z, X)) (Y - β(X) A - μ(Z, X)) - ω(X)}

    The mean is ψ if any one of these sets is right, whatever the others are: {instrument, exposure, relevance},
    {instrument, effect, outcome}, {effect, remainder, exposure}, {effect, remainder, outcome}.

    Args:
        A: exposure, (n,).
        Y: outcome, (n,).
        Z: instrument, (n,), 0 or 1.
        nuisances: arrays (n,).

    Raises:
        ValueError: if lengths differ, Z holds something else, π is not inside (0, 1) or δ is 0 somewhere.
    """
    exposure, outcome, instrument = (np.asarray(each, dtype=np.float64) for each in (A, Y, Z))
    for name, values in {"A": exposure, "Y": outcome, "Z": instrument, **vars(nuisances)}.items():
        if np.shape(values) != (len(exposure),):
            raise ValueError(f"{name} must be ({len(exposure)},) to fit A, got {np.shape(values)}")
    if not np.isin(instrument, (0, 1)).all():
        raise ValueError("Z must hold 0 and 1 only")
    if not ((nuisances.instrument > 0) & (nuisances.instrument < 1)).all():
        raise ValueError("the probability of the instrument must lie strictly between 0 and 1 for every unit")
    if not nuisances.relevance.all():
        raise ValueError("the relevance must not be 0 for any unit: the variance of A has to change with Z")
    share = np.where(instrument == 1, nuisances.instrument, 1 - nuisances.instrument)
    product = (exposure - nuisances.exposure) * (outcome - nuisances.effect * exposure - nuisances.outcome)
    correction = (2 * instrument - 1) / (share * nuisances.relevance) * (product - nuisances.remainder)
    return np.asarray(nuisances.effect + correction)
