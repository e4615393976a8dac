"""How strong? The strength that gives an asked-for effect, within a budget for what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

__all__ = ["Calibration", "ProbabilisticBisection", "Trial", "calibrate_noisy", "find_strength"]

FRACTIONS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


@dataclass(frozen=True)
class Trial:
    """One strength that was tried, its effect, and what it cost (None where no cost was measured)."""

    strength: float
    effect: float
    cost: float | None


@dataclass(frozen=True)
class Calibration:
    """What a search found.

    `strength`, `effect` and `cost` are the choice; `reached` says whether the effect is the target within the tolerance,
    `within_budget` whether the cost is. `needed` is the trial that reaches the target, if any does, whatever it costs; `tried` all of
    them in order.
    """

    strength: float
    effect: float
    cost: float | None
    target: float
    budget: float | None
    reached: bool
    within_budget: bool
    needed: Trial | None
    tried: tuple[Trial, ...]

    def __str__(self) -> str:
        cost = "" if self.cost is None else f" at a cost of {self.cost:.4g}"
        budget = "" if self.budget is None else f" (budget {self.budget:.4g})"
        found = f"Strength {self.strength:.4g} has an effect of {self.effect:.4g}{cost}{budget}"
        if not self.within_budget:
            return f"Every strength tried breaks the budget. The cheapest: {found[0].lower()}{found[1:]}."
        if self.reached:
            return f"{found}, as asked."
        if self.needed is None:
            return f"{found}, and no strength up to {max(abs(t.strength) for t in self.tried):.4g} reaches {self.target:.4g}."
        return (
            f"{found}, the most the budget allows: the effect of {self.target:.4g} takes strength {self.needed.strength:.4g}, "
            f"which costs {self.needed.cost:.4g}."
        )


def find_strength(
    measure: Callable[[float], tuple[float, float | None]],
    target: float,
    *,
    high: float = 1.0,
    budget: float | None = None,
    tolerance: float = 0.05,
    steps: int = 8,
) -> Calibration:
    """The smallest strength between 0 and `high` with the effect asked for, by growing strengths and then bisection.

    Args:
        measure: strength -> (effect, cost); the effect is 0 at strength 0, the cost None if there is no budget.
        target: the effect asked for, of either sign, not 0.
        high: the largest strength to try; negative turns the direction round.
        budget: the largest cost allowed. Where the target costs more, the choice is the strength within the budget whose effect is
            nearest to it.
        tolerance: of the effect, as a fraction of the target.
        steps: bisections, for the target and again for the budget.
    """
    if target == 0 or high == 0 or tolerance <= 0 or steps < 1:
        raise ValueError(
            f"target and high must not be 0, the tolerance above 0, steps 1 or more: got {target}, {high}, {tolerance}, {steps}"
        )
    tried: list[Trial] = []

    def at(strength: float) -> Trial:
        effect, cost = measure(strength)
        if budget is not None and cost is None:
            raise ValueError("A budget needs a measure that returns the cost beside the effect, got None")
        tried.append(Trial(strength, float(effect), None if cost is None else float(cost)))
        return tried[-1]

    def good(trial: Trial) -> bool:
        return abs(trial.effect - target) <= tolerance * abs(target)

    def cheap(trial: Trial) -> bool:
        return budget is None or (trial.cost is not None and trial.cost <= budget)

    below = 0.0
    for fraction in FRACTIONS:
        trial = at(fraction * high)
        if good(trial):
            break
        if trial.effect / target > 1:
            _halve(at, lambda t: t.effect / target > 1, good, below, trial.strength, steps)
            break
        below = trial.strength
    reaching = [t for t in tried if good(t)]
    needed = min(reaching, key=lambda t: abs(t.strength)) if reaching else None
    dear = [t.strength for t in tried if not cheap(t)]
    if dear and (needed is None or not cheap(needed)):
        # The strongest that is still allowed lies between what was cheap and what was not.
        least = min(dear, key=abs)
        most = max((t.strength for t in tried if abs(t.strength) < abs(least)), key=abs, default=0.0)
        _halve(at, lambda t: not cheap(t), lambda _: False, most, least, steps)
    allowed = [t for t in tried if cheap(t)]
    if needed in allowed:
        choice = needed
    elif allowed:
        choice = min(allowed, key=lambda t: (abs(t.effect - target), abs(t.strength)))
    else:
        choice = min(tried, key=lambda t: t.cost or 0.0)
    return Calibration(
        choice.strength, choice.effect, choice.cost, target, budget, good(choice), bool(allowed), needed, tuple(tried)
    )


def _halve(
    at: Callable[[float], Trial],
    beyond: Callable[[Trial], bool],
    done: Callable[[Trial], bool],
    below: float,
    above: float,
    steps: int,
) -> None:
    """Try the middle between a strength that is not beyond and one that is, until one is done or the steps are."""
    for _ in range(steps):
        trial = at((below + above) / 2)
        if done(trial):
            return
        below, above = (below, trial.strength) if beyond(trial) else (trial.strength, above)


class ProbabilisticBisection:
    """Where a falling, noisy score crosses a target: a posterior over a grid of strengths (arXiv:2602.06941, calibration).

    Args:
        low, high: ends of the grid.
        grid: its points.
        prior: mean and standard deviation of a normal prior; None: every point alike.
    """

    def __init__(self, low: float, high: float, *, grid: int = 10_000, prior: tuple[float, float] | None = None) -> None:
        if not low < high or grid < 2 or (prior is not None and prior[1] <= 0):
            raise ValueError(
                f"low must be below high, the grid 2 points or more, the prior's sd positive: got {low}, {high}, {grid}, {prior}"
            )
        self.points = torch.linspace(low, high, grid, dtype=torch.double)
        mass = torch.ones_like(self.points) if prior is None else torch.exp(-(((self.points - prior[0]) / prior[1]) ** 2) / 2)
        self.mass: Tensor = mass / mass.sum()

    def median(self) -> float:
        """The point with half of the mass at or below it: the estimate, and where to look next."""
        return float(self.points[int(torch.searchsorted(self.mass.cumsum(0), 0.5 - 1e-12).clamp_max(len(self.points) - 1))])

    query = median

    def update(self, x: float, score: float, target: float, *, weight: float = 5.0) -> None:
        """Learn that the mean score of a query at x was `score`; score and target are within 0 and 1.

        A score at or above the target says the crossing is to the right. How sure that is: the probability of that side under
        Beta(1/2 + weight · score, 1/2 + weight · (1 - score)).
        """
        if not 0 <= score <= 1 or not 0 < target < 1 or weight <= 0:
            raise ValueError(f"score and target are within 0 and 1 and the weight positive, got {score}, {target} and {weight}")
        above = float(stats.beta.sf(target, 0.5 + weight * score, 0.5 + weight * (1 - score)))
        right = score >= target
        p = above if right else 1 - above
        if p < 0.5:
            right, p = not right, 1 - p
        cell = int((self.points - x).abs().argmin())
        factor = torch.full_like(self.mass, p if right else 1 - p)
        factor[:cell] = 1 - p if right else p
        factor[cell] = (p * (1 - p)) ** 0.5
        self.mass = self.mass * factor
        self.mass = self.mass / self.mass.sum()


def calibrate_noisy(
    score: Callable[[float], float],
    target: float,
    *,
    low: float,
    high: float,
    trials: int,
    prior: tuple[float, float] | None = None,
    grid: int = 10_000,
    weight: float = 5.0,
) -> float:
    """The strength at which a noisy score that falls with it crosses the target, after `trials` queries (see `ProbabilisticBisection`)."""
    search = ProbabilisticBisection(low, high, grid=grid, prior=prior)
    for _ in range(trials):
        x = search.query()
        search.update(x, score(x), target, weight=weight)
    return search.median()
