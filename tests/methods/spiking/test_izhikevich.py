"""Izhikevich neurons: vectors worked out by hand, the firing patterns of the presets, one result on every path."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from pressrun.methods.spiking import IZHIKEVICH, IzhikevichNeuron, IzhikevichPopulation, IzhikevichState, izhikevich
from pressrun.methods.spiking.izhikevich import _kernel

# In the package, the function of the same name hides the module.
MODULE = sys.modules["pressrun.methods.spiking.izhikevich"]


def intervals(preset: str, current: float, steps: int = 1000) -> Tensor:
    """Milliseconds between the spikes of one neuron under a constant current."""
    return IzhikevichNeuron(preset)(torch.full((steps, 1, 1), current))[:, 0, 0].nonzero()[:, 0].diff()


@pytest.fixture(params=["compiled", "plain"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(MODULE, "_kernel", lambda: None)
    elif _kernel() is None:
        pytest.skip("numba is not installed")
    return str(request.param)


@pytest.mark.usefixtures("path")
def test_a_silent_step_is_the_one_worked_out_by_hand() -> None:
    # From v = -65, u = -13 with I = 10: half steps of 7 and 6.79 mV/ms give -61.5 and -58.105; u moves by .02 (-11.621 + 13).
    spikes, (v, u) = izhikevich(torch.full((1, 1, 1), 10.0))
    assert spikes.item() == 0
    assert v.item() == pytest.approx(-58.105)
    assert u.item() == pytest.approx(-12.97242)


@pytest.mark.usefixtures("path")
def test_a_spike_is_the_one_worked_out_by_hand() -> None:
    # 29 + 318.64 / 2 = 188.32, capped at 40; 40 + 404 / 2 = 242; u = .02 * .2 * 242 = .968. Then v = c, u + d.
    spikes, (v, u) = izhikevich(torch.zeros(1, 1, 1), IzhikevichState(torch.full((1, 1), 29.0), torch.zeros(1, 1)))
    assert spikes.item() == 1
    assert v.item() == -65
    assert u.item() == pytest.approx(8.968)


@pytest.mark.usefixtures("path")
def test_a_shorter_step_takes_shorter_half_steps() -> None:
    # dt = .5: quarter steps of 7 and 6.895 mV/ms (at -63.25: .04 * 4000.5625 - 316.25 + 163 = 6.7725), u by .01 (.2 v + 13).
    _, (v, u) = izhikevich(torch.full((1, 1, 1), 10.0), dt=0.5)
    assert v.item() == pytest.approx(-65 + 7 / 4 + 6.7725 / 4)
    assert u.item() == pytest.approx(-13 + 0.01 * (0.2 * v.item() + 13))


def test_the_presets_fire_as_their_cells_do() -> None:
    regular, fast, chattering, bursting, low = (intervals(name, 10.0).double() for name in ("RS", "FS", "CH", "IB", "LTS"))
    assert regular[0] < regular[2:].mean()  # adapts
    assert fast[2:].std() < 2  # does not
    assert fast.mean() < regular.mean() / 2
    assert chattering.min() <= 5  # bursts of spikes a few milliseconds apart, and pauses between them
    assert chattering.max() >= 20
    assert bursting[0] < 0.5 * bursting[3:].min()  # one burst, then single spikes
    assert low.mean() < regular.mean()
    assert len(intervals("RS", 0.0)) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_compiled_loop_gives_the_bits_of_the_plain_one(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    if _kernel() is None:
        pytest.skip("numba is not installed")
    torch.manual_seed(0)
    neurons = IzhikevichPopulation(37).to(dtype)
    x = 10 * torch.randn(200, 2, 3, 37, dtype=dtype) + 5
    start = IzhikevichState(-65 + torch.rand(2, 3, 37, dtype=dtype), torch.rand(2, 3, 37, dtype=dtype))
    compiled = neurons._run(x, start)
    monkeypatch.setattr(MODULE, "_kernel", lambda: None)
    plain = neurons._run(x, start)
    assert compiled[0].sum() > 100
    assert torch.equal(compiled[0], plain[0])
    assert torch.equal(compiled[1].v, plain[1].v)
    assert torch.equal(compiled[1].u, plain[1].u)


@pytest.mark.usefixtures("path")
def test_step_by_step_and_in_pieces_it_gives_the_whole_sequence() -> None:
    torch.manual_seed(0)
    neurons, x = IzhikevichPopulation(20), 15 * torch.rand(60, 4, 20)
    whole, last = neurons(x), None
    spikes = []
    for current in x:
        spiked, last = neurons.step(current, last)
        spikes.append(spiked)
    assert torch.equal(torch.stack(spikes), whole)
    constants = {name: getattr(neurons, name) for name in "abcd"}
    first, state = izhikevich(x[:23], **constants)
    assert torch.equal(torch.cat([first, izhikevich(x[23:], state, **constants)[0]]), whole)


@pytest.mark.usefixtures("path")
def test_it_changes_neither_its_input_nor_the_state_it_is_given() -> None:
    x, state = torch.full((5, 1, 2), 20.0), IzhikevichState(torch.full((1, 2), -60.0), torch.zeros(1, 2))
    izhikevich(x, state)
    assert x.eq(20).all()
    assert state.v.tolist() == [[-60, -60]]
    assert state.u.tolist() == [[0, 0]]


@pytest.mark.usefixtures("path")
def test_no_current_makes_it_overflow() -> None:
    _, state = izhikevich(torch.full((100, 1, 1), 1e4))
    assert all(torch.isfinite(each).all() for each in state)


def test_below_the_threshold_gradients_are_those_of_the_equations() -> None:
    torch.manual_seed(0)
    x = torch.rand(6, 1, 3, dtype=torch.float64, requires_grad=True)
    a = torch.full((3,), 0.02, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, a: tuple(izhikevich(x, a=a)[1]), (x, a))


def test_a_current_that_is_too_weak_learns_to_make_the_neuron_spike() -> None:
    current = torch.tensor([3.0], requires_grad=True)
    assert izhikevich(current.expand(100, 1, 1))[0].sum() == 0
    for _ in range(50):
        spikes, _ = izhikevich(current.expand(100, 1, 1))
        (gradient,) = torch.autograd.grad(-spikes.sum(), current)
        current.data -= 0.2 * gradient.sign()
    assert izhikevich(current.expand(100, 1, 1))[0].sum() >= 2


def test_a_population_lies_between_its_extremes() -> None:
    population = IzhikevichPopulation(1000, generator=torch.Generator().manual_seed(0))
    excitatory = population.is_excitatory
    assert excitatory.sum() == 800
    assert excitatory[:800].all()
    assert population.a[~excitatory].min() >= 0.02
    assert population.a[~excitatory].max() <= 0.1
    # The mean of r² is 1/3: c = -60, d = 6.
    assert population.c[excitatory].mean().item() == pytest.approx(-60, abs=0.5)
    assert population.d[excitatory].mean().item() == pytest.approx(6, abs=0.25)
    # The same r for c and d of a neuron.
    torch.testing.assert_close((population.c + 65)[excitatory] / 15, (8 - population.d)[excitatory] / 6)


def test_without_heterogeneity_all_neurons_of_a_kind_are_alike() -> None:
    population = IzhikevichPopulation(10, heterogeneity=0.0)
    assert population.c.tolist() == [-61.25] * 8 + [-65] * 2
    assert len(population.a[8:].unique()) == 1
    assert len(population) == 10


def test_the_constants_are_saved_and_move_with_the_module() -> None:
    neurons = IzhikevichNeuron("FS").double()
    assert set(neurons.state_dict()) == {"a", "b", "c", "d"}
    assert neurons(torch.zeros(2, 1, 3, dtype=torch.float64)).dtype == torch.float64
    assert IZHIKEVICH["FS"] == pytest.approx(tuple(getattr(neurons, name).item() for name in "abcd"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_spikes_of_the_cpu() -> None:
    torch.manual_seed(0)
    neurons, x = IzhikevichPopulation(50), 15 * torch.rand(100, 4, 50)
    assert torch.equal(neurons.cuda()(x.cuda()).cpu(), neurons.cpu()(x))


def test_it_refuses_what_does_not_fit() -> None:
    x = torch.zeros(3, 2, 4)
    with pytest.raises(
        ValueError, match=r"x must be floats of shape \(T, \.\.\., N\) with at least one step, got \(4,\) of torch.int64"
    ):
        izhikevich(torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"the state must be \(2, 4\) to fit x \(3, 2, 4\), got \(2, 5\)"):
        izhikevich(x, IzhikevichState(torch.zeros(2, 5), torch.zeros(2, 5)))
    with pytest.raises(ValueError, match=r"a must be a number or \(4,\) to fit x \(3, 2, 4\), got \(3,\)"):
        izhikevich(x, a=torch.ones(3))
    with pytest.raises(ValueError, match="dt must be above 0 and at most 1 ms, got 2"):
        izhikevich(x, dt=2)
    with pytest.raises(ValueError, match="preset must be one of RS, IB, CH, FS, LTS, got 'TC'"):
        IzhikevichNeuron("TC")
    with pytest.raises(ValueError, match="a population needs at least 1 neuron, got 0"):
        IzhikevichPopulation(0)
    with pytest.raises(ValueError, match=r"excitatory must be between 0 and 1, got 1\.5"):
        IzhikevichPopulation(10, excitatory=1.5)
