"""The estimator and the choice of its learners: consistency, invariances, degenerate data, bad input."""

# ruff: noqa: N806 - X, Z, A and Y are the field's names.
from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
)

from pressrun.methods.causal import BLOCKS, InvalidIVATE, InvalidIVData, PolynomialRidge, SelectiveML, simulate_invalid_iv
from pressrun.methods.causal._crossfit import CrossFit


@pytest.fixture(scope="module")
def data() -> InvalidIVData:
    return simulate_invalid_iv(2000, 11)


@pytest.mark.parametrize("estimator", [InvalidIVATE(), SelectiveML()])
def test_it_has_the_parameters_of_a_scikit_learn_estimator(estimator: InvalidIVATE) -> None:
    name = type(estimator).__name__
    check_parameters_default_constructible(name, estimator)
    check_get_params_invariance(name, estimator)
    check_set_params(name, estimator)
    check_no_attributes_set_in_init(name, clone(estimator))


def test_a_clone_has_the_settings_and_not_the_results(data: InvalidIVData) -> None:
    learner = PolynomialRidge(degree=1)
    fitted = InvalidIVATE({"effect": learner}, n_folds=3, trim=0.1).set_params(min_delta=0.05).fit(*data)
    copy = clone(fitted)
    assert (copy.n_folds, copy.trim, copy.min_delta, copy.learners["effect"].degree) == (3, 0.1, 0.05, 1)
    assert not hasattr(copy, "ate_")
    assert not hasattr(learner, "coef_")


def test_it_finds_the_effect_although_the_instrument_acts_on_the_outcome() -> None:
    # The deviation of one estimate at n = 40,000 is about 0.06.
    fitted = InvalidIVATE().fit(*simulate_invalid_iv(40_000, 2))
    assert fitted.ate_ == pytest.approx(1.0, abs=0.2)
    assert fitted.se_ == pytest.approx(0.057, abs=0.01)
    assert fitted.min_relevance_ > 0.08


def test_the_mean_of_many_estimates_is_the_effect_and_their_deviation_the_standard_error() -> None:
    fits = [InvalidIVATE(n_folds=3).fit(*simulate_invalid_iv(2000, 100 + place)) for place in range(30)]
    estimates = np.array([fit.ate_ for fit in fits])
    # Deviations of about 0.27: the mean of 30 is within 0.15 in 99.7 % of cases, a ratio of deviations in 0.7 to 1.4.
    assert estimates.mean() == pytest.approx(1.0, abs=0.15)
    assert 0.7 < np.mean([fit.se_ for fit in fits]) / estimates.std(ddof=1) < 1.4
    covered = [low <= 1 <= high for low, high in (fit.ci() for fit in fits)]
    assert sum(covered) >= 24


@pytest.mark.parametrize(
    "wrong",
    [
        ("outcome", "covariance", "effect", "remainder"),
        ("exposure", "remainder"),
        ("instrument", "outcome"),
        ("instrument", "exposure"),
    ],
)
def test_it_needs_the_models_of_one_set_only(wrong: tuple[str, ...]) -> None:
    models = {block: PolynomialRidge(degree=1 if block in wrong else 4) for block in BLOCKS}
    fitted = InvalidIVATE(models).fit(*simulate_invalid_iv(30_000, 4, design="curved"))
    assert abs(fitted.ate_ - 1) < 4 * fitted.se_ < 0.4


def test_it_is_wrong_when_all_models_are() -> None:
    models = dict.fromkeys(BLOCKS, PolynomialRidge(degree=1))
    assert InvalidIVATE(models).fit(*simulate_invalid_iv(30_000, 4, design="curved")).ate_ > 1.5


def test_scaling_and_shifting_the_outcome_scales_the_effect(data: InvalidIVData) -> None:
    X, Z, A, Y = data
    # Without ridge penalty least squares is equivariant.
    models = dict.fromkeys(BLOCKS, PolynomialRidge(2, alpha=0))
    once, other = InvalidIVATE(models).fit(X, Z, A, Y), InvalidIVATE(models).fit(X, Z, A, -10 * Y + 3)
    assert (other.ate_, other.se_) == (pytest.approx(-10 * once.ate_), pytest.approx(10 * once.se_))


