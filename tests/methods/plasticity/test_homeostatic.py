"""A learning rate at stake: moves worked out by hand, who decides and who is moved, and that imagining changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pressrun.methods.plasticity import HomeostaticLR, RandomLR, moved_rate, virtual_accuracy


def classifier() -> tuple[nn.Linear, dict[str, Tensor], Tensor, Tensor]:
    """One input, two classes, class 1 where x w > 0. The step of size lr takes w = (0, -1) to (0, -1 + lr)."""
    model = nn.Linear(1, 2, bias=False)
    model.weight.data = torch.tensor([[0.0], [-1.0]])
    return model, {"weight": torch.tensor([[0.0], [-1.0]])}, torch.ones(4, 1), torch.ones(4, dtype=torch.int64)


def effect(label: int) -> float:
    return 1.0 if label >= 5 else -1.0


def test_an_accepted_stimulus_moves_the_rate_and_a_negative_rate_becomes_the_floor() -> None:
    rate = torch.tensor([0.3, 0.3, 0.3, 0.05])
    moved = moved_rate(rate, torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.tensor([True, True, False, True]), step=0.1, floor=1e-6)
    torch.testing.assert_close(moved, torch.tensor([0.4, 0.2, 0.3, 1e-6]))


def test_imagining_a_step_leaves_the_model_as_it_is() -> None:
    model, gradients, x, y = classifier()
    assert virtual_accuracy(model, gradients, 0.5, x, y) == 0.0
    assert virtual_accuracy(model, gradients, 1.5, x, y) == 1.0
    assert model.weight.tolist() == [[0.0], [-1.0]]


@pytest.mark.parametrize(
    ("predicted", "true", "accepted", "rate"),
    [
        (7, 8, True, 1.1),  # a higher rate would classify the memory rightly: let in, and the true class raises it
        (7, 2, True, 0.7),  # the same belief, but what was seen inhibits: the price of being wrong
        (2, 8, False, 0.9),  # a lower rate is imagined, which is no better
    ],
)
def test_the_prediction_decides_and_the_truth_moves(predicted: int, true: int, accepted: bool, rate: float) -> None:
    model, gradients, x, y = classifier()
    regulator = HomeostaticLR(torch.optim.SGD(model.parameters(), lr=0.9), effect, step=0.2)
    assert regulator.propose(model, gradients, x, y, predicted=predicted, true=true) is accepted
    assert regulator.lr == pytest.approx(rate)


def test_a_tie_changes_nothing() -> None:
    model, gradients, x, y = classifier()
    regulator = HomeostaticLR(torch.optim.SGD(model.parameters(), lr=2.0), effect, step=0.2)
    assert regulator.propose(model, gradients, x, y, predicted=9, true=9) is False
    assert regulator.lr == 2.0


def test_all_groups_of_the_optimiser_get_the_rate() -> None:
    model, gradients, x, y = classifier()
    other = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([{"params": model.parameters()}, {"params": [other]}], lr=0.9)
    HomeostaticLR(optimiser, effect, step=0.2).propose(model, gradients, x, y, predicted=5, true=5)
    assert [group["lr"] for group in optimiser.param_groups] == [pytest.approx(1.1)] * 2


@pytest.mark.parametrize(("probability", "rate"), [(0.0, 0.5), (1.0, 0.6)])
def test_a_coin_accepts_whatever_is_imagined(probability: float, rate: float) -> None:
    model, gradients, x, y = classifier()
    regulator = RandomLR(torch.optim.SGD(model.parameters(), lr=0.5), effect, step=0.1, probability=probability)
    assert regulator.propose(model, gradients, x, y, predicted=0, true=5) is (probability == 1)
    assert regulator.lr == pytest.approx(rate)


def test_what_does_not_fit_is_said() -> None:
    model, gradients, x, y = classifier()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="step and floor must be positive, got 0 and 1e-08"):
        HomeostaticLR(optimiser, effect, step=0)
    with pytest.raises(ValueError, match=r"probability must lie in \[0, 1\], got 2"):
        RandomLR(optimiser, effect, step=1, probability=2)
    with pytest.raises(ValueError, match=r"rate, effect and accept must have one shape, got \(2,\), \(1,\) and \(2,\)"):
        moved_rate(torch.ones(2), torch.ones(1), torch.ones(2, dtype=torch.bool), step=1)
    with pytest.raises(ValueError, match=r"gradient 'bias' of shape \(2,\) is of no parameter of the model"):
        virtual_accuracy(model, {"bias": torch.ones(2)}, 0.1, x, y)
    with pytest.raises(ValueError, match="the memory must have as many labels as samples and at least one, got 0 and 4"):
        virtual_accuracy(model, gradients, 0.1, x[:0], y)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_runs_on_cuda() -> None:
    model, gradients, x, y = classifier()
    assert virtual_accuracy(model.cuda(), {"weight": gradients["weight"].cuda()}, 1.5, x.cuda(), y.cuda()) == 1.0
