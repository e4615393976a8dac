"""Learning from what does not stay the same: streams whose labels or inputs shift, and how well a learner keeps up.

Shapes: samples first, (N, ...), images (B, C, H, W); streams count updates from 0.
"""

from __future__ import annotations

from .corruptions import CORRUPTIONS, corrupt
from .streams import ConceptShiftStream, Shifted, label_swaps, recovery_times

__all__ = ["CORRUPTIONS", "ConceptShiftStream", "Shifted", "corrupt", "label_swaps", "recovery_times"]
