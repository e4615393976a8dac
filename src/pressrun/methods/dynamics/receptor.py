"""Fisher information of one receptor's record of bound times about the ligands that bind it.

A free receptor is bound at rate k (c + c_i); with probability c / (c + c_i) by the specific ligand, which leaves at rate r1,
else by an interfering one, which leaves at rate r2. The log-likelihood of a record is -k (c + c_i) τ_free + Σ ln k [c a(t) + c_i
b(t)] over its bound times t, with a(t) = r1 exp(-r1 t) and b(t) = r2 exp(-r2 t) (in the line of Endres and Wingreen 2009 and
Mora 2015).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import hyp2f1

__all__ = ["expected_bindings", "receptor_fisher", "receptor_fisher_matrix"]

Floats = NDArray[np.float64]


def expected_bindings(
    c: ArrayLike, c_i: ArrayLike, duration: float, k_on: float, off_specific: float, off_interfering: float
) -> Floats:
    """Mean number of bindings in `duration`, T / (mean free time + mean bound time), in the steady state.

    Args, shapes and errors are those of `receptor_fisher`.
    """
    c, c_i = _checked(c, c_i, duration, k_on, off_specific, off_interfering)
    total = c + c_i
    # T k (c + c_i) / (1 + k c / r1 + k c_i / r2), which is 0 without ligand.
    return np.asarray(duration * k_on * total / (1 + k_on * (c / off_specific + c_i / off_interfering)))


def receptor_fisher(
    c: ArrayLike, c_i: ArrayLike, duration: float, k_on: float, off_specific: float, off_interfering: float
) -> Floats:
    """Information about c when c_i is known: n̄ / (c + c_i) ∫ a² / (c a + c_i b) dt with n̄ = `expected_bindings`.

    At equal off-rates bound times tell nothing and it is n̄ / (c + c_i)². At c = 0 it is infinite unless r2 < 2 r1: then a
    single long binding is almost proof of the specific ligand.

    Args:
        c: concentration of the specific ligand, 0 or more; any shape that broadcasts with c_i.
        c_i: concentration of the interfering ligand, 0 or more.
        duration: of the record.
        k_on: binding rate per concentration, of both ligands.
        off_specific: r1.
        off_interfering: r2; it may be below r1.

    Returns:
        Information in 1 / concentration², in the broadcast shape.

    Raises:
        ValueError: if a concentration is negative, or a rate or the duration is not positive.
    """
    return receptor_fisher_matrix(c, c_i, duration, k_on, off_specific, off_interfering)[..., 0, 0]


def receptor_fisher_matrix(
    c: ArrayLike, c_i: ArrayLike, duration: float, k_on: float, off_specific: float, off_interfering: float
) -> Floats:
    """Information about (c, c_i) together, (..., 2, 2): n̄ / (c + c_i) ∫ w wᵀ / (c a + c_i b) dt with w = (a, b).

    Arguments and errors are those of `receptor_fisher`.
    """
    c, c_i = np.broadcast_arrays(*_checked(c, c_i, duration, k_on, off_specific, off_interfering))
    bindings = expected_bindings(c, c_i, duration, k_on, off_specific, off_interfering)
    ratio = off_interfering / off_specific
    aa = _specific_integral(c, c_i, ratio)
    with np.errstate(divide="ignore", invalid="ignore"):
        # ∫ (c a + c_i b) a / (c a + c_i b) dt = 1, and likewise with b, so that one integral gives all three.
        ab = np.where(c_i > 0, (1 - _product(c, aa)) / c_i, 1 / c)
        only_specific = ratio**2 / (2 * ratio - 1) / c if ratio > 0.5 else np.full(c.shape, np.inf)
        bb = np.where(c_i > 0, (1 - _product(c, ab)) / c_i, only_specific)
        weight = bindings / (c + c_i)
    # Without any ligand n̄ / (c + c_i) tends to k T.
    weight = np.where(c + c_i > 0, weight, duration * k_on)
    matrix = np.empty((*c.shape, 2, 2))
    matrix[..., 0, 0] = weight * aa
    matrix[..., 0, 1] = matrix[..., 1, 0] = weight * ab
    matrix[..., 1, 1] = weight * bb
    return matrix


def _specific_integral(c: Floats, c_i: Floats, ratio: float) -> Floats:
    """∫ a² / (c a + c_i b) dt = ∫₀¹ ds / (c + c_i ρ s^(ρ-1)), with s = exp(-r1 t) and ρ = r2 / r1."""
    if ratio == 1:
        with np.errstate(divide="ignore"):
            return np.asarray(1 / (c + c_i))
    if ratio > 1:
        power = 1 / (ratio - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            general = hyp2f1(1, power, 1 + power, -c_i * ratio / c) / c
            at_zero = 1 / (c_i * ratio * (2 - ratio)) if ratio < 2 else np.full(c.shape, np.inf)
        return np.where(c > 0, general, np.where(c_i > 0, at_zero, np.inf))
    power = 1 / (1 - ratio)
    with np.errstate(divide="ignore", invalid="ignore"):
        general = hyp2f1(1, 1 + power, 2 + power, -c / (c_i * ratio)) / (c_i * ratio * (2 - ratio))
        return np.where(c_i > 0, general, 1 / c)


def _product(a: Floats, b: Floats) -> Floats:
    """a b, where 0 times infinity is 0: what multiplies the integral vanishes faster than it grows."""
    return np.where(a > 0, a * np.where(a > 0, b, 0.0), 0.0)


def _checked(c: ArrayLike, c_i: ArrayLike, *positive: float) -> tuple[Floats, Floats]:
    specific, interfering = np.asarray(c, dtype=np.float64), np.asarray(c_i, dtype=np.float64)
    if not ((specific >= 0).all() and (interfering >= 0).all()):
        raise ValueError("concentrations must be 0 or more")
    if not all(value > 0 and np.isfinite(value) for value in positive):
        raise ValueError(f"duration and rates must be positive, got {', '.join(f'{value:g}' for value in positive)}")
    return specific, interfering
