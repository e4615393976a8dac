"""Adaptive neurons: vectors worked out by hand, pieces against the whole, gradients against a plain loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pressrun.methods.spiking import SURROGATES, ALIFNeuron, alif, lif, spike


def plain_loop(
    x: Tensor, v: Tensor, a: Tensor, v_reset: float | None, surrogate: str, detach: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The equations of the module, step by step under autograd: tau 1.7, tau_adaptation 4, beta 0.3, threshold 0.9."""
    rest = 0.0 if v_reset is None else v_reset
    spikes = []
    for current in x.unbind(0):
        h = v + (rest - v) / 1.7 + current
        s = spike(h - 0.9 - 0.3 * a, surrogate)
        reset = s.detach() if detach else s
        v = h - 0.9 * reset if v_reset is None else h * (1 - reset) + v_reset * reset
        a = 0.75 * a + s
        spikes.append(s)
    return torch.stack(spikes), v, a


def test_a_spike_raises_the_threshold_as_worked_out_by_hand() -> None:
    # x = 1.2, tau 1 (no memory), tau_adaptation 2, beta .5: a before each step 0 | 1 | .5 | .25 | 1.125,
    # so the thresholds are 1 | 1.5 | 1.25 | 1.125 | 1.5625 and the neuron spikes at steps 1 and 4.
    spikes, (v, a) = alif(torch.full((5, 1), 1.2), tau=1.0, tau_adaptation=2.0, beta=0.5)
    assert spikes.flatten().tolist() == [1, 0, 0, 1, 0]
    assert v.tolist() == pytest.approx([1.2])
    assert a.tolist() == pytest.approx([0.5625])


def test_the_reset_subtracts_the_resting_threshold_and_not_the_raised_one() -> None:
    # a = 1 raises the threshold to 1.5; h = 1.6 spikes and leaves .6
    _, (v, a) = alif(torch.tensor([[1.6]]), (torch.zeros(1), torch.ones(1)), beta=0.5, tau_adaptation=2.0)
    assert v.tolist() == pytest.approx([0.6])
    assert a.tolist() == pytest.approx([1.5])


def test_a_potential_exactly_at_the_raised_threshold_spikes() -> None:
    assert alif(torch.tensor([[1.5]]), (torch.zeros(1), torch.ones(1)), beta=0.5)[0].tolist() == [[1.0]]


@pytest.mark.parametrize("v_reset", [None, -0.3])
def test_without_adaptation_it_is_lif(v_reset: float | None) -> None:
    torch.manual_seed(0)
    x = (torch.randn(30, 4, 5) + 0.4).requires_grad_()
    plain, last = lif(x, v_reset=v_reset)
    adaptive, (v, _) = alif(x, beta=0.0, v_reset=v_reset)
    assert torch.equal(adaptive, plain)
    assert torch.equal(v, last)
    weight = torch.randn_like(plain)
    torch.testing.assert_close(*(torch.autograd.grad((s * weight).sum(), x)[0] for s in (adaptive, plain)))


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("v_reset", [None, -0.3])
@pytest.mark.parametrize("surrogate", list(SURROGATES))
def test_it_gives_the_spikes_and_gradients_of_the_plain_loop(surrogate: str, v_reset: float | None, detach: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(9, 3, 5, dtype=torch.float64).add_(0.6).requires_grad_()
    v, a = (torch.rand(3, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weights = [torch.randn(shape, dtype=torch.float64) for shape in ((9, 3, 5), (3, 5), (3, 5))]

    def gradients(*results: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(sum((r * w).sum() for r, w in zip(results, weights, strict=True)), (x, v, a))

    constants = {"tau": 1.7, "tau_adaptation": 4.0, "beta": 0.3, "v_threshold": 0.9}
    spikes, state = alif(x, (v, a), **constants, v_reset=v_reset, surrogate=surrogate, detach_reset=detach)
    loop = plain_loop(x, v, a, v_reset, surrogate, detach)
    assert 15 < spikes.sum() < 120
    assert torch.equal(spikes, loop[0])
    torch.testing.assert_close(state, loop[1:])
    for one, other in zip(gradients(spikes, *state), gradients(*loop), strict=True):
        torch.testing.assert_close(one, other)


def test_going_step_by_step_gives_the_spikes_and_gradients_of_the_whole_sequence() -> None:
    torch.manual_seed(1)
    x, neuron, state, steps = (torch.randn(20, 4, 6) + 0.5).requires_grad_(), ALIFNeuron(beta=0.4), None, []
    for current in x:
        spikes, state = neuron.step(current, state)
        steps.append(spikes)
    pieces, whole = torch.stack(steps), neuron(x)
    assert torch.equal(pieces, whole)
    weight = torch.randn_like(whole)
    torch.testing.assert_close(*(torch.autograd.grad((s * weight).sum(), x)[0] for s in (pieces, whole)))


def test_adaptation_lowers_the_rate_of_a_constant_current() -> None:
    x = torch.full((200, 1), 0.8)
    assert alif(x, beta=0.4)[0].sum() < 0.6 * lif(x)[0].sum()


def test_it_leaves_the_state_it_was_given_alone() -> None:
    v, a = torch.full((2,), 0.5), torch.full((2,), 0.5)
    alif(torch.ones(3, 2), (v, a))
    assert v.tolist() == a.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: alif(torch.zeros(4, 2), (torch.zeros(2), torch.zeros(3))),
            r"the adaptation must be \(2,\) to fit x \(4, 2\), got \(3,\)",
        ),
        (lambda: alif(torch.zeros(4, 2), (torch.zeros(3), torch.zeros(2))), r"v must be \(2,\) to fit x \(4, 2\), got \(3,\)"),
        (lambda: alif(torch.zeros(4, 2), tau_adaptation=0.5), "tau_adaptation must be at least 1 step, got 0.5"),
        (lambda: ALIFNeuron(beta=-1.0), "beta must not be negative, got -1.0"),
        (lambda: ALIFNeuron(tau=0.0), "tau must be at least 1 step, got 0.0"),
    ],
)
def test_it_refuses_what_it_cannot_run(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
