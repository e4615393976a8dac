"""Fisher information of one receptor: closed forms, quadrature, limits, and the variance of the simulated score."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from pressrun.methods.dynamics import expected_bindings, receptor_fisher, receptor_fisher_matrix

concentrations = st.floats(0.01, 100)
ratios = st.sampled_from([0.3, 0.6, 0.99, 1.0, 1.01, 1.5, 2.0, 3.0, 20.0])


def test_bindings_are_the_duration_over_the_mean_cycle() -> None:
    # c = 1 and c_i = 3 at k = 0.5 : free for 0.5; bound for 1/4 · 2 + 3/4 · 1/4 = 0.6875 with r1 = 0.5 and r2 = 4. 20 / 1.1875.
    assert expected_bindings(1.0, 3.0, 20.0, 0.5, 0.5, 4.0) == pytest.approx(20 / 1.1875)


def test_times_that_tell_nothing_leave_the_information_of_the_rate() -> None:
    # ρ = 1: n̄ / (c + c_i)², and n̄ = 20 / (1/4 + 1) = 16.
    assert receptor_fisher(1.0, 3.0, 20.0, 1.0, 1.0, 1.0) == pytest.approx(1.0)


def test_without_interferers_it_is_bindings_over_the_square_of_the_level() -> None:
    assert receptor_fisher(2.0, 0.0, 30.0, 1.0, 1.0, 7.0) == pytest.approx(20.0 / 4.0)


def test_an_interferer_that_leaves_twice_as_fast_has_a_closed_form() -> None:
    # ρ = 2: ∫₀¹ ds / (c + 2 c_i s) = ln(1 + 2 c_i / c) / (2 c_i).
    bindings = 20 / (1 / 4 + (1 + 3 / 2) / 4)
    assert receptor_fisher(1.0, 3.0, 20.0, 1.0, 1.0, 2.0) == pytest.approx(bindings / 4 * math.log(7) / 6)


def test_without_ephrin_it_is_finite_only_below_twice_the_off_rate() -> None:
    # c = 0: n̄ / c_i · 1 / (c_i ρ (2 - ρ)), with n̄ = 20 / (1 + 1 / 1.5) = 12.
    assert receptor_fisher(0.0, 1.0, 20.0, 1.0, 1.0, 1.5) == pytest.approx(12 / 0.75)
    assert receptor_fisher(0.0, 1.0, 20.0, 1.0, 1.0, 2.0) == math.inf
    assert receptor_fisher(0.0, 1.0, 20.0, 1.0, 1.0, 5.0) == math.inf


@given(c=concentrations, c_i=concentrations, ratio=ratios)
def test_it_agrees_with_quadrature(c: float, c_i: float, ratio: float) -> None:
    def integrand(a: float, b: float) -> float:
        # In u = ln s, s = exp(-r1 t): a(t) dt = s du and b / a = ρ s^(ρ-1).
        def at(u: float) -> float:
            rest = ratio * math.exp(u * (ratio - 1))
            return math.exp(u) * rest**b / (c + c_i * rest)

        return quad(at, -60 / min(ratio, 1), 0, limit=500, epsabs=1e-13)[0]

    weight = float(expected_bindings(c, c_i, 20, 1, 1, ratio)) / (c + c_i)
    matrix = receptor_fisher_matrix(c, c_i, 20, 1, 1, ratio)
    expected = [[integrand(2, 0), integrand(1, 1)], [integrand(1, 1), integrand(0, 2)]]
    np.testing.assert_allclose(matrix, weight * np.array(expected), rtol=1e-6, atol=1e-9)


@given(c=concentrations, c_i=concentrations, ratio=ratios)
def test_information_is_a_covariance(c: float, c_i: float, ratio: float) -> None:
    matrix = receptor_fisher_matrix(c, c_i, 20, 1, 1, ratio)
    assert matrix[0, 1] == matrix[1, 0]
    assert np.linalg.eigvalsh(matrix).min() >= -1e-9 * np.trace(matrix)


@given(c=concentrations, c_i=concentrations)
def test_off_rates_that_differ_more_tell_more_per_binding(c: float, c_i: float) -> None:
    per_binding = [
        float(receptor_fisher(c, c_i, 20, 1, 1, ratio) / expected_bindings(c, c_i, 20, 1, 1, ratio))
        for ratio in (1.0, 1.5, 2.0, 5.0, 20.0)
    ]
    assert per_binding == sorted(per_binding)


def test_time_and_concentration_have_no_units_of_their_own() -> None:
    once = receptor_fisher(1.0, 3.0, 20.0, 1.0, 1.0, 2.0)
    # Ten times slower, watched ten times longer; concentrations a hundredfold with k a hundredth: information per concentration²
    # falls by 10⁴.
    assert receptor_fisher(1.0, 3.0, 200.0, 0.1, 0.1, 0.2) == pytest.approx(float(once))
    assert receptor_fisher(100.0, 300.0, 20.0, 0.01, 1.0, 2.0) == pytest.approx(float(once) / 1e4)


def test_arrays_broadcast() -> None:
    matrix = receptor_fisher_matrix(np.ones((3, 1)), np.array([0.0, 1.0]), 20, 1, 1, 2)
    assert matrix.shape == (3, 2, 2, 2)
    assert np.isfinite(matrix).all()


def test_it_refuses_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="concentrations must be 0 or more"):
        receptor_fisher(-1.0, 1.0, 20, 1, 1, 2)
    with pytest.raises(ValueError, match="duration and rates must be positive, got 20, 1, 0, 2"):
        receptor_fisher(1.0, 1.0, 20, 1, 0, 2)
