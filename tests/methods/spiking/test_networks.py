"""Deep networks of the layers: shapes, static against repeated inputs, what normalisation does for the currents."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from pressrun.methods.spiking import EILinear, NonNegativeSGD, ei_parameter_groups, layer_statistics, spiking_mlp

X = torch.rand(64, 20, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("norm", ["ei", "bn", "none"])
def test_it_gives_one_row_of_logits_a_sample(norm: str) -> None:
    model = spiking_mlp(20, 8, depth=3, width=16, norm=norm, steps=5)
    logits, layers = model.trace(X)
    assert logits.shape == (64, 8)
    assert [current.shape for current, _ in layers] == [(5, 64, 16)] * 3
    assert all(set(spikes.unique().tolist()) <= {0.0, 1.0} for _, spikes in layers)


@pytest.mark.parametrize("norm", ["ei", "bn", "none"])
def test_a_static_input_is_the_input_shown_at_every_step(norm: str) -> None:
    outputs, gradients = [], []
    for x in (X, X.expand(4, -1, -1)):
        torch.manual_seed(0)
        model = spiking_mlp(20, 8, depth=2, width=16, norm=norm)
        outputs.append(model(x))
        outputs[-1].square().sum().backward()
        gradients.append(next(model.parameters()).grad)
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_every_layer_is_initialised_in_order_by_the_first_batch() -> None:
    model = spiking_mlp(20, 8, depth=6, width=64, norm="ei")
    model(X)
    assert all(layer.initialised for layer in model.modules() if isinstance(layer, EILinear))
    assert all(0.02 < layer.firing_rate < 0.6 for layer in layer_statistics(model, X))


def test_without_normalisation_deep_layers_fall_silent_and_with_it_they_do_not() -> None:
    torch.manual_seed(0)
    rates = {}
    for norm in ("ei", "bn", "none"):
        model = spiking_mlp(20, 8, depth=12, width=64, norm=norm)
        model(X)
        rates[norm] = layer_statistics(model, X)[-1].firing_rate
    assert rates["none"] == 0
    assert min(rates["ei"], rates["bn"]) > 0.02


def test_statistics_are_those_of_the_traced_currents() -> None:
    torch.manual_seed(0)
    model = spiking_mlp(20, 8, depth=2, width=16, norm="none").eval()
    current, spikes = model.trace(X)[1][1]
    of = layer_statistics(model, X)[1]
    assert of.mean == pytest.approx(current.mean().item())
    assert of.variance == pytest.approx(current.var(correction=0).item())
    assert of.firing_rate == pytest.approx(spikes.mean().item())


def test_an_ei_network_learns_a_separable_task_and_keeps_its_sign() -> None:
    torch.manual_seed(0)
    x, y = torch.rand(256, 20), torch.arange(256) % 2
    x[y == 0, :10] *= 0.3
    x[y == 1, 10:] *= 0.3
    model = spiking_mlp(20, 8, depth=2, width=32, norm="ei")
    model(x)
    optimiser = NonNegativeSGD(ei_parameter_groups(model), lr=0.05, momentum=0.9)
    for _ in range(60):
        optimiser.zero_grad()
        cross_entropy(model(x), y).backward()
        optimiser.step()
    assert (model(x).argmax(1) == y).float().mean() > 0.95
    assert min(weight.min() for weight in optimiser.param_groups[0]["params"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "layer"}, "norm must be 'ei', 'bn' or 'none', got 'layer'"),
        ({"norm": "ei", "depth": 0}, "depth and steps must be at least 1, got depth 0 and steps 4"),
    ],
)
def test_it_refuses_a_network_it_cannot_build(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spiking_mlp(20, 8, **({"depth": 2, "width": 16} | options))  # type: ignore[arg-type]


def test_it_refuses_an_input_of_other_axes() -> None:
    with pytest.raises(ValueError, match=r"x must be \(B, features\) or \(T, B, features\), got \(20,\)"):
        spiking_mlp(20, 8, depth=2, width=16, norm="bn")(torch.ones(20))
