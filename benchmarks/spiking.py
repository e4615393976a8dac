"""Spiking layers beside SpikingJelly, snnTorch, Norse and a kernel in C: milliseconds a training step, and memory.

    python benchmarks/spiking.py [--rounds 7] [--depth 12] [--json FILE]

The peers are timed when they are installed (`pip install --no-deps spikingjelly snntorch norse` and what importing them then asks
for); measured with spikingjelly 2.0.0, snntorch 1.0.0 and norse 1.1.0. Compared, on one thread, are

- neurons: 100 steps of a layer of leaky integrate-and-fire neurons with soft reset, forward and backward. "C" is the same in C
  (compiled with gcc where there is one, for this processor and with fast arithmetic) as a node of the graph; "C, bare" calls it
  without torch and into buffers that are there already, which is as fast as it gets;
- epochs: one pass over the 1,797 digits, 64-256-256-10 with neurons after every layer, Adam, batches of 64, pixels as spikes;
- networks: a training step (forward, cross-entropy, backward, SGD) of fully connected spiking networks of one size. Only ours has
  E-I layers; the peers' networks keep their currents in range by batch normalisation, as ours named "batch norm" does.

Before anything is timed, every contender must give the spikes of the plain loop, and its gradients to rounding. Two peers' gradients are
held to ours with the same choices instead: snnTorch's goes through the reset, Norse's too and with another surrogate, whose slope is 1 whatever it is given. Norse's
neuron halves its input, so it is given twice of it.

Times are CPU time, which other load on the machine disturbs least. Every round times every contender once, in turn; a ratio is the
median over the rounds of the ratios within a round, so that a machine whose speed drifts does not decide. Memory is how far one
process's peak resident size rises above what it is with the network built, in a process for each contender; networks see a batch of
1,024 there.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pressrun.methods.spiking import NonNegativeSGD, _sequence, ei_parameter_groups, lif, spike, spiking_mlp

LAYERS = {"32 x 128": (100, 32, 128), "64 x 512": (100, 64, 512), "128 x 1024": (100, 128, 1024)}
FEATURES, CLASSES, STEPS, BATCH, WIDTH = 64, 10, 4, 64, 128
LOOPED = "pressrun, no numba"
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
    found: dict[str, Callable[[Tensor], Tensor]] = {
        "pressrun": lambda x: lif(x)[0],
        LOOPED: lambda x: lif(x)[0],
        "plain loop": plain_loop,
    }
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
    if find_spec("norse"):
        found["norse"] = norse_neuron()
    return found


def in_loops(step: Step) -> Step:
    """The step on the path that is taken without numba."""

    def run() -> None:
        kernels, _sequence.kernels = _sequence.kernels, lambda: None
        try:
            step()
        finally:
            _sequence.kernels = kernels

    return run


def norse_neuron() -> Callable[[Tensor], Tensor]:
    from norse.torch.functional import lif_box
    from norse.torch.functional.reset import reset_subtract

    constants = lif_box.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), reset_method=reset_subtract)

    def run(x: Tensor) -> Tensor:
        state, spikes = lif_box.LIFBoxFeedForwardState(v=torch.zeros(())), []
        for current in (2 * x).unbind(0):
            out, state = lif_box.lif_box_feed_forward_step(current, state, constants, dt=0.001)
            spikes.append(out)
        return torch.stack(spikes)

    return run


C_KERNEL = """
#include <math.h>
void forward(const float *restrict x, float *restrict h, float *restrict s, float *restrict v, long steps, long n) {
    for (long t = 0; t < steps; t++)
        for (long i = 0; i < n; i++) {
            float a = 0.5f * v[i] + x[t * n + i], z = a >= 1.0f ? 1.0f : 0.0f;
            h[t * n + i] = a;
            s[t * n + i] = z;
            v[i] = a - z;
        }
}
void backward(const float *restrict h, const float *restrict above, float *restrict g, float *restrict after, long steps, long n) {
    for (long t = steps - 1; t >= 0; t--)
        for (long i = 0; i < n; i++) {
            float p = 1.0f / (1.0f + expf(-4.0f * (h[t * n + i] - 1.0f)));
            float d = 4.0f * p * (1.0f - p) * above[t * n + i] + after[i];
            g[t * n + i] = d;
            after[i] = 0.5f * d;
        }
}
"""


@cache
def c_kernel() -> Callable[..., None] | None:
    """Calls a function of the C kernel by name, with four tensors; None without a compiler."""
    if not shutil.which("gcc"):
        return None
    folder = Path(tempfile.mkdtemp())
    (folder / "lif.c").write_text(C_KERNEL)
    command = "gcc -O3 -march=native -ffast-math -shared -fPIC lif.c -o lif.so -lm"
    subprocess.run(command.split(), check=True, cwd=folder)
    library = ctypes.CDLL(str(folder / "lif.so"))
    shutil.rmtree(folder)

    def call(name: str, *tensors: Tensor) -> None:
        steps = len(tensors[0])
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
        getattr(library, name)(*pointers, ctypes.c_long(steps), ctypes.c_long(tensors[0].numel() // steps))

    return call


class CNode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        kernel = c_kernel()
        assert kernel is not None
        h, spikes = torch.empty_like(x), torch.empty_like(x)
        kernel("forward", x, h, spikes, torch.zeros_like(x[0]))
        ctx.save_for_backward(h)
        return spikes

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Tensor:  # noqa: ANN401
        kernel = c_kernel()
        assert kernel is not None
        (h,) = ctx.saved_tensors
        grad = torch.empty_like(h)
        kernel("backward", h, above, grad, torch.zeros_like(h[0]))
        return grad


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
        if name not in ("pressrun", LOOPED)
    }
    return {"pressrun, E-I": ours("ei"), "pressrun, batch norm": ours("bn"), "pressrun, no norm": ours("none"), **peers}


def layer_names() -> list[str]:
    return [*neurons(), *(["C", "C, bare"] if c_kernel() else [])]


def layer_step(name: str, size: str) -> Step:
    torch.manual_seed(0)
    x = torch.rand(LAYERS[size]).requires_grad_()
    grad = torch.rand(LAYERS[size])
    if name == "C, bare":
        return bare_step(x.detach(), grad)
    neuron = CNode.apply if name == "C" else neurons()[name]

    def step() -> None:
        torch.autograd.grad(neuron(x), x, grad)

    return in_loops(step) if name == LOOPED else step


def bare_step(x: Tensor, grad: Tensor) -> Step:
    kernel = c_kernel()
    assert kernel is not None
    h, spikes, out, v = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x[0])

    def step() -> None:
        v.zero_()
        kernel("forward", x, h, spikes, v)
        v.zero_()
        kernel("backward", h, grad, out, v)

    return step


def check_neurons() -> None:
    """Raise unless every contender gives the spikes of the plain loop and its gradients, to rounding."""
    torch.manual_seed(1)
    x, above = torch.rand(50, 8, 33).requires_grad_(), torch.rand(50, 8, 33)

    def both(run: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        spikes = run(x)
        return spikes, torch.autograd.grad(spikes, x, above)[0]

    spikes, gradient = both(plain_loop)
    other = {
        "snntorch": both(lambda x: lif(x, detach_reset=False)[0])[1],
        "norse": both(lambda x: lif(x, surrogate="fast_sigmoid", slope=1.0, detach_reset=False)[0])[1],
    }
    for name, run in {**neurons(), **({"C": CNode.apply} if c_kernel() else {})}.items():
        theirs = both(run)
        if not torch.equal(theirs[0], spikes):
            raise AssertionError(f"{name} gives other spikes")
        torch.testing.assert_close(theirs[1], other.get(name, gradient), msg=lambda m, name=name: f"{name}: {m}")


class Classifier(nn.Module):
    """64-256-256-10 with a neuron after every layer; logits are mean spike counts."""

    def __init__(self, neuron: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.maps = nn.ModuleList([nn.Linear(64, 256), nn.Linear(256, 256), nn.Linear(256, 10)])
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        for linear in self.maps:
            x = self.neuron(linear(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return x.mean(0)


def epoch_step(name: str, steps: int) -> Step:
    """One pass over the digits, their pixels as spikes: at every step each is on with its brightness as probability."""
    torch.manual_seed(0)
    model = Classifier(neurons()[name])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    data = load_digits()
    brightness, labels = torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)
    batches = list(
        zip((torch.rand(steps, *brightness.shape) < brightness).float().split(BATCH, 1), labels.split(BATCH), strict=True)
    )

    def step() -> None:
        for x, y in batches:
            optimiser.zero_grad()
            cross_entropy(model(x), y).backward()
            optimiser.step()

    return in_loops(step) if name == LOOPED else step


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
    """CPU time of a step: on one thread that is the time it takes, whatever else the machine is doing."""
    start = time.process_time()
    for _ in range(repeats):
        step()
    return (time.process_time() - start) / repeats * 1e3


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
    for small in (layer_step("pressrun", "32 x 128"), network_step("pressrun, no norm", 1)):
        small()
    step = {
        "layer": lambda: layer_step(name, which),
        "epoch": lambda: epoch_step(name, int(which)),
        "network": lambda: network_step(name, int(which), MEMORY_BATCH),
    }[kind]()
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
        print(f"{name:28}{ms:9.2f}{ratio:8.2f}{memory[name]:10.1f}", flush=True)


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
    check_neurons()
    results: dict[str, dict[str, dict[str, float]]] = {}
    cases: list[tuple[str, dict[str, Step], str, str]] = [
        (f"neurons, {size}, 100 steps", {name: layer_step(name, size) for name in layer_names()}, "layer", size)
        for size in LAYERS
    ]
    for each in (4, 25):
        title = f"an epoch of digits, 64-256-256-10, T = {each}"
        cases.append((title, {name: epoch_step(name, each) for name in neurons()}, "epoch", str(each)))
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
