"""Measures of an accuracy matrix by hand, and the matrix itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pressrun.methods.continual import (
    accuracies,
    accuracy_matrix,
    average_accuracy,
    backward_transfer,
    forward_transfer,
    learning_accuracy,
)

A = torch.tensor([[0.9, 0.2, 0.1], [0.5, 0.8, 0.3], [0.4, 0.6, 0.7]])


def test_the_measures_are_those_worked_out_by_hand() -> None:
    assert average_accuracy(A) == pytest.approx((0.4 + 0.6 + 0.7) / 3)
    assert backward_transfer(A) == pytest.approx(((0.4 - 0.9) + (0.6 - 0.8)) / 2)
    assert forward_transfer(A, torch.full((3,), 0.1)) == pytest.approx(((0.2 - 0.1) + (0.3 - 0.1)) / 2)
    assert learning_accuracy(A) == pytest.approx((0.8 + 0.7) / 2)


def test_a_network_that_never_changes_forgets_nothing_and_learns_nothing() -> None:
    matrix = torch.tensor([0.9, 0.1, 0.1]).expand(3, 3)
    assert backward_transfer(matrix) == 0
    assert learning_accuracy(matrix) == pytest.approx(0.1)


class Constant(nn.Module):
    """Says one class, whatever it sees."""

    says = 0

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        return torch.eye(3)[self.says].expand(len(x), 3)


def test_the_matrix_tries_all_tasks_after_each() -> None:
    # Learning task i makes the model say i; task j has labels j in three of four samples, and 2 in the last.
    model = Constant().train()
    tests = [(torch.zeros(4, 1), torch.tensor([j, j, j, 2])) for j in range(2)]

    def learn(task: int) -> None:
        model.says = task

    assert accuracy_matrix(model, tests, learn).tolist() == [[0.75, 0.0], [0.0, 0.75]]
    model.says = 2
    assert accuracies(model, tests).tolist() == [0.25, 0.25]
    assert model.training


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: average_accuracy(torch.ones(2, 3)), r"matrix must be \(tasks, tasks\) with 1 tasks or more, got \(2, 3\)"),
        (lambda: backward_transfer(torch.ones(1, 1)), r"matrix must be \(tasks, tasks\) with 2 tasks or more, got \(1, 1\)"),
        (lambda: learning_accuracy(torch.ones(3)), r"matrix must be \(tasks, tasks\) with 2 tasks or more, got \(3,\)"),
        (lambda: forward_transfer(A, torch.ones(2)), r"untrained must be \(3,\) to fit the matrix \(3, 3\), got \(2,\)"),
        (lambda: accuracies(nn.Identity(), []), r"tests must be one or more tasks with samples, got sizes \[\]"),
        (
            lambda: accuracies(nn.Identity(), [(torch.ones(0, 2), torch.ones(0))]),
            r"tests must be one or more tasks with samples, got sizes \[0\]",
        ),
    ],
)
def test_it_refuses_what_does_not_fit(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
