"""Surrogate gradients: a spike is a step forwards and a smooth bump backwards.

E. O. Neftci, H. Mostafa, F. Zenke, "Surrogate gradient learning in spiking neural networks", IEEE Signal Processing
Magazine 36 (2019). The bumps, with u the distance of the potential to the threshold and a the slope:

- sigmoid: a p (1 - p) with p = 1 / (1 + exp(-a u)); slope 4
- atan: (a / 2) / (1 + (pi a u / 2)²); slope 2
- fast_sigmoid: 1 / (1 + a |u|)²; slope 25
- triangle: a max(0, 1 - a |u|); slope 1
- rectangle: a where |u| < 1 / (2 a), else 0; slope 1
- gaussian: (a / sqrt(pi)) exp(-(a u)²); slope 2
- exponential: (a / 2) exp(-a |u|); slope 2
- straight_through: a everywhere; slope 1

All but fast_sigmoid and straight_through have the area 1.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

__all__ = ["SURROGATES", "spike", "surrogate_derivative"]

SURROGATES = {
    "sigmoid": 4.0,
    "atan": 2.0,
    "fast_sigmoid": 25.0,
    "triangle": 1.0,
    "rectangle": 1.0,
    "gaussian": 2.0,
    "exponential": 2.0,
    "straight_through": 1.0,
}
"""The surrogates by name, each with the slope it has unless told."""


def surrogate_derivative(u: Tensor, surrogate: str = "sigmoid", slope: float | None = None) -> Tensor:
    """What stands for the derivative of the step at distance u from the threshold.

    Args:
        u: any shape; potential minus threshold.
        surrogate: a name in `SURROGATES`.
        slope: how narrow the bump is, per unit of u; the one in `SURROGATES` when None.

    Returns:
        A new tensor like u, nowhere negative.

    Raises:
        ValueError: for an unknown surrogate or a slope that is not positive.
    """
    return _derivative(u.clone(), surrogate, slope_of(surrogate, slope))


def spike(u: Tensor, surrogate: str = "sigmoid", slope: float | None = None) -> Tensor:
    """1 where u is at or above 0, else 0; backwards the gradient is multiplied by `surrogate_derivative(u)`.

    The building block for a neuron model of one's own; `lif` has its own, faster path.

    Raises:
        ValueError: for an unknown surrogate or a slope that is not positive.
    """
    spikes: Tensor = _Spike.apply(u, surrogate, slope_of(surrogate, slope))  # type: ignore[no-untyped-call]
    return spikes


def slope_of(surrogate: str, slope: float | None) -> float:
    """The slope asked for, or the surrogate's own; both arguments are checked here."""
    if surrogate not in SURROGATES:
        raise ValueError(f"surrogate must be one of {', '.join(SURROGATES)}, got {surrogate!r}")
    if slope is None:
        return SURROGATES[surrogate]
    if not slope > 0:
        raise ValueError(f"slope must be positive, got {slope}")
    return slope


def _derivative(u: Tensor, surrogate: str, slope: float) -> Tensor:
    """The derivative, written over u: on a CPU a fresh buffer costs more than the arithmetic."""
    match surrogate:
        case "sigmoid":
            p = u.mul_(slope).sigmoid_()
            return p.addcmul_(p, p, value=-1).mul_(slope)
        case "atan":
            return u.mul_(pi * slope / 2).square_().add_(1).reciprocal_().mul_(slope / 2)
        case "fast_sigmoid":
            return u.abs_().mul_(slope).add_(1).square_().reciprocal_()
        case "triangle":
            return u.abs_().mul_(-slope * slope).add_(slope).clamp_(min=0)
        case "rectangle":
            return u.abs_().lt_(1 / (2 * slope)).mul_(slope)
        case "gaussian":
            return u.mul_(slope).square_().neg_().exp_().mul_(slope / pi**0.5)
        case "exponential":
            return u.abs_().mul_(-slope).exp_().mul_(slope / 2)
        case _:
            return u.fill_(slope)


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, surrogate: str, slope: float) -> Tensor:  # noqa: ARG004 (backward has them from the context)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, str, float], output: Tensor) -> None:  # noqa: ARG004
        u, *ctx.surrogate = inputs  # type: ignore[attr-defined]
        ctx.save_for_backward(u)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None]:
        (u,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return _derivative(u.clone(), *ctx.surrogate) * grad, None, None  # type: ignore[attr-defined]
