"""The average treatment effect with an invalid instrument, and the choice of its learners (arXiv:1907.11882).

The algebra is derived from the paper's abstract and its authors' earlier work on the same identification ("MR GENIUS",
Tchetgen Tchetgen, Sun and Walter); names and details may differ from the paper's.
"""

# ruff: noqa: N803 - X, Z, A and Y are the field's names.
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn import config_context
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d

from ._crossfit import CrossFit, Outcome, relevance
from .learners import PolynomialRidge

__all__ = ["BLOCKS", "InvalidIVATE", "SelectiveML"]

Floats = NDArray[np.float64]

# What each learner is for, in the order in which they are fitted.
BLOCKS = {
    "instrument": "P(Z = 1 | x); a classifier or a regressor",
    "exposure": "E(A | z, x), for each z by itself; a classifier where A is binary, or a regressor",
    "outcome": "E(Y | z, x) and E(A | z, x), for each z by itself; a regressor",
    "covariance": "Cov(A, Y | z, x) and Var(A | z, x), from products of residuals, for each z by itself; a regressor",
    "effect": "β(x), from the ratio of the rises of both with z; a regressor that takes sample weights",
    "remainder": "ω(x) = Cov(A, Y - β A | x), from products of residuals; a regressor",
}
CLASSIFIERS = ("instrument", "exposure")
MOST_COMBINATIONS = 10_000


