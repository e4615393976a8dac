"""Mixtures of experts: router logits choose anew, gates go to the experts as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pressrun.methods import activations as act

from .conftest import MIXTURES, tiny

mixtures = pytest.mark.parametrize("lm", [pytest.param(tiny(name), id=name) for name in MIXTURES])


@mixtures
def test_router_and_gates_are_read_with_their_tokens(lm: act.Model, ids: Tensor) -> None:
    seen = lm.read(ids, act.router[1] | act.expert[1])
    assert seen[act.router[1]].shape == seen[act.expert[1]].shape == (3, 7, 4)
    chosen = seen[act.expert[1]] != 0
    top = torch.zeros(3, 7, 4, dtype=torch.bool).scatter(2, seen[act.router[1]].topk(2).indices, True)
    assert torch.equal(chosen, top)
    assert lm.experts == 4


@mixtures
def test_an_edit_that_changes_nothing_changes_no_bit(lm: act.Model, ids: Tensor) -> None:
    plain = lm.read(ids, act.logits)[act.logits]
    with lm.edit(act.router[1].add(0.0), act.expert[2].scale(1.0)):
        assert torch.equal(lm.read(ids, act.logits)[act.logits], plain)


@mixtures
def test_edited_router_logits_choose_anew(lm: act.Model, ids: Tensor) -> None:
    with lm.edit(act.router[1, 3].add(-1e4)):
        gates = lm.read(ids, act.expert[1])[act.expert[1]]
    assert bool((gates[..., 3] == 0).all())
    assert bool(((gates != 0).sum(dim=2) == 2).all())


@mixtures
def test_a_suppressed_expert_is_not_replaced(lm: act.Model, ids: Tensor) -> None:
    plain = lm.read(ids, act.expert[1])[act.expert[1]]
    with lm.edit(act.expert[1, 3].ablate("zero")):
        gates = lm.read(ids, act.expert[1])[act.expert[1]]
    assert torch.equal(gates, plain * torch.tensor([1.0, 1, 1, 0]))


@mixtures
def test_the_experts_run_with_the_edited_gates(lm: act.Model, ids: Tensor) -> None:
    experts = lm.structure.parts(1)["experts"]
    path = next(name for name, module in lm.module.named_modules() if module is experts)
    outputs = []
    for gates in ([1.0, 0, 0, 0], [0, 0.5, 0, 2.0], [1.0, 0.5, 0, 2.0]):
        with lm.edit(act.expert[1].replace(torch.tensor(gates))):
            outputs.append(lm.read(ids, act.module(path))[act.module(path)])
    # What experts write adds up, also when three are open where the router opens two.
    torch.testing.assert_close(outputs[0] + outputs[1], outputs[2], atol=1e-5, rtol=1e-4)


def test_gates_are_edited_at_chosen_tokens_and_while_generating(ids: Tensor) -> None:
    lm = tiny("mixtral")
    plain = lm.read(ids, act.expert[0])[act.expert[0]]
    with lm.edit(act.expert[0].scale(0.0, positions="last_prompt")):
        gates = lm.read(ids, act.expert[0])[act.expert[0]]
    assert torch.equal(gates[:, :-1], plain[:, :-1])
    assert bool((gates[:, -1] == 0).all())
    with lm.edit(act.expert[:, 2].ablate("zero", positions="decode")):
        outputs = [lm.module.generate(ids, max_new_tokens=5, do_sample=False, use_cache=use) for use in (True, False)]
    assert torch.equal(outputs[0], outputs[1])


def test_a_dense_block_among_mixtures_has_no_experts() -> None:
    with pytest.raises(ValueError, match=r"act.expert\[0\]: block 0 of 3 .* has residual, attention, head, query, mlp, neuron"):
        tiny("qwen2_moe").sites(act.expert[0])
