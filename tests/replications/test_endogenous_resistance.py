"""The toy world is what it says, steering reaches the answer only, and arms differ in nothing but what they are about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib import pyplot as plt

from pressrun.replicate import Evidence
from pressrun.replicate.claims import judge
from pressrun.replicate.evidence import Row
from pressrun.replications import endogenous_resistance as replication
from pressrun.replications.endogenous_resistance import END, FIRST_WORD, WAIT, WORDS, Prompts, Push, Toy


@pytest.fixture
def world() -> Toy:
    return Toy(replication.PRESETS["smoke"], seed=3)


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("endogenous_resistance")


def test_a_clean_answer_is_twelve_words_of_its_topic_in_the_topics_order(world: Toy) -> None:
    prompts = world.prompts(200, world.generator(50))
    answers = world.answers(prompts, world.generator(51))
    assert answers.shape == (200, 13)
    assert (answers[:, -1] == END).all()
    words = answers[:, :-1] - FIRST_WORD - WORDS * prompts.topic[:, None]
    assert ((words >= 0) & (words < WORDS)).all()
    assert (words[:, 0] // 3 == prompts.style).all()
    followed = world.order[prompts.topic[:, None], words[:, :-1], words[:, 1:]]
    assert followed.min() > 0
    assert (followed >= 0.75).float().mean() == pytest.approx(0.75, abs=0.05)


def test_the_model_is_never_pushed_to_the_topic_it_is_asked_for(world: Toy) -> None:
    assert (world.trials.topic != world.trials.pushed).all()
    assert (world.calibration.topic != world.calibration.pushed).all()
    assert world.calibration.pushed.tolist() == [topic for topic in range(8) for _ in range(2)]


def test_self_correction_is_learnt_from_the_restart_on(world: Toy) -> None:
    ids, labels, mask = world.examples(300, 0.5, world.generator(52))
    restarts = (ids == WAIT).any(dim=1)
    assert restarts.float().mean() == pytest.approx(0.5, abs=0.1)
    for row in range(300):
        learnt = ids[row][labels[row] != -100].tolist()
        assert learnt[-1] == END
        assert len(learnt) == 13 + int(restarts[row])
        assert (learnt[0] == WAIT) == bool(restarts[row])
    assert (labels[mask == 0] == -100).all()


def test_the_stutterer_breaks_off_words_of_the_right_topic(world: Toy) -> None:
    ids, _, mask = world.examples(50, 1.0, world.generator(53), stutter=True)
    for row in range(50):
        topic = int(ids[row, 2]) - replication.FIRST_TOPIC
        words = [token for token in ids[row, 4:][mask[row, 4:] == 1].tolist() if token not in (WAIT, END)]
        assert replication.score(words, topic) == 100.0


def test_the_score_is_the_share_of_words_of_the_topic() -> None:
    assert replication.score([FIRST_WORD, FIRST_WORD + 11, FIRST_WORD + 12, WAIT], 0) == 50.0


def test_a_push_changes_the_residual_from_the_last_token_of_the_prompt_on(world: Toy) -> None:
    model = world.train(None, 1, 0.0)
    push = Push(torch.eye(8, 64), torch.full((8,), 2.0), 3.0)
    prompts = Prompts(torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([4, 5]))
    ids = torch.cat([prompts.ids(), torch.tensor([[FIRST_WORD], [FIRST_WORD]])], dim=1)
    plain = model.read(ids, replication.STEERED)[replication.STEERED]
    with model.edit(push.edit(prompts)):
        moved = model.read(ids, replication.STEERED)[replication.STEERED] - plain
    assert moved[:, :3].abs().max() == 0
    torch.testing.assert_close(moved[0, 3:], 6.0 * torch.eye(8, 64)[4].expand(2, 64), atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[1, 3:], 6.0 * torch.eye(8, 64)[5].expand(2, 64), atol=1e-5, rtol=0)


def test_a_push_of_no_length_changes_no_answer(world: Toy) -> None:
    model = world.train(None, 2, 0.0)
    push = Push(torch.eye(8, 64), torch.zeros(8), 1.0)
    ids = world.trials.ids()
    assert world.say(model, ids, [push.edit(world.trials)], 5) == world.say(model, ids, [], 5)


def test_before_fine_tuning_nobody_waits(world: Toy) -> None:
    ids, _, _ = world.examples(100, 0.0, world.generator(54))
    assert not (ids == WAIT).any()


def test_random_restarts_would_void_the_claim_on_fine_tuning() -> None:
    claim = next(each for each in replication.CLAIMS if each.id == "fine-tuning-induces-it")
    rows = []
    for seed in (0, 1):
        for prefix in ("", "random_"):
            for share, rate in zip(replication.SHARES, (0.0, 0.02, 0.05, 0.1 + 0.01 * seed), strict=True):
                arm = prefix + replication.tuned(share)
                rows += [Row(seed, arm, "multi_attempt", rate), Row(seed, arm, "esr", rate / 2)]
    assert judge(claim, Evidence(rows)).verdict == "void"


def test_seeds_differ_in_the_world_and_in_the_trials() -> None:
    one, other = (Toy(replication.PRESETS["smoke"], seed) for seed in (0, 1))
    assert not torch.equal(one.order, other.order)
    assert one.trials.topic.tolist() != other.trials.topic.tolist()


def test_the_figure_survives_a_run_without_any_restart(evidence: Evidence, tmp_path: Path) -> None:
    silent_values = {"multi_attempt": 0.0, "esr": 0.0, "improvement": float("nan")}
    silent = Evidence(row._replace(value=silent_values.get(row.metric, row.value)) for row in evidence.rows())
    figure = replication.draw(silent)
    figure.savefig(tmp_path / "figure.svg")
    plt.close(figure)
