"""The closed-form learners: least squares where nothing is penalised, and scikit-learn's own checks."""

# ruff: noqa: N806 - X, Z, A and Y are the field's names.
from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

from pressrun.methods.causal import BinnedMeans, PolynomialRidge


@parametrize_with_checks([PolynomialRidge(), BinnedMeans()])
def test_it_is_a_scikit_learn_regressor(estimator: object, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def test_a_polynomial_without_penalty_is_least_squares_on_its_products() -> None:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(200, 3)), random.normal(size=200)
    features = PolynomialFeatures(3).fit_transform(X)
    ours = PolynomialRidge(degree=3, alpha=0).fit(X, y).predict(X)
    np.testing.assert_allclose(ours, LinearRegression(fit_intercept=False).fit(features, y).predict(features), atol=1e-5)


def test_weights_count_as_repeats() -> None:
    X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 1.0, 5.0])
    weighted = PolynomialRidge(1, alpha=0).fit(X, y, sample_weight=[1, 1, 2])
    # Repeated, the points (0, 0), (1, 1), (2, 5), (2, 5) have means 1.25 and 2.75 and the slope 7.25 / 2.75 = 29 / 11.
    np.testing.assert_allclose(weighted.predict([[1.25], [2.25]]), [2.75, 2.75 + 29 / 11], atol=1e-6)


def test_bins_without_penalty_are_means() -> None:
    X, y = np.arange(8.0)[:, None], np.array([1.0, 3.0, 0.0, 0.0, 5.0, 7.0, 2.0, 2.0])
    np.testing.assert_allclose(BinnedMeans(bins=4, alpha=0).fit(X, y).predict(X), [2, 2, 0, 0, 6, 6, 2, 2], atol=1e-6)


def test_a_large_penalty_leaves_the_mean() -> None:
    X, y = np.arange(6.0)[:, None], np.array([0.0, 0, 0, 3, 3, 3])
    for learner in (PolynomialRidge(2, alpha=1e12), BinnedMeans(3, alpha=1e12)):
        np.testing.assert_allclose(learner.fit(X, y).predict(X), 1.5, atol=1e-6)


def test_a_constant_feature_changes_nothing() -> None:
    random = np.random.default_rng(1)
    X, y = random.normal(size=(50, 1)), random.normal(size=50)
    alone = PolynomialRidge(2).fit(X, y).predict(X)
    np.testing.assert_allclose(
        PolynomialRidge(2).fit(np.column_stack([X, np.full(50, 7.0)]), y).predict(np.column_stack([X, np.full(50, 7.0)])),
        alone,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("learner", "sentence"),
    [
        (PolynomialRidge(degree=-1), "degree must be 0 or more, got -1"),
        (PolynomialRidge(alpha=-1.0), "alpha must be 0 or more, got -1.0"),
        (BinnedMeans(bins=0), "bins must be 1 or more, got 0"),
    ],
)
def test_it_refuses_settings_out_of_range(learner: PolynomialRidge, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        learner.fit([[0.0], [1.0]], [0.0, 1.0])
