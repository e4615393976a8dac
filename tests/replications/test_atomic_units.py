"""What is special to atomic units: the questions, what is permuted in a control, and when a claim fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pressrun.methods import activations as act
from pressrun.replicate import Evidence, judge
from pressrun.replications import atomic_units as replication
from pressrun.replications._tiny import tiny_language_model


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("atomic_units")


@pytest.fixture
def lm() -> act.Model:
    return tiny_language_model(replication.vocabulary())


def test_planted_units_are_found_by_momentum_and_not_by_size(evidence: Evidence) -> None:
    assert evidence.values("precision", "planted_momentum")[0] == 1.0
    assert evidence.values("precision", "planted_difference")[0] < 0.8


def test_every_arm_of_the_figure_has_a_margin_and_no_other(evidence: Evidence) -> None:
    assert {row.arm for row in evidence.rows() if row.metric == "margin"} == set(replication.ARMS)


def test_the_right_word_comes_first_in_half_of_the_questions(lm: act.Model) -> None:
    found = replication.draw_questions(60, replication.all_facts(lm), torch.Generator().manual_seed(0))
    assert len({question.text for question in found}) == 60
    names = [question.text.split(",")[0].removeprefix("Of ").split(" and ") for question in found]
    first = [one.startswith(question.right.strip()) for (one, _), question in zip(names, found, strict=True)]
    assert sum(first) == 30
    assert sum(question.text.endswith(" larger is ") for question in found) == 20
    for question in found:
        assert question.right != question.wrong


def test_numbers_differ_in_the_digit_that_is_asked_for(lm: act.Model) -> None:
    found = replication.draw_questions(30, replication.all_facts(lm), torch.Generator().manual_seed(1))
    for question in (each for each in found if each.text.endswith(" ")):
        assert int(question.right) > int(question.wrong)


def test_the_sets_share_no_fact_and_a_pair_stays_with_its_reverse() -> None:
    facts = [("hot", "cold"), ("cold", "hot"), ("up", "down"), ("down", "up"), ("oak", "tree"), ("ant", "insect")]
    shares = replication.divide(facts, (2, 1, 1), torch.Generator().manual_seed(0))
    assert sorted(fact for share in shares for fact in share) == sorted(facts)
    for share in shares:
        for one, two in share:
            assert one in ("oak", "ant") or (two, one) in share


def test_half_of_the_questions_are_turned() -> None:
    signs = replication.half_turned(10, torch.Generator().manual_seed(0))
    assert signs.sum() == 0
    assert signs.abs().tolist() == [1.0] * 10


def test_margins_follow_the_order_of_the_questions(lm: act.Model) -> None:
    questions = replication.draw_questions(9, replication.all_facts(lm), torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = replication.margins(lm, replication.items(lm, questions, size=4))
        alone = torch.cat([replication.margins(lm, replication.items(lm, [question])) for question in questions])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_sweeping_a_dimension_does_what_rescaling_it_does(lm: act.Model) -> None:
    asked = replication.items(lm, replication.draw_questions(6, replication.all_facts(lm), torch.Generator().manual_seed(0)))
    gains = torch.zeros(lm.head_width)
    gains[3] = 1.0
    alone = replication.UnitSteering(act.head[1, 0], k=1, gains={act.head[1, 0]: gains})
    with torch.no_grad():
        moved = replication.margins(lm, asked, alone, 5.0) - replication.margins(lm, asked)
        torch.testing.assert_close(replication.sweep(lm, act.head[1, 0], 4, 5.0, asked)[3], moved, atol=1e-5, rtol=1e-4)
    assert moved.abs().max() > 0


def test_shares_count_only_what_is_sure() -> None:
    noise = torch.tensor([0.1, -0.1, 0.12, -0.12, 0.05, -0.05])
    assert replication.significant(torch.stack([1 + noise, noise, -1 + noise, 2 + noise])) == (0.5, 0.25)


def test_kl_is_that_worked_out_by_hand() -> None:
    p, q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    # 0.5 ln 2 + 0.5 ln (2/3), and 0.25 ln (1/2) + 0.75 ln (3/2).
    assert replication.divergence(p, q) == pytest.approx(0.143841, abs=1e-5)
    assert replication.symmetric(p, q) == pytest.approx((0.143841 + 0.130812) / 2, abs=1e-5)
    assert replication.rank([1.0, 1.0, 1.0]) == 0.0
    assert replication.rank([1.0, 2.0, 5.0]) == pytest.approx(1.0)


def test_shuffled_pairs_swap_good_and_bad_in_half_of_them(lm: act.Model) -> None:
    config = replication.PRESETS["smoke"]
    with torch.no_grad():
        task = replication.draw_task(lm, config, torch.Generator().manual_seed(0))
    units = replication.units_of(lm, act.mlp[:], task.mlp, 10)
    found = replication.controls(config, lm, task, units, torch.Generator().manual_seed(0))
    gains = torch.stack(list(units.gains.values()))
    assert int((gains != 0).sum()) == 10
    for (drawn,), same in ((found["random_units"], True), (found["shuffled_pairs"], False)):
        other = torch.stack(list(drawn.gains.values()))
        assert int((other != 0).sum()) == 10
        assert torch.equal(other.flatten().sort().values, gains.flatten().sort().values) is same


def test_units_that_do_no_better_than_shuffled_pairs_are_void() -> None:
    claim = next(claim for claim in replication.CLAIMS if claim.id == "localisation-matters")
    arms = {"units_mlp": 2.0, "shuffled_pairs": 1.9, "random_units": 1.0}
    rows = [
        {"seed": seed, "arm": arm, "metric": "margin", "value": value + 0.01 * seed * len(arm)}
        for seed in range(5)
        for arm, value in arms.items()
    ]
    assert judge(claim, Evidence.from_rows(rows)).verdict == "void"
