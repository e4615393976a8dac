"""Learning tasks one after another: how much is kept, streams of tasks, and rules that keep old tasks.

Shapes: batches first, (B, ...). An accuracy matrix A is (tasks, tasks): A[i, j] is the accuracy on task j after learning task i.
"""

from __future__ import annotations

from .ewc import EWC
from .measures import accuracies, accuracy_matrix, average_accuracy, backward_transfer, forward_transfer, learning_accuracy
from .permuted import PermutedPixels
from .subspace import Subspace, orthonormal_rows, principal_rows

__all__ = [
    "EWC",
    "PermutedPixels",
    "Subspace",
    "accuracies",
    "accuracy_matrix",
    "average_accuracy",
    "backward_transfer",
    "forward_transfer",
    "learning_accuracy",
    "orthonormal_rows",
    "principal_rows",
]
