"""The same tokens are meant with and without a cache, whichever side is padded, in a batch or alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.activations.hooks import call_of
from pressrun.methods.activations.positions import Call, Positions, Selector

from .conftest import tiny

POSITIONS: list[Positions] = ["all", "prompt", "last_prompt", "decode", 1, -2, [0, 2, -1], slice(1, 3), slice(-3, None), 9]
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14], [20, 21, 22, 23, 24]]


def padded(rows: list[list[int]], side: str) -> dict[str, Tensor]:
    width = max(map(len, rows))
    fill = [[0] * (width - len(row)) for row in rows]
    both = [([0] * len(gap) + [1] * len(row), gap + row) for gap, row in zip(fill, rows, strict=True)]
    if side == "right":
        both = [([1] * len(row) + [0] * len(gap), row + gap) for gap, row in zip(fill, rows, strict=True)]
    masks, ids = zip(*both, strict=True)
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(masks)}


def edits(positions: Positions) -> list[act.Edit]:
    v = 3 * torch.randn(32, generator=torch.Generator().manual_seed(2))
    return [act.residual[0].add(v, positions=positions), act.head[1, 2].ablate("zero", positions=positions)]


@pytest.mark.parametrize("positions", POSITIONS, ids=str)
def test_a_batch_padded_on_either_side_is_each_row_alone(positions: Positions) -> None:
    lm = tiny("llama")
    alone = []
    with lm.edit(*edits(positions)), torch.no_grad():
        alone = [lm.module(torch.tensor([row])).logits[0] for row in PROMPTS]
        for side in ("left", "right"):
            batch = padded(PROMPTS, side)
            logits = lm.module(**batch, position_ids=_numbered(batch["attention_mask"])).logits
            for row, expected in enumerate(alone):
                torch.testing.assert_close(logits[row][batch["attention_mask"][row].bool()], expected, atol=2e-4, rtol=1e-4)


def _numbered(mask: Tensor) -> Tensor:
    return (mask.cumsum(1) - 1).clamp(min=0)


@pytest.mark.parametrize("positions", POSITIONS, ids=str)
def test_generating_is_the_same_with_and_without_cache_in_a_batch_or_alone(positions: Positions) -> None:
    lm = tiny("llama")
    keywords: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    with lm.edit(*edits(positions)):
        cached = lm.module.generate(**padded(PROMPTS, "left"), **keywords)
        plain = lm.module.generate(**padded(PROMPTS, "left"), **keywords, use_cache=False)
        alone = [lm.module.generate(torch.tensor([row]), **keywords)[0, len(row) :] for row in PROMPTS]
    assert torch.equal(cached, plain)
    assert torch.equal(cached[:, 7:], torch.stack(alone))


def test_the_positions_that_matter_change_what_is_generated() -> None:
    lm, batch = tiny("llama"), padded(PROMPTS, "left")
    keywords: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    outputs = []
    for positions in ("prompt", "last_prompt", "decode", "all"):
        with lm.edit(*edits(positions)):
            outputs.append(lm.module.generate(**batch, **keywords)[:, 7:].tolist())
    plain = lm.module.generate(**batch, **keywords)[:, 7:].tolist()
    assert len({str(output) for output in [*outputs, plain]}) == 5
    # The first generated token is computed at the last token of the prompt: steering what is decoded does not reach it.
    assert [row[0] for row in outputs[2]] == [row[0] for row in plain]


@pytest.mark.parametrize("positions", ["all", "prompt", "last_prompt", "decode", 8], ids=str)
def test_scoring_in_one_pass_is_generating_token_by_token(positions: Positions) -> None:
    lm = tiny("llama")
    row = torch.tensor([PROMPTS[0]])
    with lm.edit(*edits(positions)):
        out = lm.module.generate(
            row, max_new_tokens=5, min_new_tokens=5, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
    with lm.edit(*edits(positions), prompt=7), torch.no_grad():
        scored = lm.module(out.sequences).logits[:, 6:-1]
    torch.testing.assert_close(scored, torch.stack(out.logits, dim=1), atol=2e-4, rtol=1e-4)


def test_beams_and_samples_follow_their_row() -> None:
    lm, batch = tiny("llama"), padded(PROMPTS, "left")
    v = 3 * torch.randn(3, 32, generator=torch.Generator().manual_seed(3))
    edit = act.residual[1].add(v, strength=torch.tensor([1.0, 0.0, 2.0]), positions="decode")
    keywords: dict[str, Any] = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "num_beams": 3}
    with lm.edit(edit):
        together = [lm.module.generate(**batch, **keywords, use_cache=use)[:, 7:] for use in (True, False)]
    alone = []
    for row, prompt in enumerate(PROMPTS):
        strength = [1.0, 0.0, 2.0][row]
        with lm.edit(act.residual[1].add(v[row], strength=strength, positions="decode")):
            alone.append(lm.module.generate(torch.tensor([prompt]), **keywords)[0, len(prompt) :])
    assert torch.equal(together[0], together[1])
    assert torch.equal(together[0], torch.stack(alone))


def test_a_mask_means_columns_of_the_prompt_as_given(ids: Tensor) -> None:
    lm, image = tiny("llama"), ids > 40
    with lm.edit(act.embeddings.replace(0.0, positions=image)):
        seen = lm.read(ids, act.residual.before[0])[act.residual.before[0]]
        outputs = [lm.module.generate(ids, max_new_tokens=5, do_sample=False, use_cache=use) for use in (True, False)]
    assert torch.equal((seen == 0).all(dim=2), image)
    assert torch.equal(outputs[0], outputs[1])


def test_values_for_every_column_hold_for_the_prompt_only(ids: Tensor) -> None:
    lm = tiny("llama")
    values = torch.randn(3, 7, 32, generator=torch.Generator().manual_seed(4))
    with lm.edit(act.residual[0].replace(values)):
        outputs = [lm.module.generate(ids, max_new_tokens=5, do_sample=False, use_cache=use) for use in (True, False)]
        assert torch.equal(lm.read(ids, act.residual[0])[act.residual[0]], values)
    assert torch.equal(outputs[0], outputs[1])


def test_a_loop_of_ones_own_with_a_cache_decodes(ids: Tensor) -> None:
    lm = tiny("llama")
    edit = act.residual[0].add(torch.ones(32), positions="decode")
    with lm.edit(edit), torch.no_grad():
        out = lm.module.generate(ids, max_new_tokens=2, min_new_tokens=2, do_sample=False)
        first = lm.module(ids, use_cache=True)
        second = lm.module(out[:, 7:8], past_key_values=first.past_key_values)
    assert torch.equal(second.logits[:, -1].argmax(dim=1), out[:, 8])


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    new=st.integers(0, 3),
    positions=st.sampled_from([position for position in POSITIONS if position != "all"]),
    left=st.booleans(),
)
def test_passes_with_a_cache_choose_what_one_pass_chooses(lengths: list[int], new: int, positions: Positions, left: bool) -> None:
    width = max(lengths)
    real = torch.tensor([[column >= width - n if left else column < n for column in range(width)] for n in lengths])
    mask = torch.cat([real, torch.ones(len(lengths), new, dtype=torch.bool)], dim=1)
    if isinstance(positions, int | list) and any(
        -n > min(lengths) for n in ([positions] if isinstance(positions, int) else positions)
    ):
        return
    selector = Selector(positions)
    whole = selector.choose(Call(len(lengths), width + new, mask=mask, width=width))
    parts = [selector.choose(Call(len(lengths), width, mask=real, width=width))]
    parts += [
        selector.choose(Call(len(lengths), 1, past=width + step, mask=mask[:, : width + step + 1], width=width))
        for step in range(new)
    ]
    sizes = [width] + [1] * new
    filled = [
        torch.full((len(lengths), n), part) if isinstance(part, bool) else part for part, n in zip(parts, sizes, strict=True)
    ]
    everything = torch.full(mask.shape, whole) if isinstance(whole, bool) else whole
    # Padding is never seen by anything; whether "prompt" covers it does not matter.
    assert torch.equal(torch.cat(filled, dim=1) & mask, everything & mask)


def test_what_carries_tokens_is_told_from_what_does_not() -> None:
    ids, mask = torch.ones(2, 3, dtype=torch.long), torch.ones(2, 3, dtype=torch.long)
    assert call_of((), {"input_ids": ids, "attention_mask": mask}).columns == 3
    assert call_of((torch.rand(2, 4, 8),), {}).columns == 4
    assert call_of((torch.rand(2, 3, 8, 8),), {}).columns is None
    assert call_of((torch.rand(2, 3),), {}).columns is None
