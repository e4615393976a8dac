"""Evolution strategies: gradient ascent on a return that is only sampled, by comparing perturbed copies of the parameters.

T. Salimans et al., "Evolution strategies as a scalable alternative to reinforcement learning", arXiv:1703.03864, with antithetic pairs
and centred ranks. With ε the perturbations and r their ranks scaled to [-1/2, 1/2] the ascent direction is Σ r ε / (P σ) - λ θ, taken by Adam.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["EvolutionStrategy", "centred_ranks"]


def centred_ranks(fitness: Tensor) -> Tensor:
    """(P,) ranks scaled to [-1/2, 1/2], equal values sharing the mean of their ranks. Infinite values are ranked, NaN last.

    Raises:
        ValueError: if fitness is not a vector of at least two.
    """
    if fitness.ndim != 1 or len(fitness) < 2:
        raise ValueError(f"fitness must be a vector of at least 2, got {tuple(fitness.shape)}")
    fitness = torch.where(fitness.isnan(), -torch.inf, fitness)
    below = (fitness[None, :] < fitness[:, None]).sum(1)
    ties = (fitness[None, :] == fitness[:, None]).sum(1)
    ranks = below.to(torch.get_default_dtype()) + (ties - 1) / 2
    return ranks / (len(fitness) - 1) - 0.5


class EvolutionStrategy:
    """Ask for a population, evaluate it as you like, tell the returns.

    Args:
        theta: (d,), where to begin.
        population: candidates each time, an even number.
        sigma: standard deviation of the perturbations.
        lr: Adam's step size.
        weight_decay: λ.
        generator: of the perturbations.

    Attributes:
        theta: (d,), the mean of the population.

    Raises:
        ValueError: if theta is no vector, population is odd or below 2, or a constant is out of range.
    """

    def __init__(
        self,
        theta: Tensor,
        *,
        population: int = 8,
        sigma: float = 0.02,
        lr: float = 0.01,
        weight_decay: float = 0.005,
        generator: torch.Generator | None = None,
    ) -> None:
        if theta.ndim != 1:
            raise ValueError(f"theta must be a vector, got {tuple(theta.shape)}")
        if population < 2 or population % 2:
            raise ValueError(f"population must be even and at least 2, got {population}")
        if not sigma > 0 or not lr > 0 or not weight_decay >= 0:
            raise ValueError(f"sigma and lr must be positive and weight_decay not negative, got {sigma}, {lr} and {weight_decay}")
        self.theta = theta.detach().clone()
        self.population, self.sigma, self.weight_decay, self.generator = population, sigma, weight_decay, generator
        self._adam = torch.optim.Adam([self.theta], lr=lr)
        self._noise: Tensor | None = None

    def ask(self) -> Tensor:
        """(P, d), candidates: the second half mirrors the first at the mean."""
        half = torch.randn(self.population // 2, len(self.theta), generator=self.generator).to(self.theta)
        self._noise = torch.cat([half, -half])
        return self.theta + self.sigma * self._noise

    def tell(self, fitness: Tensor) -> Tensor:
        """Move the mean by the returns, (P,), of the candidates asked for last, higher being better; the new mean.

        Raises:
            ValueError: if nothing was asked for, or there are not as many returns as candidates.
        """
        if self._noise is None or fitness.shape != (self.population,):
            raise ValueError(f"tell needs the returns of {self.population} candidates asked for, got {tuple(fitness.shape)}")
        weights = centred_ranks(fitness).to(self.theta)
        ascent = weights @ self._noise / (self.population * self.sigma) - self.weight_decay * self.theta
        self.theta.grad = -ascent
        self._adam.step()
        self._noise = None
        return self.theta
