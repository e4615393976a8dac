"""Cross-fitted nuisances: no prediction comes from a model that saw the unit, nor a residual from one that saw the fold it serves."""

# ruff: noqa: N803, N806 - X, Z, A and Y are the field's names.
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from .influence import Nuisances, efficient_influence

Floats = NDArray[np.float64]
Folds = NDArray[np.intp]


@dataclass(frozen=True)
class Mean:
    """E(target | z, x) as a learner sees it.

    Args:
        at: (n, 2), at z = 0 and z = 1, by the model that did not see the unit's fold.
        residual: (folds, n), [k, i] is the target less its mean at the unit's own z, by the model that saw neither the unit's
            fold nor fold k; NaN for the units of fold k.
        variance: (n, 2), mean squared residual at z = 0 and z = 1, where asked for.
    """

    at: Floats
    residual: Floats
    variance: Floats | None = None

    def own(self, instrument: Floats) -> Floats:
        """At the unit's own z, (n,)."""
        return np.asarray(np.where(instrument == 1, self.at[:, 1], self.at[:, 0]))


@dataclass(frozen=True)
class Outcome:
    """The outcome learner's view: means of Y and of A, which give E(Y - β A | z, x) for every β."""

    of_y: Mean
    of_a: Mean


@dataclass(frozen=True)
class Effect:
    """β(x) and ω(x), (n,) each, by models that did not see the unit's fold."""

    effect: Floats
    remainder: Floats


class CrossFit:
    """The data, cut into folds with the same share of Z (and of A, where that is binary), and what learners make of it."""

    def __init__(self, X: Floats, Z: Floats, A: Floats, Y: Floats, n_folds: int, random_state: int | None) -> None:
        self.X, self.Z, self.A, self.Y = X, Z, A, Y
        self.n_folds = n_folds
        self.binary = bool(np.isin(A, (0, 1)).all())
        strata = 2 * Z + A if self.binary else Z
        # A stratum with fewer units than folds cannot be spread over all of them.
        if np.unique(strata, return_counts=True)[1].min() < n_folds:
            strata = Z
        self.fold: Folds = np.empty(len(Z), dtype=np.intp)
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
        for number, (_, held_out) in enumerate(splitter.split(X, strata)):
            self.fold[held_out] = number

    def instrument(self, learner: BaseEstimator) -> Floats:
        """P(Z = 1 | x), (n,)."""
        probability = np.empty(len(self.Z))
        for fold in range(self.n_folds):
            held_out = self.fold == fold
            model = fitted(learner, self.X[~held_out], self.Z[~held_out])
            probability[held_out] = predicted(model, self.X[held_out])
        return probability

    def exposure(self, learner: BaseEstimator) -> Mean:
        """E(A | z, x), and Var(A | z, x): from the mean where A is binary, else by regression of the squared residuals."""
        mean = self._mean(learner, self.A)
        if self.binary:
            # A mean of exactly 0 or 1 is kept: it says that nobody's exposure varies there.
            within = np.clip(mean.at, 0, 1)
            return Mean(mean.at, mean.residual, within * (1 - within))
        return Mean(mean.at, mean.residual, self._variance(learner, mean))

    def outcome(self, learner: BaseEstimator) -> Outcome:
        """E(Y | z, x) and E(A | z, x)."""
        return Outcome(self._mean(learner, self.Y), self._mean(learner, self.A))

    def effect(
        self, exposure: Mean, outcome: Outcome, covariance: BaseEstimator, effect: BaseEstimator, remainder: BaseEstimator
    ) -> Effect:
        """β(x) = ΔC(x) / ΔV(x) and ω(x), from products of residuals.

        In each product one residual is the exposure learner's and the other the outcome learner's, so that its conditional mean
        is the covariance if either of the two is right.
        """
        beta, omega = np.empty(len(self.Z)), np.empty(len(self.Z))
        for fold in range(self.n_folds):
            held_out = self.fold == fold
            kept = ~held_out
            X, Z = self.X[kept], self.Z[kept]
            left = exposure.residual[fold, kept]
            with_y, with_a = left * outcome.of_y.residual[fold, kept], left * outcome.of_a.residual[fold, kept]
            rise_y, rise_a = self._rise(covariance, X, Z, with_y), self._rise(covariance, X, Z, with_a)
            # Weighted by ΔV², the ratio minimises Σ (ΔC - β ΔV)², in which a ΔV near 0 does no harm.
            model = fitted(effect, X, rise_y / away_from_zero(rise_a, 1e-9), weight=rise_a**2)
            rest = fitted(remainder, X, with_y - predicted(model, X) * with_a)
            beta[held_out] = predicted(model, self.X[held_out])
            omega[held_out] = predicted(rest, self.X[held_out])
        return Effect(beta, omega)

    def influence(
        self, probability: Floats, exposure: Mean, outcome: Outcome, effect: Effect, trim: float, min_delta: float
    ) -> Floats:
        """φ(O) + ψ of every unit, (n,)."""
        mean = outcome.of_y.own(self.Z) - effect.effect * outcome.of_a.own(self.Z)
        nuisances = Nuisances(
            instrument=np.clip(probability, trim, 1 - trim),
            exposure=exposure.own(self.Z),
            outcome=mean,
            effect=effect.effect,
            remainder=effect.remainder,
            relevance=away_from_zero(relevance(exposure), min_delta),
        )
        return efficient_influence(self.A, self.Y, self.Z, nuisances)

    def _mean(self, learner: BaseEstimator, target: Floats) -> Mean:
        at, residual = np.empty((len(target), 2)), np.full((self.n_folds, len(target)), np.nan)
        for a in range(self.n_folds):
            for b in range(a, self.n_folds):
                seen = (self.fold != a) & (self.fold != b)
                held_out = np.flatnonzero(~seen)
                for z in (0, 1):
                    chosen = seen & (z == self.Z)
                    model = fitted(learner, self.X[chosen], target[chosen])
                    if a == b:
                        at[held_out, z] = predicted(model, self.X[held_out])
                        continue
                    units = held_out[self.Z[held_out] == z]
                    left = target[units] - predicted(model, self.X[units])
                    # What fold a's units leave serves fold b, and the other way round.
                    residual[np.where(self.fold[units] == a, b, a), units] = left
        return Mean(at, residual)

    def _variance(self, learner: BaseEstimator, mean: Mean) -> Floats:
        variance = np.empty_like(mean.at)
        for fold in range(self.n_folds):
            held_out = self.fold == fold
            for z in (0, 1):
                chosen = ~held_out & (z == self.Z)
                model = fitted(learner, self.X[chosen], mean.residual[fold, chosen] ** 2)
                variance[held_out, z] = predicted(model, self.X[held_out])
        return np.maximum(variance, 0)

    @staticmethod
    def _rise(learner: BaseEstimator, X: Floats, Z: Floats, product: Floats) -> Floats:
        """Conditional mean of the product at z = 1 less that at z = 0, at every row of X."""
        low, high = (predicted(fitted(learner, X[z == Z], product[z == Z]), X) for z in (0, 1))
        return high - low


