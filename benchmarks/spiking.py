"""Spiking layers beside SpikingJelly and snnTorch: milliseconds a training step, and memory.

    python benchmarks/spiking.py [--rounds 7] [--depth 12] [--json FILE]

The peers are timed when they are installed (`pip install --no-deps spikingjelly snntorch`); measured with spikingjelly 2.0.0 and
snntorch 1.0.0. Two things are compared, on one thread:

- neurons: 100 steps of a layer of leaky integrate-and-fire neurons with soft reset, forward and backward;
- networks: a training step (forward, cross-entropy, backward, SGD) of fully connected spiking networks of one size. Only ours has
  E-I layers; the peers' networks keep their currents in range by batch normalisation, as ours named "batch norm" does.

Every round times every contender once, in turn and never at once; a ratio is the median over the rounds of the ratios within a
round, so that a machine whose speed drifts does not decide. Memory is how far one process's peak resident size rises above what
it is with the network built, in a process for each contender; networks see a batch of 1,024 there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pressrun.methods.spiking import NonNegativeSGD, ei_parameter_groups, lif, spike, spiking_mlp

LAYERS = {"32 x 128": (100, 32, 128), "64 x 512": (100, 64, 512), "128 x 1024": (100, 128, 1024)}
FEATURES, CLASSES, STEPS, BATCH, WIDTH = 64, 10, 4, 64, 128
MEMORY_BATCH = 1024  # of networks: a small batch drowns in what the allocator keeps anyway

Step = Callable[[], object]


def plain_loop(x: Tensor) -> Tensor:
    """The textbook loop under autograd."""
    v, spikes = torch.zeros_like(x[0]), []
    for current in x.unbind(0):
        h = 0.5 * v + current
        s = spike(h - 1)
        v = h - s.detach()
        spikes.append(s)
    return torch.stack(spikes)


def neurons() -> dict[str, Callable[[Tensor], Tensor]]:
    """Each gives spikes (T, B, N) for currents (T, B, N), with decay 1/2, threshold 1 and a sigmoid surrogate of slope 4."""
    found: dict[str, Callable[[Tensor], Tensor]] = {"pressrun": lambda x: lif(x)[0], "plain loop": plain_loop}
    if find_spec("spikingjelly"):
        found["spikingjelly"] = spikingjelly_neuron()
    if find_spec("snntorch"):
        leaky = snntorch_neuron()

        def run(x: Tensor) -> Tensor:
            memory, spikes = leaky.init_leaky(), []
            for current in x.unbind(0):
                out, memory = leaky(current, memory)
                spikes.append(out)
            return torch.stack(spikes)

        found["snntorch"] = run
    return found


def spikingjelly_neuron() -> Callable[[Tensor], Tensor]:
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(
        tau=2.0, decay_input=False, v_reset=None, surrogate_function=surrogate.Sigmoid(4.0), detach_reset=True, step_mode="m"
    )

    def run(x: Tensor) -> Tensor:
        functional.reset_net(node)
        spikes: Tensor = node(x)
        return spikes

    return run


def snntorch_neuron() -> Any:  # noqa: ANN401 (its class is known only where it is installed)
    import snntorch
    from snntorch import surrogate

    # Its default delays the reset by a step, which is another neuron.
    return snntorch.Leaky(
        beta=0.5, threshold=1.0, reset_mechanism="subtract", reset_delay=False, spike_grad=surrogate.sigmoid(slope=4)
    )


class PeerNetwork(nn.Module):
    """The same perceptron with batch normalisation, around a peer's neuron."""

    def __init__(self, depth: int, neuron: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(FEATURES if level == 0 else WIDTH, WIDTH) for level in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in range(depth))
        self.readout = nn.Linear(WIDTH, CLASSES)
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        shown = x.expand(STEPS, -1, -1)
        for linear, norm in zip(self.maps, self.norms, strict=True):
            shown = self.neuron(norm(linear(shown).flatten(0, 1)).view(STEPS, len(x), WIDTH))
        logits: Tensor = self.readout(shown).mean(0)
        return logits


