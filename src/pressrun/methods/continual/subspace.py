"""The subspace that old tasks use, and how to keep out of it: orthogonal gradient projection.

A linear map y = W x changes nothing for old inputs when its update is made of inputs orthogonal to them: with rows F that span the
old inputs, the gradient (error)ᵀ x becomes (error)ᵀ x⊥,

    x⊥ = x - Fᵀ F x

G. Saha, I. Garg, K. Roy, "Gradient projection memory for continual learning", ICLR 2021, takes the rows from a singular value
decomposition of what the rows before have left of the activity (eq. 8 and 9): `principal_rows`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Subspace", "orthonormal_rows", "principal_rows"]


class Subspace(nn.Module):
    """Rows F that span what is protected, and the projection onto them.

    `frozen` is a buffer, (rows, in_features), at first without rows; it is saved and loaded with the module, however many rows
    there are. `project` is a projection only when the rows are orthonormal; nothing here makes them so.

    Args:
        in_features: of the activity.

    Raises:
        ValueError: if in_features is below 1.
    """

    frozen: Tensor

    def __init__(self, in_features: int) -> None:
        super().__init__()
        if in_features < 1:
            raise ValueError(f"in_features must be at least 1, got {in_features}")
        self.in_features = in_features
        self.register_buffer("frozen", torch.empty(0, in_features))

    def extend(self, rows: Tensor) -> None:
        """Protect what these (k, in_features) rows span, too.

        Raises:
            ValueError: if they do not fit, or there would be more rows than features.
        """
        if rows.ndim != 2 or rows.shape[1] != self.in_features:
            raise ValueError(f"rows must be (k, {self.in_features}), got {tuple(rows.shape)}")
        self._check_room(len(rows))
        self.frozen = torch.cat([self.frozen, rows.detach().to(self.frozen)])

    def project(self, x: Tensor) -> Tensor:
        """Fᵀ F x for (..., in_features)."""
        return self._respond(self._fitting(x) @ self.frozen.T) @ self.frozen

    def orthogonalize(self, x: Tensor) -> Tensor:
        """x - Fᵀ F x for (..., in_features); x itself while there are no rows."""
        return x - self.project(x) if len(self.frozen) else self._fitting(x)

    def rows(self) -> Tensor:
        """(k, in_features), all there are."""
        return self.frozen

    def captured_variance(self, x: Tensor) -> Tensor:
        """The part of the second moment of x, (..., in_features), in the span of all rows: a scalar between 0 and 1.

        The mean is not taken off: an update has to keep out of it, too. The rows need not be orthonormal.

        Raises:
            ValueError: if x does not fit, or is 0 everywhere.
        """
        total = self._fitting(x).square().sum()
        if total == 0:
            raise ValueError("x must have something to capture, but it is 0 everywhere")
        captured: Tensor = (x @ orthonormal_rows(self.rows()).T).square().sum() / total
        return captured

    def orthonormality_error(self) -> Tensor:
        """max |H Hᵀ - 1| over all rows H, a scalar; 0 without rows."""
        rows = self.rows()
        gram = rows @ rows.T - torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
        error: Tensor = gram.abs().max() if len(rows) else gram.sum()
        return error

    def _respond(self, y: Tensor) -> Tensor:
        return y

    def _check_room(self, more: int) -> None:
        if more + len(self.rows()) > self.in_features:
            raise ValueError(f"{len(self.rows())} + {more} rows are more than the {self.in_features} features there are")

    def _fitting(self, x: Tensor) -> Tensor:
        if x.ndim < 1 or x.shape[-1] != self.in_features:
            raise ValueError(f"x must be (..., {self.in_features}), got {tuple(x.shape)}")
        return x

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        # The number of rows is what was learnt, so the buffers take the size they are loaded with.
        for name, buffer in self.named_buffers(recurse=False):
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.ndim == buffer.ndim and saved.shape[1:] == buffer.shape[1:]:
                setattr(self, name, torch.empty(saved.shape, dtype=buffer.dtype, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        return f"{self.in_features}, rows={len(self.rows())}"


@torch.no_grad()
def orthonormal_rows(rows: Tensor) -> Tensor:
    """An orthonormal basis, (rank, features), of what (k, features) rows span."""
    if len(rows) == 0:
        return rows
    _, values, basis = torch.linalg.svd(rows, full_matrices=False)
    spanning: Tensor = basis[values > values.max() * max(rows.shape) * torch.finfo(rows.dtype).eps]
    return spanning


@torch.no_grad()
def principal_rows(x: Tensor, k: int | None = None, *, energy: float | None = None, beyond: Tensor | None = None) -> Tensor:
    """The principal directions of what other rows leave of x, as orthonormal rows: exact PCA without taking off the mean.

    Args:
        x: (B, features), activity.
        k: how many rows.
        energy: instead of k: as few as capture this part of the second moment of x together with `beyond`, above 0 and up to 1.
        beyond: (rows, features), what is captured already, orthonormal or not; nothing when None.

    Returns:
        (k, features), strongest first, orthogonal to all of `beyond`.

    Raises:
        ValueError: if not exactly one of k and energy is given, shapes do not fit, or there is no room for k more rows.
    """
    if (k is None) == (energy is None):
        raise ValueError(f"one of k and energy must be given, got k={k} and energy={energy}")
    if x.ndim != 2 or (beyond is not None and beyond.shape[1:] != x.shape[1:]):
        of_beyond = "" if beyond is None else f" and beyond {tuple(beyond.shape)}"
        raise ValueError(f"x must be (B, features) and beyond (rows, features), got {tuple(x.shape)}{of_beyond}")
    basis = orthonormal_rows(x.new_empty(0, x.shape[1]) if beyond is None else beyond)
    room = x.shape[1] - len(basis)
    if k is not None and not 0 <= k <= room:
        raise ValueError(f"k must be between 0 and the {room} directions left, got {k}")
    residual = x - x @ basis.T @ basis
    # By the matrix of second moments, which stays small however many samples there are. What is captured already gets negative
    # values, so that it comes last, after the directions in which x has nothing.
    second = residual.T @ residual
    moments, directions = torch.linalg.eigh(second - (second.trace() + 1) * basis.T @ basis)
    moments, directions = moments.flip(0)[:room].clamp(min=0), directions.flip(1).T[:room]
    if energy is not None:
        if not 0 < energy <= 1:
            raise ValueError(f"energy must be above 0 and at most 1, got {energy}")
        missing = energy * x.square().sum() - (x @ basis.T).square().sum()
        k = int((moments.cumsum(0) < missing).sum()) + 1 if missing > 0 else 0
    strongest: Tensor = directions[:k]
    return strongest
