"""NIR: graphs made by other tools give their spikes here, ours come back as they were; events and trains are one another's inverse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pressrun.methods.spiking import (
    ALIFNeuron,
    Gain,
    LIFNeuron,
    SpikingSequential,
    events_to_spikes,
    from_nir,
    spikes_to_events,
    to_nir,
)

nir = pytest.importorskip("nir")
FIXTURES = Path(__file__).parent / "fixtures"


def neurons(**other: object) -> object:
    """Two of NIR's, as SpikingJelly writes tau = 2.5 steps with an input that is not decayed."""
    given = {"tau": 2.5e-4, "r": 2.5, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **other}
    return nir.LIF(**{name: np.broadcast_to(value, 2).copy() for name, value in given.items()})


def chain(*nodes: object) -> object:
    return nir.NIRGraph.from_list(*nodes)


@pytest.mark.parametrize(("tool", "reset"), [("spikingjelly", "hard"), ("snntorch", "soft")])
def test_a_file_of_another_tool_gives_the_spikes_that_it_gave_there(tool: str, reset: str) -> None:
    """The files were made with SpikingJelly 2.0.0, snnTorch 1.0.0 and nir 1.0.8 by

    torch.manual_seed(0)
    lif = lambda: neuron.LIFNode(tau=2.5, decay_input=True, v_reset=-0.1, v_threshold=0.02, step_mode="m")
    model = torch.nn.Sequential(layer.Conv2d(1, 4, 3, padding=1, step_mode="m"), lif(), layer.Flatten(step_mode="m"),
                                layer.Linear(100, 6, step_mode="m"), lif())
    x = 3 * torch.rand(30, 2, 1, 5, 5)
    functional.reset_net(model)
    spikes = model(x)
    nir.write("spikingjelly.nir", export_to_nir(model, x))
    np.savez_compressed("spikingjelly.npz", x=x.numpy(), spikes=spikes.detach().numpy())

    and, with snntorch.Leaky and snntorch.export_nir.export_to_nir,

    torch.manual_seed(0)
    leaky = lambda n, **k: Leaky(beta=torch.full((n,), 0.8), threshold=torch.ones(n), init_hidden=True, reset_delay=False, **k)
    model = torch.nn.Sequential(torch.nn.Linear(20, 30), leaky(30), torch.nn.Linear(30, 6), leaky(6, output=True))
    x = torch.rand(60, 2, 20)
    nir.write("snntorch.nir", export_to_nir(model, x[0, 0]))
    spikes = torch.stack([model(step)[0] for step in x])
    np.savez_compressed("snntorch.npz", x=x.numpy(), spikes=spikes.detach().numpy())
    """
    recorded = np.load(FIXTURES / f"{tool}.npz")
    model = from_nir(nir.read(FIXTURES / f"{tool}.nir"), reset=reset)
    assert recorded["spikes"].sum() > 10
    assert np.array_equal(model(torch.tensor(recorded["x"])).detach().numpy(), recorded["spikes"])


@pytest.mark.parametrize("decay_input", [True, False])
def test_a_network_of_the_installed_spikingjelly_gives_the_same_spikes_and_goes_back(decay_input: bool, tmp_path: Path) -> None:
    jelly = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import functional, layer, neuron

    torch.manual_seed(1)
    theirs = nn.Sequential()
    for inputs, outputs in ((20, 30), (30, 10)):
        theirs.append(layer.Linear(inputs, outputs, step_mode="m"))
        theirs.append(neuron.LIFNode(tau=2.5, decay_input=decay_input, v_reset=0.0, v_threshold=0.3, step_mode="m"))
    x = torch.rand(40, 5, 20) * 2
    functional.reset_net(theirs)
    expected = theirs(x)
    ours = from_nir(jelly.export_to_nir(theirs, x))
    assert expected.sum() > 50
    assert torch.equal(ours(x), expected)
    nir.write(tmp_path / "ours.nir", to_nir(ours, (20,)))
    assert torch.equal(jelly.import_from_nir(tmp_path / "ours.nir", step_mode="m")(x)[0], expected)


def test_the_constants_are_those_of_an_euler_step() -> None:
    # tau = 5 ms and dt = 1 ms: 5 steps; r dt / tau = 2 / 5
    gain, neuron = from_nir(chain(neurons(tau=5e-3, r=2.0, v_threshold=0.7, v_leak=-0.2, v_reset=-0.2)), dt=1e-3)
    assert isinstance(gain, Gain)
    assert isinstance(neuron, LIFNeuron)
    assert (gain.factor, neuron.tau, neuron.v_threshold, neuron.v_reset) == (0.4, 5.0, 0.7, -0.2)


def test_a_neuron_without_leak_adds_up_its_input() -> None:
    # r dt = 1: the potential is the sum, 0.3 | 0.6 | 0.9 | 1.2 and reset
    (neuron,) = from_nir(chain(nir.IF(np.full(2, 1e4), np.ones(2), np.zeros(2))))
    assert neuron(torch.full((5, 1, 2), 0.3))[:, 0, 0].tolist() == [0, 0, 0, 1, 0]
    assert isinstance(to_nir(SpikingSequential(neuron), (2,)).nodes["0"], nir.IF)


