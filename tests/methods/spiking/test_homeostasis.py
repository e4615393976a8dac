"""Homeostasis: vectors worked out by hand, what stays as it is, bad input."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pressrun.methods.spiking import Homeostasis, heterosynaptic_depression, synaptic_scaling


def test_silent_inputs_lose_what_the_most_potentiated_one_gained() -> None:
    # Gains of (1, 3, 0): the third input, silent, loses half of 3.
    weight, change = torch.tensor([[1.0, 3.0, 0.5]]), torch.tensor([[1.0, 3.0, 0.0]])
    silent = torch.tensor([False, False, True])
    assert heterosynaptic_depression(weight, change, silent, 0.5).tolist() == [[1.0, 3.0, -1.0]]


def test_each_neuron_is_depressed_by_its_own_gain_and_by_no_loss() -> None:
    change = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    assert heterosynaptic_depression(change, change, torch.tensor([False, True])).tolist() == [[2.0, -2.0], [-2.0, 0.0]]


def test_scaling_gives_each_neuron_its_total_and_keeps_the_ratios() -> None:
    scaled = synaptic_scaling(torch.tensor([[1.0, -3.0], [0.0, 0.0], [0.1, 0.1]]), 2.0)
    torch.testing.assert_close(scaled, torch.tensor([[0.5, -1.5], [0.0, 0.0], [1.0, 1.0]]))


def test_depression_comes_before_scaling() -> None:
    # (2, 0) becomes (2, -2), and then sums to 1.
    change = torch.tensor([[2.0, 0.0]])
    kept = Homeostasis(total=1.0).weights(change, change, torch.tensor([False, True]))
    torch.testing.assert_close(kept, torch.tensor([[0.5, -0.5]]))


@pytest.mark.parametrize(("responses", "threshold"), [([4.0, 2.0], 1.6), ([0.0, 5.0], 0.0), ([-2.0, 5.0], -2.4)])
def test_the_threshold_lies_below_the_smallest_response(responses: list[float], threshold: float) -> None:
    # By a fifth of its size: 2 - .4, 0, -2 - .4.
    found = Homeostasis(factor=0.8).threshold(torch.tensor(responses), torch.tensor(1.0))
    assert found.item() == pytest.approx(threshold)


def test_what_is_turned_off_does_nothing() -> None:
    off, change = Homeostasis(depression=0.0, total=None, factor=None), torch.tensor([[2.0, 0.0]])
    assert torch.equal(off.weights(change, change, torch.tensor([False, True])), change)
    assert off.threshold(torch.tensor([4.0]), torch.tensor(1.0)).item() == 1.0
    assert Homeostasis().threshold(torch.zeros(0), torch.tensor(1.0)).item() == 1.0


def test_no_argument_is_changed() -> None:
    weight, change = torch.ones(2, 3), torch.ones(2, 3)
    Homeostasis(total=1.0).weights(weight, change, torch.tensor([False, True, True]))
    assert torch.equal(weight, torch.ones(2, 3))
    assert torch.equal(change, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: heterosynaptic_depression(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2).bool()),
            r"weight and change must be \(n_post, n_pre\) and silent \(n_pre,\) or \(n_post, n_pre\), got \(2, 3\), \(2, 3\) and \(2,\)",
        ),
        (
            lambda: heterosynaptic_depression(torch.ones(2, 3), torch.ones(2, 3), torch.ones(3).bool(), -1.0),
            "strength must be 0 or more, got -1.0",
        ),
        (lambda: synaptic_scaling(torch.ones(3), 1.0), r"weight must be \(n_post, n_pre\), got \(3,\)"),
        (lambda: synaptic_scaling(torch.ones(2, 3), 0.0), "total must be positive and finite, got 0.0"),
        (lambda: Homeostasis(depression=-0.1), "depression must be 0 or more and finite, got -0.1"),
        (lambda: Homeostasis(total=-1.0), "total must be positive and finite, got -1.0"),
        (lambda: Homeostasis(factor=1.5), "factor must be above 0 and at most 1, got 1.5"),
    ],
)
def test_it_refuses_what_it_cannot_use(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
