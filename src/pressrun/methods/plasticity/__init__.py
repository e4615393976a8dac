"""Learning rules beside plain back-propagation: local losses, other ways back for the error, Hebbian rules.

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
from .hebbian_projection import HLOP, HebbianSubspace, ProjectedConv2d, ProjectedLinear
from .oja import OjaLayer, oja_direction, oja_update
from .similarity import linear_cka

__all__ = [
    "HLOP",
    "CCLConv2d",
    "CCLConvTranspose2d",
    "CCLLinear",
    "CCLReshape",
    "CCLSequential",
    "CCLTrainer",
    "FALinear",
    "HebbianSubspace",
    "OjaLayer",
    "ProjectedConv2d",
    "ProjectedLinear",
    "ccl_autoencoder_loss",
    "ccl_classification_loss",
    "ccl_mlp",
    "centralise_gradients",
    "feedback_alignment_linear",
    "linear_cka",
    "oja_direction",
    "oja_update",
    "weight_alignment",
]
