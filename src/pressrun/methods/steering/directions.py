"""Directions in an activation space: unit vectors that point from the rows labelled 0 to the rows labelled 1.

Everywhere x is (n, width), one activation a row, and y is (n,) and holds 0 and 1. Directions come back as (width,) of length 1, in
float32 or better, on the device of x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ._checks import paired_rows, rows_and_labels, unit

__all__ = [
    "RECIPES",
    "erasure_basis",
    "mean_difference",
    "principal_direction",
    "probe_direction",
    "random_directions",
    "token_contrast",
]


def mean_difference(x: Tensor, y: Tensor) -> Tensor:
    """Mean of the rows labelled 1 minus mean of the rows labelled 0, at length 1 (contrastive activation addition).

    x may have any shape behind its first axis; so has the direction.
    """
    wanted, unwanted = rows_and_labels(x, y)
    return unit(wanted.double().mean(0) - unwanted.double().mean(0)).to(_at_least_float(x))


def principal_direction(x: Tensor, y: Tensor, *, of: Literal["centred", "differences"] = "centred") -> Tensor:
    """First principal component over pairs, with the sign that puts the row labelled 1 ahead in most pairs.

    Args:
        x: (n, width); the i-th row labelled 1 and the i-th row labelled 0 are a pair.
        y: (n,) of 0 and 1, as many of either.
        of: "centred" takes the rows with the middle of their pair removed (repeng's `pca_center`). "differences" takes the
            differences with their mean removed (repeng's `pca_diff`): what all pairs share is then gone, so it finds the shift
            only where pairs differ in its size.
    """
    if of not in ("centred", "differences"):
        raise ValueError(f'of must be "centred" or "differences", got {of!r}')
    wanted, unwanted = paired_rows(x, y)
    shifts = wanted.double() - unwanted.double()
    # The rows around the middle of their pair are ± half the shifts: their components are those of the shifts about zero.
    scatter = shifts - shifts.mean(0) if of == "differences" else shifts
    first = torch.linalg.svd(scatter, full_matrices=False).Vh[0]
    if not scatter.any():
        raise ValueError("All pairs differ by the same vector, so their differences have no component; use of='centred'")
    ahead = shifts @ first
    sign = -1.0 if (ahead < 0).sum() > (ahead > 0).sum() else 1.0
    return unit(sign * first).to(_at_least_float(x))


def probe_direction(x: Tensor, y: Tensor, *, c: float = 1.0) -> Tensor:
    """Normal of the separating plane of a logistic probe on standardised activations, in the units of x.

    Args:
        x: (n, width).
        y: (n,) of 0 and 1.
        c: inverse of the L2 penalty, as in scikit-learn.

    The weights are divided by the standard deviations, so that the plane is the probe's own in the space of x. Dimensions that do
    not vary get no weight.
    """
    rows_and_labels(x, y)
    rows = x.detach().double().cpu()
    scale = rows.std(0)
    scaled = torch.where(scale > 0, (rows - rows.mean(0)) / scale.clamp_min(torch.finfo(torch.double).tiny), 0.0)
    probe = LogisticRegression(C=c, max_iter=2000).fit(scaled.numpy(), y.cpu().numpy())
    weight = torch.from_numpy(probe.coef_[0])
    return unit(torch.where(scale > 0, weight / scale.clamp_min(torch.finfo(torch.double).tiny), 0.0)).to(
        x.device, _at_least_float(x)
    )


def token_contrast(unembedding: Tensor, wanted: Sequence[int], unwanted: Sequence[int]) -> Tensor:
    """Mean unembedding row of the wanted tokens minus that of the unwanted ones, at length 1 (arXiv:2505.20309, section 3).

    Args:
        unembedding: (vocabulary, width), the output embedding.
        wanted: token ids to move towards.
        unwanted: token ids to move away from.
    """
    vocabulary = len(unembedding)
    for name, ids in (("wanted", wanted), ("unwanted", unwanted)):
        if not ids or not all(0 <= i < vocabulary for i in ids):
            raise ValueError(f"{name} must be one or more token ids below {vocabulary}, got {list(ids)[:8]}")
    rows = unembedding.detach().double()
    return unit(rows[list(wanted)].mean(0) - rows[list(unwanted)].mean(0)).to(_at_least_float(unembedding))


def erasure_basis(x: Tensor, y: Tensor, *, rank: int, c: float = 1.0) -> Tensor:
    """(rank, width), orthonormal: the directions of successive probes, each trained on what the ones before left (INLP).

    Projecting them out of an activation takes from a linear probe what it read. S. Ravfogel et al., "Null it out" (ACL 2020).
    """
    if not 1 <= rank <= min(x.shape[1], len(x)):
        raise ValueError(f"rank must be from 1 to {min(x.shape[1], len(x))} for x {tuple(x.shape)}, got {rank}")
    basis = x.new_zeros((0, x.shape[1]), dtype=torch.double)
    for _ in range(rank):
        left = x.double() - x.double() @ basis.T @ basis
        found = probe_direction(left, y, c=c)
        basis = torch.cat([basis, unit(found - found @ basis.T @ basis)[None]])
    return basis.to(_at_least_float(x))


def random_directions(n: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    """(n, width): independent directions, uniform on the unit sphere."""
    if n < 1 or width < 1:
        raise ValueError(f"n and width must be 1 or more, got {n} and {width}")
    return torch.nn.functional.normalize(torch.randn(n, width, generator=generator), dim=1)


def _at_least_float(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


RECIPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean difference": mean_difference,
    "principal component": principal_direction,
    "probe": probe_direction,
}
