"""Feedback alignment: the error goes down through the feedback weights, everything else is as usual."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pressrun.methods.plasticity import FALinear, feedback_alignment_linear


def test_the_error_goes_down_through_the_feedback_weights() -> None:
    # y = (1, 2) · (3, 4) = 11; dy = 1, so dW = x = (1, 2) and dx = B = (5, 6), not W = (3, 4).
    x, weight = torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[3.0, 4.0]], requires_grad=True)
    y = feedback_alignment_linear(x, weight, torch.tensor([[5.0], [6.0]]))
    y.backward()
    assert y.item() == 11
    assert x.grad is not None
    assert weight.grad is not None
    assert x.grad.tolist() == [[5.0, 6.0]]
    assert weight.grad.tolist() == [[1.0, 2.0]]


def test_with_the_transposed_weights_as_feedback_it_is_backpropagation() -> None:
    torch.manual_seed(0)
    x, weight = (
        torch.randn(3, 4, dtype=torch.float64, requires_grad=True),
        torch.randn(2, 4, dtype=torch.float64, requires_grad=True),
    )
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, b: feedback_alignment_linear(x, weight, weight.detach().T, b), (x, bias))
    assert torch.autograd.gradcheck(lambda w: feedback_alignment_linear(x, w, torch.zeros(4, 2, dtype=torch.float64)), (weight,))


def test_the_layer_learns_while_its_feedback_stays_and_is_saved() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(FALinear(4, 16, bias=True), nn.ELU(), FALinear(16, 2))
    x = torch.randn(64, 4)
    y = (x[:, 0] > 0).long()
    feedback = model[2].feedback.clone()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    assert (model(x).argmax(1) == y).float().mean() > 0.95
    assert torch.equal(model[2].feedback, feedback)
    assert set(model.state_dict()) == {"0.weight", "0.bias", "0.feedback", "2.weight", "2.feedback"}


def test_it_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"x must be \(B, 4\) to fit weight \(2, 4\), got \(3, 5\)"):
        feedback_alignment_linear(torch.ones(3, 5), torch.ones(2, 4), torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"feedback must be \(4, 2\) to fit weight \(2, 4\), got \(2, 4\)"):
        feedback_alignment_linear(torch.ones(3, 4), torch.ones(2, 4), torch.ones(2, 4))


def test_a_trace_takes_the_place_of_the_input_in_the_gradient_of_the_weights_alone() -> None:
    x, weight = torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[3.0, 4.0]], requires_grad=True)
    y = feedback_alignment_linear(x, weight, weight.detach().T, trace=torch.tensor([[0.0, 7.0]]))
    y.backward()
    assert y.item() == 11
    assert x.grad is not None
    assert weight.grad is not None
    assert x.grad.tolist() == [[3.0, 4.0]]
    assert weight.grad.tolist() == [[0.0, 7.0]]
    with pytest.raises(ValueError, match=r"trace must be \(1, 2\) to fit x, got \(2, 1\)"):
        feedback_alignment_linear(x, weight, weight.detach().T, trace=torch.ones(2, 1))
