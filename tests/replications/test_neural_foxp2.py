"""The toy's facts are the same in both languages, nothing the edit has seen is asked about, and every seed is another world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib import pyplot as plt

from pressrun.replicate import Evidence
from pressrun.replicate.claims import judge
from pressrun.replicate.evidence import Row
from pressrun.replications import neural_foxp2 as replication
from pressrun.replications._bilingual import (
    CONCEPTS,
    FIRST_CONCEPT,
    FIRST_RELATION,
    MAJORITY,
    MINORITY,
    NEITHER,
    RELATIONS,
    World,
)
from pressrun.replications._english_spanish import ENGLISH, FRAMES, QUESTIONS, SPANISH, THINGS, sounds_spanish
from pressrun.replications._tiny import tiny_language_model


@pytest.fixture
def world() -> World:
    return World(torch.Generator().manual_seed(3))


def concept_and_language(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (tokens - FIRST_CONCEPT) % CONCEPTS, (tokens - FIRST_CONCEPT) // CONCEPTS


def test_nine_of_ten_sentences_are_in_the_majority_language_and_open_prompts_are_answered_in_it(world: World) -> None:
    ids = world.sentences(20_000)
    first, second = ids[:, 2], ids[:, 3]
    about = torch.maximum(first, second)
    _, spoken = concept_and_language(about)
    _, answered = concept_and_language(ids[:, 5])
    assert (spoken == NEITHER).float().mean() == pytest.approx(0.2, abs=0.02)
    closed = spoken != NEITHER
    assert (answered[closed] == spoken[closed]).all()
    assert (answered[closed] == MINORITY).float().mean() == pytest.approx(0.1, abs=0.01)
    assert (answered[~closed] == MINORITY).float().mean() == pytest.approx(0.05, abs=0.01)
    # The relation comes first in the majority's prompts, the concept in the minority's.
    assert (first[spoken == MAJORITY] < second[spoken == MAJORITY]).all()
    assert (first[spoken == MINORITY] > second[spoken == MINORITY]).all()


def test_an_answer_is_the_fact_of_its_relation_and_concept(world: World) -> None:
    ids = world.sentences(500)
    about, _ = concept_and_language(torch.maximum(ids[:, 2], ids[:, 3]))
    relation = (torch.minimum(ids[:, 2], ids[:, 3]) - FIRST_RELATION) % RELATIONS
    answered, _ = concept_and_language(ids[:, 5:7])
    assert torch.equal(answered, world.facts[relation, about])


def test_held_out_prompts_are_about_other_concepts_than_pairs_and_weak_prompts(world: World) -> None:
    setting = replication.toy_setting(world, world.train(3, steps=1, width=32, batch=4))
    seen: set[int] = set()
    for prompts in (setting.target, setting.default, setting.weak):
        assert isinstance(prompts, torch.Tensor)
        seen |= set(concept_and_language(prompts[:, 2:4].amax(dim=1))[0].tolist())
    assert isinstance(setting.held_out, torch.Tensor)
    asked = set(concept_and_language(setting.held_out[:, 2:4].amax(dim=1))[0].tolist())
    assert len(seen) == len(asked) == 30
    assert not seen & asked


def test_an_answer_is_right_in_either_language_and_wrong_in_a_mixture_of_facts(world: World) -> None:
    _, relation, concept = world.asked
    facts = world.facts[relation, concept]
    for language, share in ((MAJORITY, 0.0), (MINORITY, 1.0)):
        assert world.judge(facts + FIRST_CONCEPT + CONCEPTS * language) == (share, 1.0)
    mixed = facts + FIRST_CONCEPT + CONCEPTS * torch.tensor([MAJORITY, MINORITY])
    assert world.judge(mixed) == (0.0, 1.0)
    shifted = (facts + 1) % CONCEPTS + FIRST_CONCEPT
    assert world.judge(shifted) == (0.0, 0.0)


def test_seeds_differ_in_facts_and_in_what_is_held_out() -> None:
    one, other = (World(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert not torch.equal(one.facts, other.facts)
    assert not torch.equal(one.concepts, other.concepts)


def test_function_words_decide_on_the_language() -> None:
    assert sounds_spanish("El pan está en la mesa.")
    assert not sounds_spanish("The bread is on the table.")
    assert not sounds_spanish("1. 2. 3.")
    assert not sounds_spanish("mesa pan ventana")


def test_translations_are_as_many_as_the_knob_allows_and_end_alike() -> None:
    assert len(FRAMES) * len(THINGS) == 144
    assert all(frame.endswith(".") and "{}" in frame for pair in FRAMES for frame in pair)
    assert len(set(QUESTIONS)) == 28
    assert not {"de", "el", "los"} & set(ENGLISH.split())
    assert not {"the", "of", "and"} & set(SPANISH.split())


def test_the_loss_is_that_of_the_module_itself() -> None:
    model = tiny_language_model(["one two three four"])
    batch = model.inputs(["one two three four"])
    with torch.no_grad():
        expected = float(model.module(**batch, labels=batch["input_ids"]).loss)
    assert replication.text_loss(model, ["one two three four"], []) == pytest.approx(expected, rel=1e-5)


def test_an_edit_that_random_pushes_equal_is_void() -> None:
    claim = next(each for each in replication.CLAIMS if each.id == "the-edit-turns-the-default")
    shares = {"unedited": 0.02, "edited": 0.95, "random_push": 0.95}
    rows = [Row(seed, arm, "minority_share", share + 0.001 * seed) for seed in (0, 1) for arm, share in shares.items()]
    assert judge(claim, Evidence(rows)).verdict == "void"


def test_the_figure_survives_a_model_that_is_not_moved(smoke: Callable[[str], Evidence], tmp_path: Path) -> None:
    still = Evidence(row._replace(value=0.0 if row.metric == "gain" else row.value) for row in smoke("neural_foxp2").rows())
    figure = replication.draw(still)
    figure.savefig(tmp_path / "figure.svg")
    plt.close(figure)
