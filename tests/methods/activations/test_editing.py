"""Editing: what each edit does, where, in which rows; and that nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pressrun.methods import activations as act

from .conftest import tiny

SITE = act.residual[1]


def edited(lm: act.Model, ids: Tensor, *edits: act.Edit, prompt: int | Tensor | None = None) -> Tensor:
    """The residual stream behind block 1 under the edits."""
    with lm.edit(*edits, prompt=prompt):
        return lm.read(ids, SITE)[SITE]


@pytest.fixture
def x(llama: act.Model, ids: Tensor) -> Tensor:
    return llama.read(ids, SITE)[SITE]


def test_each_edit_does_what_it_says(llama: act.Model, ids: Tensor, x: Tensor) -> None:
    v = torch.arange(32.0)
    assert torch.equal(edited(llama, ids, SITE.add(v)), x + v)
    assert torch.equal(edited(llama, ids, SITE.add(v, strength=0.5)), x + 0.5 * v)
    assert torch.equal(edited(llama, ids, SITE.scale(3.0)), 3 * x)
    assert torch.equal(edited(llama, ids, SITE.scale(v)), v * x)
    assert torch.equal(edited(llama, ids, SITE.replace(v)), v.expand(3, 7, 32))
    assert torch.equal(edited(llama, ids, SITE.ablate()), torch.zeros(3, 7, 32))
    assert torch.equal(edited(llama, ids, SITE.ablate("mean", mean=v)), v.expand(3, 7, 32))
    assert torch.equal(edited(llama, ids, SITE.clamp(-0.1, 0.2)), x.clamp(-0.1, 0.2))
    assert torch.equal(edited(llama, ids, SITE.clamp(high=v)), x.minimum(v))
    assert torch.equal(edited(llama, ids, SITE.apply(torch.sin)), x.sin())


def test_strength_goes_from_nothing_to_the_whole_edit(llama: act.Model, ids: Tensor, x: Tensor) -> None:
    torch.testing.assert_close(edited(llama, ids, SITE.replace(1.0, strength=0.25)), x + 0.25 * (1 - x))
    each = torch.tensor([0.0, 1.0, 0.5])
    out = edited(llama, ids, SITE.replace(1.0, strength=each))
    assert torch.equal(out[0], x[0])
    assert torch.equal(out[1], torch.ones(7, 32))
    torch.testing.assert_close(out[2], (x[2] + 1) / 2)


def test_rows_have_their_own_vectors_strengths_and_masks(llama: act.Model, ids: Tensor, x: Tensor) -> None:
    v = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    strength, rows = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([True, True, False])
    expected = x + torch.where(rows, strength, torch.zeros(3))[:, None, None] * v[:, None]
    torch.testing.assert_close(edited(llama, ids, SITE.add(v, strength=strength, rows=rows)), expected)


def test_resampling_takes_every_row_from_another(llama: act.Model, ids: Tensor, x: Tensor) -> None:
    out = edited(llama, ids, SITE.ablate("resample", generator=torch.Generator().manual_seed(1)))
    donors = [[bool(torch.equal(out[row], x[other])) for other in range(3)] for row in range(3)]
    assert [sum(row) for row in donors] == [1, 1, 1]
    assert [sum(column) for column in zip(*donors, strict=True)] == [1, 1, 1]
    assert not any(donors[row][row] for row in range(3))


@settings(max_examples=20, deadline=None)
@given(k=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_projecting_out_leaves_nothing_along_the_basis_and_the_rest_as_it_is(k: int, seed: int) -> None:
    lm, ids = tiny("llama"), torch.full((1, 4), 7)
    basis, other = torch.randn(k + 1, 32, generator=torch.Generator().manual_seed(seed)).split([k, 1])
    x, out = lm.read(ids, SITE)[SITE], edited(lm, ids, SITE.project_out(basis))
    assert float((out @ basis.T).abs().max()) < 1e-3
    orthogonal = other - torch.linalg.lstsq(basis.T, other.T).solution.T @ basis
    torch.testing.assert_close(out @ orthogonal.T, x @ orthogonal.T, atol=1e-3, rtol=1e-3)


def test_units_are_edited_alone(llama: act.Model, ids: Tensor) -> None:
    plain = llama.read(ids, act.head[1] | act.neuron[0] | SITE)
    with llama.edit(act.head[1, [0, 3]].scale(2.0), act.neuron[0, 5].replace(9.0), act.residual[0, -1].add(1.0)):
        seen = llama.read(ids, act.neuron[0] | act.residual[0] | act.head[1])
    assert torch.equal(seen[act.neuron[0]][..., 5], torch.full((3, 7), 9.0))
    assert torch.equal(seen[act.neuron[0]][..., :5], plain[act.neuron[0]][..., :5])
    with llama.edit(act.head[1, [0, 3]].scale(2.0)):
        heads = llama.read(ids, act.head[1])[act.head[1]]
    assert torch.equal(heads, plain[act.head[1]] * torch.tensor([2.0, 1, 1, 2])[:, None])
    with llama.edit(act.residual[1, -1].add(1.0)):
        changed = llama.read(ids, SITE)[SITE] - plain[SITE]
    torch.testing.assert_close(changed, torch.eye(32)[-1].expand(3, 7, 32))


def test_edits_compose_in_the_order_given_and_nest(llama: act.Model, ids: Tensor, x: Tensor) -> None:
    assert torch.equal(edited(llama, ids, SITE.add(1.0), SITE.scale(2.0)), (x + 1) * 2)
    assert torch.equal(edited(llama, ids, SITE.scale(2.0), SITE.add(1.0)), x * 2 + 1)
    with llama.edit(SITE.add(1.0)):
        assert torch.equal(edited(llama, ids, SITE.scale(2.0)), (x + 1) * 2)
        assert torch.equal(llama.read(ids, SITE)[SITE], x + 1)
    assert torch.equal(llama.read(ids, SITE)[SITE], x)


def test_one_edit_may_have_many_sites_and_a_value_for_each(llama: act.Model, ids: Tensor) -> None:
    values = {0: torch.zeros(32), 1: torch.ones(32)}
    with llama.edit(act.residual[0:2].replace(values)):
        seen = llama.read(ids, act.residual[0:2])
    assert torch.equal(seen.stack(), torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 3, 7, 32))
    message = r"the values given have none for act.residual\[2\]: they have 0, 1"
    with pytest.raises(ValueError, match=message), llama.edit(act.residual[2].replace(values)):
        llama.module(ids)


def test_the_network_is_as_before_also_after_an_exception(llama: act.Model, ids: Tensor) -> None:
    with torch.no_grad():
        plain = llama.module(ids).logits
    with pytest.raises(RuntimeError, match="by the way"), llama.edit(SITE.add(1.0)):
        raise RuntimeError("by the way")
    with pytest.raises(ZeroDivisionError), llama.edit(act.head[1].apply(lambda _: 1 / 0)):  # type: ignore[arg-type, return-value]
        llama.module(ids)
    with pytest.raises(ValueError, match="does not fit"), llama.edit(SITE.add(torch.ones(31))):
        llama.module.generate(ids, max_new_tokens=2)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in llama.module.modules())
    assert "generate" not in vars(llama.module)
    with torch.no_grad():
        assert torch.equal(llama.module(ids).logits, plain)


def test_a_compiled_network_is_edited_whenever_it_was_compiled(llama: act.Model, ids: Tensor) -> None:
    edit = act.residual[0].add(torch.arange(32.0), positions="last_prompt")
    try:
        with torch.no_grad():
            plain = llama.module(ids).logits
            before = torch.compile(llama.module, backend="eager")
            assert torch.equal(before(ids).logits, plain)
            with llama.edit(edit):
                changed = llama.module(ids).logits
                assert torch.equal(before(ids).logits, changed)
                within = torch.compile(llama.module, backend="eager")
                assert torch.equal(within(ids).logits, changed)
            assert not torch.equal(changed, plain)
            assert torch.equal(before(ids).logits, plain)
            assert torch.equal(within(ids).logits, plain)
            # The compiled network itself may be what is looked into.
            with act.load(before).edit(edit):
                assert torch.equal(before(ids).logits, changed)
    finally:
        torch.compiler.reset()


def test_vectors_strengths_and_factors_are_trained_through(llama: act.Model, ids: Tensor) -> None:
    v = torch.zeros(32, requires_grad=True)
    strength = torch.tensor([0.5, 1.0, 0.0], requires_grad=True)
    factor = torch.ones(4, 8, requires_grad=True)
    edits = [
        SITE.add(v, positions="last_prompt"),
        act.mlp[1].replace(torch.ones(32), strength=strength),
        act.head[1].scale(factor),
        act.residual[0].project_out(v + 1),
        act.neuron[2, [1, 2]].scale(factor[0, :2]),
    ]
    with llama.edit(*edits):
        llama.module(ids).logits[:, -1].square().mean().backward()
    for leaf in (v, strength, factor):
        assert leaf.grad is not None
        assert bool((leaf.grad != 0).all())


def test_attention_weights_can_be_overwritten(llama: act.Model, ids: Tensor) -> None:
    row = torch.tensor([0.5, 0.5, 0, 0, 0, 0, 0])
    with llama.edit(act.pattern[1, 2].replace(row, positions="last_prompt")):
        seen = llama.read(ids, act.pattern[1] | act.value[1] | act.head[1])
    assert torch.equal(seen[act.pattern[1, 2]][:, -1], row.expand(3, 7))
    # Query head 2 of 4 reads value head 1 of 2.
    torch.testing.assert_close(seen[act.head[1, 2]][:, -1], seen[act.value[1, 1]][:, :2].mean(dim=1))


def test_spatial_tensors_are_edited_as_they_come() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 25, 2))
    lm, images = act.load(net), torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    site, plain = act.module("0"), net[0](images).detach()
    channel, mask = torch.tensor([0.0, 1, 0, 0])[:, None, None], torch.zeros(5, 5, dtype=torch.bool)
    mask[2, 3] = True
    cases: list[tuple[act.Edit, Tensor]] = [
        (site.add(channel), plain + channel),
        (site.scale(0.0, positions=mask), plain * ~mask),
        (site.add(1.0, strength=torch.tensor([1.0, 2.0])), plain + torch.tensor([1.0, 2])[:, None, None, None]),
        (site.replace(plain.flip(0)), plain.flip(0)),
        (site.ablate("zero", rows=torch.tensor([False, True])), plain * torch.tensor([1.0, 0])[:, None, None, None]),
    ]
    for edit, expected in cases:
        with lm.edit(edit):
            assert torch.equal(lm.read(images, site)[site], expected)


def test_the_logits_can_be_edited(llama: act.Model, ids: Tensor) -> None:
    with llama.edit(act.logits.replace(torch.eye(61)[9])):
        out = llama.module.generate(ids, max_new_tokens=3, do_sample=False)
    assert out[:, 7:].tolist() == [[9, 9, 9]] * 3


def test_a_run_is_patched_into_another(llama: act.Model, ids: Tensor) -> None:
    clean, corrupt = ids, ids.flip(1)
    cache = llama.read(clean, act.residual[:])
    with llama.edit(act.patch(cache, act.residual[2])):
        assert torch.equal(llama.read(corrupt, act.logits)[act.logits], llama.read(clean, act.logits)[act.logits])
    with llama.edit(act.patch(cache, act.residual[0], positions=3)):
        seen = llama.read(corrupt, act.residual[0])[act.residual[0]]
    expected = llama.read(corrupt, act.residual[0])[act.residual[0]]
    expected[:, 3] = cache[act.residual[0]][:, 3]
    assert torch.equal(seen, expected)
    last = llama.read(clean, act.residual[0], "last_prompt")
    with llama.edit(act.patch(last, positions="last_prompt")):
        seen = llama.read(corrupt, act.residual[0])[act.residual[0]]
    assert torch.equal(seen[:, -1], cache[act.residual[0]][:, -1])


BAD: list[tuple[Callable[[], act.Edit], str]] = [
    (lambda: SITE.add(torch.ones(31)), r"a value of shape \(31,\) does not fit act.residual\[1\], whose tensor is \(3, 7, 32\)"),
    (lambda: SITE.add(torch.ones(2, 32)), r"a value for act.residual\[1\] has 2 rows, the batch has 3"),
    (lambda: SITE.replace(torch.ones(3, 6, 32)), r"a value for act.residual\[1\] has 6 columns, the prompt has 7"),
    (lambda: SITE.add(1.0, strength=torch.ones(2)), "strength has 2 rows, the batch has 3"),
    (lambda: SITE.add(1.0, rows=torch.ones(3, 1, dtype=torch.bool)), r"rows is a number or one a row, \(rows,\), got \(3, 1\)"),
    (
        lambda: SITE.apply(lambda x: x[:, :1]),
        r"act.residual\[1\].apply made \(3, 1, 32\) out of \(3, 7, 32\); the shape must stay",
    ),
    (lambda: SITE.project_out(torch.ones(2, 32)), r"the 2 vectors of a basis for act.residual\[1\] depend on each other"),
    (lambda: SITE.project_out(torch.ones(5)), r"a basis of shape \(5,\) does not fit act.residual\[1\], which has 32 features"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message[:30] for _, message in BAD])
def test_what_does_not_fit_is_refused_in_one_sentence(
    llama: act.Model, ids: Tensor, make: Callable[[], act.Edit], message: str
) -> None:
    with pytest.raises(ValueError, match=message), llama.edit(make()):
        llama.module(ids)


def test_edits_that_make_no_sense_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r'ablate\("mean"\) needs mean=, the value to put there'):
        SITE.ablate("mean")
    with pytest.raises(ValueError, match='ablate takes "zero", "mean" or "resample", got \'median\''):
        SITE.ablate("median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="clamp needs low, high or both"):
        SITE.clamp()
    with pytest.raises(TypeError, match=r"an edit is asked for, as act.residual\[12\].add\(v\), got Site"):
        tiny("llama").edit(SITE).__enter__()  # type: ignore[arg-type]
