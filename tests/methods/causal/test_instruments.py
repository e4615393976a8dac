"""The estimators to compare with: values by hand, agreement with each other, and what makes them refuse."""

from __future__ import annotations

import numpy as np
import pytest

from pressrun.methods.causal import (
    Estimate,
    genius_wald,
    ordinary_least_squares,
    partial_linear_iv,
    relevance_test,
    simulate_invalid_iv,
    two_stage_ls,
)

Z = np.array([0.0, 0, 0, 0, 1, 1, 1, 1])
A = np.array([0.0, 0, 0, 1, 0, 1, 0, 1])
Y = np.array([1.0, 1, 1, 4, 2, 6, 3, 5])


def test_two_stage_least_squares_without_covariates_is_the_wald_ratio() -> None:
    # Mean outcomes 4 and 1.75, mean exposures 0.5 and 0.25.
    assert two_stage_ls(Y, A, Z).value == pytest.approx(2.25 / 0.25)


def test_genius_without_covariates_is_the_ratio_of_rises_of_covariance_and_variance() -> None:
    # At 0: Cov = 0.25 (4 - 1.75) = 0.5625, Var = 0.1875. At 1: Cov = 11/4 - 2 = 0.75, Var = 0.25.
    assert genius_wald(Z, A, Y).value == pytest.approx((0.75 - 0.5625) / (0.25 - 0.1875))


def test_least_squares_is_the_difference_of_means() -> None:
    assert ordinary_least_squares(Y, A).value == pytest.approx(5.0 - 1.6)


def test_the_standard_error_of_two_groups_is_that_of_their_means() -> None:
    # The sandwich without correction: variances 2/3 of 3 and 3.2/5 of 5 units.
    assert ordinary_least_squares(Y, A).se == pytest.approx(np.sqrt(2 / 3 / 3 + 0.64 / 5))


def test_two_stage_least_squares_agrees_with_linearmodels() -> None:
    iv = pytest.importorskip("linearmodels.iv")
    data = simulate_invalid_iv(500, 3)
    peer = iv.IV2SLS(data.Y, np.column_stack([np.ones(500), data.X]), data.A, data.Z).fit(cov_type="robust")
    ours = two_stage_ls(data.Y, data.A, data.Z, data.X)
    assert ours.value == pytest.approx(float(peer.params.iloc[-1]), rel=1e-9)
    assert ours.se == pytest.approx(float(peer.std_errors.iloc[-1]), rel=1e-9)


def test_partially_linear_iv_and_two_stage_least_squares_agree_where_all_is_linear() -> None:
    random = np.random.default_rng(0)
    x, u, noise = random.normal(size=(3, 20_000))
    z = 0.5 * x + random.normal(size=20_000)
    a = z + x + u
    y = 2 * a - x + u + noise
    assert partial_linear_iv(y, a, z, x[:, None]).value == pytest.approx(2.0, abs=0.05)
    assert two_stage_ls(y, a, z, x[:, None]).value == pytest.approx(2.0, abs=0.05)


def test_a_direct_effect_biases_two_stage_least_squares_and_not_genius() -> None:
    data = simulate_invalid_iv(100_000, 1)
    assert two_stage_ls(data.Y, data.A, data.Z, data.X).value == pytest.approx(3.3, abs=0.15)
    assert genius_wald(data.Z, data.A, data.Y, data.X).value == pytest.approx(1.0, abs=0.15)


def test_scaling_the_outcome_scales_estimate_and_error() -> None:
    for estimate in (two_stage_ls, ordinary_least_squares):
        arguments = (A, Z) if estimate is two_stage_ls else (A,)
        once, thrice = estimate(Y, *arguments), estimate(-3 * Y + 7, *arguments)
        assert (thrice.value, thrice.se) == (pytest.approx(-3 * once.value), pytest.approx(3 * once.se))


def test_the_interval_is_the_normal_one() -> None:
    assert Estimate(1.0, 2.0).ci() == pytest.approx((1 - 3.919928, 1 + 3.919928), abs=1e-6)
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        Estimate(1.0, 2.0).ci(95)


def test_a_strong_instrument_can_be_irrelevant_for_the_variance() -> None:
    random = np.random.default_rng(0)
    z = random.integers(0, 2, 20_000).astype(float)
    symmetric = (random.random(20_000) < np.where(z == 1, 0.7, 0.3)).astype(float)
    found = relevance_test(symmetric, z)
    assert found.pvalue > 0.01
    assert (found.variance_at_0, found.variance_at_1) == (pytest.approx(0.21, abs=0.01), pytest.approx(0.21, abs=0.01))
    lopsided = (random.random(20_000) < np.where(z == 1, 0.5, 0.1)).astype(float)
    assert relevance_test(lopsided, z, random.normal(size=(20_000, 2))).pvalue < 1e-12


def test_the_p_value_of_the_relevance_test_is_uniform_without_relevance() -> None:
    random = np.random.default_rng(5)
    small = 0
    for _ in range(300):
        z = random.integers(0, 2, 400).astype(float)
        small += relevance_test(random.normal(size=400) + z, z).pvalue < 0.1
    assert 15 <= small <= 48  # 30 expected, 99.9 % of Binomial(300, 0.1)


def test_estimators_refuse_what_they_cannot_tell() -> None:
    with pytest.raises(ValueError, match="Z does not change the mean of A, so there is no effect to scale"):
        two_stage_ls(Y, A, np.array([0, 1, 0, 1, 0, 1, 1, 0.0]) * 0 + 1)
    with pytest.raises(ValueError, match="the variance of A does not change with Z, so covariances cannot give its effect"):
        genius_wald(Z, np.array([0, 0, 1, 1, 0, 0, 1, 1.0]), Y)
    with pytest.raises(ValueError, match="A is a linear function of X, so it has no coefficient of its own"):
        ordinary_least_squares(Y, A, A[:, None])
    with pytest.raises(ValueError, match=r"X must be \(8, covariates\), got \(7, 2\)"):
        ordinary_least_squares(Y, A, np.ones((7, 2)))
    with pytest.raises(ValueError, match=r"the columns must have one length, got shapes \(8,\) and \(3,\)"):
        ordinary_least_squares(Y, A[:3])
    with pytest.raises(ValueError, match="Z must hold 0 and 1, and both of them"):
        relevance_test(A, np.ones(8))


@pytest.mark.parametrize("design", ["linear", "curved", "mixed"])
def test_the_simulated_effect_is_one_and_the_exposure_binary(design: str) -> None:
    data = simulate_invalid_iv(2000, 0, design=design)  # type: ignore[arg-type]
    assert set(np.unique(data.A)) == set(np.unique(data.Z)) == {0.0, 1.0}
    # The noise and the rest of Y are the same at both direct effects, so their difference is the direct effect of Z alone.
    other = simulate_invalid_iv(2000, 0, direct=0.0, design=design)  # type: ignore[arg-type]
    np.testing.assert_allclose(data.Y - other.Y, 0.8 * (1 + 0.375 * data.X[:, 1]) * data.Z, atol=1e-12)


def test_the_simulation_never_clips_a_probability() -> None:
    with pytest.raises(
        ValueError, match=r"interaction 0\.5 takes the probability of the exposure out of \[0, 1\] in the design linear"
    ):
        simulate_invalid_iv(1000, 0, interaction=0.5)
    with pytest.raises(ValueError, match="design must be linear, curved or mixed, got 'round'"):
        simulate_invalid_iv(10, 0, design="round")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n must be 1 or more, got 0"):
        simulate_invalid_iv(0)
