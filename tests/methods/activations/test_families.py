"""The same sites in every family, found from the network's own structure."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pressrun.methods import activations as act

from .conftest import FAMILIES, MIXTURES, tiny

families = pytest.mark.parametrize("lm", [pytest.param(tiny(name), id=name) for name in FAMILIES])


@families
def test_it_gives_the_logits_of_the_bare_network_bit_for_bit(lm: act.Model, ids: torch.Tensor) -> None:
    with torch.no_grad():
        plain = lm.module(ids).logits
    seen = lm.read(ids, act.residual[:] | act.attention[:] | act.head[:] | act.mlp[:] | act.query[:] | act.logits)
    assert torch.equal(seen[act.logits], plain)
    with lm.edit(), torch.no_grad():
        assert torch.equal(lm.module(ids).logits, plain)


@families
def test_the_halves_of_a_block_add_up_to_what_it_changes(lm: act.Model, ids: torch.Tensor) -> None:
    seen = lm.read(ids, act.residual[:] | act.residual.before[:] | act.attention[:] | act.mlp[:])
    before, after = seen.stack(act.residual.before[:]), seen.stack(act.residual[:])
    torch.testing.assert_close(before + seen.stack(act.attention[:]) + seen.stack(act.mlp[:]), after)
    assert torch.equal(before[1:], after[:-1])


@families
def test_the_last_residual_is_before_the_final_norm(lm: act.Model, ids: torch.Tensor) -> None:
    with torch.no_grad():
        hidden = lm.module(ids, output_hidden_states=True).hidden_states
    seen = lm.read(ids, act.residual[:])
    assert torch.equal(seen[act.residual[1]], hidden[2])
    assert not torch.allclose(seen[act.residual[2]], hidden[3])


@families
def test_a_head_is_what_the_output_projection_reads(lm: act.Model, ids: torch.Tensor) -> None:
    parts = lm.structure.parts(1)
    seen = lm.read(ids, act.head[1] | act.module(_name(lm, parts["attention_core"])))
    assert seen[act.head[1]].shape == (3, 7, 4, 8)
    with torch.no_grad():
        projected = parts["head"](seen[act.head[1]].flatten(2))
    torch.testing.assert_close(projected, seen[act.module(_name(lm, parts["attention_core"]))])


@families
def test_a_value_head_without_values_silences_the_heads_that_read_it(lm: act.Model, ids: torch.Tensor) -> None:
    with lm.edit(act.value[1, 1].ablate("zero")):
        heads = lm.read(ids, act.head[1])[act.head[1]].abs().amax(dim=(0, 1, 3))
    each = lm.heads // lm.kv_heads
    silent = [bool(heads[head] == 0) for head in range(4)]
    assert silent == [each <= head < 2 * each for head in range(4)]


@families
@pytest.mark.parametrize("kind", [act.query, act.key], ids=["query", "key"])
def test_a_head_without_queries_or_keys_attends_evenly(lm: act.Model, ids: torch.Tensor, kind: type[act.query]) -> None:
    # Block 1 of the sliding-window families attends to everything or to the last four; look where both agree.
    with lm.edit(kind[1, 0].ablate("zero")):
        weights = lm.read(ids, act.pattern[1])[act.pattern[1]][:, 3]
    assert torch.allclose(weights[:, 0, :4], torch.full((3, 4), 0.25))
    assert not torch.allclose(weights[:, 3, :4], torch.full((3, 4), 0.25), atol=1e-3)


@families
def test_showing_patterns_keeps_the_output(lm: act.Model, ids: torch.Tensor) -> None:
    with torch.no_grad():
        plain = lm.module(ids).logits
    before = lm.module.config._attn_implementation
    seen = lm.read(ids, act.pattern[:] | act.logits)
    torch.testing.assert_close(seen[act.logits], plain, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(seen[act.pattern[0]].sum(dim=3), torch.ones(3, 7, 4))
    assert lm.module.config._attn_implementation == before


@families
def test_generating_under_an_edit_is_the_same_with_and_without_cache(lm: act.Model, ids: torch.Tensor) -> None:
    v = torch.randn(32, generator=torch.Generator().manual_seed(2))
    with lm.edit(act.residual[0].add(v, positions="decode"), act.head[2, 1].ablate("zero", positions="last_prompt")):
        cached, plain = (lm.module.generate(ids, max_new_tokens=6, do_sample=False, use_cache=use) for use in (True, False))
    assert torch.equal(cached, plain)
    assert not torch.equal(cached, lm.module.generate(ids, max_new_tokens=6, do_sample=False))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in MIXTURES])
def test_neurons_are_what_the_down_projection_reads(name: str, ids: torch.Tensor) -> None:
    lm = tiny(name)
    seen = lm.read(ids, act.neuron[1])[act.neuron[1]]
    assert seen.shape == (3, 7, lm.neurons)
    with lm.edit(act.neuron[1].ablate("zero")):
        silent = lm.read(ids, act.module(_name(lm, lm.structure.parts(1)["neuron"])))
    bias = getattr(lm.structure.parts(1)["neuron"], "bias", None)
    expected = torch.zeros(32) if bias is None else bias.detach()
    assert torch.equal(next(iter(silent.values())), expected.expand(3, 7, 32))


def test_grouped_query_attention_counts_query_heads(llama: act.Model, ids: torch.Tensor) -> None:
    assert (llama.heads, llama.kv_heads, llama.head_width, llama.width, llama.neurons) == (4, 2, 8, 32, 48)
    seen = llama.read(ids, act.query[0] | act.key[0] | act.value[0])
    assert [tuple(value.shape) for value in seen.values()] == [(3, 7, 4, 8), (3, 7, 2, 8), (3, 7, 2, 8)]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix, self.think = (
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.mix(x, x, x)[0]
        return x + self.think(x)


class Own(nn.Module):
    """A network that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.tower, self.out = nn.Embedding(11, 8), nn.ModuleList([Block(), Block()]), nn.Linear(8, 11)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids)
        for block in self.tower:
            x = block(x)
        return self.out(x)


