"""Learning rules that need no error carried backwards through the weights of the forward pass, and adaptation at test time.

Shapes: batches first, (B, ...); weights as in torch, (outputs, inputs).
"""

from __future__ import annotations

from .adaptation import (
    Adapted,
    BatchNormAdapt,
    Collapse,
    NeuroModulator,
    NHLAdapter,
    Tent,
    entropy,
    prediction_collapse,
)
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
from .similarity import linear_cka
from .soft_hebbian import SoftHebbConv2d, SoftHebbLinear, kernel_similarity, soft_hebbian_update

__all__ = [
    "Adapted",
    "BatchNormAdapt",
    "CCLConv2d",
    "CCLConvTranspose2d",
    "CCLLinear",
    "CCLReshape",
    "CCLSequential",
    "CCLTrainer",
    "Collapse",
    "FALinear",
    "NHLAdapter",
    "NeuroModulator",
    "SoftHebbConv2d",
    "SoftHebbLinear",
    "Tent",
    "ccl_autoencoder_loss",
    "ccl_classification_loss",
    "ccl_mlp",
    "centralise_gradients",
    "entropy",
    "feedback_alignment_linear",
    "kernel_similarity",
    "linear_cka",
    "prediction_collapse",
    "soft_hebbian_update",
    "weight_alignment",
]
