"""Oja's subspace rule: Hebbian learning whose weights come to span the principal subspace and stay bounded.

E. Oja, "A simplified neuron model as a principal component analyzer", J. Math. Biology 15 (1982), eq. 3; for several units the
subspace rule of E. Oja, "Neural networks, principal components, and subspaces", Int. J. Neural Systems 1 (1989).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["OjaLayer", "oja_direction", "oja_update"]


def oja_direction(weight: Tensor, x: Tensor, y: Tensor | None = None) -> Tensor:
    """The direction of the rule, the mean over the batch of y (x - Wᵀ y)ᵀ: Hebbian y xᵀ less anti-Hebbian y yᵀ W.

    Args:
        weight: W, (units, features).
        x: (B, features).
        y: (B, units), the responses; W x when None.

    Returns:
        Shaped like `weight`.

    Raises:
        ValueError: if the shapes do not fit or x is empty.
    """
    if x.ndim != 2 or len(x) == 0 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"x must be (B, {weight.shape[1]}) to fit weight {tuple(weight.shape)}, got {tuple(x.shape)}")
    y = x @ weight.T if y is None else y
    if y.shape != (len(x), len(weight)):
        raise ValueError(f"y must be ({len(x)}, {len(weight)}) to fit x and weight, got {tuple(y.shape)}")
    # The decay is by all units' reconstruction, not by each unit's own: units that agree push each other apart, so that they
    # span the subspace instead of all finding the first component.
    return y.T @ (x - y @ weight) / len(x)


def oja_update(weight: Tensor, x: Tensor, *, lr: float) -> Tensor:
    """One step of Oja's subspace rule on a batch: W + lr `oja_direction(W, x)`.

    Args:
        weight: (units, features).
        x: (B, features); the principal subspace is that of its second moments, so take the mean off for that of its covariance.
        lr: step size. Stable while lr times the largest second moment of x along any direction is below 1.

    Returns:
        The new weight; the argument is left as it is.

    Raises:
        ValueError: if x does not have the features of `weight` or is empty, or lr is not positive.
    """
    if not lr > 0:
        raise ValueError(f"lr must be positive, got {lr}")
    return weight + lr * oja_direction(weight, x)


class OjaLayer(nn.Module):
    """A linear layer without bias that learns by Oja's rule instead of by gradients.

    Shapes: input (B, in_features), output (B, units). `weight`, (units, in_features), is a buffer: optimisers and autograd leave
    it alone, and it is saved with the module. It starts with independent normal numbers of variance 1 / in_features.

    Raises:
        ValueError: as `oja_update`.
    """

    weight: Tensor

    def __init__(self, in_features: int, units: int, *, lr: float = 1e-2, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if not lr > 0:
            raise ValueError(f"lr must be positive, got {lr}")
        self.lr = lr
        self.register_buffer("weight", torch.randn(units, in_features, generator=generator) / in_features**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T

    @torch.no_grad()
    def learn(self, x: Tensor) -> None:
        """Update `weight` from one batch, (B, in_features)."""
        self.weight = oja_update(self.weight, x, lr=self.lr)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {len(self.weight)}, lr={self.lr}"
