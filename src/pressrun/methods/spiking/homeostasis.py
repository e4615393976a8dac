"""Homeostasis: what keeps the drive of a neuron in range while Hebbian learning moves its weights.

Three mechanisms that act on the inputs of one neuron, each of them local to it: silent inputs are depressed when others are
potentiated (heterosynaptic depression; C. von der Malsburg, Kybernetik 14 (1973); M. Chistiakova et al., Frontiers in Computational
Neuroscience 9:89 (2015)), all inputs are scaled together (synaptic scaling; G. Turrigiano et al., Nature 391 (1998)), and the
threshold follows the response to what was learnt (plasticity of excitability).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Homeostasis", "heterosynaptic_depression", "synaptic_scaling"]


def heterosynaptic_depression(weight: Tensor, change: Tensor, silent: Tensor, strength: float = 1.0) -> Tensor:
    """The weights after silent inputs have lost `strength` times what the most potentiated input of the same neuron has gained.

    Args:
        weight: (n_post, n_pre), after Hebbian learning; may become negative, as the net effect of an excitatory and an inhibitory input.
        change: (n_post, n_pre), what Hebbian learning has just added.
        silent: (n_pre,) or (n_post, n_pre), true for inputs without a spike.
        strength: 0 or more. 1 makes a single pattern's active and silent inputs equal in size and opposite in sign.

    Raises:
        ValueError: if shapes do not fit or strength is negative.
    """
    if weight.ndim != 2 or change.shape != weight.shape or silent.shape not in (weight.shape, weight.shape[1:]):
        raise ValueError(
            "weight and change must be (n_post, n_pre) and silent (n_pre,) or (n_post, n_pre), "
            f"got {tuple(weight.shape)}, {tuple(change.shape)} and {tuple(silent.shape)}"
        )
    if not strength >= 0:
        raise ValueError(f"strength must be 0 or more, got {strength}")
    gained = change.amax(dim=1, keepdim=True).clamp(min=0)
    return weight - strength * gained * silent


def synaptic_scaling(weight: Tensor, total: float) -> Tensor:
    """Each row of (n_post, n_pre) scaled so that the absolute weights of a neuron sum to `total`; rows of zeros stay.

    Raises:
        ValueError: if weight is no matrix or total is not positive.
    """
    if weight.ndim != 2:
        raise ValueError(f"weight must be (n_post, n_pre), got {tuple(weight.shape)}")
    if not 0 < total < math.inf:
        raise ValueError(f"total must be positive and finite, got {total}")
    now = weight.abs().sum(dim=1, keepdim=True)
    return weight * (total / now).where(now > 0, 1.0)


@dataclass(frozen=True)
class Homeostasis:
    """Which of the three mechanisms act, and how strongly. It holds constants only.

    Args:
        depression: strength of heterosynaptic depression; 0 turns it off.
        total: what the absolute weights of a neuron are scaled to; None turns synaptic scaling off.
        factor: the homeostatic factor κ, between 0 and 1: the threshold follows at κ times the smallest response to what was learnt.
            Near 1 a neuron answers to what it learnt alone, further below also to what partly matches. None leaves the threshold.

    Raises:
        ValueError: if a constant is out of range.
    """

    depression: float = 1.0
    total: float | None = None
    factor: float | None = 0.99

    def __post_init__(self) -> None:
        if not 0 <= self.depression < math.inf:
            raise ValueError(f"depression must be 0 or more and finite, got {self.depression}")
        if self.total is not None and not 0 < self.total < math.inf:
            raise ValueError(f"total must be positive and finite, got {self.total}")
        if self.factor is not None and not 0 < self.factor <= 1:
            raise ValueError(f"factor must be above 0 and at most 1, got {self.factor}")

    def weights(self, weight: Tensor, change: Tensor, silent: Tensor) -> Tensor:
        """The weights after depression and then scaling; arguments as in `heterosynaptic_depression`."""
        weight = heterosynaptic_depression(weight, change, silent, self.depression)
        return weight if self.total is None else synaptic_scaling(weight, self.total)

    def threshold(self, responses: Tensor, threshold: Tensor) -> Tensor:
        """The threshold of a neuron with these responses (patterns,) to what it learnt; as it was without a factor.

        It lies below the smallest response by 1 - κ of its size. For a positive response that is κ times it; a negative one,
        which patterns that depress each other's inputs can have, is detected all the same.
        """
        if self.factor is None or len(responses) == 0:
            return threshold
        smallest = responses.min()
        return smallest - (1 - self.factor) * smallest.abs()
