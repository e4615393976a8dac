"""Networks to and from NIR, the Neuromorphic Intermediate Representation; spike trains to and from lists of events.

NIR describes neurons in continuous time, tau dv/dt = (v_leak - v) + r I, and leaves the steps to whoever runs them. One Euler
step of dt is

    v + (dt / tau) (v_leak - v) + (r dt / tau) I

so that, in this room's constants, tau is tau / dt steps and the input arrives multiplied by r dt / tau. A neuron without leak
(nir.IF) has an infinite tau and a gain of r dt. NIR's neurons are set to v_reset after a spike, which is the hard reset; it has
no word for the one that subtracts.

J. E. Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 15 (2024). Needs the package nir, whose
`nir.read` and `nir.write` do the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf, prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .alif import ALIFNeuron
from .lif import LIFNeuron

if TYPE_CHECKING:
    import nir

__all__ = ["Gain", "SpikingSequential", "events_to_spikes", "from_nir", "spikes_to_events", "to_nir"]


class SpikingSequential(nn.Sequential):
    """Layers one after another over sequences: (T, B, ...) in, (T, B, ...) out.

    Neurons see the sequence; every other layer sees its T * B samples as one batch, so that convolutions, pooling and
    `nn.Flatten` are torch's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x) if isinstance(layer, LIFNeuron | ALIFNeuron) else layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return x


