"""What several parts of the room ask of their arguments."""

from __future__ import annotations

import torch
from torch import Tensor


def rows_and_labels(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of x whose label is 1, and those whose label is 0.

    Raises:
        ValueError: if x and y do not have the same number of rows, y holds anything but 0 and 1, or one of them is missing.
    """
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
        raise ValueError(f"x must be (n, ...) with one label a row, got x {tuple(x.shape)} and y {tuple(y.shape)}")
    wanted, unwanted = y == 1, y == 0
    if not bool((wanted | unwanted).all()):
        raise ValueError(f"Labels must be 0 and 1, got {sorted(set(y.tolist()))[:5]}")
    if not bool(wanted.any()) or not bool(unwanted.any()):
        raise ValueError(f"Both labels are needed, got {len(y)} rows that are all {int(y[0])}")
    return x[wanted], x[unwanted]


def paired_rows(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """As `rows_and_labels`; the i-th row labelled 1 belongs to the i-th row labelled 0."""
    wanted, unwanted = rows_and_labels(x, y)
    if len(wanted) != len(unwanted):
        raise ValueError(f"Pairs need as many rows of either label, got {len(wanted)} of label 1 and {len(unwanted)} of label 0")
    return wanted, unwanted


def unit(v: Tensor) -> Tensor:
    """v at length 1 over all its numbers, in float32 or better; a vector that has it, up to rounding, comes back as it is.

    Raises:
        ValueError: if v is zero or not finite, which has no direction.
    """
    v = v.to(torch.promote_types(v.dtype, torch.float32))
    norm = torch.linalg.vector_norm(v)
    if not bool(torch.isfinite(norm)) or norm == 0:
        raise ValueError(
            f"A vector of norm {float(norm)} has no direction: the two groups do not differ here, or hold nan or inf"
        )
    return v if abs(float(norm) - 1) < 1e-6 else v / norm
