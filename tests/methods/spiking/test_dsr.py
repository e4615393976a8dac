"""Rate-coded training of spiking neurons: spikes and rates by hand, what the rate tends to, gradients against autograd's own."""

from __future__ import annotations

from math import exp

import pytest
import torch
from torch import Tensor, nn

from pressrun.methods.spiking import DSRNetwork, DSRNeuron, dsr_rate, weighted_rate


def test_late_steps_count_more_as_worked_out_by_hand() -> None:
    # λ = e^-1: weights λ / (λ + 1) = .2689 and .7311
    assert weighted_rate(torch.tensor([[1.0], [2.0]]), tau=1.0, dt=1.0).item() == pytest.approx(0.26894 + 2 * 0.73106, abs=1e-4)
    assert weighted_rate(torch.full((9, 2, 3), 4.0)).flatten().tolist() == pytest.approx([4.0] * 6)


def test_it_spikes_as_worked_out_by_hand() -> None:
    # λ = 1/2 for dt = tau ln 2. Gain .6931, θ = 1, fires at .5: u = .4852, silent | .2426 + .4852 = .7278, spike, v = -.2722
    # | -.1361 + .4852 = .3491, silent | .1746 + .4852 = .6598, spike. The output is 1 / dt = 1.4427.
    neuron = DSRNeuron(1.0, tau=1.0, dt=0.6931472, alpha=0.5)
    out = neuron.simulate(torch.full((4, 1), 0.7))
    assert out.flatten().tolist() == pytest.approx([0, 1.442695, 0, 1.442695], abs=1e-5)


@pytest.mark.parametrize(("current", "rate"), [(-1.0, 0.0), (0.0, 0.0), (1.5, 1.5), (4.0, 4.0), (9.0, 6.0)])
def test_over_many_short_steps_the_rate_is_the_clipped_mean_current(current: float, rate: float) -> None:
    # tau = 1, so between 0 and θ / dt the rate is the current; θ = .03 and dt = .005 keep the ceiling at 6.
    spikes = DSRNeuron(0.03, dt=0.005).simulate(torch.full((2000, 1), current))
    assert weighted_rate(spikes, dt=0.005).item() == pytest.approx(rate, abs=0.05)


def test_the_rate_is_off_by_no_more_than_what_is_left_in_the_potential() -> None:
    # v ends between (alpha - 1) θ and alpha θ below saturation, and the error is v / (dt sum λ^i).
    x = torch.rand(20, 1000, generator=torch.Generator().manual_seed(0)) * 4
    neuron = DSRNeuron()
    left = 0.3 / (0.05 * sum(exp(-0.05 * i) for i in range(20)))
    error = weighted_rate(neuron.simulate(x)) - weighted_rate(x)
    # Steps are not infinitesimal, so a potential may pass the threshold by one step's input, .05 * 4.
    assert error.max() < 0.7 * left + 1e-4
    assert error.min() > -(0.3 + 0.2 / 0.3) * left


def test_the_gradient_is_that_of_the_clipped_linear_map() -> None:
    mean = torch.tensor([-1.0, 0.5, 3.0, 40.0], dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    rate = dsr_rate(torch.zeros(5, 4, dtype=torch.float64), mean, threshold, tau=2.0)
    clipped = torch.minimum((mean / 2).clamp(min=0), threshold / 0.05)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((each * weight).sum(), (mean, threshold)) for each in (rate, clipped))
    assert rate.tolist() == [0, 0, 0, 0]
    assert ours[0].tolist() == [0, 1, 1.5, 0]
    assert ours[1].item() == pytest.approx(80)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def chain(network: DSRNetwork, x: Tensor) -> Tensor:
    """The same network with a time axis in every layer and its gradient."""
    for each, neuron in zip(network.maps, network.neurons, strict=False):
        x = neuron(each(x))
    return weighted_rate(network.maps[-1](x))