class InvalidIVATE(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Cross-fitted, multiply robust average treatment effect of A on Y with an instrument Z that may act on Y itself.

    Instead of the exclusion restriction it assumes that the unmeasured confounder interacts with neither Z in the exposure nor Z
    or A in the outcome (both means are additive in it), and that the *variance* of A changes with Z (see `relevance_test`). It is
    consistent if the learners of one of these sets are right: {instrument, exposure}; {instrument, outcome, covariance, effect};
    {exposure, covariance, effect, remainder}; {outcome, covariance, effect, remainder}. Where A is not binary its variance is
    the exposure learner's too.

    Args:
        learners: scikit-learn estimators by block; blocks and what they learn are in `BLOCKS`. What is left out is
            `PolynomialRidge()`.
        n_folds: folds of cross-fitting, 3 or more.
        trim: P(Z = 1 | x) is kept this far from 0 and 1.
        min_delta: Var(A | Z = 1, x) - Var(A | Z = 0, x) is kept this far from 0, with its sign.
        random_state: seeds the folds.

    Attributes:
        ate_: the effect, in the unit of Y for one unit of A.
        se_: its standard error, the deviation of the influence function over √n.
        beta_: (n,), β(x) of each unit, out of fold.
        influence_: (n,), the influence function of each unit, with mean 0.
        nuisances_: dict of (n,) arrays: "instrument", "exposure" at Z = 0 and 1 (n, 2), "remainder" and "relevance", before
            trimming.
        min_relevance_: the smallest |Var(A | Z = 1, x) - Var(A | Z = 0, x)|, before `min_delta`. Near 0 the tails are heavy.
        trimmed_: share of units for which `trim` or `min_delta` had to act.
    """

    def __init__(
        self,
        learners: Mapping[str, BaseEstimator] | None = None,
        n_folds: int = 5,
        trim: float = 0.02,
        min_delta: float = 0.03,
        random_state: int | None = 0,
    ) -> None:
        self.learners = learners
        self.n_folds = n_folds
        self.trim = trim
        self.min_delta = min_delta
        self.random_state = random_state

    def fit(self, X: ArrayLike, Z: ArrayLike, A: ArrayLike, Y: ArrayLike) -> Self:
        """Estimate the effect.

        Args:
            X: covariates, (n, covariates).
            Z: instrument, (n,), 0 and 1.
            A: exposure, (n,).
            Y: outcome, (n,).

        Raises:
            ValueError: if the data do not fit each other, hold missing or infinite numbers, Z is not binary, too few units have
                one of its values, or a setting or learner does not fit.
        """
        data = self._crossfit(X, Z, A, Y)
        learners = {block: self._learner(block) for block in BLOCKS}
        # The data were checked once; checking them again in each of a hundred small fits would take most of the time.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            probability = data.instrument(learners["instrument"])
            exposure = data.exposure(learners["exposure"])
            outcome = data.outcome(learners["outcome"])
            effect = data.effect(exposure, outcome, learners["covariance"], learners["effect"], learners["remainder"])
        uncentred = data.influence(probability, exposure, outcome, effect, self.trim, self.min_delta)
        delta = relevance(exposure)
        self.n_features_in_ = data.X.shape[1]
        self.ate_ = float(uncentred.mean())
        self.influence_ = uncentred - self.ate_
        self.se_ = float(uncentred.std(ddof=1) / math.sqrt(len(uncentred)))
        self.beta_ = effect.effect
        self.nuisances_ = {"instrument": probability, "exposure": exposure.at, "remainder": effect.remainder, "relevance": delta}
        self.min_relevance_ = float(np.abs(delta).min())
        trimmed = (np.abs(delta) < self.min_delta) | (np.abs(probability - 0.5) > 0.5 - self.trim)
        self.trimmed_ = float(trimmed.mean())
        return self

    def ci(self, level: float = 0.95) -> tuple[float, float]:
        """The interval of that level around the effect, by the normal approximation.

        Raises:
            ValueError: if level is not between 0 and 1.
            NotFittedError: before `fit`.
        """
        check_is_fitted(self)
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        reach = float(stats.norm.ppf((1 + level) / 2)) * self.se_
        return self.ate_ - reach, self.ate_ + reach

    def _learner(self, block: str) -> BaseEstimator:
        return checked_learner(block, (self.learners or {}).get(block, PolynomialRidge()))

    def _crossfit(self, X: ArrayLike, Z: ArrayLike, A: ArrayLike, Y: ArrayLike, n_folds: int | None = None) -> CrossFit:
        folds = self.n_folds if n_folds is None else n_folds
        if folds < 3:
            raise ValueError(
                f"n_folds must be 3 or more, because residuals come from models that saw neither of two folds, got {folds}"
            )
        if not 0 <= self.trim < 0.5:
            raise ValueError(f"trim must be at least 0 and below 0.5, got {self.trim}")
        if self.min_delta <= 0:
            raise ValueError(f"min_delta must be positive, got {self.min_delta}")
        for block in self.learners or {}:
            checked_block(block)
        covariates: Floats = check_array(X, dtype=np.float64)
        instrument, exposure, outcome = (_column(each, name) for each, name in ((Z, "Z"), (A, "A"), (Y, "Y")))
        check_consistent_length(covariates, instrument, exposure, outcome)
        if not np.isin(instrument, (0, 1)).all():
            raise ValueError("Z must hold 0 and 1 only")
        fewest = int(min((instrument == 0).sum(), (instrument == 1).sum()))
        if fewest < 2 * folds:
            raise ValueError(f"each value of Z needs at least {2 * folds} units for {folds} folds, got {fewest}")
        return CrossFit(covariates, instrument, exposure, outcome, folds, self.random_state)


class SelectiveML(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Chooses, among candidate learners for each block, the combination whose estimate changes least when one of them is
    replaced.

    Where the learners of the other blocks are right, a multiply robust estimate does not depend on the one replaced. So for a
    combination c and a block j let Δ_j(c) be the largest squared difference between estimates in which the learner of block j is
    replaced, all else as in c. The pseudo-risk is max_j Δ_j(c) ("minimax") or Σ_j Δ_j(c) ("mixed"), and the smallest wins.
    "prediction" is what is usually done instead: each block takes the candidate that predicts its target best out of fold.

    Args:
        estimator: the settings, and the learners of the blocks without candidates; `InvalidIVATE()` if None.
        candidates: learners by block, one or more each.
        criterion: "minimax", "mixed" or "prediction"; the last needs candidates for instrument, exposure and outcome only.
        n_splits: folds of cross-fitting, over which each estimate is averaged; takes the place of the estimator's `n_folds`.

    Attributes:
        best_: the place of the chosen candidate by block.
        ate_: the effect of the chosen combination.
        naive_se_: its standard error as if it had not been chosen from the same data; the choice makes the true one larger.
            Where an interval matters, bootstrap the whole `fit`.
        estimates_: the effect for every combination, one axis for each block of `candidates`, in that order.
        pseudo_risk_: the pseudo-risk of every combination, with the same axes; NaN under "prediction".
        prediction_error_: mean squared error by block and candidate, in units of the target's variance, where a block has a
            target.
    """

    def __init__(
        self,
        estimator: InvalidIVATE | None = None,
        candidates: Mapping[str, Sequence[BaseEstimator]] | None = None,
        criterion: Literal["minimax", "mixed", "prediction"] = "minimax",
        n_splits: int = 5,
    ) -> None:
        self.estimator = estimator
        self.candidates = candidates
        self.criterion = criterion
        self.n_splits = n_splits

    def fit(self, X: ArrayLike, Z: ArrayLike, A: ArrayLike, Y: ArrayLike) -> Self:
        """Estimate every combination and choose one. Arguments and errors are those of `InvalidIVATE.fit`."""
        estimator = InvalidIVATE() if self.estimator is None else clone(self.estimator)
        blocks = self._checked(estimator)
        data = estimator._crossfit(X, Z, A, Y, self.n_splits)
        with config_context(assume_finite=True, skip_parameter_validation=True):
            estimates, standard_errors, errors = _every_combination(data, blocks, estimator.trim, estimator.min_delta)
        varied = list(self.candidates or {})
        # Blocks without candidates have one learner, and no axis.
        order = [list(BLOCKS).index(block) for block in varied]
        single = [place for place, block in enumerate(BLOCKS) if block not in varied]
        shape = tuple(len(blocks[block]) for block in varied)
        self.estimates_ = np.transpose(estimates, (*order, *single)).reshape(shape)
        self.prediction_error_ = {block: values for block, values in errors.items() if block in varied}
        self.pseudo_risk_ = np.full(shape, np.nan)
        if self.criterion == "prediction":
            best = tuple(int(np.argmin(errors[block])) for block in varied)
        else:
            self.pseudo_risk_ = _pseudo_risk(self.estimates_, self.criterion)
            best = tuple(int(place) for place in np.unravel_index(np.argmin(self.pseudo_risk_), shape))
        self.best_ = dict(zip(varied, best, strict=True))
        self.ate_ = float(self.estimates_[best])
        self.naive_se_ = float(np.transpose(standard_errors, (*order, *single)).reshape(shape)[best])
        self.n_features_in_ = data.X.shape[1]
        return self

    def _checked(self, estimator: InvalidIVATE) -> dict[str, Sequence[BaseEstimator]]:
        """The learners of every block. Raises ValueError where candidates and criterion do not go together."""
        if self.criterion not in ("minimax", "mixed", "prediction"):
            raise ValueError(f"criterion must be minimax, mixed or prediction, got {self.criterion!r}")
        candidates = self.candidates or {}
        for block, learners in candidates.items():
            checked_block(block)
            if not learners:
                raise ValueError(f"the block {block} needs at least one candidate")
            if self.criterion == "prediction" and block not in ("instrument", "exposure", "outcome"):
                raise ValueError(f"the block {block} has no target to predict; use the criterion minimax or mixed")
        if max((len(learners) for learners in candidates.values()), default=0) < 2:
            raise ValueError("there is nothing to choose from: at least one block needs two candidates")
        combinations = math.prod(len(learners) for learners in candidates.values())
        if combinations > MOST_COMBINATIONS:
            raise ValueError(f"{combinations:,} combinations are too many; at most {MOST_COMBINATIONS:,} are tried")
        return {
            block: [checked_learner(block, each) for each in candidates[block]]
            if block in candidates
            else [estimator._learner(block)]
            for block in BLOCKS
        }


def checked_block(block: str) -> None:
    if block not in BLOCKS:
        raise ValueError(f"there is no block {block!r}; blocks are {', '.join(BLOCKS)}")


def checked_learner(block: str, learner: BaseEstimator) -> BaseEstimator:
    """The learner, if it is one and fits the block. Raises ValueError otherwise."""
    if not hasattr(learner, "fit") or not (hasattr(learner, "predict") or hasattr(learner, "predict_proba")):
        raise ValueError(f"the learner of {block} must be a scikit-learn estimator, got {learner!r:.80}")
    if is_classifier(learner) and (block not in CLASSIFIERS or not hasattr(learner, "predict_proba")):
        what = "a regressor" if block not in CLASSIFIERS else "one that gives probabilities"
        raise ValueError(f"the learner of {block} must be {what}, got the classifier {type(learner).__name__}")
    return learner


def _column(values: ArrayLike, name: str) -> Floats:
    return np.asarray(column_or_1d(check_array(values, dtype=np.float64, ensure_2d=False, input_name=name)))


def _every_combination(
    data: CrossFit, blocks: Mapping[str, Sequence[BaseEstimator]], trim: float, min_delta: float
) -> tuple[Floats, Floats, dict[str, Floats]]:
    """Effect and standard error of every combination, one axis a block in the order of `BLOCKS`; and the prediction errors."""
    probabilities = [data.instrument(each) for each in blocks["instrument"]]
    exposures = [data.exposure(each) for each in blocks["exposure"]]
    outcomes = [data.outcome(each) for each in blocks["outcome"]]
    shape = tuple(len(blocks[block]) for block in BLOCKS)
    estimates, standard_errors = np.empty(shape), np.empty(shape)
    for place in np.ndindex(*shape[1:]):
        exposure, outcome = exposures[place[0]], outcomes[place[1]]
        effect = data.effect(exposure, outcome, *(blocks[b][p] for b, p in zip(list(BLOCKS)[3:], place[2:], strict=True)))
        for number, probability in enumerate(probabilities):
            uncentred = data.influence(probability, exposure, outcome, effect, trim, min_delta)
            estimates[(number, *place)] = uncentred.mean()
            standard_errors[(number, *place)] = uncentred.std(ddof=1) / math.sqrt(len(uncentred))
    errors = {
        "instrument": np.array([_error(data.Z, each) for each in probabilities]),
        "exposure": np.array([_error(data.A, each.own(data.Z)) for each in exposures]),
        "outcome": np.array([_outcome_error(data, each) for each in outcomes]),
    }
    return estimates, standard_errors, errors


def _outcome_error(data: CrossFit, outcome: Outcome) -> float:
    return _error(data.Y, outcome.of_y.own(data.Z)) + _error(data.A, outcome.of_a.own(data.Z))


def _error(target: Floats, prediction: Floats) -> float:
    return float(((target - prediction) ** 2).mean() / (target.var() or 1.0))


def _pseudo_risk(estimates: Floats, criterion: str) -> Floats:
    """max_j or Σ_j of the squared range of the estimates along axis j, which is the largest squared difference there."""
    ranges = np.stack(
        [np.broadcast_to(np.ptp(estimates, axis=axis, keepdims=True), estimates.shape) for axis in range(estimates.ndim)]
    )
    return np.asarray((ranges**2).max(axis=0) if criterion == "minimax" else (ranges**2).sum(axis=0))
