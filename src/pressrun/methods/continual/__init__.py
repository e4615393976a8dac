"""Learning from what does not stay the same: streams whose labels or inputs shift, and how well a learner keeps up.

Shapes: samples first, (N, ...); streams count updates from 0.
"""

from __future__ import annotations

from .streams import ConceptShiftStream, Shifted, label_swaps, recovery_times

__all__ = ["ConceptShiftStream", "Shifted", "label_swaps", "recovery_times"]
