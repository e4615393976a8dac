"""The sentences are balanced as they claim, and arms are what their names say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch

from pressrun.methods import activations as act
from pressrun.methods.steering.vectors import SteeringVector
from pressrun.replicate import Evidence
from pressrun.replications import bias_steering as replication
from pressrun.replications._tiny import tiny_language_model
from pressrun.replications.bias_steering import HE, SHE, Bench, Config, Subjects, draw_subjects, minimal_pairs


@pytest.fixture
def subjects() -> Subjects:
    return draw_subjects(Config(), seed=3)


@pytest.fixture(scope="module")
def model() -> act.Model:
    return tiny_language_model(replication.vocabulary())


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("bias_steering")


def test_occupations_are_split_evenly_and_none_is_on_both_sides(subjects: Subjects) -> None:
    assert Counter(subjects.train.values()) == {"she": 8, "he": 8}
    assert Counter(subjects.held_out.values()) == {"she": 4, "he": 4}
    assert not set(subjects.train) & set(subjects.held_out)
    assert all(name in (SHE if pronoun == "she" else HE) for name, pronoun in (subjects.train | subjects.held_out).items())
    assert len(set(subjects.frames)) == 6


def test_each_subject_comes_as_often_with_either_label_and_so_does_each_pronoun(subjects: Subjects) -> None:
    pairs = minimal_pairs(subjects, 3)
    assert len(pairs.texts) == 24 * 6 * 2 + 60
    by_subject = Counter(zip(pairs.subjects, pairs.labels.tolist(), strict=True))
    assert {by_subject[name, 0] for name in pairs.subjects} == {by_subject[name, 1] for name in pairs.subjects} == {6, 2}
    for side in (pairs.train, ~pairs.train):
        part = pairs.only(side)
        said = Counter((" she " in text, label) for text, label in zip(part.texts, part.labels.tolist(), strict=True))
        assert said[True, 0] == said[True, 1] > 0


def test_a_stereotyped_sentence_has_the_expected_pronoun(subjects: Subjects) -> None:
    pairs = minimal_pairs(subjects, 3)
    for text, label, subject in zip(pairs.texts, pairs.labels.tolist(), pairs.subjects, strict=True):
        if subject in SHE:
            assert (" she " in text) == (label == 1)
        elif subject in HE:
            assert (" he " in text) == (label == 1)


def test_reassigned_labels_turn_whole_subjects_round(subjects: Subjects) -> None:
    pairs, other = minimal_pairs(subjects, 3), minimal_pairs(subjects, 3, reassigned=True)
    assert pairs.texts == other.texts
    turned: dict[str, set[bool]] = {}
    for subject, same in zip(pairs.subjects, (pairs.labels == other.labels).tolist(), strict=True):
        turned.setdefault(subject, set()).add(same)
    assert all(len(each) == 1 for each in turned.values())
    assert 5 < sum(each == {False} for each in turned.values()) < len(turned) - 5


def test_words_alone_know_nothing_of_the_pairs_and_all_of_the_papers_kind_of_data(evidence: Evidence) -> None:
    assert 0.35 < evidence.values("held_out_auc", "words")[0] < 0.65
    assert evidence.values("held_out_auc", "paper_style_words")[0] > 0.95


def test_neutral_sentences_are_grammatical_and_stand_beside_the_stereotyped_one(model: act.Model, subjects: Subjects) -> None:
    seen, labels = replication.observe_sentences(model, subjects, [0, 1])
    assert labels.tolist() == [1, 0] * (16 * 6)
    assert [tuple(x.shape) for x in seen.values()] == [(192, 32), (192, 32)]


def test_the_gap_is_the_log_odds_of_he_against_she(model: act.Model) -> None:
    bench = Bench(model, {"nurse": "she", "pilot": "he"}, replication.NEUTRAL[:4])
    logits = model.module(**model.inputs(["The pilot said that"])).logits[0, -1].log_softmax(-1)
    he, she = (model.tokenizer.convert_tokens_to_ids(word) for word in ("he", "she"))
    assert bench.base.values[3].item() == pytest.approx((logits[he] - logits[she]).item(), abs=1e-5)
    assert bench.base.mens.tolist() == [False] * 3 + [True] * 3
    expected = bench.base.values[3:].mean() - bench.base.values[:3].mean()
    assert bench.base.difference == pytest.approx(expected.item())


def test_a_vector_of_no_strength_leaves_everything(model: act.Model) -> None:
    bench = Bench(model, {"nurse": "she", "pilot": "he"}, replication.NEUTRAL[:4])
    site = model.sites(act.residual[1])[0]
    found = bench.measure(SteeringVector(site, directions={site: torch.ones(32)}, norms={site: 1.0}), 0.0)
    assert (found["gap_left"], found["stereotype_left"], found["perplexity_ratio"], found["kl"]) == pytest.approx(
        (1, 1, 1, 0), abs=1e-6
    )


def test_site_and_strength_are_the_ones_with_the_smallest_gap_that_are_cheap_enough() -> None:
    class Table:
        """Stands in for a bench: the gap falls with the strength, and so does the perplexity rise."""

        def measure(self, vector: float, strength: float) -> dict[str, float]:
            return {"gap": 1 - vector * strength, "perplexity_ratio": 1 + vector * strength}

    chosen = replication.choose(Table(), {"best": 0.1, "middle": 0.6, "last": 1.0})  # type: ignore[arg-type, dict-item]
    # Allowed are products up to 0.1: 0.1 at (best 0.5: 0.05), (middle 0.1: 0.06), (last 0.1: 0.1).
    assert chosen == ("last", 0.1)


def test_when_all_is_too_dear_the_least_strength_at_the_best_layer_is_taken() -> None:
    class Dear:
        def measure(self, vector: float, strength: float) -> dict[str, float]:
            return {"gap": 1.0, "perplexity_ratio": 2.0}

    assert replication.choose(Dear(), {"best": 0.1, "last": 1.0}) == ("best", 0.02)  # type: ignore[arg-type, dict-item]


def test_two_samples_differ_without_any_steering(evidence: Evidence) -> None:
    assert evidence.values("same_answers", "unsteered_another_seed")[0] < 1
    assert evidence.values("same_answers", "same_seed")[0] == 1