class Gain(nn.Module):
    """x times a number: in NIR the resistance of the neuron that follows."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x

    def extra_repr(self) -> str:
        return f"{self.factor}"


def from_nir(
    graph: nir.NIRGraph,
    *,
    dt: float = 1e-4,
    reset: Literal["hard", "soft"] = "hard",
    surrogate: str = "sigmoid",
    slope: float | None = None,
) -> SpikingSequential:
    """A network from a NIR graph, such as `nir.read` gives.

    Args:
        graph: a chain of Linear, Affine, Conv2d, AvgPool2d, Flatten, LIF and IF nodes between one input and one output.
        dt: length of a step in the unit of the graph's time constants, seconds as a rule. Most tools write for 1e-4.
        reset: "hard" as NIR defines its neurons; "soft" for graphs of tools that subtract the threshold and cannot say so.
        surrogate, slope: of all neurons, for training on; NIR knows neither.

    Returns:
        The network; its weights are copies in the precision that they have in the graph.

    Raises:
        ValueError: for a graph that is no chain, a node that has no counterpart, and neurons that differ within a layer, leak
            towards another potential than they are reset to, or have a time constant below dt.
    """
    if reset not in ("hard", "soft"):
        raise ValueError(f"reset must be 'hard' or 'soft', got {reset!r}")
    if not dt > 0:
        raise ValueError(f"dt must be positive, got {dt}")
    layers: list[nn.Module] = []
    for name, node in _chain(graph):
        match type(node).__name__:
            case "Linear" | "Affine":
                layers.append(_linear(node))
            case "Conv2d":
                layers.append(_convolution(node))
            case "AvgPool2d":
                layers.append(nn.AvgPool2d(_pair(node.kernel_size), _pair(node.stride), _pair(node.padding)))
            case "Flatten":
                layers.append(nn.Flatten(*(int(dim) + 1 if dim >= 0 else int(dim) for dim in (node.start_dim, node.end_dim))))
            case "LIF" | "IF":
                layers.extend(_neurons(name, node, dt, reset, surrogate, slope))
            case other:
                known = "Linear, Affine, Conv2d, AvgPool2d, Flatten, LIF and IF"
                raise ValueError(f"node {name!r} is of type {other}, which has no counterpart here; {known} have")
    return SpikingSequential(*layers)


def _chain(graph: nir.NIRGraph) -> Iterator[tuple[str, Any]]:
    """The nodes between the input and the output, in order."""
    after: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        after[source].append(target)
    (start, *more), ends = list(graph.inputs) or [""], list(graph.outputs)
    if not start or more or len(ends) != 1:
        raise ValueError(f"the graph must have one input and one output, got {len(graph.inputs)} and {len(ends)}")
    seen, name = {start}, start
    while name != ends[0]:
        if len(after[name]) != 1:
            raise ValueError(f"the graph must be one chain, but {name!r} is followed by {len(after[name])} nodes")
        name = after[name][0]
        if name in seen:
            raise ValueError(f"the graph must be one chain, but it comes back to {name!r}")
        seen.add(name)
        if name != ends[0]:
            yield name, graph.nodes[name]
    if len(seen) != len(graph.nodes):
        raise ValueError(f"the graph must be one chain, but {min(set(graph.nodes) - seen)!r} is beside it")


def _linear(node: nir.Linear | nir.Affine) -> nn.Linear:
    weight, bias = torch.tensor(node.weight), getattr(node, "bias", None)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(torch.tensor(bias, dtype=weight.dtype))
    return layer


def _convolution(node: nir.Conv2d) -> nn.Conv2d:
    weight = torch.tensor(node.weight)
    padding = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
    groups = int(node.groups)
    layer = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        _pair(node.stride),
        padding if isinstance(padding, str) else _pair(padding),
        _pair(node.dilation),
        groups,
        dtype=weight.dtype,
    )
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(torch.tensor(node.bias, dtype=weight.dtype))
    return layer


def _pair(value: object) -> tuple[int, int]:
    first, second = np.broadcast_to(np.asarray(value), 2).tolist()
    return int(first), int(second)


def _neurons(
    name: str, node: nir.LIF | nir.IF, dt: float, reset: str, surrogate: str, slope: float | None
) -> Iterator[LIFNeuron | Gain]:
    def one(field: str) -> float:
        values = np.unique(getattr(node, field))
        if len(values) != 1:
            raise ValueError(f"node {name!r}: {field} goes from {values[0]:g} to {values[-1]:g}, but here a layer has one")
        return float(values[0])

    def tidy(number: float) -> float:
        # tau = 2.5 steps comes as 2.5e-4 / 1e-4, which is not quite 2.5, and less so from single precision.
        return float(f"{number:.{7 if node.r.dtype == np.float32 else 12}g}")

    leaks = hasattr(node, "tau")
    tau, v_reset, resistance = tidy(one("tau") / dt) if leaks else inf, one("v_reset"), one("r")
    rest = one("v_leak") if leaks else v_reset
    if tau < 1:
        raise ValueError(f"node {name!r}: tau is {one('tau'):g}, but it must be at least one step, and dt is {dt:g}")
    if rest != v_reset:
        raise ValueError(f"node {name!r} leaks towards {rest:g} and is reset to {v_reset:g}, but here the two are one")
    if reset == "soft" and rest:
        raise ValueError(f"node {name!r} rests at {rest:g}, but with a soft reset neurons rest at 0 here")
    gain = tidy(resistance / tau if leaks else resistance * dt)
    if gain != 1:
        yield Gain(gain)
    yield LIFNeuron(tau, one("v_threshold"), None if reset == "soft" else v_reset, surrogate, slope)


def to_nir(model: nn.Sequential, input_shape: Sequence[int], *, dt: float = 1e-4) -> nir.NIRGraph:
    """The NIR graph of a network, for `nir.write` and for other tools.

    Args:
        model: a `SpikingSequential` or `nn.Sequential` of `nn.Linear`, `nn.Conv2d`, `nn.AvgPool2d`, `nn.Flatten`, `Gain` before neurons,
            and `LIFNeuron` with a hard reset.
        input_shape: of one sample at one step, such as (64,) or (1, 28, 28).
        dt: length of a step in the unit that the graph's time constants shall have.

    Returns:
        A graph whose nodes are named by their position.

    Raises:
        ValueError: for a layer that NIR has no word for, such as a neuron with a soft reset, and shapes that do not follow on each other.
    """
    import nir

    if not dt > 0:
        raise ValueError(f"dt must be positive, got {dt}")
    nodes: dict[str, Any] = {"input": nir.Input(np.array(input_shape))}
    shape, gain = tuple(input_shape), 1.0
    for position, layer in enumerate(model):
        if gain != 1 and not isinstance(layer, LIFNeuron):
            raise ValueError(f"layer {position}: a Gain must be followed by a LIFNeuron, got {type(layer).__name__}")
        if isinstance(layer, Gain):
            gain = layer.factor
            continue
        node = _neuron_node(position, layer, shape, dt, gain) if isinstance(layer, LIFNeuron) else _node(position, layer, shape)
        gain = 1.0
        nodes[str(position)] = node
        shape = tuple(int(size) for size in node.output_type["output"])
    if gain != 1:
        raise ValueError("the last layer is a Gain, but it must be followed by a LIFNeuron")
    nodes["output"] = nir.Output(np.array(shape))
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)))


def _neuron_node(position: int, layer: LIFNeuron, shape: tuple[int, ...], dt: float, gain: float) -> nir.NIRNode:
    import nir

    if layer.v_reset is None:
        raise ValueError(f"layer {position} has a soft reset, which NIR has no word for: its neurons are set to a potential")
    threshold, v_reset = np.full(shape, layer.v_threshold), np.full(shape, layer.v_reset)
    if layer.tau == inf:
        return nir.IF(np.full(shape, gain / dt), threshold, v_reset)
    return nir.LIF(np.full(shape, layer.tau * dt), np.full(shape, gain * layer.tau), v_reset.copy(), threshold, v_reset)


def _node(position: int, layer: nn.Module, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 (nir has no types for mypy)
    import nir

    def numbers(parameter: Tensor) -> np.ndarray[Any, Any]:
        return parameter.detach().cpu().numpy().copy()

    if isinstance(layer, nn.Linear) and shape == (layer.in_features,):
        weight = numbers(layer.weight)
        return nir.Linear(weight) if layer.bias is None else nir.Affine(weight, numbers(layer.bias))
    square = (
        isinstance(layer, nn.Conv2d) and len(set(layer.kernel_size)) == 1
    )  # nir works out the shape after one as if it were square
    if (
        isinstance(layer, nn.Conv2d)
        and square
        and layer.padding_mode == "zeros"
        and (len(shape), shape[0]) == (3, layer.in_channels)
    ):
        weight = numbers(layer.weight)
        bias = np.zeros(len(weight), weight.dtype) if layer.bias is None else numbers(layer.bias)
        return nir.Conv2d(shape[1:], weight, layer.stride, layer.padding, layer.dilation, layer.groups, bias)
    if isinstance(layer, nn.AvgPool2d) and len(shape) == 3 and not layer.ceil_mode and layer.divisor_override is None:
        node = nir.AvgPool2d(*(np.array(_pair(each)) for each in (layer.kernel_size, layer.stride, layer.padding)))
        node.input_type = {"input": np.array(shape)}
        node.output_type = {"output": np.array(layer(torch.zeros(1, *shape)).shape[1:])}
        return node
    if isinstance(layer, nn.Flatten) and layer.start_dim != 0:
        start, end = (dim - 1 if dim > 0 else dim for dim in (layer.start_dim, layer.end_dim))
        return nir.Flatten({"input": np.array(shape)}, start, end)
    raise ValueError(f"layer {position}, {layer}, cannot be said in NIR for samples of shape {shape}")


def spikes_to_events(spikes: Tensor, dt: float = 1.0) -> tuple[Tensor, Tensor]:
    """A spike train as a list of events.

    Args:
        spikes: (T, ...), nonzero where there is a spike; usually (T, N), one trial.
        dt: length of a step; times come in its unit.

    Returns:
        times, (events,), float64, of the begin of the step; ids, (events,), int64, the position within a step's (...), counted
        through. In order of time, then of id.

    Raises:
        ValueError: if spikes has no axis besides time.
    """
    if spikes.ndim < 2:
        raise ValueError(f"spikes must be (T, ...) with at least one axis besides time, got {tuple(spikes.shape)}")
    steps, ids = spikes.flatten(1).nonzero(as_tuple=True)
    return steps.double() * dt, ids


def events_to_spikes(times: Tensor, ids: Tensor, shape: Sequence[int], dt: float = 1.0) -> Tensor:
    """A list of events as a spike train.

    Args:
        times: (events,), in any order. A time belongs to the step that it falls into; a millionth of a step short of one still does.
        ids: (events,), integers: the position within a step's axes, counted through.
        shape: (T, ...) of the result.
        dt: length of a step in the unit of the times.

    Returns:
        float32, 0 or 1. Events of one neuron within one step are one spike.

    Raises:
        ValueError: if times and ids do not fit each other, or an event lies outside the shape.
    """
    if times.ndim != 1 or times.shape != ids.shape or ids.is_floating_point():
        raise ValueError(
            f"times and ids must be (events,), ids integers, got {tuple(times.shape)} and {tuple(ids.shape)} of {ids.dtype}"
        )
    steps, size = (times.double() / dt + 1e-6).floor().long(), prod(shape[1:])
    outside = (steps < 0) | (steps >= shape[0]) | (ids < 0) | (ids >= size)
    if outside.any():
        first = int(outside.nonzero()[0])
        raise ValueError(
            f"event {first}, of neuron {int(ids[first])} at {float(times[first]):g}, lies outside {tuple(shape)} with steps of {dt:g}"
        )
    spikes = torch.zeros(shape[0], size, device=times.device)
    spikes[steps, ids.long()] = 1
    return spikes.view(*shape)
