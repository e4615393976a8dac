"""Learning from what does not stay the same: tasks one after another, labels and images that shift, and how much is kept.

Shapes: batches first, (B, ...), images (B, C, H, W); streams count updates and tasks from 0. An accuracy matrix A is (tasks, tasks):
A[i, j] is the accuracy on task j after learning task i.
"""

from __future__ import annotations

from .corruptions import CORRUPTIONS, corrupt
from .ewc import EWC
from .measures import accuracies, accuracy_matrix, average_accuracy, backward_transfer, forward_transfer, learning_accuracy
from .permuted import PermutedPixels
from .streams import ConceptShiftStream, Shifted, label_swaps, recovery_times
from .subspace import Subspace, orthonormal_rows, principal_rows

__all__ = [
    "CORRUPTIONS",
    "EWC",
    "ConceptShiftStream",
    "PermutedPixels",
    "Shifted",
    "Subspace",
    "accuracies",
    "accuracy_matrix",
    "average_accuracy",
    "backward_transfer",
    "corrupt",
    "forward_transfer",
    "label_swaps",
    "learning_accuracy",
    "orthonormal_rows",
    "principal_rows",
    "recovery_times",
]