@pytest.mark.parametrize("bias", [True, False])
def test_what_is_written_to_a_file_comes_back_as_it_was(bias: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SpikingSequential(
        nn.Conv2d(2, 4, 3, stride=(1, 2), padding=(1, 0), dilation=1, bias=bias),
        LIFNeuron(3.0, 0.4, 0.0),
        nn.AvgPool2d(2),
        Gain(1.5),
        LIFNeuron(float("inf"), 0.2, -0.1),
        nn.Flatten(),
        nn.Linear(4 * 4, 5, bias=bias),
        LIFNeuron(2.0, 0.1, 0.0),
    )
    x = torch.rand(12, 3, 2, 8, 8)
    nir.write(tmp_path / "model.nir", to_nir(model, (2, 8, 8), dt=1e-3))
    back = from_nir(nir.read(tmp_path / "model.nir"), dt=1e-3)
    assert [type(layer) for layer in back] == [type(layer) for layer in model]
    assert model(x).sum() > 5
    assert torch.equal(back(x), model(x))


def test_a_network_that_was_read_can_be_trained() -> None:
    model = from_nir(chain(nir.Affine(np.ones((2, 3), np.float32), np.zeros(2, np.float32)), neurons()), surrogate="atan")
    model(torch.rand(5, 4, 3)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_layers_see_samples_and_neurons_see_sequences() -> None:
    model = SpikingSequential(nn.Flatten(), nn.Linear(12, 5), LIFNeuron(), ALIFNeuron())
    x = torch.rand(7, 2, 3, 4)
    expected = model[3](model[2](model[1](x.flatten(2))))
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_nir(chain(neurons(v_threshold=[1.0, 2.0]))), "v_threshold goes from 1 to 2, but here a layer has one"),
        (lambda: from_nir(chain(neurons(v_leak=0.5))), "leaks towards 0.5 and is reset to 0, but here the two are one"),
        (lambda: from_nir(chain(neurons()), dt=1e-3), "tau is 0.00025, but it must be at least one step, and dt is 0.001"),
        (
            lambda: from_nir(chain(neurons(v_leak=-1.0, v_reset=-1.0)), reset="soft"),
            "rests at -1, but with a soft reset neurons rest at 0 here",
        ),
        (
            lambda: from_nir(chain(nir.Threshold(np.ones(2)))),
            "node 'threshold' is of type Threshold, which has no counterpart here; "
            "Linear, Affine, Conv2d, AvgPool2d, Flatten, LIF and IF have",
        ),
        (lambda: from_nir(chain(neurons()), reset="none"), "reset must be 'hard' or 'soft', got 'none'"),
        (lambda: from_nir(chain(neurons()), dt=0.0), "dt must be positive, got 0.0"),
        (
            lambda: to_nir(SpikingSequential(LIFNeuron()), (2,)),
            "layer 0 has a soft reset, which NIR has no word for: its neurons are set to a potential",
        ),
        (lambda: to_nir(SpikingSequential(ALIFNeuron()), (2,)), r"layer 0, ALIFNeuron\(.*\), cannot be said in NIR for samples"),
        (
            lambda: to_nir(SpikingSequential(nn.Linear(3, 2)), (4,)),
            r"layer 0, Linear\(.*\), cannot be said in NIR for samples of shape \(4,\)",
        ),
        (
            lambda: to_nir(SpikingSequential(Gain(2.0), nn.Flatten()), (4,)),
            "layer 1: a Gain must be followed by a LIFNeuron, got Flatten",
        ),
        (lambda: to_nir(SpikingSequential(Gain(2.0)), (4,)), "the last layer is a Gain, but it must be followed by a LIFNeuron"),
        (
            lambda: spikes_to_events(torch.ones(3)),
            r"spikes must be \(T, \.\.\.\) with at least one axis besides time, got \(3,\)",
        ),
        (
            lambda: events_to_spikes(torch.tensor([0.0, 5.0]), torch.tensor([1, 0]), (4, 2)),
            r"event 1, of neuron 0 at 5, lies outside \(4, 2\) with steps of 1",
        ),
        (
            lambda: events_to_spikes(torch.zeros(2), torch.zeros(2), (4, 2)),
            r"times and ids must be \(events,\), ids integers, got \(2,\) and \(2,\) of torch.float32",
        ),
    ],
)
def test_it_refuses_what_cannot_be_said(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("input", "a"), ("input", "b"), ("a", "output"), ("b", "output")], "'input' is followed by 2 nodes"),
        ([("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")], "'b' is followed by 2 nodes"),
        ([("input", "a"), ("a", "b"), ("b", "a")], "it comes back to 'a'"),
        ([("input", "a"), ("a", "output")], "'b' is beside it"),
    ],
)
def test_it_refuses_a_graph_that_is_no_chain(edges: list[tuple[str, str]], message: str) -> None:
    nodes = {"input": nir.Input(np.array([2])), "a": neurons(), "b": neurons(), "output": nir.Output(np.array([2]))}
    with pytest.raises(ValueError, match=f"the graph must be one chain, but {message}"):
        from_nir(nir.NIRGraph(nodes, edges, type_check=False))


def test_events_are_listed_by_time_and_neuron() -> None:
    spikes = torch.zeros(4, 2, 3)
    spikes[2, 0, 1] = spikes[0, 1, 2] = spikes[2, 1, 0] = 1
    times, ids = spikes_to_events(spikes, dt=0.5)
    assert times.tolist() == [0.0, 1.0, 1.0]
    assert ids.tolist() == [5, 1, 3]


def test_a_train_survives_the_way_to_events_and_back() -> None:
    torch.manual_seed(0)
    spikes = (torch.rand(1000, 3, 7) < 0.1).float()
    # 1e-4 is no sum of powers of two: k dt / dt falls short of k for some k
    assert torch.equal(events_to_spikes(*spikes_to_events(spikes, dt=1e-4), (1000, 3, 7), dt=1e-4), spikes)


def test_events_within_one_step_are_one_spike() -> None:
    train = events_to_spikes(torch.tensor([0.1, 0.9, 2.5]), torch.tensor([1, 1, 0]), (3, 2))
    assert train.tolist() == [[0, 1], [0, 0], [1, 0]]