def networks(depth: int) -> dict[str, Callable[[], nn.Module]]:
    def ours(norm: str) -> Callable[[], nn.Module]:
        return lambda: spiking_mlp(FEATURES, CLASSES, depth=depth, width=WIDTH, norm=norm, steps=STEPS)

    peers = {
        f"{name}, batch norm": (lambda neuron=neuron: PeerNetwork(depth, neuron))
        for name, neuron in neurons().items()
        if name != "pressrun"
    }
    return {"pressrun, E-I": ours("ei"), "pressrun, batch norm": ours("bn"), "pressrun, no norm": ours("none"), **peers}


def layer_step(name: str, size: str) -> Step:
    torch.manual_seed(0)
    x = torch.rand(LAYERS[size]).requires_grad_()
    grad = torch.rand(LAYERS[size])
    neuron = neurons()[name]

    def step() -> None:
        x.grad = None
        neuron(x).backward(grad)

    return step


def network_step(name: str, depth: int, batch: int = BATCH) -> Step:
    torch.manual_seed(0)
    model = networks(depth)[name]()
    x, y = torch.rand(batch, FEATURES), torch.randint(CLASSES, (batch,))
    model(x[:8])
    optimiser = NonNegativeSGD(ei_parameter_groups(model), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad()
        cross_entropy(model(x), y).backward()
        optimiser.step()

    return step


def milliseconds(step: Step, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats * 1e3


def compare(steps: dict[str, Step], rounds: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds, and the median ratio to the first contender, by name."""
    repeats = {}
    for name, step in steps.items():
        step()
        repeats[name] = max(1, int(200 / milliseconds(step, 3)))
    times = [{name: milliseconds(step, repeats[name]) for name, step in steps.items()} for _ in range(rounds)]
    first = next(iter(steps))
    return {
        name: (statistics.median(each[name] for each in times), statistics.median(each[name] / each[first] for each in times))
        for name in steps
    }


def peak_mib(kind: str, name: str, which: str) -> float:
    """MiB by which a few steps raise the peak of a fresh process."""
    command = [sys.executable, __file__, "--memory", kind, name, which]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure_memory(kind: str, name: str, which: str) -> None:
    # One step of something small first, so that what libraries load on first use is not counted.
    (layer_step("pressrun", "32 x 128") if kind == "layer" else network_step("pressrun, no norm", 1))()
    step = layer_step(name, which) if kind == "layer" else network_step(name, int(which), MEMORY_BATCH)
    before = resident_kib("VmRSS")
    for _ in range(3):
        step()
    print((resident_kib("VmHWM") - before) / 1024)


def resident_kib(field: str) -> int:
    """The resident size now (VmRSS) or at its peak (VmHWM). getrusage would give the parent's peak in a new process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0])


def show(title: str, rows: dict[str, tuple[float, float]], memory: dict[str, float]) -> None:
    print(f"\n{title}\n{'':28}{'ms':>9}{'ratio':>8}{'peak MiB':>10}")
    for name, (ms, ratio) in rows.items():
        print(f"{name:28}{ms:9.2f}{ratio:8.2f}{memory[name]:10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--depth", type=int, default=12, help="hidden layers of the networks")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.memory:
        measure_memory(*given.memory)
        return
    results: dict[str, dict[str, dict[str, float]]] = {}
    cases: list[tuple[str, dict[str, Step], str, str]] = [
        (f"neurons, {size}, 100 steps", {name: layer_step(name, size) for name in neurons()}, "layer", size) for size in LAYERS
    ]
    title = f"networks, {given.depth} x {WIDTH}, T = {STEPS}, batch {BATCH}"
    cases.append((title, {name: network_step(name, given.depth) for name in networks(given.depth)}, "network", str(given.depth)))
    for title, steps, kind, which in cases:
        rows = compare(steps, given.rounds)
        memory = {name: peak_mib(kind, name, which) for name in steps}
        show(title, rows, memory)
        results[title] = {name: {"ms": ms, "ratio": ratio, "peak_mib": memory[name]} for name, (ms, ratio) in rows.items()}
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
