"""The world is what it says, the map's times are not the test's, and only what may learn to refuse does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pressrun.methods import activations as act
from pressrun.methods.steering import expert_edits
from pressrun.replicate import Evidence, Run
from pressrun.replicate.claims import judge
from pressrun.replicate.evidence import Row
from pressrun.replications import mixture_of_tunable_experts as replication
from pressrun.replications.mixture_of_tunable_experts import ANSWER, DIALECT, PLACE, REFUSE, TIME, Prompts, World

CONFIG = replication.PRESETS["smoke"]


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("mixture_of_tunable_experts")


@pytest.fixture
def world() -> World:
    return World(torch.Generator().manual_seed(3))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, 0, replication.METRICS)


def test_a_fifth_of_the_places_is_restricted_and_half_of_the_styles_are_answered_in_b(world: World) -> None:
    assert (len(world.restricted), len(world.open)) == (4, 16)
    assert sorted([*world.restricted.tolist(), *world.open.tolist()]) == list(range(20))
    assert int(world.dialect.sum()) == 4


def test_the_map_and_the_test_share_no_time(world: World) -> None:
    assert sorted([*world.map_times.tolist(), *world.test_times.tolist()]) == list(range(20))
    prompts = world.prompts(300, world.open, world.test_times, torch.Generator().manual_seed(0))
    assert set(prompts.time.tolist()) == set(world.test_times.tolist())
    assert set(prompts.place.tolist()) == set(world.open.tolist())


def test_the_fact_depends_on_time_and_place_and_the_dialect_on_the_style(world: World) -> None:
    prompts = Prompts(torch.tensor([0, 1]), torch.tensor([5, 6]), torch.tensor([7, 7]), torch.tensor([2, 2]))
    assert prompts.ids()[0].tolist() == [0, 5, 18, TIME + 7, PLACE + 2, 1]
    first, fact = world.answers(prompts)
    assert (first - DIALECT).tolist() == world.dialect[:2].tolist()
    assert fact.tolist() == [ANSWER + int(world.table[7, 2])] * 2


def moved(before: nn.Module, after: nn.Module) -> set[str]:
    """The parts in which some weight changed."""
    pairs = zip(before.named_parameters(), after.parameters(), strict=True)
    return {name.split(".mlp.")[-1].split(".")[0] for (name, old), new in pairs if not torch.equal(old, new)}


def test_only_routers_and_routed_experts_learn_to_refuse_where_the_rest_is_frozen(world: World, run: Run) -> None:
    base = replication.mixture(CONFIG, shared=True, seed=0)
    for variant, expected in (("experts", {"gate", "experts"}), ("everything", {"gate", "experts", "shared_expert", "lm_head"})):
        aligned = replication.aligned(base, variant, world, CONFIG, torch.Generator().manual_seed(0), run)
        assert expected <= moved(base, aligned)
        assert variant == "everything" or moved(base, aligned) == expected
    assert not any("shared" in name for name, _ in replication.mixture(CONFIG, shared=False, seed=0).named_parameters())


def test_an_answer_is_read_under_the_edits_at_both_of_its_tokens(world: World) -> None:
    model = act.load(replication.mixture(CONFIG, shared=False, seed=0).eval())
    prompts = world.prompts(50, world.open, world.test_times, torch.Generator().manual_seed(0))
    everything = expert_edits([(layer, expert) for layer in range(3) for expert in range(32)])
    told = replication.answer(model, prompts, everything)
    ids = torch.cat([prompts.ids(), told.first[:, None]], dim=1)
    with torch.no_grad(), model.edit(*everything):
        logits = model.module(ids).logits
    assert torch.equal(told.first, logits[:, -2].argmax(dim=-1))
    assert torch.equal(told.fact, logits[:, -1].argmax(dim=-1))
    assert not torch.equal(told.first, replication.answer(model, prompts).first)


def test_prompts_are_told_apart_by_the_models_own_answers_where_they_differ(run: Run) -> None:
    meant = torch.tensor([True, True, False])
    own = torch.tensor([True, False, False])
    assert replication.two_kinds(own, meant, run).tolist() == [True, False, False]
    assert replication.two_kinds(~own & own, meant, run).tolist() == [True, True, False]


def test_a_share_among_none_is_no_number() -> None:
    assert replication.share(torch.tensor([True, False]), torch.tensor([True, True])) == 0.5
    assert torch.tensor(replication.share(torch.tensor([True]), torch.tensor([False]))).isnan()


def verdict(claim_id: str, values: dict[tuple[str, str], float]) -> str:
    claim = next(each for each in replication.CLAIMS if each.id == claim_id)
    rows = [Row(s, arm, metric, v + 0.001 * s) for (arm, metric), v in values.items() for s in range(5)]
    return judge(claim, Evidence(rows)).verdict


@pytest.mark.parametrize(("one", "expected"), [(0.97, "matched"), (0.4, "void")])
def test_random_experts_that_do_as_much_void_the_claim(one: float, expected: str) -> None:
    arms = {"experts_untuned": 1.0, "experts_top_8": 0.4, "experts_one_matched": one}
    assert verdict("few-experts-if-refusal-was-put-there", {(arm, "refusal"): v for arm, v in arms.items()}) == expected


def test_experts_that_do_nothing_at_all_are_not_taken_for_better_than_random() -> None:
    arms = ("experts_top_8", "experts_matched_95th", "experts_one_matched")
    assert verdict("random-experts-do-less", {(arm, "drop"): 0.0 for arm in arms}) == "not matched"
    arms = ("experts_forced", "experts_forced_matched", "experts_forced_one_matched")
    assert verdict("forcing-makes-refusals", {(arm, "false_refusal"): 0.0 for arm in arms}) == "not matched"


def test_the_area_is_the_mean_refusal_of_the_dose(evidence: Evidence) -> None:
    for variant in replication.VARIANTS:
        refusals = [evidence.values("refusal", f"{variant}_top_{k}")[0] for k in (1, 2, 4, 8, 16)]
        assert evidence.values("area", f"{variant}_top")[0] == pytest.approx(sum(refusals) / 5)


def test_a_drop_is_taken_from_the_untuned_model(evidence: Evidence) -> None:
    untuned, top = (evidence.values("refusal", f"no_shared_{arm}")[0] for arm in ("untuned", "top_8"))
    assert evidence.values("drop", "no_shared_top_8")[0] == pytest.approx(untuned - top)
    assert evidence.values("drop", "no_shared_untuned")[0] == 0.0


def test_seeds_differ_in_the_facts_and_in_what_is_restricted() -> None:
    one, other = (World(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert not torch.equal(one.table, other.table)
    assert set(one.restricted.tolist()) != set(other.restricted.tolist())


def test_a_refusal_is_learnt_without_a_fact(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    plain = replication.cross_entropy
    monkeypatch.setattr(replication, "cross_entropy", lambda x, y: seen.append(y.unflatten(0, (-1, 2))) or plain(x, y))
    network = replication.mixture(CONFIG, shared=True, seed=0)
    replication.train(network, world, CONFIG, torch.Generator().manual_seed(0), run, refusing=True)
    assert seen[0][:16].tolist() == [[REFUSE, -100]] * 16
    assert bool((seen[0][16:] >= DIALECT).all())
