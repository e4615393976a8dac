"""The real small model: exact without edits, the same in a batch and alone, steered as its prompts say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pressrun.methods import activations as act

TEXTS = ["The capital of France is", "My favourite animal is the", "On Monday morning the old man walked slowly to the"]
GREEDY: dict[str, Any] = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}


@pytest.fixture(scope="module")
def direction(smollm2: act.Model) -> torch.Tensor:
    """(576,) from dislike to like, behind block 12."""
    site = act.residual[12]
    likes, dislikes = (
        smollm2.read([f"I {word} this film", f"We {word} the food"], site, "last_prompt")[site] for word in ("love", "hate")
    )
    return (likes - dislikes).mean(dim=0)


def test_it_is_the_model_that_it_says(smollm2: act.Model) -> None:
    assert (smollm2.layers, smollm2.heads, smollm2.kv_heads, smollm2.head_width) == (30, 9, 3, 64)
    assert (smollm2.width, smollm2.neurons, smollm2.dtype) == (576, 1536, torch.float32)
    out = smollm2.module.generate(**smollm2.inputs(TEXTS[0]), max_new_tokens=1, do_sample=False)
    assert smollm2.tokenizer.decode(out[0, -1]) == " Paris"


def test_logits_are_those_of_transformers_bit_for_bit(smollm2: act.Model) -> None:
    batch = smollm2.inputs(TEXTS)
    with torch.no_grad():
        plain = smollm2.module(**batch).logits
    seen = smollm2.read(batch, act.residual[:] | act.head[4, 2] | act.neuron[7, [1, 2]] | act.logits)
    assert torch.equal(seen[act.logits], plain)
    with smollm2.edit(act.residual[12].add(torch.ones(576))), torch.no_grad():
        assert not torch.equal(smollm2.module(**batch).logits, plain)
    with torch.no_grad():
        assert torch.equal(smollm2.module(**batch).logits, plain)


@pytest.mark.parametrize("positions", ["decode", "last_prompt", -2], ids=str)
def test_steered_text_is_the_same_with_and_without_cache_in_a_batch_or_alone(
    smollm2: act.Model, direction: torch.Tensor, positions: str | int
) -> None:
    with smollm2.edit(act.residual[12].add(direction, strength=1.5, positions=positions), act.head[14, 3].ablate("zero")):
        batch = smollm2.module.generate(**smollm2.inputs(TEXTS), **GREEDY)
        plain = smollm2.module.generate(**smollm2.inputs(TEXTS), **GREEDY, use_cache=False)
        alone = smollm2.module.generate(**smollm2.inputs(TEXTS[1]), **GREEDY)
    assert torch.equal(batch, plain)
    assert torch.equal(batch[1, -5:], alone[0, -5:])


def test_padding_on_either_side_gives_the_same_activations(smollm2: act.Model) -> None:
    sites = act.residual[11] | act.head[4, 2]
    edit = act.residual[3].add(torch.ones(576), positions="last_prompt")
    with smollm2.edit(edit):
        left = smollm2.read(smollm2.inputs(TEXTS), sites, "last_prompt")
        right = smollm2.read(smollm2.inputs(TEXTS, padding="right"), sites, "last_prompt")
        alone = [smollm2.read(text, sites, "last_prompt") for text in TEXTS]
    for site in left:
        single = torch.cat([seen[site] for seen in alone])
        torch.testing.assert_close(right[site], single, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(left[site], single, atol=1e-3, rtol=1e-4)


def test_beam_search_keeps_each_row_with_its_strength(smollm2: act.Model, direction: torch.Tensor) -> None:
    beams = {**GREEDY, "num_beams": 3, "max_new_tokens": 4, "min_new_tokens": 4}
    with smollm2.edit(act.residual[12].add(direction, strength=torch.tensor([0.0, 2.0, 0.0]), positions="decode")):
        out = smollm2.module.generate(**smollm2.inputs(TEXTS), **beams)
    plain = smollm2.module.generate(**smollm2.inputs(TEXTS), **beams)
    assert torch.equal(out[[0, 2]], plain[[0, 2]])


def test_a_sweep_over_heads_is_one_pass_for_each(smollm2: act.Model) -> None:
    edits = [act.head[layer, head].ablate("zero") for layer in (0, 14, 29) for head in (0, 8)]
    found = smollm2.sweep(TEXTS[:2], edits, lambda logits: logits[:, 7042])
    for edit, row in zip(edits, found, strict=True):
        with smollm2.edit(edit):
            expected = smollm2.read(TEXTS[:2], act.logits, "last_prompt")[act.logits][:, 7042]
        torch.testing.assert_close(row, expected, atol=1e-3, rtol=1e-4)


def test_a_chat_is_put_into_the_template(smollm2: act.Model) -> None:
    batch = smollm2.inputs(["Hello"], chat=True, system="Be brief.")
    assert smollm2.tokenizer.decode(batch["input_ids"][0]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_sweep_over_places_is_one_pass_for_each(smollm2: act.Model) -> None:
    clean = smollm2.read("The capital of Italy is", act.residual[:])
    patches = [
        act.residual[layer].replace(clean[act.residual[layer]][0, at], positions=at) for layer in (0, 14, 29) for at in (0, 3, 4)
    ]
    found = smollm2.sweep(TEXTS[:2], patches, lambda logits: logits[:, 7042])
    for edit, row in zip(patches, found, strict=True):
        with smollm2.edit(edit):
            expected = smollm2.read(TEXTS[:2], act.logits, "last_prompt")[act.logits][:, 7042]
        torch.testing.assert_close(row, expected, atol=1e-3, rtol=1e-4)
