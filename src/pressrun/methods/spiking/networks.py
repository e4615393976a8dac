"""Deep spiking perceptrons whose layers differ in what keeps their currents in range: E-I populations, batch norm, nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .ei import EILinear
from .lif import LIFNeuron

__all__ = ["LayerStatistics", "SpikingMLP", "layer_statistics", "spiking_mlp"]


@dataclass(frozen=True)
class LayerStatistics:
    """What one hidden layer does with a batch: mean and variance of its current over units, samples and steps; spikes a step."""

    mean: float
    variance: float
    firing_rate: float


class SpikingMLP(nn.Module):
    """Hidden layers of spiking units and a linear read-out averaged over time; built by `spiking_mlp`.

    Shapes: input (B, features), shown for `steps` steps, or (T, B, features); output (B, classes), the logits.
    """

    def __init__(self, maps: list[nn.Module], norms: list[nn.Module], readout: nn.Module, neuron: LIFNeuron, steps: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(maps)
        self.norms = nn.ModuleList(norms)
        self.readout = readout
        self.neuron = neuron
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        return self.trace(x)[0]

    def trace(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The logits, and (current, spikes) of every hidden layer, each (T, B, units).

        Raises:
            ValueError: if x is neither (B, features) nor (T, B, features).
        """
        if x.ndim not in (2, 3):
            raise ValueError(f"x must be (B, features) or (T, B, features), got {tuple(x.shape)}")
        steps = self.steps if x.ndim == 2 else len(x)
        shown = x.unsqueeze(0) if x.ndim == 2 else x
        first = self.maps[0]
        if isinstance(first, EILinear) and not first.initialised and self.training:
            # The statistics are taken over all steps, as for the layers that follow.
            first.init_from_batch(shown.expand(steps, -1, -1))
        layers = []
        # A static input gives the same current at every step: it is computed once.
        for linear, norm in zip(self.maps, self.norms, strict=True):
            current = linear(shown)
            current = norm(current.flatten(0, 1)).view_as(current).expand(steps, -1, -1)
            shown = self.neuron(current)
            layers.append((current, shown))
        return self.readout(shown).mean(0), layers


def spiking_mlp(
    features: int,
    classes: int,
    *,
    depth: int,
    width: int,
    norm: str,
    steps: int = 4,
    ei_ratio: int = 4,
    neuron: LIFNeuron | None = None,
    gradient_scaling: bool = True,
    straight_through: bool = True,
) -> SpikingMLP:
    """A perceptron with `depth` hidden layers of `width` spiking units.

    Args:
        features: inputs; non-negative ones for "ei".
        classes: logits.
        depth: hidden layers, at least 1.
        width: units in each.
        norm: "ei" for E-I layers without normalisation, "bn" for signed weights with batch normalisation over samples and
            steps, "none" for signed weights alone. Signed weights are Kaiming normal.
        steps: T for an input without time axis.
        ei_ratio: excitatory units for each inhibitory one; "ei" only.
        neuron: constants of the units; tau 2, threshold 1, soft reset when None.
        gradient_scaling, straight_through: the two parts of E-I Prop; "ei" only.

    Raises:
        ValueError: for another norm, or a depth or number of steps below 1.
    """
    if norm not in ("ei", "bn", "none"):
        raise ValueError(f"norm must be 'ei', 'bn' or 'none', got {norm!r}")
    if depth < 1 or steps < 1:
        raise ValueError(f"depth and steps must be at least 1, got depth {depth} and steps {steps}")

    def linear(inputs: int, outputs: int, output_layer: bool = False) -> nn.Module:
        if norm == "ei":
            return EILinear(
                inputs, outputs, ei_ratio, output_layer, gradient_scaling=gradient_scaling, straight_through=straight_through
            )
        layer = nn.Linear(inputs, outputs)
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    maps = [linear(features if level == 0 else width, width) for level in range(depth)]
    norms: list[nn.Module] = [nn.BatchNorm1d(width) if norm == "bn" else nn.Identity() for _ in range(depth)]
    return SpikingMLP(maps, norms, linear(width, classes, output_layer=True), neuron or LIFNeuron(), steps)


@torch.no_grad()
def layer_statistics(model: SpikingMLP, x: Tensor) -> list[LayerStatistics]:
    """Mean and variance of the current and the firing rate of every hidden layer, first to last, for one batch."""
    return [
        LayerStatistics(current.mean().item(), current.var(correction=0).item(), spikes.mean().item())
        for current, spikes in model.trace(x)[1]
    ]