def test_relabelling_instrument_and_exposure_keeps_and_turns_the_effect(data: InvalidIVData) -> None:
    X, Z, A, Y = data
    models = dict.fromkeys(BLOCKS, PolynomialRidge(2, alpha=0))
    fold = InvalidIVATE(models)._crossfit(X, Z, A, Y).fold
    estimates = []
    for z, a in ((Z, A), (1 - Z, A), (Z, 1 - A)):
        cut = CrossFit(X, z, a, Y, 5, 0)
        cut.fold = fold
        exposure, outcome = cut.exposure(models["exposure"]), cut.outcome(models["outcome"])
        effect = cut.effect(exposure, outcome, models["covariance"], models["effect"], models["remainder"])
        estimates.append(cut.influence(cut.instrument(models["instrument"]), exposure, outcome, effect, 0.02, 0.03).mean())
    assert estimates[1] == pytest.approx(estimates[0])
    assert estimates[2] == pytest.approx(-estimates[0])


def test_the_order_of_the_units_of_the_influence_is_that_of_the_data(data: InvalidIVData) -> None:
    fitted = InvalidIVATE().fit(*data)
    assert fitted.influence_.shape == fitted.beta_.shape == (2000,)
    assert fitted.influence_.mean() == pytest.approx(0.0, abs=1e-12)
    assert fitted.se_ == pytest.approx(fitted.influence_.std(ddof=1) / np.sqrt(2000))


def test_it_takes_a_continuous_exposure() -> None:
    random = np.random.default_rng(7)
    x, u, z = random.uniform(-1, 1, 20_000), random.uniform(-1, 1, 20_000), random.integers(0, 2, 20_000)
    a = x + 0.5 * z + u + (0.5 + z) * random.normal(size=20_000)
    y = 2 * a + 3 * z + 4 * u + x + random.normal(size=20_000)
    fitted = InvalidIVATE().fit(x[:, None], z, a, y)
    assert fitted.ate_ == pytest.approx(2.0, abs=0.1)
    # Var(A | Z) = 1/3 + 2.25 and 1/3 + 0.25.
    np.testing.assert_allclose(fitted.nuisances_["relevance"].mean(), 2.0, atol=0.1)


def test_classifiers_and_weighted_pipelines_can_be_learners(data: InvalidIVData) -> None:
    logistic = make_pipeline(StandardScaler(), LogisticRegression())
    linear = make_pipeline(StandardScaler(), LinearRegression())
    fitted = InvalidIVATE({"instrument": logistic, "exposure": logistic, "effect": linear}).fit(*data)
    assert abs(fitted.ate_ - 1) < 4 * fitted.se_
    assert 0 < fitted.nuisances_["instrument"].min() < fitted.nuisances_["instrument"].max() < 1


def test_where_nobody_without_the_instrument_is_exposed_the_effect_is_the_contrast_of_the_others() -> None:
    random = np.random.default_rng(3)
    x, z = random.normal(size=(4000, 1)), random.integers(0, 2, 4000)
    a = z * (random.random(4000) < 0.6)
    y = 5.0 * a + 2 * z + x[:, 0] + random.normal(size=4000)
    fitted = InvalidIVATE().fit(x, z, a, y)
    assert np.abs(fitted.nuisances_["exposure"][:, 0]).max() == 0.0
    contrast = LinearRegression().fit(np.column_stack([a, x])[z == 1], y[z == 1]).coef_[0]
    assert fitted.ate_ == pytest.approx(contrast, abs=0.05)


