"""Elastic weight consolidation: Fisher information and penalty by hand, and what it holds."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pressrun.methods.continual import EWC


def two_classes(first: float) -> nn.Linear:
    model = nn.Linear(1, 2, bias=False)
    model.weight.data = torch.tensor([[first], [0.0]])
    return model


def test_the_empirical_fisher_information_is_the_one_worked_out_by_hand() -> None:
    # Equal logits: p = .5, so the gradient of -log p(0 | x) is (-.5 x, .5 x); squares .25 and 1 for x = 1 and 2, mean .625.
    ewc = EWC(two_classes(0.0), strength=1.0)
    (fisher,) = ewc.consolidate(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 0]))
    assert fisher.flatten().tolist() == pytest.approx([0.625, 0.625])


def test_labels_drawn_from_the_model_give_the_fisher_information_proper() -> None:
    # F = p (1 - p) x² for either weight; p = 1 / (1 + e^-1.5) = .8176, so F = .1491. With 4,000 draws, 3 deviations are .009.
    ewc = EWC(two_classes(1.5), strength=1.0)
    (fisher,) = ewc.consolidate(torch.ones(4000, 1), generator=torch.Generator().manual_seed(0))
    assert fisher.flatten().tolist() == pytest.approx([0.1491, 0.1491], abs=0.009)


def test_the_penalty_is_a_quadratic_form_that_adds_up_over_tasks() -> None:
    model = two_classes(0.0)
    ewc = EWC(model, strength=4.0)
    assert ewc.penalty().item() == 0
    ewc.consolidate(torch.tensor([[1.0]]), torch.tensor([0]))  # F = .25 at (0, 0)
    model.weight.data += 2.0
    assert ewc.penalty().item() == pytest.approx(4 / 2 * (0.25 * 4 + 0.25 * 4))
    ewc.consolidate(torch.tensor([[1.0]]), torch.tensor([0]))  # F = .25 at (2, 2), where this term is 0
    assert ewc.penalty().item() == pytest.approx(4.0)
    (gradient,) = torch.autograd.grad(ewc.penalty(), model.weight)
    assert gradient.flatten().tolist() == pytest.approx([4 * 0.25 * 2] * 2)


def test_consolidating_leaves_weights_gradients_and_mode_alone_and_skips_what_is_frozen() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    model[0].weight.requires_grad_(False)
    before = [parameter.clone() for parameter in model.parameters()]
    fisher = EWC(model, 1.0).consolidate(torch.randn(6, 3), samples=2)
    assert len(fisher) == 3
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_a_strong_penalty_keeps_the_old_task_and_none_loses_it() -> None:
    # Task 1 tells classes apart by the first feature, task 2 by the second, with the first one turned round.
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 2, generator=generator)
    tasks = [(x * torch.tensor([1.0, 0.0]), (x[:, 0] > 0).long()), (x * torch.tensor([-1.0, 1.0]), (x[:, 0] > 0).long())]
    kept = {}
    for strength in (0.0, 1000.0):
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
        ewc, optimiser = EWC(model, strength), torch.optim.SGD(model.parameters(), lr=0.01)
        for images, labels in tasks:
            for _ in range(300):
                optimiser.zero_grad()
                (cross_entropy(model(images), labels) + ewc.penalty()).backward()
                optimiser.step()
            ewc.consolidate(images, labels)
        kept[strength] = (model(tasks[0][0]).argmax(1) == tasks[0][1]).float().mean().item()
    assert kept[1000.0] > 0.9
    assert kept[0.0] < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EWC(nn.Linear(1, 2), -1.0), "strength must be 0 or more, got -1.0"),
        (lambda: EWC(nn.Linear(1, 2), 1.0).consolidate(torch.ones(0, 1)), "one or more samples each, got 0 and none"),
        (lambda: EWC(nn.Linear(1, 2), 1.0).consolidate(torch.ones(2, 1), torch.ones(3)), "one or more samples each, got 2 and 3"),
        (
            lambda: EWC(nn.Linear(1, 2), 1.0).consolidate(torch.full((2, 1), torch.inf)),
            "must give finite logits, got some that are not",
        ),
        (lambda: EWC(nn.Linear(1, 2), 1.0).consolidate(torch.ones(2, 1), samples=0), "samples must be at least 1, got 0"),
    ],
)
def test_it_refuses_what_does_not_fit(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
