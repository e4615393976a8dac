"""Spiking networks: leaky integrate-and-fire neurons, surrogate gradients, excitatory-inhibitory layers.

One convention for all of the room: time first, then the batch, then the rest, (T, B, ...). A static input has no time
axis, (B, ...), and is shown for T steps. Nothing keeps a state between calls: a sequence starts from rest unless the
membrane potential is handed in, and whoever goes step by step carries it along. Potentials, thresholds and currents
share one arbitrary unit; time is counted in steps.
"""

from __future__ import annotations

from .alif import ALIFNeuron, alif
from .ei import EIConv2d, EILinear, NonNegativeSGD, ei_current, ei_parameter_groups, replace_zeros_ste, scale_gradient
from .lif import LIFNeuron, lif
from .networks import LayerStatistics, SpikingMLP, layer_statistics, spiking_mlp
from .surrogate import SURROGATES, spike, surrogate_derivative

__all__ = [
    "SURROGATES",
    "ALIFNeuron",
    "EIConv2d",
    "EILinear",
    "LIFNeuron",
    "LayerStatistics",
    "NonNegativeSGD",
    "SpikingMLP",
    "alif",
    "ei_current",
    "ei_parameter_groups",
    "layer_statistics",
    "lif",
    "replace_zeros_ste",
    "scale_gradient",
    "spike",
    "spiking_mlp",
    "surrogate_derivative",
]