def test_weak_relevance_is_trimmed_and_told() -> None:
    random = np.random.default_rng(0)
    z = random.integers(0, 2, 3000)
    a = random.random(3000) < np.where(z == 1, 0.7, 0.3)
    fitted = InvalidIVATE().fit(random.normal(size=(3000, 2)), z, a, random.normal(size=3000))
    assert fitted.min_relevance_ < 0.03
    assert fitted.trimmed_ > 0.3
    assert np.isfinite(fitted.ate_)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"Z": np.arange(2000)}, "Z must hold 0 and 1 only"),
        ({"Z": np.r_[np.ones(1995), np.zeros(5)]}, "each value of Z needs at least 10 units for 5 folds, got 5"),
        ({"Y": np.ones(7)}, "inconsistent numbers of samples"),
        ({"A": np.full(2000, np.nan)}, "Input A contains NaN"),
        ({"X": np.ones(2000)}, "Expected 2D array"),
    ],
)
def test_it_refuses_data_that_do_not_fit(data: InvalidIVData, change: dict[str, np.ndarray], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        InvalidIVATE().fit(**(data._asdict() | change))


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (
            InvalidIVATE(n_folds=2),
            "n_folds must be 3 or more, because residuals come from models that saw neither of two folds, got 2",
        ),
        (InvalidIVATE(trim=0.5), "trim must be at least 0 and below 0.5, got 0.5"),
        (InvalidIVATE(min_delta=0.0), "min_delta must be positive, got 0.0"),
        (
            InvalidIVATE({"propensity": PolynomialRidge()}),
            "there is no block 'propensity'; blocks are instrument, exposure, outcome,",
        ),
        (InvalidIVATE({"outcome": "ridge"}), "the learner of outcome must be a scikit-learn estimator, got 'ridge'"),
        (
            InvalidIVATE({"outcome": LogisticRegression()}),
            "the learner of outcome must be a regressor, got the classifier LogisticRegression",
        ),
        (
            InvalidIVATE({"effect": KNeighborsRegressor()}),
            "the learner of the effect must take sample weights, which KNeighborsRegressor does not",
        ),
    ],
)
def test_it_refuses_settings_that_do_not_fit(data: InvalidIVData, estimator: InvalidIVATE, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        estimator.fit(*data)


def test_it_has_no_interval_before_it_is_fitted() -> None:
    with pytest.raises(NotFittedError):
        InvalidIVATE().ci()


CANDIDATES = {
    "exposure": [DummyRegressor(), PolynomialRidge(2)],
    "outcome": [PolynomialRidge(1), PolynomialRidge(2), DummyRegressor()],
}


def test_every_combination_is_what_the_estimator_alone_gives(data: InvalidIVData) -> None:
    chosen = SelectiveML(candidates=CANDIDATES, n_splits=3).fit(*data)
    assert chosen.estimates_.shape == (2, 3)
    alone = InvalidIVATE({"exposure": PolynomialRidge(2), "outcome": DummyRegressor()}, n_folds=3).fit(*data)
    assert chosen.estimates_[1, 2] == pytest.approx(alone.ate_, abs=1e-12)
    best = [CANDIDATES[block][place] for block, place in chosen.best_.items()]
    again = InvalidIVATE(dict(zip(CANDIDATES, best, strict=True)), n_folds=3).fit(*data)
    assert (chosen.ate_, chosen.naive_se_) == (pytest.approx(again.ate_), pytest.approx(again.se_))
    assert chosen.ate_ == chosen.estimates_[chosen.best_["exposure"], chosen.best_["outcome"]]


def test_the_pseudo_risk_is_the_largest_change_that_a_replacement_makes(data: InvalidIVData) -> None:
    minimax = SelectiveML(candidates=CANDIDATES, n_splits=3).fit(*data)
    mixed = SelectiveML(candidates=CANDIDATES, n_splits=3, criterion="mixed").fit(*data)
    estimates = minimax.estimates_
    for c in np.ndindex(2, 3):
        by_exposure = (estimates[:, c[1]].max() - estimates[:, c[1]].min()) ** 2
        by_outcome = (estimates[c[0]].max() - estimates[c[0]].min()) ** 2
        assert minimax.pseudo_risk_[c] == pytest.approx(max(by_exposure, by_outcome))
        assert mixed.pseudo_risk_[c] == pytest.approx(by_exposure + by_outcome)
    assert minimax.pseudo_risk_[tuple(minimax.best_.values())] == minimax.pseudo_risk_.min()


def test_the_axes_follow_the_order_of_the_candidates(data: InvalidIVData) -> None:
    turned = SelectiveML(candidates=dict(reversed(CANDIDATES.items())), n_splits=3).fit(*data)
    straight = SelectiveML(candidates=CANDIDATES, n_splits=3).fit(*data)
    np.testing.assert_allclose(turned.estimates_, straight.estimates_.T)
    assert turned.best_ == straight.best_


def test_prediction_picks_the_best_of_each_block(data: InvalidIVData) -> None:
    chosen = SelectiveML(candidates=CANDIDATES, criterion="prediction", n_splits=3).fit(*data)
    assert chosen.best_ == {"exposure": 1, "outcome": int(np.argmin(chosen.prediction_error_["outcome"]))}
    assert chosen.prediction_error_["outcome"][2] == chosen.prediction_error_["outcome"].max()
    assert np.isnan(chosen.pseudo_risk_).all()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "there is nothing to choose from: at least one block needs two candidates"),
        ({"candidates": {"outcome": []}}, "the block outcome needs at least one candidate"),
        ({"candidates": CANDIDATES, "criterion": "best"}, "criterion must be minimax, mixed or prediction, got 'best'"),
        (
            {"candidates": {"effect": [PolynomialRidge(1), PolynomialRidge(2)]}, "criterion": "prediction"},
            "the block effect has no target to predict; use the criterion minimax or mixed",
        ),
        (
            {"candidates": dict.fromkeys(BLOCKS, [PolynomialRidge()] * 5)},
            "15,625 combinations are too many; at most 10,000 are tried",
        ),
    ],
)
def test_the_choice_refuses_what_it_cannot_choose_from(data: InvalidIVData, given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SelectiveML(**given).fit(*data)  # type: ignore[arg-type]
