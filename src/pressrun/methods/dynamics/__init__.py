"""Dynamics of sensing: what receptors that bind noisily can tell a cell about where it is touched.

One convention for all of the room: angles are radians in (-π, π], concentrations share one arbitrary unit, rates are per unit of
time (on-rates per unit of time and concentration), and arrays over simulated cells have the cells first.
"""

from __future__ import annotations

from .contact import PARAMETERS, ContactEstimate, ContactModel
from .decision import RocCurve, circular_std, error_rate, roc_curve, wrap_angle
from .receptor import expected_bindings, receptor_fisher, receptor_fisher_matrix
from .records import BindingRecord, OccupancyRecord

__all__ = [
    "PARAMETERS",
    "BindingRecord",
    "ContactEstimate",
    "ContactModel",
    "OccupancyRecord",
    "RocCurve",
    "circular_std",
    "error_rate",
    "expected_bindings",
    "receptor_fisher",
    "receptor_fisher_matrix",
    "roc_curve",
    "wrap_angle",
]
