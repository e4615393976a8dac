"""Causal effects from observational data: the average treatment effect with an instrument that may affect the outcome itself.

One convention for all of the room: X is (n, covariates), Z is (n,) and holds 0 and 1 (the instrument), A is (n,) (the exposure),
Y is (n,) (the outcome). An effect is in the unit of Y for one unit of A. Learners are scikit-learn estimators.
"""

from __future__ import annotations

from .influence import Nuisances, efficient_influence
from .instruments import Estimate, Relevance, genius_wald, ordinary_least_squares, partial_linear_iv, relevance_test, two_stage_ls
from .invalid_iv import BLOCKS, InvalidIVATE, SelectiveML
from .learners import BinnedMeans, PolynomialRidge
from .simulation import InvalidIVData, simulate_invalid_iv

__all__ = [
    "BLOCKS",
    "BinnedMeans",
    "Estimate",
    "InvalidIVATE",
    "InvalidIVData",
    "Nuisances",
    "PolynomialRidge",
    "Relevance",
    "SelectiveML",
    "efficient_influence",
    "genius_wald",
    "ordinary_least_squares",
    "partial_linear_iv",
    "relevance_test",
    "simulate_invalid_iv",
    "two_stage_ls",
]
