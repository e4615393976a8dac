"""Arms that start alike, controls that are as large as what they replace, rates chosen by one procedure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pressrun.methods.plasticity import NHLAdapter, entropy
from pressrun.replicate import Evidence, Run
from pressrun.replications import neuro_modulated_hebbian as replication

CONFIG = replication.PRESETS["smoke"]


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("neuro_modulated_hebbian")


@pytest.fixture(scope="module")
def source() -> nn.Sequential:
    return replication.train(CONFIG, 0, replication.split_digits(0).train)


def held_out() -> replication.Batches:
    digits = replication.split_digits(0)
    return replication.batches(CONFIG, 0, digits, digits.choice, *replication.HELD_OUT)


def test_every_arm_starts_a_stream_from_the_source_model(source: nn.Sequential, tmp_path: Path) -> None:
    arms = replication.choose(CONFIG, 0, source, held_out()[:1], Run(tmp_path, 0, replication.METRICS))
    assert list(arms) == list(replication.ARMS)
    for make in arms.values():
        for adapter in (make(), make()):
            weights = dict(adapter.model.named_parameters())
            assert all(torch.equal(weights[name], value) for name, value in source.named_parameters())
            adapter.adapt(held_out()[0][0])


def test_the_arm_of_the_source_model_predicts_as_it_does(source: nn.Sequential) -> None:
    stream = held_out()
    course = replication.follow(NHLAdapter(source, hebb_lr=0, mod_lr=0, bn="source"), stream)
    images, labels = (torch.cat(part) for part in zip(*stream, strict=True))
    assert course.error == pytest.approx((source(images).argmax(1) != labels).double().mean().item())


def test_random_signs_move_every_weight_as_far_as_the_hebbian_update(source: nn.Sequential) -> None:
    x = held_out()[0][0]
    method, control = NHLAdapter(source, hebb_lr=0.1), replication.RandomSigns(source, 0, hebb_lr=0.1, mod_lr=0.001, tau=1.0)
    torch.testing.assert_close(control.hebbian_change(x).abs(), method.hebbian_change(x).abs())
    assert 0.3 < (control.hebbian_change(x) * method.hebbian_change(x) > 0).double().mean() < 0.7


def test_random_feedback_has_gradients_as_large_as_those_of_the_entropy(source: nn.Sequential) -> None:
    x = held_out()[0][0]
    method, control = NHLAdapter(source), replication.with_random_feedback(NHLAdapter(source), 0)
    gradients = []
    for adapter in (method, control):
        entropy(adapter.model(x)).mean().backward()
        gradients.append(
            torch.cat([parameter.grad for parameter in adapter.modulator.parameters() if parameter.grad is not None])
        )
    torch.testing.assert_close(gradients[0].abs(), gradients[1].abs())
    assert not torch.equal(*gradients)


def test_rates_come_from_the_grid_and_the_held_out_corruption_is_not_tested(evidence: Evidence) -> None:
    assert replication.HELD_OUT[0] not in replication.SEVERITY
    for arm, metric in (
        ("tent", "entropy_rate"),
        ("hebb_only", "hebbian_rate"),
        ("nhl", "hebbian_rate"),
        ("hard", "hebbian_rate"),
    ):
        assert evidence.values(metric, arm)[0] in replication.RATES
    # The modulator keeps the rate it has alone.
    assert len({evidence.values("entropy_rate", arm)[0] for arm in ("modulator", "nhl", "hard")}) == 1


def test_the_splits_share_no_digit_and_images_are_images() -> None:
    digits = replication.split_digits(3)
    assert [len(labels) for _, labels in digits] == [797, 400, 600]
    assert all(images.min() >= 0 and images.max() <= 1 and images.shape[1:] == (1, 16, 16) for images, _ in digits)
    everything = torch.cat([images for images, _ in digits]).sum((1, 2, 3)).sort().values
    torch.testing.assert_close(everything, torch.cat([i for i, _ in replication.split_digits(4)]).sum((1, 2, 3)).sort().values)


def test_only_batch_statistics_and_the_source_model_predict_the_same_before_and_after(evidence: Evidence) -> None:
    for arm in ("source", "bn_stats"):
        assert evidence.values("error", arm) == evidence.values("error_before", arm)
    assert evidence.values("change_in_later_layers", "tent")[0] > 0


def test_the_figure_has_a_row_for_each_corruption(evidence: Evidence) -> None:
    left = replication.draw(evidence).axes[0]
    rows = [label.get_text() for label in left.get_yticklabels()]
    assert rows == [name.replace("_", " ") for name in replication.SEVERITY] + ["mean", "classes in order"]
