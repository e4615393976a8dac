"""Edges: patching all of them is the other run, none is this one, and gradients say what a small patch does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pressrun.methods import activations as act

from .conftest import tiny

EXACT = ["llama", "qwen2", "gpt2", "gpt_neox", "gpt_neox_serial", "phi3", "gemma", "mixtral"]


def other(ids: Tensor) -> Tensor:
    return ids.roll(1, dims=0)


@pytest.mark.parametrize("name", EXACT)
def test_with_all_edges_the_logits_are_those_of_the_other_run(name: str, ids: Tensor) -> None:
    lm = tiny(name)
    logits = lm.path_patch(ids, other(ids), lm.edges())
    torch.testing.assert_close(logits, lm.read(other(ids), act.logits)[act.logits], atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("name", EXACT)
def test_edges_between_equal_runs_change_nothing(name: str, ids: Tensor) -> None:
    lm = tiny(name)
    torch.testing.assert_close(lm.path_patch(ids, ids, lm.edges()), lm.read(ids, act.logits)[act.logits], atol=1e-4, rtol=1e-4)


def test_all_edges_of_a_network_are_counted() -> None:
    # Block l: 4 + 2 + 2 readers of 1 + 5l sources, the MLP of 5 + 5l; the logits of 16.
    assert len(tiny("llama").edges()) == sum(8 * (1 + 5 * layer) + 5 + 5 * layer for layer in range(3)) + 16


def test_an_edge_to_the_logits_is_the_direct_effect_of_a_head(ids: Tensor) -> None:
    lm = tiny("llama")
    patched = lm.path_patch(ids, other(ids), [act.Edge(act.head[1, 2], act.logits)])
    ours, theirs = (lm.read(tokens, act.head[1, 2] | act.residual[2]) for tokens in (ids, other(ids)))
    weight = lm.module.model.layers[1].self_attn.o_proj.weight[:, 16:24]
    stream = ours[act.residual[2]] + (theirs[act.head[1, 2]] - ours[act.head[1, 2]]) @ weight.T
    with torch.no_grad():
        expected = lm.module.lm_head(lm.module.model.norm(stream))
    torch.testing.assert_close(patched, expected)


def test_an_edge_into_a_query_leaves_every_other_reader_alone(ids: Tensor) -> None:
    lm = tiny("llama")
    edge = act.Edge(act.mlp[0], act.query[2, 1])
    patched = lm.path_patch(ids, other(ids), [edge], positions="last_prompt")
    plain = lm.read(ids, act.logits)[act.logits]
    torch.testing.assert_close(patched[:, :-1], plain[:, :-1])
    assert not torch.allclose(patched[:, -1], plain[:, -1], atol=1e-3)
    # The same by hand: the query alone reads the changed stream.
    ours, theirs = (lm.read(tokens, act.mlp[0] | act.residual[1]) for tokens in (ids, other(ids)))
    block = lm.module.model.layers[2]
    with torch.no_grad():
        changed = ours[act.residual[1]] + theirs[act.mlp[0]] - ours[act.mlp[0]]
        query = block.self_attn.q_proj(block.input_layernorm(changed)).unflatten(-1, (4, 8))[:, -1, 1]
        with lm.edit(act.query[2, 1].replace(query, positions="last_prompt")):
            torch.testing.assert_close(patched, lm.module(ids).logits)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_scores_are_the_slope_of_patching(name: str, ids: Tensor) -> None:
    lm = tiny(name)
    embedding = lm.read(ids, act.residual.before[0])[act.residual.before[0]]
    near = embedding + 1e-3 * torch.randn(embedding.shape, generator=torch.Generator().manual_seed(5))
    corrupt = (
        {"inputs_embeds": near} if name != "gpt2" else {"inputs_embeds": near - lm.module.transformer.wpe.weight[:7].detach()}
    )
    edges = [
        act.Edge(act.residual.before[0], act.value[1, 0]),
        act.Edge(act.head[0, 1], act.key[2, 1]),
        act.Edge(act.mlp[1], act.mlp[2]),
    ]
    edges += [act.Edge(act.head[1, 3], act.logits), act.Edge(act.mlp[0], act.query[2, 2])]
    scores = lm.edge_scores(ids, corrupt, lambda z: z[:, 5] - z[:, 6], edges, steps=1)
    plain = lm.read(ids, act.logits)[act.logits][:, -1]
    for edge, score in zip(edges, scores, strict=True):
        patched = lm.path_patch(ids, corrupt, [edge])[:, -1] - plain
        assert float((patched[:, 5] - patched[:, 6]).sum()) == pytest.approx(float(score), rel=0.05, abs=2e-5), str(edge)


def test_integrated_scores_average_the_gradients_along_the_way(ids: Tensor) -> None:
    lm = tiny("llama")
    edges, metric = [act.Edge(act.residual.before[0], act.mlp[0]), act.Edge(act.mlp[0], act.logits)], lambda z: z[:, 5].square()
    two = lm.edge_scores(ids, other(ids), metric, edges, steps=2)
    e, other_e = (lm.read(tokens, act.residual.before[0])[act.residual.before[0]] for tokens in (ids, other(ids)))
    written = [lm.read(tokens, act.mlp[0])[act.mlp[0]] for tokens in (ids, other(ids))]
    by_hand = []
    for start in (other_e, (e + other_e) / 2):
        with lm.edit(act.residual.before[0].replace(start)):
            seen = lm.read(ids, act.residual[2] | act.logits, grad=True)
            value = metric(seen[act.logits][:, -1]).sum()
            by_hand.append(torch.autograd.grad(value, seen[act.residual[2]])[0])
    expected = ((written[1] - written[0]) * (by_hand[0] + by_hand[1]) / 2).sum()
    assert float(two[1]) == pytest.approx(float(expected), rel=1e-3)


def test_what_is_no_edge_is_refused(ids: Tensor) -> None:
    lm = tiny("llama")
    cases = [
        (
            act.Edge(act.head[2, 0], act.query[1, 0]),
            r"act.head\[2, 0\] does not come before act.query\[1, 0\]: there is no such edge",
        ),
        (act.Edge(act.neuron[0], act.logits), r"an edge begins at residual.before\[0\], a head or an MLP, got act.neuron\[0\]"),
        (act.Edge(act.mlp[0], act.head[1, 0]), r"an edge ends at a query, key, value, MLP or the logits, got act.head\[1, 0\]"),
        (act.Edge(act.head[0], act.logits), r"an edge joins single sites, act.head\[0\] is several: name one head"),
    ]
    for edge, message in cases:
        with pytest.raises(ValueError, match=message):
            lm.path_patch(ids, ids, [edge])
    with pytest.raises(ValueError, match=r"act.head\[0, 0\]: a norm stands behind the output projection"):
        tiny("gemma2").path_patch(ids, ids, [act.Edge(act.head[0, 0], act.logits)])
    with pytest.raises(ValueError, match=r"act.mlp\[1\]: block 1 has no norm of its own before this"):
        tiny("phi").path_patch(ids, ids, [act.Edge(act.mlp[0], act.mlp[1])])
