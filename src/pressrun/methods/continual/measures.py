"""What is left of old tasks, what they give to new ones, and whether new ones are still learnt.

D. Lopez-Paz, M. Ranzato, "Gradient episodic memory for continual learning", NeurIPS 2017, section 2: with N tasks and A[i, j] the
accuracy on task j after learning task i (both from 0),

    ACC = mean_j A[N-1, j]      BWT = mean_(j < N-1) (A[N-1, j] - A[j, j])      FWT = mean_(j > 0) (A[j-1, j] - b[j])

where b[j] is the accuracy on task j before anything is learnt. A network that never changes has a BWT of 0, so BWT says little
without mean_(j > 0) A[j, j], the accuracy with which the later tasks were learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["accuracies", "accuracy_matrix", "average_accuracy", "backward_transfer", "forward_transfer", "learning_accuracy"]


@torch.no_grad()
def accuracies(model: nn.Module, tests: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The accuracy on every task, (tasks,), in float64: a row of A. The model is in eval mode meanwhile.

    Args:
        model: (B, ...) inputs to (B, classes) logits.
        tests: inputs and (B,) classes of each task.

    Raises:
        ValueError: if there is no task, or one without samples.
    """
    if not tests or any(len(y) == 0 for _, y in tests):
        raise ValueError(f"tests must be one or more tasks with samples, got sizes {[len(y) for _, y in tests]}")
    training = model.training
    model.eval()
    row = torch.stack([(model(x).argmax(1) == y).double().mean().cpu() for x, y in tests])
    model.train(training)
    return row


def accuracy_matrix(model: nn.Module, tests: Sequence[tuple[Tensor, Tensor]], learn: Callable[[int], object]) -> Tensor:
    """A, (tasks, tasks) in float64: learns the tasks in turn and tries all of them after each, those to come included.

    Args:
        model, tests: as in `accuracies`.
        learn: trains the model on the task of that number; called with 0, 1, … in this order.
    """
    rows = []
    for task in range(len(tests)):
        learn(task)
        rows.append(accuracies(model, tests))
    return torch.stack(rows)


def average_accuracy(matrix: Tensor) -> float:
    """ACC, over all tasks after the last one.

    Raises:
        ValueError: as all measures, if `matrix` is not square.
    """
    return _square(matrix, 1)[-1].mean().item()


def backward_transfer(matrix: Tensor) -> float:
    """BWT, how the accuracy on old tasks changed since they were learnt; negative where they are forgotten. Needs 2 tasks."""
    return (_square(matrix, 2)[-1] - matrix.diagonal())[:-1].mean().item()


def forward_transfer(matrix: Tensor, untrained: Tensor) -> float:
    """FWT, how much better than at first a task is solved just before it is learnt. Needs 2 tasks.

    Args:
        matrix: A.
        untrained: (tasks,), the accuracies before anything was learnt.
    """
    if untrained.shape != matrix.shape[1:]:
        raise ValueError(
            f"untrained must be ({len(matrix)},) to fit the matrix {tuple(matrix.shape)}, got {tuple(untrained.shape)}"
        )
    return (_square(matrix, 2).diagonal(1) - untrained[1:]).mean().item()


def learning_accuracy(matrix: Tensor) -> float:
    """mean_(j > 0) A[j, j], how well the tasks after the first were learnt at all. Needs 2 tasks."""
    return _square(matrix, 2).diagonal()[1:].mean().item()


def _square(matrix: Tensor, tasks: int) -> Tensor:
    if matrix.ndim != 2 or len(matrix) != matrix.shape[1] or len(matrix) < tasks:
        raise ValueError(f"matrix must be (tasks, tasks) with {tasks} tasks or more, got {tuple(matrix.shape)}")
    return matrix