def test_one_line_describes_a_network_of_your_own() -> None:
    lm = act.load(Own(), family=act.Family(layers="tower", attention="mix", mlp="think", neuron="think.2", heads=2))
    ids = torch.arange(10).reshape(2, 5)
    seen = lm.read(ids, act.residual[:] | act.residual.before[:] | act.attention[:] | act.mlp[:] | act.neuron[1] | act.logits)
    added = seen.stack(act.residual.before[:]) + seen.stack(act.attention[:]) + seen.stack(act.mlp[:])
    torch.testing.assert_close(added, seen.stack(act.residual[:]))
    assert seen[act.neuron[1]].shape == (2, 5, 16)
    assert seen[act.logits].shape == (2, 5, 11)


def test_it_says_what_there_is_when_a_site_is_not() -> None:
    lm = tiny("llama")
    message = (
        r"act.router\[1\]: block 1 of 3 in this LlamaForCausalLM has residual, attention, head, query, mlp, neuron; "
        r"its modules are self_attn, mlp, input_layernorm, post_attention_layernorm"
    )
    with pytest.raises(ValueError, match=message):
        lm.sites(act.router[1])
    with pytest.raises(ValueError, match=r"act.residual\[3\]: there are 3 blocks, 0 to 2; 3 is not one of them"):
        lm.sites(act.residual[3])
    with pytest.raises(ValueError, match=r"act.head\[1, 4\] asks for number 4; there are 4, counted from 0"):
        lm.read(torch.ones(1, 3, dtype=torch.long), act.head[1, 4])
    stack = act.load(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
    with pytest.raises(ValueError, match=r"this Sequential has no list of blocks that are recognised; .*Family.*; it has 0, 1$"):
        stack.sites(act.residual[0])
    with pytest.raises(ValueError, match=r'mix.out_projection": a block of this network has mix, mix.out_proj'):
        act.load(Own(), family=act.Family(layers="tower", head="mix.out_projection")).sites(act.residual[0] | act.mlp[0])
    with pytest.raises(ValueError, match=r'this Own has no module "words.x"; it has words, tower, tower.0'):
        act.load(Own()).sites(act.module("words.x"))


def _name(lm: act.Model, part: nn.Module) -> str:
    return next(name for name, module in lm.module.named_modules() if module is part)
