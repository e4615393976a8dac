"""A sweep gives what one forward pass for each edit gives, in few passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from pressrun.methods import activations as act
from pressrun.methods.activations import products

from .conftest import FAMILIES, SMALL, tiny
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


@contextmanager
def counted(lm: act.Model) -> Iterator[list[list[tuple[int, int]]]]:
    """For every block the (rows, columns) that its MLP got, pass after pass."""
    got: list[list[tuple[int, int]]] = [[] for _ in range(lm.layers)]

    def count(number: int) -> Callable[..., None]:
        return lambda _, given, __: got[number].append(tuple(given[0].shape[:2]))

    hooks = [lm.structure.parts(number)["mlp"].register_forward_hook(count(number)) for number in range(lm.layers)]
    try:
        yield got
    finally:
        for hook in hooks:
            hook.remove()


def test_few_passes_are_made_and_a_row_joins_where_its_edit_is(llama: act.Model, ids: Tensor) -> None:
    heads = [act.head[layer, head].ablate("zero") for layer in (1, 2) for head in range(4)]
    with counted(llama) as got:
        llama.sweep(ids[:1], heads, margin)
    # The unedited network; two rows stirred at either block, in a whole pass and as edited rows go; then all edited rows.
    assert got == [[(1, 7), (2, 7)], [(1, 7), (2, 7), (1, 7), (4, 7)], [(1, 7), (2, 7), (2, 7), (8, 7)]]
    with counted(llama) as got:
        llama.sweep(ids[:1], heads, margin, tokens=14)
    assert got[2] == [(1, 7), (2, 7), (2, 7), *[(2, 7)] * 4]


def test_columns_before_an_edit_are_not_computed_again(llama: act.Model, ids: Tensor) -> None:
    patches = [act.residual[layer].replace(0.0, positions=at) for layer in (0, 1, 2) for at in (2, 4, 5)]
    with counted(llama) as got:
        llama.sweep(ids[:2], patches, margin)
    # Two rows of inputs; the check begins at the first and at the last column; nothing is left to do behind the last block.
    check = [(4, 7), (2, 5), (4, 7), (2, 2)]
    assert got == [
        [(2, 7), (4, 7), (4, 7)],
        [(2, 7), *check, (2, 5), (2, 3), (2, 2)],
        [(2, 7), *check, (4, 5), (4, 3), (4, 2)],
    ]


POINTS: list[list[act.Edit] | act.Edit] = [
    *(act.residual[layer].replace(0.3, positions=at) for layer in range(3) for at in range(7)),
    act.key[1, 0].scale(-1.0, positions=2),
    act.value[0].ablate("resample", positions=4),
    act.query[2].scale(2.0, positions=[3, 5]),
    act.mlp[1].clamp(0.0, positions=slice(3, None)),
    act.embeddings.scale(0.5, positions=5),
    act.residual.before[1].project_out(torch.eye(32)[:2], positions=-1),
    act.mlp[2].add(torch.arange(3.0)[:, None].expand(3, 32), positions=torch.tensor([4, 6, 5])),
    act.attention[1].replace(torch.linspace(-1, 1, 3 * 7 * 32).reshape(3, 7, 32), positions=[4, 6]),
    act.attention[0].scale(2.0, positions="decode"),
    act.head[1, 1].apply(lambda x: x - x.mean(dim=1, keepdim=True), positions=4),
    [act.mlp[2].scale(0.0, positions=6), act.head[0, 3].ablate("zero", positions=2)],
    act.pattern[1, 0].scale(0.5, positions=3),
]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_kind_of_edit_at_some_tokens_gives_what_a_single_pass_gives(name: str, ids: Tensor) -> None:
    lm = tiny(name)
    expected = []
    for each in POINTS:
        with lm.edit(each), torch.no_grad():
            expected.append(lm.module(ids).logits[:, :, :9])
    found = lm.sweep(ids, POINTS, lambda logits: logits[..., :9], positions="all")
    torch.testing.assert_close(found, torch.stack(expected), atol=2e-4, rtol=1e-4)
    last = lm.sweep(ids, POINTS, lambda logits: logits[..., :9])
    torch.testing.assert_close(last, torch.stack(expected)[:, :, -1], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3", "qwen2_moe"])
def test_padded_rows_are_patched_at_their_own_columns(name: str, side: str) -> None:
    lm, batch = tiny(name), padded(PROMPTS, side)
    edits = [act.residual[layer].replace(0.3, positions=at) for layer in range(3) for at in (0, 1, 2, -1, -2)]
    last = torch.tensor([6, 6, 6]) if side == "left" else torch.tensor([6, 2, 4])
    expected = one_by_one(lm, batch, edits, last)
    torch.testing.assert_close(lm.sweep(batch, edits, margin), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(lm.sweep(batch, edits, margin, positions=[-1]), expected[:, :, None], atol=1e-4, rtol=1e-4)
    # With numbers of its own, as when rows are to be what they are alone, and from vectors.
    batch["position_ids"] = (batch["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
    batch["inputs_embeds"] = lm.structure.embeddings()(batch.pop("input_ids")).detach()
    torch.testing.assert_close(lm.sweep(batch, edits, margin), one_by_one(lm, batch, edits, last), atol=1e-4, rtol=1e-4)


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


def test_columns_that_know_of_each_other_are_all_computed(ids: Tensor) -> None:
    """An attention that also looks at the mean over its columns, later ones with them."""
    torch.manual_seed(0)
    lm = act.load(transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL)).eval())
    mixed = lm.structure.parts(1)["mlp"].register_forward_hook(lambda _, __, out: out + out.mean(dim=1, keepdim=True))
    edits = [act.residual[layer].add(1.0, positions=at) for layer in range(3) for at in (2, 4, 5)]
    expected = one_by_one(lm, {"input_ids": ids}, edits, torch.tensor([6, 6, 6]))
    with counted(lm) as got:
        torch.testing.assert_close(lm.sweep(ids, edits, margin), expected)
    # At the first column it does not come to the same; whole rows that begin at a block do.
    assert got[2] == [(3, 7), (6, 7), (3, 5), (6, 7), (3, 7), (18, 7)]
    mixed.remove()
    with counted(lm) as got:
        lm.sweep(ids, edits, margin)
    assert got[2][-3:] == [(6, 5), (6, 3), (6, 2)]


def test_a_network_that_looks_ahead_is_not_taken_for_a_causal_one(ids: Tensor) -> None:
    """Unedited rows would come to the same with the columns before an edit as they were; edited ones do not."""
    torch.manual_seed(0)
    lm = act.load(transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL)).eval())
    for part in (lm.structure.parts(layer)["attention"] for layer in range(3)):
        part.is_causal = False  # type: ignore[assignment]
        part.forward = partial(_unmasked, part.forward)  # type: ignore[method-assign]
    edits = [act.residual[layer].add(1.0, positions=at) for layer in range(3) for at in (2, 4, 5)]
    expected = one_by_one(lm, {"input_ids": ids}, edits, torch.tensor([6, 6, 6]))
    with counted(lm) as got:
        torch.testing.assert_close(lm.sweep(ids, edits, margin), expected)
    assert got[2][-1] == (18, 7)


def _unmasked(forward: Callable[..., object], *args: object, **kwargs: object) -> object:
    return forward(*args, **kwargs | {"attention_mask": None})


def test_a_hook_on_a_block_sees_no_row_twice(llama: act.Model, ids: Tensor) -> None:
    edits = [act.mlp[layer].scale(2.0, positions=at) for layer in range(3) for at in (2, 4, 5)]
    hook = llama.structure.blocks[0].register_forward_hook(lambda _, __, out: 1.5 * out)
    try:
        expected = one_by_one(llama, {"input_ids": ids}, edits, torch.tensor([6, 6, 6]))
        torch.testing.assert_close(llama.sweep(ids, edits, margin), expected)
    finally:
        hook.remove()


def test_a_network_that_takes_no_cache_is_swept(ids: Tensor) -> None:
    lm = tiny("llama")
    edits = [act.residual[layer].add(1.0, positions=at) for layer in range(3) for at in (2, 4, 5)]
    expected = one_by_one(lm, {"input_ids": ids}, edits, torch.tensor([6, 6, 6]))
    plain = act.load(Wrapped(lm.module), family=act.Family(layers="inner.model.layers"))
    torch.testing.assert_close(plain.sweep(ids, edits, margin), expected, atol=1e-5, rtol=1e-5)


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, ids: Tensor) -> Tensor:
        return self.inner(ids).logits


def test_the_network_is_left_as_it_was(llama: act.Model, ids: Tensor) -> None:
    def state() -> list[set[str]]:
        return [set(vars(part)) for part in llama.module.modules()]

    before, failing = state(), act.mlp[1].apply(lambda x: x[:, 0])
    llama.sweep(ids, POINTS, margin)
    assert state() == before
    with pytest.raises(ValueError, match="the shape must stay"):
        llama.sweep(ids, [*POINTS, failing], margin)
    assert state() == before


def test_wide_products_are_the_same_products(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    stack = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3, bias=False))
    x = torch.randn(2, 4, 5)
    with torch.no_grad():
        expected = [stack(each) for each in (x, x[0], x[0, 0], x[:0])]
        monkeypatch.setattr(products, "_offered", lambda: True)
        with products.wide_products(stack):
            assert ["forward" in vars(part) for part in stack] == [True, False, True]
            for each, there in zip((x, x[0], x[0, 0], x[:0]), expected, strict=True):
                torch.testing.assert_close(stack(each), there)
    assert not any("forward" in vars(part) for part in stack)
    # Another's forward stays, other numbers than float32 are multiplied as ever.
    stack[0].forward = lambda x: functional.linear(x, stack[0].weight)  # type: ignore[method-assign]
    own = stack[0].forward
    with products.wide_products(stack):
        assert stack[0].forward is own
    with products.wide_products(stack.double()):
        assert "forward" not in vars(stack[2])


def test_wide_products_are_for_passes_without_gradients() -> None:
    layer = nn.Linear(5, 7)
    with products.wide_products(layer):
        assert "forward" not in vars(layer)


def test_nothing_to_sweep_is_refused(llama: act.Model, ids: Tensor) -> None:
    with pytest.raises(ValueError, match="there are no edits to sweep over"):
        llama.sweep(ids, [], margin)
