"""The smoke preset, the arms, and what the figure shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib import pyplot as plt

from pressrun.replicate import Evidence, Run
from pressrun.replications import cortico_cerebellar as replication

SMOKE = replication.PRESETS["smoke"]


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("cortico_cerebellar")


def test_all_arms_start_from_the_same_cortex_and_move_it_as_often() -> None:
    firsts, steps = [], set()
    for arm in (replication.ARMS | replication.VARIANTS).values():
        trainer = replication.learner(arm, SMOKE, 0)
        firsts.append(torch.cat([parameter.detach().flatten() for parameter in trainer.model.cortical_parameters()]))
        assert list(replication.practise(trainer, replication.lessons_of(SMOKE, 0))) == [1, 2]
        moved = trainer.optimizer.state[trainer.model.readout.weight]
        steps.add(float(moved["step"]))
    assert all(torch.equal(first, firsts[0]) for first in firsts)
    assert steps == {2.0 * SMOKE.updates}


def test_what_cannot_learn_does_not_and_what_does_starts_at_zero() -> None:
    for name, starts_at_zero, learns in (("ccrnn", True, True), ("ccrnn_shuffled", True, True), ("ccrnn_random", False, False)):
        trainer = replication.learner(replication.ARMS[name], SMOKE, 0)
        assert trainer.model.synthesizer is not None
        before = torch.cat([parameter.detach().flatten() for parameter in trainer.model.synthesizer.parameters()])
        states = torch.ones(1, trainer.model.state_dim)
        assert (not trainer.model.synthesizer(states).any()) == starts_at_zero
        list(replication.practise(trainer, replication.lessons_of(SMOKE, 0), after=1))
        after = torch.cat([parameter.detach().flatten() for parameter in trainer.model.synthesizer.parameters()])
        assert torch.equal(before, after) == (not learns)


def test_a_lesion_leaves_the_epochs_before_it_as_they_were(evidence: Evidence) -> None:
    intact = evidence.curves("error", "ccrnn")[0]
    for name in ("ccrnn_ablated", "ccrnn_frozen"):
        lesioned = evidence.curves("error", name)[0]
        assert lesioned.step.tolist() == intact.step[SMOKE.lesion_epoch :].tolist()
        assert evidence.values("error_after_lesion", name)[0] == pytest.approx(lesioned.value.mean())


def test_the_benefit_is_what_is_saved_of_the_area(evidence: Evidence) -> None:
    with_it, alone = (evidence.values("error", arm, "mean")[0] for arm in ("ccrnn", "crnn"))
    assert evidence.values("benefit", "window_1")[0] == pytest.approx(1 - with_it / alone)


def test_the_gradient_4_steps_away_is_never_that_of_the_same_step(evidence: Evidence) -> None:
    steps = torch.arange(1, 9)
    assert not (steps == steps.roll(4)).any()
    same, other = (evidence.values("gradient_cosine", arm)[0] for arm in ("ccrnn", "ccrnn_other_step"))
    assert -1 <= other <= 1
    assert -1 <= same <= 1
    assert same != other


def test_the_splits_share_no_digit() -> None:
    (images, labels), (test_images, test_labels) = replication.split_digits(3)
    assert images.shape == (1400, 8, 8)
    assert (len(labels), len(test_images), len(test_labels)) == (1400, 397, 397)
    assert images.max() == 1


def test_a_lesion_comes_before_the_last_epoch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lesion_epoch must be below epochs, which is 2, got 2"):
        replication.replicate(replace(SMOKE, lesion_epoch=2), 0, Run(tmp_path, 0, replication.METRICS))


def test_the_figure_shows_both_networks_and_every_curve(evidence: Evidence) -> None:
    figure = replication.draw(evidence)
    assert [axes.get_title() for axes in figure.axes] == ["", "cortex alone", "with a cerebellum"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [label for label, *_ in replication.CURVES.values()]
    assert len(figure.axes[1].lines) == 14  # seven targets and seven lines drawn
    plt.close(figure)
