"""Learning rules that carry no error back through the weights of the forward pass, or only a few steps back in time.

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
from .decoupled import (
    CorticoCerebellarRNN,
    DecoupledStep,
    DecoupledTrainer,
    GradientSynthesizer,
    StateGradients,
    gradient_cosine,
    synthetic_gradient_step,
    true_state_gradients,
)
from .feedback_alignment import FALinear, feedback_alignment_linear
from .line_drawing import LineDrawing
from .similarity import linear_cka

__all__ = [
    "CCLConv2d",
    "CCLConvTranspose2d",
    "CCLLinear",
    "CCLReshape",
    "CCLSequential",
    "CCLTrainer",
    "CorticoCerebellarRNN",
    "DecoupledStep",
    "DecoupledTrainer",
    "FALinear",
    "GradientSynthesizer",
    "LineDrawing",
    "StateGradients",
    "ccl_autoencoder_loss",
    "ccl_classification_loss",
    "ccl_mlp",
    "centralise_gradients",
    "feedback_alignment_linear",
    "gradient_cosine",
    "linear_cka",
    "synthetic_gradient_step",
    "true_state_gradients",
    "weight_alignment",
]
