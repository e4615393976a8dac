"""Collecting: the same numbers as reading, batch after batch, in memory or in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pressrun.methods import activations as act

from .test_positions import PROMPTS, padded

SITES = act.residual[1] | act.head[0, [1, 3]]


def test_last_tokens_of_all_batches_in_order(llama: act.Model, ids: Tensor) -> None:
    kept = llama.collect([padded(PROMPTS, "left"), ids], SITES, progress=False)
    assert {site: tuple(value.shape) for site, value in kept.items()} == {
        act.residual[1]: (6, 32),
        act.head[0, [1, 3]]: (6, 2, 8),
    }
    assert kept.rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert kept.tokens.tolist() == [6, 2, 4, 6, 6, 6]
    first, second = (llama.read(batch, SITES, "last_prompt") for batch in (padded(PROMPTS, "left"), ids))
    for site, value in kept.items():
        assert torch.equal(value, torch.cat([first[site], second[site]]))


@pytest.mark.parametrize("side", ["left", "right"])
def test_all_tokens_are_the_real_ones(llama: act.Model, side: str) -> None:
    batch = padded(PROMPTS, side)
    kept = llama.collect([batch], SITES, "all", progress=False)
    assert kept.rows.tolist() == [0] * 7 + [1] * 3 + [2] * 5
    assert kept.tokens.tolist() == [*range(7), *range(3), *range(5)]
    seen = llama.read(batch, SITES)
    for site, value in kept.items():
        assert torch.equal(value, seen[site][batch["attention_mask"].bool()])


def test_a_file_is_opened_again_and_is_plain_safetensors(llama: act.Model, ids: Tensor, tmp_path: Path) -> None:
    memory = llama.collect([ids, ids[:1]], SITES | act.logits, [0, -1], progress=False)
    kept = llama.collect([ids, ids[:1]], SITES | act.logits, [0, -1], folder=tmp_path / "new", progress=False)
    again = act.open_collected(tmp_path / "new")
    for found in (kept, again):
        assert list(found) == list(memory)
        assert all(torch.equal(found[site], memory[site]) for site in memory)
        assert torch.equal(found.rows, memory.rows)
        assert found.tokens.tolist() == [0, 6] * 4
    assert sorted(load_file(tmp_path / "new" / "activations.safetensors")) == sorted([*map(str, memory), "rows", "tokens"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["activations.safetensors"]


def test_a_smaller_type_halves_the_file(llama: act.Model, ids: Tensor, tmp_path: Path) -> None:
    kept = llama.collect([ids], act.residual[1], folder=tmp_path, dtype=torch.bfloat16, progress=False)
    assert kept[act.residual[1]].dtype == torch.bfloat16
    assert torch.equal(kept[act.residual[1]], llama.read(ids, act.residual[1], -1)[act.residual[1]].bfloat16())


def test_the_size_is_announced(llama: act.Model, ids: Tensor, capsys: pytest.CaptureFixture[str]) -> None:
    llama.collect([ids, ids], act.residual[1], "all")
    assert capsys.readouterr().err.splitlines()[0] == "collecting 42 tokens at 1 sites: 5.4 kB in memory"


def test_what_fails_leaves_no_file(llama: act.Model, ids: Tensor, tmp_path: Path) -> None:
    bad = {"input_ids": torch.full((1, 2), 10_000)}
    with pytest.raises(IndexError):
        llama.collect([ids, bad], act.residual[1], folder=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="batches is empty; give at least one"):
        llama.collect([], act.residual[1])
    with pytest.raises(FileNotFoundError, match=r"activations.safetensors does not exist; lm.collect"):
        act.open_collected(tmp_path)


def test_a_network_without_tokens_is_collected_row_by_row() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    images = torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    kept = act.load(net).collect([images[:3], images[3:]], act.module("0"), progress=False)
    # Not bit for bit: a convolution of another batch size may add up in another order.
    torch.testing.assert_close(kept[act.module("0")], net[0](images).detach())
    assert kept.rows.tolist() == [0, 1, 2, 3]
