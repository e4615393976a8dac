"""A reservoir of 1,000 Izhikevich neurons, 10 % connected, beside other simulators: simulated milliseconds a second of wall clock.

    python benchmarks/reservoir.py [--rounds 7] [--steps 5000] [--json FILE]

Peers are timed when they are installed; measured with bindsnet 0.3.4, brian2 2.9.0, norse 1.1.0 and spikingjelly 2.0.0. snnTorch 1.0.0
has no Izhikevich neuron. One trial of a deterministic drive (bias and cue, no noise), on one thread.

- pressrun, compiled and as plain torch; a NumPy loop that adds the rows of the neurons that spiked; Brian2 (Cython, single
  precision; its build is not timed): the same network, constants and half steps, synaptic currents that decay with 10 ms. Before
  anything is timed, ours must give exactly the spikes of the NumPy loop; Brian2 is held to it for 200 ms in double precision.
- BindsNET, Norse and SpikingJelly: the same connections and drive around the Izhikevich neuron that they have, which is another one
  (no decaying current; Norse and SpikingJelly take one Euler step, SpikingJelly in a form of its own). They are compared in speed only.

A ratio is the median over the rounds of the ratios within a round to pressrun, in which all contenders take turns.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from spiking import Step, compare

from pressrun.methods.spiking import IzhikevichPopulation, SpikingReservoir, TemporalCue

NEURONS, SYNAPSE = 1000, 10.0


class Network:
    """What all contenders simulate: ours, its drive (T, N), and its constants as arrays."""

    def __init__(self, steps: int) -> None:
        generator = torch.Generator().manual_seed(0)
        population = IzhikevichPopulation(NEURONS, generator=generator)
        self.reservoir = SpikingReservoir(population, noise=0.0, tau_synapse=SYNAPSE, generator=generator)
        self.cue = TemporalCue(NEURONS, generator=generator)(steps, at=20)
        self.drive = (self.cue[:, 0] + self.reservoir.bias).numpy()
        self.weight_t = self.reservoir.outgoing.numpy()
        self.a, self.b, self.c, self.d = (getattr(population, name).numpy() for name in "abcd")

    def double(self) -> Network:
        """The same in double precision, for those that read the arrays."""
        for name in ("drive", "weight_t", "a", "b", "c", "d"):
            setattr(self, name, getattr(self, name).astype(np.float64))
        return self


def numpy_loop(network: Network) -> np.ndarray:
    """(T, N) spikes of the same equations, written as NumPy users write them."""
    a, b, c, d, weight_t = network.a, network.b, network.c, network.d, network.weight_t
    f = network.drive.dtype.type
    v = np.full(NEURONS, -65, f)
    u, current, decay = b * v, np.zeros(NEURONS, f), f(math.exp(-1 / SYNAPSE))
    spikes = np.zeros((len(network.drive), NEURONS), np.float32)
    for t, drive in enumerate(network.drive):
        total = drive + current
        for _ in range(2):
            v = np.minimum(v, f(40))
            v = v + (f(0.04) * v * v + f(5) * v + f(140) - u + total) * f(0.5)
        u = u + (b * v - u) * a
        fired = np.flatnonzero(v >= 30)
        current = current * decay
        if len(fired):
            v[fired] = c[fired]
            u[fired] += d[fired]
            current += weight_t[fired].sum(0)
            spikes[t, fired] = 1
    return spikes


def plain_torch(network: Network) -> np.ndarray:
    """Ours, as it runs without numba."""
    module = sys.modules["pressrun.methods.spiking.izhikevich"]
    kernel, module._kernel = module._kernel, lambda: None  # type: ignore[attr-defined]
    try:
        return ours(network)
    finally:
        module._kernel = kernel  # type: ignore[attr-defined]


def ours(network: Network) -> np.ndarray:
    return network.reservoir(network.cue)[:, 0].numpy()


def brian2_run(network: Network) -> Callable[[], np.ndarray]:
    import brian2 as b2

    b2.prefs.codegen.target = "cython"
    b2.prefs.core.default_float_dtype = network.drive.dtype.type
    b2.defaultclock.dt = 1 * b2.ms
    group = b2.NeuronGroup(
        NEURONS,
        "v : 1\nu : 1\ncurrent : 1\nI : 1\na : 1\nb : 1\nc : 1\nd : 1",
        threshold="v >= 30",
        reset="v = c\nu += d",
        namespace={
            "drive": b2.TimedArray(network.drive, dt=1 * b2.ms),
            "decay": math.exp(-1 / SYNAPSE),
        },
    )
    half = "v = clip(v, -1000, 40)\nv = v + (0.04 * v * v + 5 * v + 140 - u + I) * 0.5\n"
    group.run_regularly(
        f"I = drive(t, i) + current\n{half}{half}u = u + (b * v - u) * a\ncurrent = current * decay", dt=1 * b2.ms
    )
    for name in "abcd":
        setattr(group, name, getattr(network, name))
    synapses = b2.Synapses(group, group, "w : 1", on_pre="current_post += w")
    sources, targets = network.weight_t.nonzero()
    synapses.connect(i=sources, j=targets)
    synapses.w = network.weight_t[sources, targets]
    monitor = b2.SpikeMonitor(group)
    simulation = b2.Network(group, synapses, monitor)
    group.v, group.u = -65, -65 * network.b
    simulation.store()
    steps = len(network.drive)

    def run() -> np.ndarray:
        simulation.restore()
        simulation.run(steps * b2.ms)
        spikes = np.zeros((steps, NEURONS), np.float32)
        spikes[np.rint(np.asarray(monitor.t / b2.ms)).astype(int), np.asarray(monitor.i)] = 1
        return spikes

    return run


def bindsnet_run(network: Network) -> Callable[[], object]:
    from bindsnet.network import Network as Simulation
    from bindsnet.network.nodes import Input, IzhikevichNodes
    from bindsnet.network.topology import Connection

    simulation = Simulation(dt=1.0)
    layer = IzhikevichNodes(n=NEURONS, excitatory=0.8, thresh=30.0)
    for name in "abcd":
        setattr(layer, name, torch.from_numpy(getattr(network, name)))
    layer.S = network.reservoir.weight.contiguous()
    simulation.add_layer(Input(n=1), "x")
    simulation.add_layer(layer, "y")
    simulation.add_connection(Connection(simulation.layers["x"], layer, w=torch.zeros(1, NEURONS)), "x", "y")
    steps = len(network.drive)
    silence = torch.zeros(steps, 1, 1)
    drive = {"y": torch.from_numpy(network.drive)[:, None]}

    def run() -> object:
        simulation.reset_state_variables()
        with torch.no_grad():
            return simulation.run({"x": silence, **drive}, time=steps)

    return run


def norse_run(network: Network) -> Callable[[], object]:
    from norse.torch.functional.izhikevich import (
        IzhikevichParameters,
        IzhikevichRecurrentState,
        izhikevich_recurrent_step,
    )

    constants = IzhikevichParameters(*(torch.from_numpy(getattr(network, name)) for name in "abcd"), tau_inv=1000.0)
    weight, drive = network.reservoir.weight.contiguous(), torch.from_numpy(network.drive)[:, None]
    unmixed = torch.eye(NEURONS)

    @torch.no_grad()
    def run() -> object:
        state = IzhikevichRecurrentState(torch.zeros(1, NEURONS), torch.full((1, NEURONS), -65.0), -65 * constants.b[None])
        spikes = []
        for current in drive:
            z, state = izhikevich_recurrent_step(current, state, unmixed, weight, constants)
            spikes.append(z)
        return torch.stack(spikes)

    return run


def spikingjelly_run(network: Network) -> Callable[[], object]:
    from spikingjelly.activation_based import functional, neuron

    node = neuron.IzhikevichNode(v_rest=-65.0, v_reset=-65.0, v_threshold=30.0, v_c=-45.0, a0=0.04, a=0.2, b=8.0, tau_w=50.0)
    weight, drive = network.reservoir.weight.contiguous(), torch.from_numpy(network.drive)[:, None]

    @torch.no_grad()
    def run() -> object:
        functional.reset_net(node)
        spiked, spikes = torch.zeros(1, NEURONS), []
        for current in drive:
            spiked = node(current + spiked @ weight.T)
            spikes.append(spiked)
        return torch.stack(spikes)

    return run


def contenders(network: Network) -> dict[str, Step]:
    found: dict[str, Step] = {
        "pressrun": lambda: ours(network),
        "pressrun, plain torch": lambda: plain_torch(network),
        "NumPy loop": lambda: numpy_loop(network),
    }
    peers = {"brian2": brian2_run, "bindsnet": bindsnet_run, "norse": norse_run, "spikingjelly": spikingjelly_run}
    return found | {name: build(network) for name, build in peers.items() if find_spec(name)}


def check(network: Network, steps: dict[str, Step]) -> None:
    expected = numpy_loop(network)
    for name in ("pressrun", "pressrun, plain torch"):
        if not np.array_equal(np.asarray(steps[name]()), expected):
            raise SystemExit(f"{name} does not give the spikes of the NumPy loop")
    print(f"{int(expected.sum())} spikes, {expected.mean() * 1000:.1f} Hz; ours are those of the NumPy loop")
    if "brian2" in steps:
        # Its single precision rounds in another order, and the network is chaotic: in double precision there is time to compare.
        short = Network(200).double()
        same = np.array_equal(brian2_run(short)(), numpy_loop(short))
        print(f"over 200 ms in double precision, brian2 and the NumPy loop {'agree' if same else 'differ'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5000, help="simulated milliseconds")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    network = Network(given.steps)
    steps = contenders(network)
    check(network, steps)
    rows = compare(steps, given.rounds)
    print(f"\n{NEURONS} neurons, one trial\n{'':24}{'ms per s':>10}{'times ours':>12}")
    for name, (ms, ratio) in rows.items():
        print(f"{name:24}{given.steps / ms * 1000:10.0f}{ratio:12.1f}")
    if given.json:
        found = {name: {"ms_per_s": given.steps / ms * 1000, "ratio": ratio} for name, (ms, ratio) in rows.items()}
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
