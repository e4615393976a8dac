"""Spiking networks: leaky integrate-and-fire neurons with and without adaptation, surrogate gradients, excitatory-inhibitory
layers, and exchange with other tools.

One convention for all of the room: time first, then the batch, then the rest, (T, B, ...). A static input has no time
axis, (B, ...), and is shown for T steps. Nothing keeps a state between calls: a sequence starts from rest unless the
membrane potential is handed in, and whoever goes step by step carries it along. Potentials, thresholds and currents
share one arbitrary unit; time is counted in steps.
"""

from __future__ import annotations

from .alif import ALIFNeuron, alif
from .ei import EIConv2d, EILinear, NonNegativeSGD, ei_current, ei_parameter_groups, replace_zeros_ste, scale_gradient
from .exchange import Gain, SpikingSequential, events_to_spikes, from_nir, spikes_to_events, to_nir
from .lif import LIFNeuron, lif
from .networks import LayerStatistics, SpikingMLP, layer_statistics, spiking_mlp
from .surrogate import SURROGATES, spike, surrogate_derivative

__all__ = [
    "SURROGATES",
    "ALIFNeuron",
    "EIConv2d",
    "EILinear",
    "Gain",
    "LIFNeuron",
    "LayerStatistics",
    "NonNegativeSGD",
    "SpikingMLP",
    "SpikingSequential",
    "alif",
    "ei_current",
    "ei_parameter_groups",
    "events_to_spikes",
    "from_nir",
    "layer_statistics",
    "lif",
    "replace_zeros_ste",
    "scale_gradient",
    "spike",
    "spikes_to_events",
    "spiking_mlp",
    "surrogate_derivative",
    "to_nir",
]
