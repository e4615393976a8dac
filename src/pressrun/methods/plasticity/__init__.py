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
    "CurlFlow",
    "CurlSGD",
    "FALinear",
    "HomeostaticLR",
    "NHLAdapter",
    "NeuroModulator",
    "RandomLR",
    "SoftHebbConv2d",
    "SoftHebbLinear",
    "Tent",
    "ccl_autoencoder_loss",
    "ccl_classification_loss",
    "ccl_mlp",
    "centralise_gradients",
    "critical_fraction",
    "curl_flow",
    "curl_ratio",
    "curl_step",
    "entropy",
    "error_rates",
    "feedback_alignment_linear",
    "flip_signs",
    "flow_invariant",
    "flow_jacobian",
    "kernel_similarity",
    "linear_cka",
    "lyapunov_exponent",
    "moved_rate",
    "prediction_collapse",
    "presynaptic_signs",
    "soft_hebbian_update",
    "virtual_accuracy",
    "weight_alignment",
]
