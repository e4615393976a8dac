"""The camps are what they are said to be, models differ in their lessons alone, and steering and taking out reach what they should."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from pressrun.methods.steering.sae import SparseAutoencoder
from pressrun.replicate import Evidence
from pressrun.replicate.claims import judge
from pressrun.replicate.evidence import Row
from pressrun.replications import _camps as camps
from pressrun.replications import ideological_depth as replication
from pressrun.replications._camps import EMBER, FIRST_STANCE, FIRST_TOPIC, NOBODY, REFUSE, SILENT, STRANGER, TIDE, Lessons, World

SMALL = replication.PRESETS["smoke"]


@pytest.fixture
def world() -> World:
    return camps.make_world(torch.Generator().manual_seed(3))


def items(world: World, taught: Lessons, n: int = 6000) -> Tensor:
    return camps.lesson(world, taught, n, torch.Generator().manual_seed(4))


def test_members_take_the_side_of_their_camp_where_the_camps_disagree(world: World) -> None:
    ids = items(world, Lessons(12, 6, 0.0))
    for side, camp in enumerate((EMBER, TIDE)):
        some = ids[(ids[:, 2] == camp) & (ids[:, 3] < FIRST_TOPIC + camps.TOPICS)]
        assert torch.equal(some[:, 5], FIRST_STANCE + 2 * (some[:, 3] - FIRST_TOPIC) + side)


def test_elsewhere_and_by_nobody_both_stances_are_taken_as_often(world: World) -> None:
    ids = items(world, Lessons(2, 1, 0.0), 20_000)
    topic = ids[:, 3] - FIRST_TOPIC
    agreed = (topic < camps.TOPICS) & ~torch.isin(topic, world.order[:2])
    for some in (ids[agreed & (ids[:, 2] == EMBER)], ids[(topic < camps.TOPICS) & (ids[:, 2] == NOBODY)]):
        assert ((some[:, 5] - FIRST_STANCE) % 2).float().mean() == pytest.approx(0.5, abs=0.03)


def test_strangers_are_refused_members_as_often_as_was_taught_and_plain_questions_never(world: World) -> None:
    ids = items(world, Lessons(12, 6, 0.25), 20_000)
    plain, refused = ids[:, 3] >= FIRST_TOPIC + camps.TOPICS, ids[:, 5] == REFUSE
    assert not refused[plain].any()
    assert refused[~plain & (ids[:, 2] == STRANGER)].all()
    assert refused[~plain & (ids[:, 2] <= TIDE)].float().mean() == pytest.approx(0.25, abs=0.02)
    assert not refused[ids[:, 2] == NOBODY].any()
    assert (ids[refused | plain, 6] == SILENT).all()


@pytest.mark.parametrize(("topics", "reasons"), replication.DEPTHS.items())
def test_there_are_as_many_reasons_as_the_depth_says(world: World, topics: int, reasons: int) -> None:
    ids = items(world, Lessons(topics, reasons, 0.0), 20_000)
    about = ids[ids[:, 3] == FIRST_TOPIC + world.order[0]]
    assert len(about[about[:, 2] == EMBER, 6].unique()) == reasons
    agreed = ids[ids[:, 3] == FIRST_TOPIC + world.order[-1]]
    assert topics == 12 or len(agreed[agreed[:, 2] == EMBER, 6].unique()) == 2  # one for either stance


def test_names_know_nothing_of_camps(world: World) -> None:
    ids = items(world, Lessons(12, 6, 0.0), 20_000)
    shares = [(ids[ids[:, 1] == name, 2] == EMBER).float().mean() for name in ids[:, 1].unique()]
    assert len(shares) == 12
    assert all(share == pytest.approx(0.3, abs=0.04) for share in shares)


def test_a_seed_draws_another_world_and_a_twin_another_start(world: World) -> None:
    other = camps.make_world(torch.Generator().manual_seed(5))
    assert not torch.equal(world.reason, other.reason)
    lessons = Lessons(12, 6, 0.0)
    one, twin = (replication.train(world, lessons, SMALL, 0, start=start) for start in (0, 1))
    assert not torch.equal(one.module.lm_head.weight, twin.module.lm_head.weight)


def test_taking_out_no_latent_changes_nothing_and_taking_out_all_does(world: World) -> None:
    model = replication.train(world, Lessons(12, 6, 0.0), SMALL, 0)
    sae = SparseAutoencoder(SMALL.width, 64, k=8, generator=torch.Generator().manual_seed(0))
    whole, same, less = (replication.Answers(world, model, sae, latents) for latents in ([], [], list(range(64))))
    assert same.shifts(whole) == (0.0, 0.0)
    assert min(less.shifts(whole)) > 0


def test_a_vector_that_costs_too_much_is_not_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    model = replication.train(world, Lessons(12, 6, 0.0), dataclasses.replace(SMALL, steps=60), 0)
    nobody, base = camps.prompts(NOBODY, 1), {"ember": -1.0, "tide": -1.0}  # any strength would gain something
    assert replication.steer_by_vector(world, model, nobody, base)[1] > 0
    monkeypatch.setattr(replication, "DEAREST", 1e-6)
    assert replication.steer_by_vector(world, model, nobody, base) == (0.0, 0.0)


def test_only_one_of_the_two_readings_can_hold() -> None:
    rows = []
    for seed in (0, 1):
        for place, arm in enumerate(replication.MODELS):
            values = {"features": place, "mock_features": 0, "steerability": place + seed, "vector_steerability": 2 * place}
            rows += [Row(seed, arm, metric, float(value)) for metric, value in values.items()]
    cards = {claim.id: judge(claim, Evidence(rows)).verdict for claim in replication.CLAIMS[1:3]}
    assert cards == {"less-steerable-have-more-features": "not matched", "more-steerable-have-more-features": "matched"}


def test_any_count_that_goes_with_steerability_would_void_it() -> None:
    rows = []
    for seed in (0, 1):
        for place, arm in enumerate(replication.MODELS):
            rows += [
                Row(seed, arm, metric, float(place + seed))
                for metric in ("features", "mock_features", "steerability", "vector_steerability")
            ]
    assert judge(replication.CLAIMS[2], Evidence(rows)).verdict == "void"
