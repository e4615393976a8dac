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
from .curl import (
    CurlFlow,
    CurlSGD,
    critical_fraction,
    curl_flow,
    curl_ratio,
    curl_step,
    error_rates,
    flip_signs,
    flow_invariant,
    flow_jacobian,
    lyapunov_exponent,
    presynaptic_signs,
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
    "CurlFlow",
    "CurlSGD",
    "FALinear",
    "HomeostaticLR",
    "RandomLR",
    "ccl_autoencoder_loss",
    "ccl_classification_loss",
    "ccl_mlp",
    "centralise_gradients",
    "critical_fraction",
    "curl_flow",
    "curl_ratio",
    "curl_step",
    "error_rates",
    "feedback_alignment_linear",
    "flip_signs",
    "flow_invariant",
    "flow_jacobian",
    "linear_cka",
    "lyapunov_exponent",
    "moved_rate",
    "presynaptic_signs",
    "virtual_accuracy",
    "weight_alignment",
]
