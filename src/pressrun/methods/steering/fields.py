"""Concept directions of spatial models: the difference of mean activations as a field, injected in step with the local norm.

R. A. Fear et al., "Physics Steering" (arXiv:2511.20798). An activation is (batch, channels, *space), or has more axes before the
channels (such as time); which axes belong to one activation is said by `dims`, for the paper's (time, batch, channel, height, width,
depth) it is (2, 3, 4, 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ._checks import rows_and_labels

__all__ = ["concept_delta", "fit_delta", "inject", "standardise"]

Fit = Literal["drop", "pad", "interpolate", "none"]


def standardise(a: Tensor, dims: Sequence[int], *, eps: float = 1e-8) -> Tensor:
    """a with mean 0 and standard deviation 1 (n - 1 in the denominator) over `dims`; a constant activation becomes 0."""
    dims = tuple(dims)
    return (a - a.mean(dims, keepdim=True)) / a.std(dims, keepdim=True).clamp_min(eps)


def concept_delta(a: Tensor, y: Tensor, *, zscore: bool = True) -> Tensor:
    """Mean activation with the concept minus mean without, (channels, *space) for a of (n, channels, *space).

    Args:
        a: (n, channels, *space); average over time first, after standardising, where there is time.
        y: (n,), 1 for the runs that show the concept and 0 for the others.
        zscore: standardise each run over channels and space first, as the paper does.
    """
    rows = standardise(a, range(1, a.ndim)) if zscore and a.ndim > 1 else a
    shown, other = rows_and_labels(rows, y)
    return shown.mean(0) - other.mean(0)


def fit_delta(delta: Tensor, space: Sequence[int], *, mode: Fit = "drop") -> Tensor:
    """The delta for a grid of another size: (channels, *space).

    Args:
        delta: (channels, *own space); axes larger than asked for are cropped around their centre first.
        space: the size asked for, as many axes as the delta's own.
        mode: "drop" takes the mean over space, one number a channel; "pad" puts zeros behind the map; "interpolate" resizes it
            (linear in each axis, up to three axes); "none" asks that it fits as it is.
    """
    own, wanted = delta.shape[1:], tuple(space)
    if len(own) != len(wanted) or not wanted:
        raise ValueError(f"space must have the {len(own)} axes of the delta {tuple(delta.shape)}, got {wanted}")
    for axis, (have, want) in enumerate(zip(own, wanted, strict=True), start=1):
        if have > want:
            delta = delta.narrow(axis, (have - want) // 2, want)
    if mode == "drop":
        mean = delta.mean(tuple(range(1, delta.ndim)), keepdim=True)
        return mean.expand(-1, *wanted)
    if mode == "pad":
        padded = delta.new_zeros((len(delta), *wanted))
        padded[tuple(slice(size) for size in delta.shape)] = delta
        return padded
    if mode == "interpolate":
        if len(wanted) > 3:
            raise ValueError(f'mode "interpolate" resizes up to three axes, got {len(wanted)}')
        kind = ("linear", "bilinear", "trilinear")[len(wanted) - 1]
        return interpolate(delta[None], size=wanted, mode=kind, align_corners=False)[0]
    if mode == "none" and tuple(delta.shape[1:]) == wanted:
        return delta
    if mode == "none":
        raise ValueError(f'mode "none" needs a delta of space {wanted}, got {tuple(delta.shape[1:])}')
    raise ValueError(f'mode must be "drop", "pad", "interpolate" or "none", got {mode!r}')


def inject(h: Tensor, delta: Tensor, *, alpha: float | Tensor, dims: Sequence[int]) -> Tensor:
    """h + alpha · delta · ‖h‖ / ‖delta‖, norms over `dims`: what is added has alpha times the norm of each activation.

    Args:
        h: any shape that `delta` broadcasts to.
        delta: such as (channels, *space).
        alpha: the fraction; negative takes the concept away. A tensor gives each row its own and must broadcast.
        dims: the axes of h that make up one activation, such as (1, 2, 3) for (batch, channels, height, width).
    """
    full = delta.expand_as(h)
    dims = tuple(dims)
    size: Tensor = torch.linalg.vector_norm(h, dim=dims, keepdim=True) / torch.linalg.vector_norm(full, dim=dims, keepdim=True)
    if not bool(delta.any()):
        raise ValueError("The delta is zero: the two groups do not differ here")
    return h + alpha * full * size