@dataclass(frozen=True)
class Constant:
    """What is fitted to a target that does not vary, which no classifier and not every regressor takes."""

    value: float


def fitted(learner: BaseEstimator, X: Floats, target: Floats, weight: Floats | None = None) -> BaseEstimator | Constant:
    """A clone of the learner, fitted.

    Raises:
        ValueError: if weights are given and the learner takes none.
    """
    if (target == target[0]).all():
        return Constant(float(target[0]))
    model = clone(learner)
    if weight is None:
        return model.fit(X, target)
    if has_fit_parameter(model, "sample_weight"):
        return model.fit(X, target, sample_weight=weight)
    if isinstance(model, Pipeline) and has_fit_parameter(model[-1], "sample_weight"):
        return model.fit(X, target, **{f"{model.steps[-1][0]}__sample_weight": weight})
    raise ValueError(f"the learner of the effect must take sample weights, which {type(learner).__name__} does not")


def predicted(model: BaseEstimator | Constant, X: Floats) -> Floats:
    """The mean of the target, (n,); of a classifier the probability of its second class."""
    if isinstance(model, Constant):
        return np.full(len(X), model.value)
    if is_classifier(model):
        return np.asarray(model.predict_proba(X)[:, 1], dtype=np.float64)
    return np.asarray(model.predict(X), dtype=np.float64)


def relevance(exposure: Mean) -> Floats:
    """Var(A | Z = 1, x) - Var(A | Z = 0, x), (n,)."""
    if exposure.variance is None:
        raise ValueError("the mean was fitted without a variance")
    return exposure.variance[:, 1] - exposure.variance[:, 0]


def away_from_zero(values: Floats, least: float) -> Floats:
    """The values with their sign and at least this size; 0 counts as positive."""
    return np.where(values < 0, -1.0, 1.0) * np.maximum(np.abs(values), least)
