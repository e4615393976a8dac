"""Effects with an instrument beside DoubleML and linearmodels: time of an estimate, and bias where each applies and does not.

    python -m pip install doubleml==0.11.4 linearmodels==7.1
    python benchmarks/causal.py [--units 4000] [--data-sets 60] [--rounds 7]

Everything runs in one process on one thread. Each round times every estimator on the same data, one after the other; the ratio
to the peer is the median over rounds of the ratios within a round, so that a machine whose speed drifts does not decide.
Cross-fitted estimators have 5 folds and the same learners: least squares on products of degree 2 through scikit-learn's own
pipeline, and for "our learner" `PolynomialRidge`, which fits the same model in closed form. Bias and deviation are over
simulated data sets with the true effect 1: one with a valid instrument, where all of them apply (the effect varies with X, so
that the weighted averages of two-stage least squares and PLIV lie a little off), and one whose instrument acts on the outcome,
where only `InvalidIVATE` does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402 - the number of threads must be set before
from sklearn.base import BaseEstimator  # noqa: E402
from sklearn.linear_model import LinearRegression, LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import PolynomialFeatures  # noqa: E402

from pressrun.methods.causal import (  # noqa: E402
    BLOCKS,
    InvalidIVATE,
    InvalidIVData,
    PolynomialRidge,
    genius_wald,
    partial_linear_iv,
    simulate_invalid_iv,
    two_stage_ls,
)

Estimator = Callable[[InvalidIVData], float]


def quadratic() -> BaseEstimator:
    return make_pipeline(PolynomialFeatures(2, include_bias=False), LinearRegression())


def quadratic_logit() -> BaseEstimator:
    return make_pipeline(PolynomialFeatures(2, include_bias=False), LogisticRegression(C=1e6, max_iter=200))


def ours() -> dict[str, Estimator]:
    return {
        "two_stage_ls": lambda data: two_stage_ls(data.Y, data.A, data.Z, data.X).value,
        "genius_wald": lambda data: genius_wald(data.Z, data.A, data.Y, data.X).value,
        "partial_linear_iv": lambda data: partial_linear_iv(data.Y, data.A, data.Z, data.X, quadratic()).value,
        "partial_linear_iv, our learner": lambda data: partial_linear_iv(data.Y, data.A, data.Z, data.X).value,
        "InvalidIVATE": lambda data: InvalidIVATE(dict.fromkeys(BLOCKS, quadratic())).fit(*data).ate_,
        "InvalidIVATE, our learner": lambda data: InvalidIVATE(dict.fromkeys(BLOCKS, PolynomialRidge(2))).fit(*data).ate_,
    }


def peers() -> dict[str, Estimator]:
    import doubleml
    from linearmodels.iv import IV2SLS

    def double(data: InvalidIVData) -> doubleml.DoubleMLData:
        return doubleml.DoubleMLData.from_arrays(data.X, data.Y, data.A, data.Z)

    def pliv(data: InvalidIVData) -> float:
        fit = doubleml.DoubleMLPLIV(double(data), ml_l=quadratic(), ml_m=quadratic(), ml_r=quadratic(), n_folds=5).fit()
        return float(fit.coef[0])

    def iivm(data: InvalidIVData) -> float:
        fit = doubleml.DoubleMLIIVM(
            double(data), ml_g=quadratic(), ml_m=quadratic_logit(), ml_r=quadratic_logit(), n_folds=5
        ).fit()
        return float(fit.coef[0])

    def linear(data: InvalidIVData) -> float:
        exogenous = np.column_stack([np.ones(len(data.Y)), data.X])
        return float(IV2SLS(data.Y, exogenous, data.A, data.Z).fit(cov_type="robust").params.iloc[-1])

    return {"linearmodels IV2SLS": linear, "DoubleML PLIV": pliv, "DoubleML IIVM": iivm}


PAIRS = (
    ("two_stage_ls", "linearmodels IV2SLS"),
    ("partial_linear_iv", "DoubleML PLIV"),
    ("partial_linear_iv, our learner", "DoubleML PLIV"),
    ("InvalidIVATE", "DoubleML IIVM"),
    ("InvalidIVATE, our learner", "DoubleML IIVM"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=4000)
    parser.add_argument("--data-sets", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    estimators = ours() | peers()
    seconds = timed(estimators, options.units, options.rounds)
    print(f"{options.units} units, one thread\n")
    print(f"{'estimator':32} {'ms an estimate':>14}   {'valid: bias':>11} {'SD':>6}   {'direct effect: bias':>19} {'SD':>6}")
    for name, estimate in estimators.items():
        columns = []
        for direct in (0.0, 0.8):
            values = [estimate(simulate_invalid_iv(options.units, seed, direct)) for seed in range(options.data_sets)]
            columns += [statistics.mean(values) - 1, statistics.stdev(values)]
        milliseconds = 1e3 * statistics.median(seconds[name])
        print(
            f"{name:32} {milliseconds:14.1f}   {columns[0]:+11.3f} {columns[1]:6.3f}   {columns[2]:+19.3f} {columns[3]:6.3f}",
            flush=True,
        )
    print()
    for name, peer in PAIRS:
        ratio = statistics.median(theirs / own for own, theirs in zip(seconds[name], seconds[peer], strict=True))
        print(f"{name}: {ratio:.2f} times as fast as {peer}")


def timed(estimators: dict[str, Estimator], units: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of one estimate in each round, the first of which warms up and is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in estimators}
    for turn in range(rounds + 1):
        data = simulate_invalid_iv(units, 1000 + turn)
        for name, estimate in estimators.items():
            start = time.perf_counter()
            estimate(data)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
