"""Steering whole blocks, such as heads, by rescaling: the coarse relative of atomic units (semantics-adaptive steering, SADI)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["block_gains"]


def block_gains(good: Tensor, bad: Tensor, k: int) -> Tensor:
    """(layers, blocks, width): 1 throughout the k blocks whose mean differs most between good and bad, 0 elsewhere.

    Multiplying the activation by 1 + δ · gain is SADI's rule with whole heads as the elements of its mask. Blocks of all layers
    are ranked in one list by the norm of the mean difference, so blocks with larger activations are preferred.

    Args:
        good: (pairs, layers, blocks, width); row i of `good` and row i of `bad` are a pair.
        bad: the same shape.
        k: how many blocks.
    """
    if good.shape != bad.shape or good.ndim != 4 or not len(good):
        raise ValueError(
            f"good and bad must be (pairs, layers, blocks, width) of one shape, got {tuple(good.shape)} and {tuple(bad.shape)}"
        )
    size = (good.float() - bad.float()).mean(0).norm(dim=-1)
    if not 1 <= k <= size.numel():
        raise ValueError(f"k must be from 1 to {size.numel()}, the number of blocks, got {k}")
    chosen = torch.zeros(size.numel(), dtype=torch.float32, device=size.device)
    chosen[size.flatten().argsort(descending=True, stable=True)[:k]] = 1.0
    return chosen.view(*size.shape, 1).expand(*size.shape, good.shape[-1]).contiguous()
