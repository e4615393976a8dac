"""Probes by layer, a probe that is asked about rows it has not seen, and a price in computed numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pressrun.methods.steering.layer_probes import LayerProbe, NumbersComputed, probe_layers


@pytest.fixture
def two_layers() -> tuple[torch.Tensor, torch.Tensor]:
    """Noise in the first layer, the label in the first dimension of the second."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(80) % 2
    x = torch.randn(2, 80, 6, generator=generator)
    x[1, :, 0] += 8.0 * y
    return x, y


def test_only_the_layer_that_knows_the_label_gives_it_away(two_layers: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = two_layers
    noise, knows = probe_layers(x, y, [i // 4 for i in range(80)], seed=1)
    assert knows.auc > 0.99
    assert 0.25 < noise.auc < 0.75


def test_a_probe_reads_rows_it_was_not_fitted_to(two_layers: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = two_layers
    probe = LayerProbe(components=3).fit(x[1, :60], y[:60])
    assert probe.auc(x[1, 60:], y[60:]) > 0.99
    assert probe.auc(x[1, 60:], 1 - y[60:]) < 0.01
    assert ((probe.predict_proba(x[1, 60:]) > 0.5) == (y[60:] == 1)).float().mean() > 0.9


def test_what_it_is_asked_about_does_not_move_the_scaler(two_layers: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = two_layers
    probe = LayerProbe().fit(x[1, :60], y[:60])
    alone = probe.predict_proba(x[1, 60:61])
    torch.testing.assert_close(probe.predict_proba(torch.cat([x[1, 60:61], 1000 * x[1, 61:]]))[:1], alone)


def test_it_refuses_labels_of_one_kind_and_questions_before_it_learnt() -> None:
    with pytest.raises(ValueError, match=r"labels 0 and 1, both there, got \(4, 2\) and \[1\]"):
        LayerProbe().fit(torch.randn(4, 2), torch.ones(4).long())
    with pytest.raises(ValueError, match="learnt nothing yet: fit it first"):
        LayerProbe().predict_proba(torch.randn(4, 2))


def test_it_refuses_activations_without_a_layer_axis() -> None:
    with pytest.raises(ValueError, match=r"x must be \(layers, n, width\), got \(80, 6\)"):
        probe_layers(torch.randn(80, 6), torch.arange(80) % 2)


def test_it_counts_the_numbers_that_are_written() -> None:
    layer, x = nn.Linear(3, 5, bias=False), torch.ones(2, 3)
    with torch.no_grad(), NumbersComputed() as computed:
        y = x @ layer.weight.T  # 10 numbers; the transpose is a view
        y = y + 1.0  # 10
        y.sum()  # 1
    assert computed.total == 21


def test_it_stops_counting_when_the_context_ends() -> None:
    with NumbersComputed() as computed:
        torch.ones(4) * 2
    before = computed.total
    torch.ones(400) * 2
    assert computed.total == before > 0
