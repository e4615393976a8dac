"""How alike two representations of the same samples are."""

from __future__ import annotations

from torch import Tensor

__all__ = ["linear_cka"]


def linear_cka(a: Tensor, b: Tensor) -> Tensor:
    """Linear centred kernel alignment, |AᵀB|² / (|AᵀA| |BᵀB|) with Frobenius norms and columns centred.

    S. Kornblith et al., "Similarity of neural network representations revisited", ICML 2019, eq. 3. It does not change when
    either side is rotated or scaled. It is biased upwards when there are few samples for many features.

    Args:
        a, b: (samples, features); the features may differ in number.

    Returns:
        A scalar between 0 and 1.

    Raises:
        ValueError: if the samples do not match, or all samples of one side are equal.
    """
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise ValueError(f"a and b must be (samples, features) with the same samples, got {tuple(a.shape)} and {tuple(b.shape)}")
    a, b = a - a.mean(0), b - b.mean(0)
    if len(a) < max(a.shape[1], b.shape[1]):
        # With few samples the Gram matrices are the smaller ones; the value is the same.
        gram_a, gram_b = a @ a.T, b @ b.T
        cross, norms = (gram_a * gram_b).sum(), gram_a.norm() * gram_b.norm()
    else:
        cross, norms = (a.T @ b).square().sum(), (a.T @ a).norm() * (b.T @ b).norm()
    if norms == 0:
        raise ValueError("a and b must vary over the samples, but all samples of one of them are equal")
    similarity: Tensor = cross / norms
    return similarity
