"""A sweep gives what one forward pass for each edit gives, in few passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pressrun.methods import activations as act

from .conftest import FAMILIES, tiny
from .test_positions import PROMPTS, padded


def margin(logits: Tensor) -> Tensor:
    return logits[..., 5] - logits[..., 6]


def one_by_one(lm: act.Model, inputs: dict[str, Tensor], edits: list[act.Edit], at: Tensor) -> Tensor:
    found = []
    for edit in edits:
        with lm.edit(edit), torch.no_grad():
            found.append(margin(lm.module(**inputs).logits[torch.arange(len(at)), at]))
    return torch.stack(found)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_what_single_passes_give(name: str, ids: Tensor) -> None:
    lm = tiny(name)
    v = torch.randn(3, 32, generator=torch.Generator().manual_seed(2))
    edits = [act.head[layer, head].ablate("zero") for layer in range(3) for head in range(4)]
    edits += [
        act.residual[layer].add(v, strength=torch.arange(3.0), positions=at)
        for layer in range(3)
        for at in (0, -2, "last_prompt")
    ]
    expected = one_by_one(lm, {"input_ids": ids}, edits, torch.tensor([6, 6, 6]))
    torch.testing.assert_close(lm.sweep(ids, edits, margin), expected, atol=1e-4, rtol=1e-4)
    # All differ, but for those at tokens that nothing reads any more: two behind the last block, or out of a window.
    assert len(set(expected[:, 1].tolist())) >= 19


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_stays_padding(side: str) -> None:
    lm, batch = tiny("llama"), padded(PROMPTS, side)
    edits = [act.mlp[layer].scale(2.0, positions=at) for layer in range(3) for at in (1, -1)]
    last = torch.tensor([6, 6, 6]) if side == "left" else torch.tensor([6, 2, 4])
    torch.testing.assert_close(lm.sweep(batch, edits, margin), one_by_one(lm, batch, edits, last), atol=1e-5, rtol=1e-5)


def test_few_passes_are_made_and_none_begins_below_the_edits(llama: act.Model, ids: Tensor) -> None:
    run = [0, 0, 0]
    llama.sweep(ids, [act.head[2, 0].scale(0.0)], margin)

    def count(block: int) -> None:
        run[block] += 1

    hooks = [
        block.self_attn.register_forward_hook(lambda *_, number=number: count(number))  # type: ignore[union-attr]
        for number, block in enumerate(llama.structure.blocks)
    ]
    try:
        llama.sweep(ids[:1], [act.head[layer, head].ablate("zero") for layer in (1, 2) for head in range(4)], margin)
    finally:
        for hook in hooks:
            hook.remove()
    # One pass for what lies below, up to block 1; then one for eight short rows that begins at block 1.
    assert run == [1, 2, 1]


def test_several_edits_make_one_intervention(llama: act.Model, ids: Tensor) -> None:
    pair = [act.mlp[0].scale(0.5), act.residual[1].add(1.0)]
    with llama.edit(*pair), torch.no_grad():
        expected = margin(llama.module(ids).logits[:, -1])
    found = llama.sweep(ids, [pair, act.mlp[0].scale(1.0), pair], margin)
    torch.testing.assert_close(found[[0, 2]], expected.expand(2, 3))
    with torch.no_grad():
        torch.testing.assert_close(found[1], margin(llama.module(ids).logits[:, -1]))


def test_it_goes_on_under_other_edits(llama: act.Model, ids: Tensor) -> None:
    outer, edit = act.residual[0].add(torch.randn(3, 32, generator=torch.Generator().manual_seed(1))), act.mlp[2].scale(3.0)
    with llama.edit(outer, edit), torch.no_grad():
        expected = margin(llama.module(ids).logits[:, -1])
    with llama.edit(outer):
        found = llama.sweep(ids, [edit, act.mlp[1].scale(1.0)], margin)
    torch.testing.assert_close(found[0], expected)


def test_all_positions_give_all_logits_and_small_passes_the_same(llama: act.Model, ids: Tensor) -> None:
    edits = [act.mlp[layer].scale(0.0) for layer in range(3)] + [act.logits.add(torch.eye(61)[5])]
    found = llama.sweep(ids, edits, margin, positions="all")
    assert found.shape == (4, 3, 7)
    torch.testing.assert_close(llama.sweep(ids, edits, margin, positions="all", tokens=1), found)
    torch.testing.assert_close(llama.sweep(ids, edits, margin), found[:, :, -1])
    torch.testing.assert_close(found[3], margin(llama.read(ids, act.logits)[act.logits]) + 1)


def test_any_network_is_swept() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    units = [act.module("1").scale(1 - torch.eye(4)[unit]) for unit in range(4)]
    found = act.load(net).sweep(x, units, lambda out: out.sum(dim=1))
    hidden = net[:2](x)
    expected = torch.stack([net[2](hidden * (1 - torch.eye(4)[unit])).sum(dim=1) for unit in range(4)])
    torch.testing.assert_close(found, expected.detach())


class Remembering(nn.Module):
    """Every block also adds what the first has made: beginning in the middle would lose it."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.ModuleDict({"attn": nn.Linear(4, 4)}) for _ in range(3)])
        for block in self.blocks:
            block.forward = lambda x, block=block: self.step(block, x)  # type: ignore[method-assign]

    def step(self, block: nn.ModuleDict, x: Tensor) -> Tensor:
        out = torch.tanh(block["attn"](x))
        self.memory = out if block is self.blocks[0] else self.memory + out
        return self.memory

    def forward(self, x: Tensor) -> Tensor:
        self.memory = torch.zeros(())
        for block in self.blocks:
            x = block(x)
        return x


def test_blocks_that_know_of_each_other_are_all_run() -> None:
    torch.manual_seed(0)
    lm, x = act.load(Remembering()), torch.randn(2, 3, 4)
    edits = [act.residual[0].add(1.0), act.residual[1].add(1.0)]
    expected = []
    for edit in edits:
        with lm.edit(edit), torch.no_grad():
            expected.append(lm.module(x))
    torch.testing.assert_close(lm.sweep(x, edits, lambda out: out, positions="all"), torch.stack(expected))


def test_nothing_to_sweep_is_refused(llama: act.Model, ids: Tensor) -> None:
    with pytest.raises(ValueError, match="there are no edits to sweep over"):
        llama.sweep(ids, [], margin)
