"""How much a model leans to a language, which latents turn it, and the edit that does."""

import pytest
import torch
from torch import nn

from pressrun.methods import activations as act
from pressrun.methods.steering import SparseAutoencoder, causal_lift, shift_subspace
from pressrun.methods.steering.languages import (
    LanguageSwitch,
    language_features,
    language_mass,
    language_token_sets,
    relative_push,
    signed_edit,
    swept_lift,
    unit_rows,
)
from pressrun.replications._tiny import tiny_language_model

SITE = act.residual[1]


def test_the_mass_is_a_difference_of_probabilities() -> None:
    # Probabilities .5, .2, .2, .1.
    logits = torch.tensor([[5.0, 2.0, 2.0, 1.0]]).log()
    assert language_mass(logits, target=[1, 3], default=[0]).tolist() == pytest.approx([-0.2])


@pytest.mark.parametrize(("target", "default"), [([], [1]), ([1], []), ([1, 2], [2, 3])])
def test_both_languages_need_tokens_of_their_own(target: list[int], default: list[int]) -> None:
    with pytest.raises(ValueError, match="Both languages need tokens and none may belong to both"):
        language_mass(torch.zeros(1, 4), target, default)


def test_shared_words_and_words_of_several_tokens_are_left_out() -> None:
    tokenizer = tiny_language_model(["la no casa", "the no house"]).tokenizer
    word = tokenizer.get_vocab()
    target, default = language_token_sets(tokenizer, ["la", "no", "casa"], ["the", "no", "the house"])
    assert target == sorted([word["la"], word["casa"]])
    assert default == [word["the"]]


def test_unit_rows_leave_zeros_alone() -> None:
    assert unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]


def test_the_swept_lift_is_the_lift_of_one_push_after_the_other(tiny: act.Model) -> None:
    ids = torch.tensor([[1, 5, 7], [2, 9, 4]])
    directions = nn.functional.normalize(torch.randn(5, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    norms = tiny.read(ids, SITE, "last_prompt")[SITE].norm(dim=1, keepdim=True)

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return language_mass(logits, [3, 4, 5], [6, 7])

    def measure(v: torch.Tensor) -> float:
        with tiny.edit(SITE.add(norms * v, positions="last_prompt")), torch.no_grad():
            return float(metric(tiny.module(input_ids=ids).logits[:, -1]).mean())

    alphas = (0.1, 0.5, 2.0)
    swept = swept_lift(tiny, ids, SITE, directions, alphas, metric)
    torch.testing.assert_close(swept, causal_lift(measure, directions, alphas), atol=1e-5, rtol=1e-4)


def test_a_lift_needs_sizes(tiny: act.Model) -> None:
    with pytest.raises(ValueError, match=r"alphas must be one or more numbers other than 0, got \[0.0\]"):
        swept_lift(tiny, torch.tensor([[1]]), SITE, torch.ones(1, 16), (0.0,), lambda logits: logits[:, 0])


def coordinates(width: int) -> SparseAutoencoder:
    """Its latents are the positive parts of the coordinates."""
    sae = SparseAutoencoder(width, width, activation="relu", tied=True)
    with torch.no_grad():
        sae.decoder.copy_(torch.eye(width))
    return sae


def test_the_edit_adds_the_target_and_takes_the_default_in_residual_norms() -> None:
    model = act.load(nn.Sequential(nn.Identity()))
    site = act.module("0")
    edit = signed_edit(
        site,
        coordinates(3),
        torch.tensor([0, 1]),
        shift_subspace(torch.tensor([[1.0, 0.0], [0.0, 0.5]]), rank=2),
        towards=torch.tensor([5.0, 0.0]),
        away=torch.tensor([0.0, 2.0]),
        plus=0.5,
        minus=0.25,
    )
    with model.edit(edit):
        found = model.module(torch.tensor([[0.0, 3.0, 4.0]]))
    # Of norm 5; at length 1 the second latent is .6. Plus 5 · .5 in the first, minus 5 · .25 · .6 in the second; the third is no feature.
    assert found.tolist() == [[pytest.approx(2.5), pytest.approx(2.25), 4.0]]


def test_a_push_is_in_norms_of_each_token() -> None:
    model = act.load(nn.Sequential(nn.Identity()))
    with model.edit(relative_push(act.module("0"), torch.tensor([0.5, 0.0]))):
        assert model.module(torch.tensor([[3.0, 4.0], [0.0, 2.0]])).tolist() == [[5.5, 4.0], [1.0, 2.0]]


def test_it_finds_the_features_of_a_planted_language() -> None:
    generator = torch.Generator().manual_seed(0)
    content = torch.randn(300, 12, generator=generator)
    language = nn.functional.one_hot(torch.tensor(3), 12) * 8.0
    found = language_features(
        SITE,
        content + language,
        content - language,
        content - language,
        lambda directions: directions[:, 3],
        latents=24,
        kept=6,
        steps=300,
        generator=generator,
    )
    assert len(found.chosen) >= 1
    written = found.sae.decoder.detach()[found.chosen]
    assert (written[:, 3] > 0).all()
    assert found.score.argmax() in found.chosen
    assert int(written[found.score[found.chosen].argmax()].abs().argmax()) == 3
    others = found.random(generator)
    assert len(others) == len(found.chosen)
    assert not set(others.tolist()) & set(found.chosen.tolist())

    switch = LanguageSwitch.of(found, found.chosen)
    assert switch.length(0.2, 0.0) == pytest.approx(2 * switch.length(0.1, 0.0), rel=1e-5)
    assert switch.towards.tolist() == pytest.approx((found.z_target - found.z_default)[:, found.chosen].mean(0).tolist())


def test_without_a_lift_the_most_selective_feature_stands_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, generator=generator)
    found = language_features(
        SITE, x + 1, x - 1, x, lambda directions: -torch.ones(len(directions)), latents=12, kept=4, steps=20, generator=generator
    )
    assert not found.score.any()
    assert len(found.chosen) == 1
