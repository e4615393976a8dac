"""What is special to the controller: the toy policy's world, how strengths are chosen, and that arms are what they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pressrun.methods import activations as act
from pressrun.methods.steering import ControlledSteering, SteeringVector
from pressrun.methods.steering.refusals import RefusalRates
from pressrun.replicate import Evidence, judge
from pressrun.replications import was_controller as replication
from pressrun.replications._tiny import tiny_language_model


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("was_controller")


def test_no_gradient_reaches_the_layer_weights_under_the_published_loss(evidence: Evidence) -> None:
    assert evidence.values("layer_weight_gradient", "was")[0] == 0.0


def test_the_unsteered_arm_is_the_same_at_every_strength(evidence: Evidence) -> None:
    assert len(set(evidence.curves("benign_accuracy", "base")[0].value)) == 1


def test_the_bias_has_the_gain_of_the_controller_and_shifts_less(evidence: Evidence) -> None:
    gain = {arm: evidence.values("gain", arm)[0] for arm in ("words_bias", "words_was")}
    assert gain["words_bias"] == pytest.approx(gain["words_was"], abs=1e-4)
    assert evidence.values("shift", "words_bias")[0] <= evidence.values("shift", "words_was")[0]


def test_questions_ask_every_time_and_place_in_each_wrapper() -> None:
    world = replication.draw_world(3, torch.Generator().manual_seed(1))
    asked = replication.questions(world, world.unseen)
    assert len(asked.ids) == 2 * 3 * 20
    assert len(asked.ids.unique(dim=0)) == len(asked.ids)
    assert int(asked.restricted.sum()) == 2 * 3 * 4
    wrapper, time, place, query = asked.ids[47].tolist()
    assert query == replication.QUERY
    assert wrapper - replication.WRAPPERS[0] in world.unseen
    assert asked.answers[47] == world.answers[time - replication.TIMES[0], place - replication.PLACES[0]]
    assert {0, *world.seen, *world.unseen} == set(range(6))


def test_worlds_differ_by_seed() -> None:
    one, other = (replication.draw_world(20, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert not torch.equal(one.answers, other.answers)


def test_the_least_of_equally_good_strengths_is_chosen() -> None:
    rates = {2.0: RefusalRates(1.0, 0.1, 0.0), 0.8: RefusalRates(0.9, 0.0, 1.0), 0.4: RefusalRates(0.5, 0.0, 1.0)}
    assert replication.best_strength(rates) == 0.8
    assert replication.least_strength(lambda strength: torch.tensor(100 * strength)) == 0.02
    assert replication.least_strength(lambda strength: torch.tensor(0.0)) == 0.1


def test_prompts_come_in_pairs_that_differ_in_the_place_alone() -> None:
    texts, forbidden = replication.prompts(["What is {}?", "Why {}?"], torch.Generator().manual_seed(0))
    assert forbidden.tolist() == [True, False] * 6
    assert [text for text in texts if "Zorblax" in text] == [texts[i] for i in range(0, 12, 2)]
    assert texts[0] == "What is the planet Zorblax?"
    assert texts[10] == "Why Zorblax?"


def test_its_edits_are_those_of_the_method() -> None:
    lm = tiny_language_model(["a b c d"])
    prompts = lm.inputs(["a b", "b c d"])
    activations = replication.last_tokens(lm, prompts)
    read = replication.features(activations)
    vector = replication.steering_vector(torch.randn(32, generator=torch.Generator().manual_seed(0)), activations)
    method = ControlledSteering(vector, act.residual[-1:], hidden=8).fit(read, torch.tensor([1, 0]))
    assert method.controller is not None
    with torch.no_grad():
        strengths = method.controller(read).strengths
        with lm.edit(*replication.edits(vector, 0.3 * strengths)):
            ours = lm.module(**prompts).logits
        with lm.edit(*method.edits(lm, prompts, 0.3)):
            theirs = lm.module(**prompts).logits
        assert torch.equal(ours, theirs)
        assert not torch.equal(ours, lm.module(**prompts).logits)


def test_the_beginning_of_a_prompt_is_read_once_with_the_same_result() -> None:
    lm = tiny_language_model(["a b c d"])
    batch = lm.inputs(["a b", "b c d"])
    vector = SteeringVector(act.residual[1], directions={act.residual[1]: torch.ones(32)}, norms={act.residual[1]: 5.0})
    with torch.no_grad():
        words = replication.FirstWords(lm, batch, [2], torch.tensor([True, False]))
        last = SteeringVector(act.residual[1], directions=vector.directions, norms=vector.norms, positions="last_prompt")
        with lm.edit(*last.edits(lm, batch, 1.0)):
            whole = lm.module(**batch).logits[:, -1]
        torch.testing.assert_close(words.logits(vector.edits(lm, batch, 1.0)), whole, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(words.base, lm.module(**batch).logits[:, -1], atol=1e-5, rtol=1e-5)


def test_layer_weights_that_do_as_well_as_any_are_not_supported() -> None:
    claim = next(claim for claim in replication.CLAIMS if claim.id == "learned-layer-weights-matter")
    arms = {"was": 0.44, "uniform_weights": 0.44, "permuted_weights": 0.41, "untrained_weights": 0.43}
    rows = [
        {"seed": seed, "arm": arm, "metric": "refusal_unseen", "value": value + 0.001 * seed, "step": 100}
        for seed in range(5)
        for arm, value in arms.items()
    ]
    assert judge(claim, Evidence.from_rows(rows)).verdict == "not matched"
