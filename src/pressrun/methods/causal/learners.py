"""Two regressors in closed form, fast enough for the hundreds of small fits that cross-fitting and simulation take."""

# ruff: noqa: N803 - X, Z, A and Y are the field's names.
from __future__ import annotations

import functools
import itertools
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

__all__ = ["BinnedMeans", "PolynomialRidge"]

Floats = NDArray[np.float64]


class _BasisRidge(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Ridge regression on a basis of the features, which a subclass gives. The intercept is not penalised."""

    alpha: float

    def _check(self) -> None:
        if self.alpha < 0:
            raise ValueError(f"alpha must be 0 or more, got {self.alpha}")

    def _fit_basis(self, X: Floats, weight: Floats | None) -> None:
        raise NotImplementedError

    def _basis(self, X: Floats) -> Floats:
        raise NotImplementedError

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to features (n, p) and targets (n,), with weights (n,) of 0 or more.

        Raises:
            ValueError: if shapes do not fit, a number is missing or infinite, or a setting is out of its range.
        """
        self._check()
        features, target = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, features, dtype=np.float64, ensure_non_negative=True)
        self._fit_basis(features, weight)
        basis = self._basis(features)
        self.centre_ = np.average(basis, axis=0, weights=weight)
        middle = float(np.average(target, weights=weight))
        basis = basis - self.centre_
        weighted = basis if weight is None else basis * weight[:, None]
        gram = basis.T @ weighted
        # A direction without any spread would make the system singular; the tiny ridge gives it the coefficient 0.
        gram[np.diag_indices_from(gram)] += self.alpha + 1e-10 * (1.0 + np.trace(gram))
        self.coef_ = np.linalg.solve(gram, weighted.T @ (target - middle)) if gram.size else np.zeros(0)
        self.intercept_ = middle
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Predictions (n,) for features (n, p)."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(self.intercept_ + (self._basis(features) - self.centre_) @ self.coef_)


class PolynomialRidge(_BasisRidge):
    """Ridge regression on all products of the standardised features up to a total degree, in closed form.

    Args:
        degree: total degree; 0 is the mean, 1 a linear model.
        alpha: penalty on the squared coefficients of the standardised products, in observations.
    """

    def __init__(self, degree: int = 2, alpha: float = 1e-3) -> None:
        self.degree = degree
        self.alpha = alpha

    def _check(self) -> None:
        super()._check()
        if self.degree < 0:
            raise ValueError(f"degree must be 0 or more, got {self.degree}")

    def _fit_basis(self, X: Floats, weight: Floats | None) -> None:
        self.mean_ = np.average(X, axis=0, weights=weight)
        spread = np.sqrt(np.average((X - self.mean_) ** 2, axis=0, weights=weight))
        self.scale_ = np.where(spread > 1e-12 * (1.0 + np.abs(self.mean_)), spread, 1.0)

    def _basis(self, X: Floats) -> Floats:
        scaled = (X - self.mean_) / self.scale_
        columns = np.empty((len(X), len(_products(X.shape[1], self.degree))), order="F")
        # Each product is an earlier one times one more feature.
        for place, (earlier, feature) in enumerate(_products(X.shape[1], self.degree)):
            columns[:, place] = scaled[:, feature] if earlier < 0 else columns[:, earlier] * scaled[:, feature]
        return columns


@functools.lru_cache
def _products(features: int, degree: int) -> tuple[tuple[int, int], ...]:
    """For each product of 1 to `degree` features: where the product without its last feature stands (-1: none), and that
    feature."""
    place: dict[tuple[int, ...], int] = {(): -1}
    steps: list[tuple[int, int]] = []
    for size in range(1, degree + 1):
        for product in itertools.combinations_with_replacement(range(features), size):
            place[product] = len(steps)
            steps.append((place[product[:-1]], product[-1]))
    return tuple(steps)


class BinnedMeans(_BasisRidge):
    """An additive step function: each feature is cut at its quantiles, and ridge regression gives each bin its height.

    Args:
        bins: bins a feature, of about equal counts; ties can make them fewer.
        alpha: penalty on the squared heights, in observations.
    """

    def __init__(self, bins: int = 8, alpha: float = 1.0) -> None:
        self.bins = bins
        self.alpha = alpha

    def _check(self) -> None:
        super()._check()
        if self.bins < 1:
            raise ValueError(f"bins must be 1 or more, got {self.bins}")

    def _fit_basis(self, X: Floats, weight: Floats | None) -> None:
        levels = np.linspace(0, 1, self.bins + 1)[1:-1]
        cuts = np.quantile(X, levels, axis=0, weights=weight, method="inverted_cdf").T
        # A value at a cut belongs below it, so a cut at the largest value would leave an empty bin above.
        counted = X if weight is None else X[weight > 0]
        self.cuts_ = [np.unique(of[of < largest]) for of, largest in zip(cuts, counted.max(axis=0), strict=True)]

    def _basis(self, X: Floats) -> Floats:
        columns = []
        for column, cuts in zip(X.T, self.cuts_, strict=True):
            columns.append(np.searchsorted(cuts, column, side="left")[:, None] == np.arange(len(cuts) + 1))
        return np.concatenate(columns, axis=1).astype(np.float64)