@pytest.mark.parametrize("time_axis", [False, True])
def test_a_network_gives_the_output_and_gradients_of_a_chain_of_maps_and_neurons(time_axis: bool) -> None:
    torch.manual_seed(0)
    maps = [nn.Linear(6, 20), nn.Linear(20, 15, bias=False), nn.Linear(15, 3)]
    network = DSRNetwork(maps, steps=12, time_axis=time_axis, v_threshold=0.03).double()
    maps[1].weight.data *= 5  # so that some of the second layer are saturated
    x = (
        3 * torch.randn(12, 7, 6, dtype=torch.float64) if time_axis else 3 * torch.randn(7, 6, dtype=torch.float64)
    ).requires_grad_()
    shown = x if time_axis else x.expand(12, 7, 6)
    weight, of = torch.randn(7, 3, dtype=torch.float64), [x, *network.parameters()]
    ours, theirs = network(x), chain(network, shown)
    torch.testing.assert_close(ours, theirs)
    gradients = (torch.autograd.grad((y * weight).sum(), of) for y in (ours, theirs))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
        assert one.abs().max() > 0


def test_the_rates_of_a_network_are_those_of_its_spikes() -> None:
    torch.manual_seed(0)
    network, x = DSRNetwork([nn.Linear(4, 9), nn.Linear(9, 2)], steps=10), torch.randn(3, 4)
    shown, hidden, logits = network.trace(x)
    assert torch.equal(shown, x)
    spikes = network.neurons[0].simulate(network.maps[0](x).expand(10, 3, 9))
    torch.testing.assert_close(hidden, weighted_rate(spikes))
    torch.testing.assert_close(logits, network.maps[1](hidden))
    assert torch.equal(network(x), logits)
    with torch.no_grad():
        assert torch.equal(network(x), logits)


def test_convolutions_and_pooling_are_maps_too() -> None:
    torch.manual_seed(0)
    maps = [nn.Conv2d(1, 4, 3), nn.AvgPool2d(2), nn.Sequential(nn.Flatten(), nn.Linear(4 * 9, 2))]
    network = DSRNetwork(maps, steps=6)
    assert network(torch.randn(5, 1, 8, 8)).shape == (5, 2)


def test_it_learns_and_a_threshold_stays_above_its_bound() -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 10)
    y = (x[:, 0] * x[:, 1] > 0).long()
    network = DSRNetwork([nn.Linear(10, 64), nn.Linear(64, 2)], steps=20)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.3)
    for _ in range(150):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimiser.step()
    assert (network(x).argmax(1) == y).float().mean() > 0.9
    network.neurons[0].v_threshold.data.fill_(-1.0)
    assert network.neurons[0].simulate(torch.ones(3, 2)).max().item() == pytest.approx(5e-4 / 0.05)


def test_a_threshold_that_shall_not_learn_does_not() -> None:
    network = DSRNetwork([nn.Linear(2, 3), nn.Linear(3, 2)], train_threshold=False)
    assert not network.neurons[0].v_threshold.requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_it_works_on_cuda() -> None:
    network = DSRNetwork([nn.Linear(4, 9), nn.Linear(9, 2)]).cuda()
    network(torch.randn(3, 4, device="cuda")).sum().backward()
    assert network.maps[0].weight.grad.is_cuda


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weighted_rate(torch.ones(0, 2)), r"x must be \(T, \.\.\.\) with at least one step, got \(0, 2\)"),
        (lambda: weighted_rate(torch.ones(2), tau=0), "tau and dt must be positive, got 0 and 0.05"),
        (
            lambda: dsr_rate(torch.ones(3, 2), torch.ones(3), torch.ones(())),
            r"mean_current must be \(2,\) to fit spikes, got \(3,\)",
        ),
        (lambda: DSRNeuron(dt=0), "all constants must be positive, got v_threshold=0.3, tau=1.0, dt=0, alpha=0.3"),
        (
            lambda: DSRNeuron().simulate(torch.ones(2, 2, dtype=torch.int64)),
            r"current must be floats of shape .* got \(2, 2\) of torch.int64",
        ),
        (lambda: DSRNetwork([]), "maps must not be empty and steps be at least 1, got 0 maps and 20 steps"),
    ],
)
def test_it_refuses_what_it_cannot_run(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
