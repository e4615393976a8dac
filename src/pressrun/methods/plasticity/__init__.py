"""Learning rules that need no error carried backwards through the weights of the forward pass.

Shapes: batches first, (B, ...); weights as in torch, (outputs, inputs).
"""

from __future__ import annotations

from .counter_current import (
    CCLConv2d,
    CCLConvTranspose2d,
    CCLLinear,
    CCLReshape,
    CCLSequential,
    CCLTrainer,
    ccl_autoencoder_loss,
    ccl_classification_loss,
    ccl_mlp,
    centralise_gradients,
    weight_alignment,
)
from .feedback_alignment import FALinear, feedback_alignment_linear
from .homeostatic import HomeostaticLR, RandomLR, moved_rate, virtual_accuracy
from .similarity import linear_cka

__all__ = [
    "CCLConv2d",
    "CCLConvTranspose2d",
    "CCLLinear",
    "CCLReshape",
    "CCLSequential",
    "CCLTrainer",
    "FALinear",
    "HomeostaticLR",
    "RandomLR",
    "ccl_autoencoder_loss",
    "ccl_classification_loss",
    "ccl_mlp",
    "centralise_gradients",
    "feedback_alignment_linear",
    "linear_cka",
    "moved_rate",
    "virtual_accuracy",
    "weight_alignment",
]
