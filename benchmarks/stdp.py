"""STDP on 784 x 400 synapses, one trial, beside BindsNET, SpikingJelly, Norse, snnTorch and NumPy: steps a second, and memory.

    python benchmarks/stdp.py [--rounds 7] [--json FILE]

The peers are timed where they are installed (`pip install bindsnet==0.3.4 spikingjelly==2.0.0 norse==1.1.0 snntorch==1.0.0`). All do
the same on one thread: pair STDP by traces that every spike adds 1 to and that keep 0.95 a step; a pair in one step counts both
ways; weights start at random and are clipped to between 0 and 1. Before anything is timed, each contender's weights after all
steps are compared with those of NumPy in 64 bits; one that differs is not timed.

Spikes are random: 2 % of the neurons before the synapses and 1 % of those after fire in a step ("sparse"), or 10 % and 5 %
("dense"). Every round times every contender once, in turn and never at once, over 100 steps a call; a ratio is the median over
the rounds of the ratios within a round. Memory is how far one process's peak resident size rises above what it is with
weights and spikes at hand, in a process for each contender.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from spiking import Step, compare, resident_kib
from torch import Tensor, nn

from pressrun.methods.spiking import PairSTDP

N_PRE, N_POST, STEPS = 784, 400, 100
RATES = {"sparse": (0.02, 0.01), "dense": (0.10, 0.05)}
KEEP, GAIN = 0.95, 0.01  # of a trace in a step; of a pair
TAU = -1 / math.log(KEEP)
RULE = PairSTDP(TAU, TAU, GAIN, GAIN, w_min=0.0, w_max=1.0, coincident="both")

Learner = Callable[[], Tensor]  # does all steps, going on from where it was, and gives the weights (N_POST, N_PRE)
Maker = Callable[[Tensor, Tensor, Tensor], Learner]  # from the first weights and the spikes of both sides, (STEPS, 1, neurons)


def whole_train(weight: Tensor, pre: Tensor, post: Tensor) -> Learner:
    def learn() -> Tensor:
        nonlocal weight, traces
        weight, traces = RULE.run(weight, pre, post, traces)
        return weight

    traces = None
    return learn


def step_by_step(weight: Tensor, pre: Tensor, post: Tensor) -> Learner:
    def learn() -> Tensor:
        nonlocal traces
        for before, after in zip(pre.unbind(0), post.unbind(0), strict=True):
            traces = RULE.step_(weight, before, after, traces)
        return weight

    traces = None
    return learn


def matrix_products(weight: Tensor, pre: Tensor, post: Tensor) -> Learner:
    def learn() -> Tensor:
        nonlocal traces
        for before, after in zip(pre.unbind(0), post.unbind(0), strict=True):
            traces = RULE.step_(weight, before, after, traces, backend="torch")
        return weight

    traces = None
    return learn


def numpy_event_wise(weight: Tensor, pre: Tensor, post: Tensor) -> Learner:
    """Rows of neurons that fire after, columns of those that fire before, and nothing else."""
    w, before, after = weight.numpy(), pre[:, 0].numpy(), post[:, 0].numpy()
    x, y = np.zeros(N_PRE, np.float32), np.zeros(N_POST, np.float32)

    def learn() -> Tensor:
        for p, q in zip(before, after, strict=True):
            columns, rows = p.nonzero()[0], q.nonzero()[0]
            np.multiply(x, KEEP, out=x)
            np.multiply(y, KEEP, out=y)
            x[columns] += 1
            y[rows] += 1
            if len(rows):
                w[rows] += np.float32(GAIN) * x
            if len(columns):
                touched = w[:, columns]
                touched -= (np.float32(GAIN) * y)[:, None]
                w[:, columns] = np.clip(touched, 0, 1, out=touched)
            if len(rows):
                w[rows] = np.clip(w[rows], 0, 1)
        return weight

    return learn


def numpy_dense(weight: Tensor, pre: Tensor, post: Tensor) -> Learner:
    return dense(weight.numpy(), pre[:, 0].numpy(), post[:, 0].numpy())


def dense(w: NDArray[np.floating], before: NDArray[np.floating], after: NDArray[np.floating]) -> Learner:
    x, y, change = np.zeros(N_PRE, w.dtype), np.zeros(N_POST, w.dtype), np.empty_like(w)

    def learn() -> Tensor:
        for p, q in zip(before, after, strict=True):
            np.add(KEEP * x, p, out=x)
            np.add(KEEP * y, q, out=y)
            np.multiply.outer(GAIN * q, x, out=change)
            np.add(w, change, out=w)
            np.multiply.outer(GAIN * y, p, out=change)
            np.subtract(w, change, out=w)
            np.clip(w, 0, 1, out=w)
        return torch.from_numpy(w)

    return learn


def bindsnet(weight: Tensor, pre: Tensor, post: Tensor) -> Learner:
    from bindsnet.learning import PostPre
    from bindsnet.network.nodes import Input
    from bindsnet.network.topology import Connection

    sides = [Input(n, traces=True, traces_additive=True, tc_trace=TAU) for n in (N_PRE, N_POST)]
    connection = Connection(*sides, nu=(GAIN, GAIN), update_rule=PostPre, wmin=0.0, wmax=1.0, w=weight.T.contiguous())
    connection.dt = 1.0
    for side in sides:
        side.set_batch_size(1)
        side.compute_decays(1.0)

    def learn() -> Tensor:
        for spikes in zip(pre.unbind(0), post.unbind(0), strict=True):
            for side, each in zip(sides, spikes, strict=True):
                side(each)
            connection.update(learning=True)
        return connection.w.data.T

    return learn


def spikingjelly(weight: Tensor, pre: Tensor, post: Tensor) -> Learner:
    from spikingjelly.activation_based.functional.learning import stdp_linear_step

    tau = 1 / (1 - KEEP)
    traces = (torch.zeros(1, N_PRE), torch.zeros(1, N_POST))

    def learn() -> Tensor:
        nonlocal traces
        for before, after in zip(pre.unbind(0), post.unbind(0), strict=True):
            change, traces = stdp_linear_step(
                before, after, traces, weight, tau_pre=tau, tau_post=tau, f_pre=constant, f_post=constant
            )
            weight.add_(change).clamp_(0, 1)
        return weight

    return learn


def snntorch(weight: Tensor, pre: Tensor, post: Tensor) -> Learner:
    from snntorch.functional.stdp_learner import stdp_linear_single_step

    tau, x, y = 1 / (1 - KEEP), None, None
    layer = nn.Linear(N_PRE, N_POST, bias=False)
    layer.weight.data = weight

    def learn() -> Tensor:
        nonlocal x, y
        for before, after in zip(pre.unbind(0), post.unbind(0), strict=True):
            x, y, change = stdp_linear_single_step(layer, before, after, x, y, tau, tau, constant, constant)
            layer.weight.data.add_(change).clamp_(0, 1)
        return layer.weight.data

    return learn


def constant(_: Tensor) -> float:
    return GAIN


def norse(weight: Tensor, pre: Tensor, post: Tensor) -> Learner:
    from norse.torch.functional.stdp import STDPParameters, STDPState, stdp_step_linear

    # Its traces gain a / tau a spike and lose 1 / tau a step.
    tau = torch.tensor(1 / (1 - KEEP))
    rule = STDPParameters(a_pre=tau, a_post=tau, tau_pre_inv=1 / tau, tau_post_inv=1 / tau, eta_plus=GAIN, eta_minus=GAIN)
    state = STDPState(torch.zeros(1, N_PRE), torch.zeros(1, N_POST))

    def learn() -> Tensor:
        nonlocal weight, state
        for before, after in zip(pre.unbind(0), post.unbind(0), strict=True):
            weight, state = stdp_step_linear(before, after, weight, state, rule, dt=1.0)
        return weight

    return learn


OURS_AND_NUMPY: dict[str, Maker] = {
    "numpy, event-wise": numpy_event_wise,
    "pressrun, whole train": whole_train,
    "pressrun, step by step": step_by_step,
    "pressrun, matrix products": matrix_products,
    "numpy, dense": numpy_dense,
}
PEERS: dict[str, Maker] = {"bindsnet": bindsnet, "spikingjelly": spikingjelly, "norse": norse, "snntorch": snntorch}
CONTENDERS = OURS_AND_NUMPY | {name: maker for name, maker in PEERS.items() if find_spec(name)}


def given(rate: str) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pre, post = (
        (torch.rand(STEPS, 1, n, generator=generator) < share).float()
        for n, share in zip((N_PRE, N_POST), RATES[rate], strict=True)
    )
    return torch.rand(N_POST, N_PRE, generator=generator), pre, post


@torch.no_grad()
def learner(name: str, rate: str) -> Step:
    return torch.no_grad()(CONTENDERS[name](*given(rate)))


def largest_difference(name: str, rate: str) -> float:
    """From the weights of 64 bits, after going through all steps twice."""
    weight, pre, post = given(rate)
    exact = dense(weight.double().numpy(), pre[:, 0].double().numpy(), post[:, 0].double().numpy())
    learn = torch.no_grad()(CONTENDERS[name](weight, pre, post))
    for _ in range(2):
        expected, found = exact(), learn()
    return float((expected - found).abs().max())


def peak_mib(name: str, rate: str) -> float:
    """MiB by which a few calls raise the peak of a fresh process."""
    command = [sys.executable, __file__, "--memory", name, rate]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure_memory(name: str, rate: str) -> None:
    # One call with other weights first, so that what libraries load and compile on first use is not counted.
    learner(name, rate)()
    step = learner(name, rate)
    before = resident_kib("VmRSS")
    for _ in range(3):
        step()
    print(max(0, resident_kib("VmHWM") - before) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory:
        measure_memory(*arguments.memory)
        return
    results: dict[str, dict[str, dict[str, float]]] = {}
    for rate, (before, after) in RATES.items():
        differences = {name: largest_difference(name, rate) for name in CONTENDERS}
        for name, difference in differences.items():
            if difference > 1e-5:
                print(f"{name} is not timed: its weights differ by up to {difference:.2g}")
        equal = [name for name, difference in differences.items() if difference <= 1e-5]
        rows = compare({name: learner(name, rate) for name in equal}, arguments.rounds)
        memory = {name: peak_mib(name, rate) for name in equal}
        print(
            f"\n{rate}: {before:.0%} and {after:.0%} fire in a step\n{'':28}{'steps/s':>10}{'time':>8}{'MiB':>8}{'difference':>12}"
        )
        for name, (ms, ratio) in rows.items():
            print(f"{name:28}{STEPS / ms * 1e3:10.0f}{ratio:8.2f}{memory[name]:8.1f}{differences[name]:12.1e}")
        results[rate] = {
            name: {"steps_per_second": STEPS / ms * 1e3, "time_ratio": ratio, "peak_mib": memory[name]}
            for name, (ms, ratio) in rows.items()
        }
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
