"""The influence function: a value worked out by hand, and its multiple robustness on a population that is summed, not sampled."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from pressrun.methods.causal import Nuisances, efficient_influence


def test_it_gives_the_value_worked_out_by_hand() -> None:
    # (A - m)(Y - β A - μ) - ω = 0.5 (5 - 2 - 1) - 0.25 = 0.75; over π δ = 0.25 · 0.1 that is 30, plus β = 2.
    nuisances = Nuisances(*(np.array([value]) for value in (0.25, 0.5, 1.0, 2.0, 0.25, 0.1)))
    assert efficient_influence([1.0], [5.0], [1], nuisances).tolist() == [pytest.approx(32.0)]
    # At Z = 0 the sign turns and the weight is 1 / (0.75 · 0.1): 2 - 10.
    assert efficient_influence([1.0], [5.0], [0], nuisances).tolist() == [pytest.approx(-8.0)]


class Population:
    """Every cell of X in {0, 1}, U in {-1, 1}, Z and A, with its probability and the mean of Y in it; the effect is 1.4 = mean
    of 1, 1.8."""

    def __init__(self) -> None:
        rows = []
        for x, u, z, a in itertools.product((0, 1), (-1, 1), (0, 1), (0, 1)):
            share = self.share(x) if z else 1 - self.share(x)
            exposed = self.mean(z, x) + 0.1 * u
            rows.append((x, z, a, self.effect(x) * a + (0.5 + x) * z + 3 * u + x, 0.25 * share * (exposed if a else 1 - exposed)))
        self.x, self.z, self.a, self.y, self.weight = np.array(rows).T
        self.truth = Nuisances(
            instrument=self.share(self.x),
            exposure=self.mean(self.z, self.x),
            outcome=(0.5 + self.x) * self.z + self.x,
            effect=self.effect(self.x),
            # Cov(A, 3 U) = 0.1 · 3 · Var(U).
            remainder=np.full_like(self.x, 0.3),
            relevance=self.variance(1) - self.variance(0),
        )

    def share(self, x: np.ndarray | float) -> np.ndarray:
        return 0.3 + 0.4 * x

    def mean(self, z: np.ndarray | float, x: np.ndarray | float) -> np.ndarray:
        return 0.2 - 0.05 * x + 0.35 * z

    def effect(self, x: np.ndarray | float) -> np.ndarray:
        return 1 + 0.8 * x

    def variance(self, z: np.ndarray | float) -> np.ndarray:
        return self.mean(z, self.x) * (1 - self.mean(z, self.x))

    def wrong(self, **what: np.ndarray) -> float:
        values = efficient_influence(self.a, self.y, self.z, replace(self.truth, **what))
        return float((self.weight * values).sum() / self.weight.sum())


def mistakes(population: Population) -> dict[str, np.ndarray]:
    x, z = population.x, population.z
    return {
        "instrument": 0.8 - 0.5 * x,
        "exposure": 0.5 + 0.2 * x - 0.3 * z,
        "outcome": 2.0 * z - 3.0 * x,
        "effect": 3.0 - 2.0 * x,
        "remainder": 1.5 * x - 0.4,
        "relevance": 0.3 - 0.2 * x,
    }


@pytest.mark.parametrize(
    "right",
    [
        ("instrument", "exposure", "relevance"),
        ("instrument", "effect", "outcome"),
        ("effect", "remainder", "exposure"),
        ("effect", "remainder", "outcome"),
        ("instrument", "exposure", "outcome", "effect", "remainder", "relevance"),
    ],
)
def test_any_one_set_of_right_nuisances_is_enough(right: tuple[str, ...]) -> None:
    population = Population()
    wrong = {name: values for name, values in mistakes(population).items() if name not in right}
    assert population.wrong(**wrong) == pytest.approx(1.4, abs=1e-12)


@pytest.mark.parametrize(
    "right", [("instrument", "effect", "remainder"), ("exposure", "outcome"), ("effect", "exposure", "relevance"), ()]
)
def test_other_sets_are_not(right: tuple[str, ...]) -> None:
    population = Population()
    wrong = {name: values for name, values in mistakes(population).items() if name not in right}
    assert abs(population.wrong(**wrong) - 1.4) > 0.1


def test_the_influence_function_of_the_truth_has_the_smallest_variance_of_right_sets() -> None:
    population = Population()

    def variance(**what: np.ndarray) -> float:
        values = efficient_influence(population.a, population.y, population.z, replace(population.truth, **what))
        return float((population.weight * (values - 1.4) ** 2).sum())

    made = mistakes(population)
    assert variance() < variance(outcome=made["outcome"], effect=made["effect"], remainder=made["remainder"])


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ({"instrument": np.array([1.0])}, "the probability of the instrument must lie strictly between 0 and 1 for every unit"),
        ({"relevance": np.array([0.0])}, "the relevance must not be 0 for any unit: the variance of A has to change with Z"),
        ({"effect": np.array([0.0, 1.0])}, r"effect must be \(1,\) to fit A, got \(2,\)"),
    ],
)
def test_it_refuses_nuisances_that_cannot_be(what: dict[str, np.ndarray], sentence: str) -> None:
    nuisances = Nuisances(*(np.array([0.5]) for _ in range(6)))
    with pytest.raises(ValueError, match=sentence):
        efficient_influence([1.0], [1.0], [1], replace(nuisances, **what))


def test_it_refuses_an_instrument_that_is_not_binary() -> None:
    with pytest.raises(ValueError, match="Z must hold 0 and 1 only"):
        efficient_influence([1.0], [1.0], [2], Nuisances(*(np.array([0.5]) for _ in range(6))))
