"""Estimators to compare with, and the check of relevance: least squares, two-stage least squares, partially linear IV, GENIUS."""

# ruff: noqa: N803 - X, Z, A and Y are the field's names.
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.model_selection import KFold, cross_val_predict
from statsmodels.regression.linear_model import OLS

from .learners import PolynomialRidge

__all__ = [
    "Estimate",
    "Relevance",
    "genius_wald",
    "ordinary_least_squares",
    "partial_linear_iv",
    "relevance_test",
    "two_stage_ls",
]

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """An effect and its standard error, both in the unit of Y for one unit of A."""

    value: float
    se: float

    def ci(self, level: float = 0.95) -> tuple[float, float]:
        """The interval of that level by the normal approximation.

        Raises:
            ValueError: if level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        reach = float(stats.norm.ppf((1 + level) / 2)) * self.se
        return self.value - reach, self.value + reach


def two_stage_ls(Y: ArrayLike, A: ArrayLike, Z: ArrayLike, X: ArrayLike | None = None) -> Estimate:
    """Two-stage least squares of Y on A and X (linear, with intercept), A instrumented by Z; standard error robust to
    heteroskedasticity.

    Without X and with a binary Z it is the Wald estimator. Z acting on Y directly, or being related to what confounds A, biases
    it.

    Args:
        Y: outcome, (n,).
        A: exposure, (n,).
        Z: instruments, (n,) or (n, instruments); of any values.
        X: covariates, (n, covariates), or None.

    Raises:
        ValueError: if lengths differ, or Z does not move A at all.
    """
    outcome, exposure, covariates = _aligned(Y, A, X)
    instruments = np.asarray(Z, dtype=np.float64)
    if len(instruments) != len(outcome) or instruments.ndim not in (1, 2):
        raise ValueError(f"Z must be ({len(outcome)},) or ({len(outcome)}, instruments) to fit Y, got {instruments.shape}")
    fitted = exposure - _residual(exposure, np.column_stack([covariates, instruments]))
    return _slope(
        outcome,
        exposure,
        _residual(fitted, covariates),
        covariates,
        "Z does not change the mean of A, so there is no effect to scale",
    )


def ordinary_least_squares(Y: ArrayLike, A: ArrayLike, X: ArrayLike | None = None) -> Estimate:
    """The coefficient of A in least squares of Y on A and X (linear, with intercept); standard error robust to
    heteroskedasticity.

    Args:
        Y: outcome, (n,).
        A: exposure, (n,).
        X: covariates, (n, covariates), or None.

    Raises:
        ValueError: if lengths differ, or A is a linear function of X.
    """
    outcome, exposure, covariates = _aligned(Y, A, X)
    return _slope(
        outcome,
        exposure,
        _residual(exposure, covariates),
        covariates,
        "A is a linear function of X, so it has no coefficient of its own",
    )


def partial_linear_iv(
    Y: ArrayLike,
    A: ArrayLike,
    Z: ArrayLike,
    X: ArrayLike,
    learner: BaseEstimator | None = None,
    *,
    n_folds: int = 5,
    random_state: int | None = 0,
) -> Estimate:
    """The effect θ of the partially linear model Y = θ A + g(X) + error with a valid instrument: Σ z̃ ỹ / Σ z̃ ã over
    cross-fitted residuals.

    Chernozhukov et al. (2018), eq. 4.7 with the partialling-out score. It needs the exclusion restriction.

    Args:
        Y, A, Z: (n,).
        X: (n, covariates).
        learner: regressor for the means of Y, A and Z given X; polynomials of degree 2 if None.
        n_folds: folds of cross-fitting.
        random_state: seeds the folds.
    """
    folds = KFold(n_folds, shuffle=True, random_state=random_state)
    model = PolynomialRidge() if learner is None else learner
    outcome, exposure, instrument = (
        np.asarray(each, dtype=np.float64) - cross_val_predict(model, X, np.asarray(each, dtype=np.float64), cv=folds)
        for each in (Y, A, Z)
    )
    return _slope(outcome, exposure, instrument, None, "Z is uncorrelated with A given X, so there is no effect to scale")


def genius_wald(Z: ArrayLike, A: ArrayLike, Y: ArrayLike, X: ArrayLike | None = None) -> Estimate:
    """One effect from covariances instead of means: Cov(Z, ẽ ỹ) / Cov(Z, ẽ ã) with residuals given Z; right though Z acts on Y.

    Without X and with a binary Z this is {Cov(A, Y | 1) - Cov(A, Y | 0)} / {Var(A | 1) - Var(A | 0)}. With X, means given Z and
    X are linear in Z, X and their products, Z is centred by its linear regression on X, and the effect is taken to be the same
    for all.

    Args:
        Z: instrument, (n,), of any values.
        A: exposure, (n,).
        Y: outcome, (n,).
        X: covariates, (n, covariates), or None.

    Raises:
        ValueError: if lengths differ, or the variance of A does not change with Z.
    """
    outcome, exposure, covariates = _aligned(Y, A, X)
    instrument = np.asarray(Z, dtype=np.float64)
    if instrument.shape != outcome.shape:
        raise ValueError(f"Z must be ({len(outcome)},) to fit Y, got {instrument.shape}")
    means = np.column_stack([covariates, covariates * instrument[:, None]])
    exposure_left, outcome_left = _residual(exposure, means), _residual(outcome, means)
    # The products are centred by what does not depend on Z, so that the covariates are not taken for the instrument.
    return _slope(
        _residual(exposure_left * outcome_left, covariates),
        _residual(exposure_left**2, covariates),
        _residual(instrument, covariates),
        None,
        "the variance of A does not change with Z, so covariances cannot give its effect",
    )


class Relevance(NamedTuple):
    """The F statistic, its p value, and the mean squared residual of A where Z is 0 and where it is 1."""

    statistic: float
    pvalue: float
    variance_at_0: float
    variance_at_1: float


def relevance_test(A: ArrayLike, Z: ArrayLike, X: ArrayLike | None = None) -> Relevance:
    """Whether the variance of A changes with Z, which is what `InvalidIVATE` needs. That its mean changes is not enough.

    The residuals of A from a mean linear in Z, X and their products are squared and regressed on Z, X and their products; the
    test is the F test, robust to heteroskedasticity (HC1), that no term with Z is in it.

    Args:
        A: exposure, (n,).
        Z: instrument, (n,), 0 and 1.
        X: covariates, (n, covariates), or None.

    Raises:
        ValueError: if lengths differ, or Z holds anything but 0 and 1, or only one of them.
    """
    exposure, instrument, covariates = _aligned(A, Z, X)
    if set(np.unique(instrument)) != {0.0, 1.0}:
        raise ValueError("Z must hold 0 and 1, and both of them")
    terms = np.column_stack([covariates, covariates * instrument[:, None]])
    squared = _residual(exposure, terms) ** 2
    p = covariates.shape[1]
    no_z = np.eye(2 * p)[p:]
    test = OLS(squared, terms).fit(cov_type="HC1").f_test(no_z)
    return Relevance(
        float(np.squeeze(test.fvalue)),
        float(np.squeeze(test.pvalue)),
        float(squared[instrument == 0].mean()),
        float(squared[instrument == 1].mean()),
    )


def _aligned(first: ArrayLike, second: ArrayLike, X: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Both columns and the covariates with an intercept. Raises ValueError if their lengths differ."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"the columns must have one length, got shapes {a.shape} and {b.shape}")
    ones = np.ones((len(a), 1))
    if X is None:
        return a, b, ones
    covariates = np.asarray(X, dtype=np.float64)
    if covariates.ndim != 2 or len(covariates) != len(a):
        raise ValueError(f"X must be ({len(a)}, covariates), got {covariates.shape}")
    return a, b, np.column_stack([ones, covariates])


def _residual(column: Floats, on: Floats) -> Floats:
    return np.asarray(column - on @ np.linalg.lstsq(on, column, rcond=None)[0])


def _slope(outcome: Floats, exposure: Floats, instrument: Floats, covariates: Floats | None, otherwise: str) -> Estimate:
    """Σ w y / Σ w a with w the instrument, which is orthogonal to the covariates, and its sandwich standard error.

    Raises:
        ValueError: with the text `otherwise`, if the denominator is 0 up to rounding.
    """
    below = float(instrument @ exposure)
    size = float(np.linalg.norm(instrument) * np.linalg.norm(exposure - exposure.mean()))
    if abs(below) <= 1e-10 * size or np.linalg.norm(instrument) <= 1e-9 * np.sqrt(len(exposure)):
        raise ValueError(otherwise)
    value = float(instrument @ outcome) / below
    left = outcome - value * exposure
    if covariates is not None:
        left = _residual(left, covariates)
    return Estimate(value, float(np.sqrt(((instrument * left) ** 2).sum()) / abs(below)))
