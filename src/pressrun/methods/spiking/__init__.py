"""Spiking networks: leaky integrate-and-fire neurons, surrogate gradients, excitatory-inhibitory layers.

One convention for all of the room: time first, then the batch, then the rest, (T, B, ...). A static input has no time
axis, (B, ...), and is shown for T steps. Nothing keeps a state between calls: a sequence starts from rest unless the
membrane potential is handed in, and whoever goes step by step carries it along. Potentials, thresholds and currents
share one arbitrary unit; time is counted in steps.
"""

from __future__ import annotations

from .dsr import DSRNetwork, DSRNeuron, dsr_rate, weighted_rate
from .ei import EIConv2d, EILinear, NonNegativeSGD, ei_current, ei_parameter_groups, replace_zeros_ste, scale_gradient
from .homeostasis import Homeostasis, heterosynaptic_depression, synaptic_scaling
from .lif import LIFNeuron, lif
from .networks import LayerStatistics, SpikingMLP, layer_statistics, spiking_mlp
from .spatial_patterns import DetectorReport, SpatialPatternDetector, all_binary_inputs, detector_report, hamming
from .stdp import PairSTDP, STDPTraces
from .surrogate import SURROGATES, spike, surrogate_derivative

__all__ = [
    "SURROGATES",
    "DSRNetwork",
    "DSRNeuron",
    "DetectorReport",
    "EIConv2d",
    "EILinear",
    "Homeostasis",
    "LIFNeuron",
    "LayerStatistics",
    "NonNegativeSGD",
    "PairSTDP",
    "STDPTraces",
    "SpatialPatternDetector",
    "SpikingMLP",
    "all_binary_inputs",
    "detector_report",
    "dsr_rate",
    "ei_current",
    "ei_parameter_groups",
    "hamming",
    "heterosynaptic_depression",
    "layer_statistics",
    "lif",
    "replace_zeros_ste",
    "scale_gradient",
    "spike",
    "spiking_mlp",
    "surrogate_derivative",
    "synaptic_scaling",
    "weighted_rate",
]
