"""Reading: only what was asked for, only as deep as needed, in the shape that the positions say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pressrun.methods import activations as act


def test_it_stops_behind_the_deepest_site(llama: act.Model, ids: torch.Tensor) -> None:
    reached: list[int] = []
    hooks = [block.register_forward_hook(lambda *_, n=n: reached.append(n)) for n, block in enumerate(llama.structure.blocks)]
    try:
        llama.read(ids, act.residual[1] | act.mlp[0])
        assert reached == [0, 1]
        reached.clear()
        llama.read(ids, act.residual.before[2])
        assert reached == [0, 1]
    finally:
        for hook in hooks:
            hook.remove()


def test_shapes_follow_the_positions(llama: act.Model, ids: torch.Tensor) -> None:
    whole = llama.read(ids, act.head[1])[act.head[1]]
    assert whole.shape == (3, 7, 4, 8)
    cases = {
        "last_prompt": whole[:, 6],
        -2: whole[:, 5],
        0: whole[:, 0],
    }
    for positions, expected in cases.items():
        assert torch.equal(llama.read(ids, act.head[1], positions)[act.head[1]], expected)
    assert torch.equal(llama.read(ids, act.head[1], [0, -1])[act.head[1]], whole[:, [0, 6]])
    assert torch.equal(llama.read(ids, act.head[1], slice(2, 4))[act.head[1]], whole[:, 2:4].flatten(0, 1))
    one_a_row = torch.tensor([0, 3, -1])
    assert torch.equal(llama.read(ids, act.head[1], one_a_row)[act.head[1]], whole[[0, 1, 2], [0, 3, 6]])
    mask = ids > 30
    assert torch.equal(llama.read(ids, act.head[1], mask)[act.head[1]], whole[mask])
    assert torch.equal(llama.read(ids, act.head[1, [3, 0]])[act.head[1, [3, 0]]], whole[:, :, [3, 0]])
    assert torch.equal(llama.read(ids, act.head[1, 2])[act.head[1, 2]], whole[:, :, 2])


def test_decode_in_one_pass_are_the_tokens_behind_the_prompt(llama: act.Model, ids: torch.Tensor) -> None:
    whole = llama.read(ids, act.mlp[0])[act.mlp[0]]
    assert torch.equal(llama.read(ids, act.mlp[0], "decode", prompt=5)[act.mlp[0]], whole[:, 5:].flatten(0, 1))
    lengths = torch.tensor([7, 6, 3])
    expected = torch.cat([whole[1, 6:], whole[2, 3:]])
    assert torch.equal(llama.read(ids, act.mlp[0], "decode", prompt=lengths)[act.mlp[0]], expected)
    assert torch.equal(llama.read(ids, act.mlp[0], "last_prompt", prompt=lengths)[act.mlp[0]], whole[[0, 1, 2], lengths - 1])


def test_a_part_of_what_was_read_can_be_asked_for(llama: act.Model, ids: torch.Tensor) -> None:
    seen = llama.read(ids, act.head[0:2] | act.residual[0])
    assert torch.equal(seen[act.head[1, 2]], seen[act.head[1]][:, :, 2])
    assert torch.equal(seen.stack(act.head[0:2, 1]), torch.stack([seen[act.head[0]][:, :, 1], seen[act.head[1]][:, :, 1]]))
    assert list(seen) == [act.head[0], act.head[1], act.residual[0]]
    with pytest.raises(
        KeyError, match=r"act.residual\[2\] was not read; there is act.head\[0\], act.head\[1\], act.residual\[0\]"
    ):
        seen[act.residual[2]]


def test_what_is_kept_is_only_what_was_asked_for(llama: act.Model, ids: torch.Tensor) -> None:
    seen = llama.read(ids, act.head[1, 2] | act.residual[1], "last_prompt")
    assert [value.untyped_storage().nbytes() for value in seen.values()] == [3 * 8 * 4, 3 * 32 * 4]


def test_reading_sees_what_edits_have_made(llama: act.Model, ids: torch.Tensor) -> None:
    plain = llama.read(ids, act.residual[1])[act.residual[1]]
    with llama.edit(act.residual[1].add(2.0)):
        assert torch.equal(llama.read(ids, act.residual[1])[act.residual[1]], plain + 2.0)


def test_gradients_reach_what_was_read(llama: act.Model, ids: torch.Tensor) -> None:
    seen = llama.read(ids, act.residual[0] | act.logits, grad=True)
    (gradient,) = torch.autograd.grad(seen[act.logits][:, -1, 5].sum(), seen[act.residual[0]])
    # The same slope by finite differences, along one direction.
    v = torch.randn(32, generator=torch.Generator().manual_seed(3), dtype=torch.float32)
    up, down = (_logit(llama, ids, act.residual[0].add(v, strength=step)) for step in (1e-2, -1e-2))
    assert (up - down) / 2e-2 == pytest.approx(float((gradient * v).sum()), rel=1e-2)


def _logit(lm: act.Model, ids: torch.Tensor, edit: act.Edit) -> float:
    with lm.edit(edit):
        return float(lm.read(ids, act.logits)[act.logits][:, -1, 5].sum())


def test_record_gives_each_token_once_with_and_without_cache(llama: act.Model, ids: torch.Tensor) -> None:
    found = []
    for use_cache in (True, False):
        with llama.record(act.residual[1] | act.head[0, 1], "decode") as seen:
            out = llama.module.generate(ids, max_new_tokens=5, min_new_tokens=5, do_sample=False, use_cache=use_cache)
        found.append(seen)
    # Five tokens are generated; the last is never read again.
    assert found[0][act.residual[1]].shape == (3, 4, 32)
    for site in (act.residual[1], act.head[0, 1]):
        torch.testing.assert_close(found[0][site], found[1][site])
    whole = llama.read(out, act.residual[1])[act.residual[1]]
    torch.testing.assert_close(found[0][act.residual[1]], whole[:, 7:11])


def test_record_follows_one_token_a_row_over_many_passes(llama: act.Model, ids: torch.Tensor) -> None:
    with llama.record(act.mlp[1], "last_prompt") as seen:
        llama.module(ids[:2])
        llama.module(ids[2:, :4])
    first, second = llama.read(ids[:2], act.mlp[1], -1), llama.read(ids[2:, :4], act.mlp[1], -1)
    torch.testing.assert_close(seen[act.mlp[1]], torch.cat([first[act.mlp[1]], second[act.mlp[1]]]))


def test_record_says_when_nothing_came_by(llama: act.Model, ids: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"nothing was recorded at act.mlp\[1\]"), llama.record(act.mlp[1], "decode"):
        llama.module(ids)


def test_it_reads_any_network() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 25, 2))
    images = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    seen = act.load(net).read(images, act.module("0") | act.module("3", "input") | act.logits)
    # The ReLU writes into its input: what was read must be the convolution all the same.
    assert torch.equal(seen[act.module("0")], net[0](images).detach())
    assert float(seen[act.module("0")].min()) < 0
    assert seen[act.module("3", "input")].shape == (6, 100)
    assert torch.equal(seen[act.logits], net(images).detach())


def test_it_says_when_a_module_is_not_used() -> None:
    net = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})
    net.forward = lambda x: net["used"](x)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r'the forward pass did not come by act.module\("idle", "output"\)'):
        act.load(net).read(torch.ones(1, 2), act.module("idle"))


def test_positions_that_a_row_does_not_have_are_refused(llama: act.Model, ids: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="positions=9: row 0 has 7 tokens"):
        llama.read(ids, act.mlp[0], 9)
    with pytest.raises(ValueError, match="positions=-8 counts back past the start: the prompt in row 0 has 7 tokens"):
        llama.read(ids, act.mlp[0], -8)
    with pytest.raises(ValueError, match="the positions mask has 5 columns, the prompt has 7"):
        llama.read(ids, act.mlp[0], torch.ones(3, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"positions is one of all, prompt, last_prompt, decode, an index, .* got 'last'"):
        llama.read(ids, act.mlp[0], "last")
    with pytest.raises(
        ValueError, match='positions=0 needs tokens, and this network was not called with any: use "all" or a mask'
    ):
        act.load(nn.Linear(2, 2)).read(torch.ones(1, 2), act.logits, 0)
