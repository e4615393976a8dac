"""The reservoir: two neurons by hand, one result whatever the path, traces and their reliability."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import Tensor

from pressrun.methods.spiking import (
    IzhikevichPopulation,
    SpikingReservoir,
    TemporalCue,
    exponential_trace,
    trace_reliability,
)
from pressrun.methods.spiking.izhikevich import _kernel

# In the package, the function of the same name hides the module.
MODULE = sys.modules["pressrun.methods.spiking.izhikevich"]


def reservoir(n: int = 60, seed: int = 0, **options: float) -> SpikingReservoir:
    generator = torch.Generator().manual_seed(seed)
    return SpikingReservoir(IzhikevichPopulation(n, generator=generator), generator=generator, **options)


def noise(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_spike_reaches_others_one_step_later_and_fades(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(MODULE, "_kernel", lambda: None)
    network = reservoir(2, noise=0.0, bias=(0.0, 0.0))
    network.outgoing.copy_(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))  # from the first neuron to the second
    x = torch.zeros(3, 1, 2)
    x[0, 0, 0] = 1000.0
    spikes, state = network.run(x)
    assert spikes[:, 0, 0].tolist() == [1, 0, 0]
    assert spikes[:, 0, 1].tolist() == [0, 0, 0]
    assert state.current[0].tolist() == [0, pytest.approx(2 * math.exp(-2 / 10))]
    # In the step after the spike the second neuron is at -65 - 6.5 and what 2 more units of current give.
    alone = reservoir(2, noise=0.0, bias=(0.0, 0.0)).run(torch.zeros(2, 1, 2))[1]
    after = network.run(x[:2])[1]
    assert after.v[0, 1] - alone.v[0, 1] > 1


@pytest.mark.parametrize("trials", [1, 3])
def test_the_compiled_loop_gives_the_bits_of_the_plain_one(trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if _kernel() is None:
        pytest.skip("numba is not installed")
    network, x = reservoir(), TemporalCue(60, generator=noise(2))(300, at=20).expand(300, trials, 60)
    compiled = network.run(x, generator=noise())
    monkeypatch.setattr(MODULE, "_kernel", lambda: None)
    plain = network.run(x, generator=noise())
    assert compiled[0].sum() > 100
    assert torch.equal(compiled[0], plain[0])
    assert all(torch.equal(a, b) for a, b in zip(compiled[1], plain[1], strict=True))


def test_step_by_step_and_in_pieces_it_gives_the_whole_sequence() -> None:
    network, x = reservoir(), TemporalCue(60, generator=noise(2))(100).expand(100, 2, 60)
    whole = network(x, noise())
    generator, state, spikes = noise(), None, []
    for current in x:
        spiked, state = network.step(current, state, generator)
        spikes.append(spiked)
    assert torch.equal(torch.stack(spikes), whole)
    generator = noise()
    first, state = network.run(x[:41], generator=generator)
    kept = [each.clone() for each in state]
    assert torch.equal(torch.cat([first, network.run(x[41:], state, generator)[0]]), whole)
    assert all(torch.equal(a, b) for a, b in zip(kept, state, strict=True))


def test_a_trial_does_not_depend_on_the_trials_beside_it() -> None:
    network = reservoir(noise=0.0)
    x = 10 * torch.rand(80, 3, 60, generator=noise())
    assert torch.equal(network(x)[:, 1:2], network(x[:, 1:2]))


def test_weights_have_the_signs_and_the_density_asked_for_and_add_exactly() -> None:
    network = reservoir(400)
    excitatory = network.population.is_excitatory
    assert (network.weight[:, excitatory] >= 0).all()
    assert (network.weight[:, ~excitatory] <= 0).all()
    assert network.weight.diagonal().eq(0).all()
    assert network.weight.ne(0).double().mean().item() == pytest.approx(0.1, abs=0.005)
    assert network.weight.max().item() == pytest.approx(3 / math.sqrt(40), rel=0.01)
    assert network.weight.min().item() == pytest.approx(-12 / math.sqrt(40), rel=0.01)
    exact = network.weight.double().sum(1).float()
    for order in (torch.randperm(400, generator=noise(seed)) for seed in range(5)):
        assert torch.equal(network.weight[:, order].sum(1), exact)


def test_it_keeps_the_time_since_a_spread_cue_and_not_as_well_since_a_common_one() -> None:
    network = reservoir(200)
    spread = TemporalCue(200, generator=noise(2))
    common = TemporalCue(200, onset=(0.0, 0.0), decay=(40.0, 40.0), generator=noise(2))
    reliability = [
        trace_reliability(exponential_trace(network(cue(350).expand(350, 8, 200), noise()), 30.0))[300].item()
        for cue in (spread, common)
    ]
    assert reliability[0] > reliability[1] + 0.05
    assert reliability[0] > 0.5


def test_a_cue_starts_at_each_neurons_onset_and_decays_with_its_constant() -> None:
    cue = TemporalCue(1, reached=1.0, onset=(5.0, 5.0), decay=(10.0, 10.0))
    cue.amplitude.fill_(2.0)
    current = cue(30, at=3)[:, 0, 0]
    assert current[:8].tolist() == [0.0] * 8
    assert current[[8, 18, 28]].tolist() == pytest.approx([2, 2 / math.e, 2 / math.e**2])


def test_a_cue_reaches_the_share_asked_for_with_the_mean_asked_for() -> None:
    cue = TemporalCue(4000, amplitude=6.0, generator=noise())
    reached = cue.amplitude > 0
    assert reached.double().mean().item() == pytest.approx(0.8, abs=0.03)
    assert cue.amplitude[reached].mean().item() == pytest.approx(6, abs=0.3)
    # Log-uniform: as many below the geometric mean as above.
    assert (cue.decay < math.sqrt(30 * 500)).double().mean().item() == pytest.approx(0.5, abs=0.03)


def test_a_trace_is_the_one_worked_out_by_hand() -> None:
    # With tau = 1 / ln 2 a trace is halved in a step: 4 / 2 + 1, 3 / 2 + 0, 1.5 / 2 + 1.
    tau = 1 / math.log(2)
    traces = exponential_trace(torch.tensor([1.0, 0.0, 1.0]), tau, start=torch.tensor(4.0))
    assert traces.tolist() == pytest.approx([3, 1.5, 1.75])
    assert exponential_trace(torch.tensor([[1.0]]), tau, scale=0.3).tolist() == [[pytest.approx(0.3)]]


def test_a_trace_in_pieces_is_the_trace_of_the_whole() -> None:
    events = torch.rand(20, 2, 3, generator=noise())
    first = exponential_trace(events[:7], 5.0)
    whole = torch.cat([first, exponential_trace(events[7:], 5.0, start=first[-1])])
    assert torch.equal(whole, exponential_trace(events, 5.0))


def test_reliability_is_one_for_equal_trials_and_one_over_b_for_unrelated_ones() -> None:
    trial = torch.rand(5, 1, 7)
    torch.testing.assert_close(trace_reliability(trial.expand(5, 4, 7)), torch.ones(5))
    assert trace_reliability(torch.eye(4)[None]).tolist() == [pytest.approx(0.25)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_spikes_of_the_cpu() -> None:
    network, x = reservoir(noise=0.0), TemporalCue(60, generator=noise(2))(200).expand(200, 3, 60)
    on_cpu = network(x)
    assert torch.equal(network.cuda()(x.cuda()).cpu(), on_cpu)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: reservoir(connection_probability=0.0), "connection_probability must be above 0 and at most 1, got 0.0"),
        (lambda: reservoir(tau_synapse=0.0), "tau_synapse must be positive, got 0.0"),
        (lambda: reservoir(noise=-1.0), "noise must be at least 0, got -1.0"),
        (
            lambda: reservoir(4)(torch.zeros(3, 1, 5)),
            r"x must be \(T, B, 4\) of torch.float32 to fit the reservoir, got \(3, 1, 5\) of torch.float32",
        ),
        (lambda: TemporalCue(3, reached=2.0), "reached must be between 0 and 1, got 2.0"),
        (lambda: TemporalCue(3, onset=(2.0, 1.0)), r"onset must be a range that rises from at least 0 ms, got \(2.0, 1.0\)"),
        (lambda: TemporalCue(3, decay=(0.0, 1.0)), r"decay must be a range that rises from above 0 ms, got \(0.0, 1.0\)"),
        (lambda: exponential_trace(torch.zeros(3), 0.0), "tau must be positive, got 0.0"),
        (lambda: exponential_trace(torch.zeros(0, 2), 1.0), r"events must be \(T, \.\.\.\) with at least one step, got \(0, 2\)"),
        (
            lambda: exponential_trace(torch.zeros(3, 2), 1.0, start=torch.zeros(3)),
            r"start must be \(2,\) to fit events \(3, 2\), got \(3,\)",
        ),
        (lambda: trace_reliability(torch.zeros(3, 1, 2)), r"traces must be \(T, B, N\) with at least 2 trials, got \(3, 1, 2\)"),
    ],
)
def test_it_refuses_what_does_not_fit(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()


def test_nothing_connected_is_a_population_by_itself() -> None:
    network = reservoir(gain=0.0, noise=0.0, bias=(0.0, 0.0))
    x: Tensor = 12 * torch.rand(60, 2, 60, generator=noise())
    assert torch.equal(network(x), network.population(x))
