"""Dynamics: what receptors that bind noisily can tell a cell about where it is touched, and small flows with a network that predicts them.

In sensing, angles are radians in (-π, π], concentrations share one arbitrary unit, rates are per unit of
time (on-rates per unit of time and concentration), and arrays over simulated cells have the cells first.
"""

from __future__ import annotations

from .contact import PARAMETERS, ContactEstimate, ContactModel
from .decision import RocCurve, circular_std, error_rate, roc_curve, wrap_angle
from .flows import (
    FlowSurrogate,
    advect,
    blobs,
    enstrophy,
    evolve_vorticity,
    phase_speed,
    rollout,
    shear_layers,
    spectral_share,
)
from .receptor import expected_bindings, receptor_fisher, receptor_fisher_matrix
from .records import BindingRecord, OccupancyRecord

__all__ = [
    "PARAMETERS",
    "BindingRecord",
    "ContactEstimate",
    "ContactModel",
    "FlowSurrogate",
    "OccupancyRecord",
    "RocCurve",
    "advect",
    "blobs",
    "circular_std",
    "enstrophy",
    "error_rate",
    "evolve_vorticity",
    "expected_bindings",
    "phase_speed",
    "receptor_fisher",
    "receptor_fisher_matrix",
    "roc_curve",
    "rollout",
    "shear_layers",
    "spectral_share",
    "wrap_angle",
]
