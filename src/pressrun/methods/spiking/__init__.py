"""Spiking networks: leaky, adaptive and Izhikevich neurons, surrogate gradients, excitatory-inhibitory layers, training on rates,
spike-timing-dependent plasticity, reservoirs, and exchange with other tools.

One convention for all of the room: time first, then the batch, then the rest, (T, B, ...). A static input has no time
axis, (B, ...), and is shown for T steps. Nothing keeps a state between calls: a sequence starts from rest unless the
membrane potential is handed in, and whoever goes step by step carries it along; read-outs keep the weights that they
learn. Potentials, thresholds and currents share one arbitrary unit and time is counted in steps, but for Izhikevich
neurons, which know mV and ms.
"""

from __future__ import annotations

from .alif import ALIFNeuron, alif
from .dsr import DSRNetwork, DSRNeuron, dsr_rate, weighted_rate
from .ei import EIConv2d, EILinear, NonNegativeSGD, ei_current, ei_parameter_groups, replace_zeros_ste, scale_gradient
from .exchange import Gain, SpikingSequential, events_to_spikes, from_nir, spikes_to_events, to_nir
from .homeostasis import Homeostasis, heterosynaptic_depression, synaptic_scaling
from .izhikevich import IZHIKEVICH, IzhikevichNeuron, IzhikevichPopulation, IzhikevichState, izhikevich
from .lif import LIFNeuron, lif
from .networks import LayerStatistics, SpikingMLP, layer_statistics, spiking_mlp
from .prediction_objects import PredictionObjectTask, PredictionTrials, TaskChange, event_targets, principal_angles
from .reservoir import ReservoirState, SpikingReservoir, TemporalCue, exponential_trace, trace_reliability
from .spatial_patterns import DetectorReport, SpatialPatternDetector, all_binary_inputs, detector_report, hamming
from .stdp import PairSTDP, STDPTraces
from .surrogate import SURROGATES, spike, surrogate_derivative
from .three_factor import RLSReadout, ThreeFactorReadout, three_factor_update

__all__ = [
    "IZHIKEVICH",
    "SURROGATES",
    "ALIFNeuron",
    "DSRNetwork",
    "DSRNeuron",
    "DetectorReport",
    "EIConv2d",
    "EILinear",
    "Gain",
    "Homeostasis",
    "IzhikevichNeuron",
    "IzhikevichPopulation",
    "IzhikevichState",
    "LIFNeuron",
    "LayerStatistics",
    "NonNegativeSGD",
    "PairSTDP",
    "PredictionObjectTask",
    "PredictionTrials",
    "RLSReadout",
    "ReservoirState",
    "STDPTraces",
    "SpatialPatternDetector",
    "SpikingMLP",
    "SpikingReservoir",
    "SpikingSequential",
    "TaskChange",
    "TemporalCue",
    "ThreeFactorReadout",
    "alif",
    "all_binary_inputs",
    "detector_report",
    "dsr_rate",
    "ei_current",
    "ei_parameter_groups",
    "event_targets",
    "events_to_spikes",
    "exponential_trace",
    "from_nir",
    "hamming",
    "heterosynaptic_depression",
    "izhikevich",
    "layer_statistics",
    "lif",
    "principal_angles",
    "replace_zeros_ste",
    "scale_gradient",
    "spike",
    "spikes_to_events",
    "spiking_mlp",
    "surrogate_derivative",
    "synaptic_scaling",
    "three_factor_update",
    "to_nir",
    "trace_reliability",
    "weighted_rate",
]
