"""Learning rules beside plain back-propagation: local losses, other or fewer ways back for the error,
Hebbian rules, adaptation at test time.

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
from .hebbian_projection import HLOP, HebbianSubspace, ProjectedConv2d, ProjectedLinear
from .homeostatic import HomeostaticLR, RandomLR, moved_rate, virtual_accuracy
from .line_drawing import LineDrawing
from .oja import OjaLayer, oja_direction, oja_update
from .similarity import linear_cka
from .soft_hebbian import SoftHebbConv2d, SoftHebbLinear, kernel_similarity, soft_hebbian_update

__all__ = [
    "HLOP",
    "Adapted",
    "BatchNormAdapt",
    "CCLConv2d",
    "CCLConvTranspose2d",
    "CCLLinear",
    "CCLReshape",
    "CCLSequential",
    "CCLTrainer",
    "Collapse",
    "CorticoCerebellarRNN",
    "CurlFlow",
    "CurlSGD",
    "DecoupledStep",
    "DecoupledTrainer",
    "FALinear",
    "GradientSynthesizer",
    "HebbianSubspace",
    "HomeostaticLR",
    "LineDrawing",
    "NHLAdapter",
    "NeuroModulator",
    "OjaLayer",
    "ProjectedConv2d",
    "ProjectedLinear",
    "RandomLR",
    "SoftHebbConv2d",
    "SoftHebbLinear",
    "StateGradients",
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
    "gradient_cosine",
    "kernel_similarity",
    "linear_cka",
    "lyapunov_exponent",
    "moved_rate",
    "oja_direction",
    "oja_update",
    "prediction_collapse",
    "presynaptic_signs",
    "soft_hebbian_update",
    "synthetic_gradient_step",
    "true_state_gradients",
    "virtual_accuracy",
    "weight_alignment",
]
