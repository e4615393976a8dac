"""Sparse autoencoders in SAELens folders: `cfg.json` beside `sae_weights.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .files import _whole
from .sae import Activation, Normalisation, SparseAutoencoder

__all__ = ["load_saelens", "save_saelens"]

ARCHITECTURES: dict[str, Activation] = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu"}
# The version whose keys we write; SAELens reads files without one as older than 6.
WRITTEN_AS = "6.0.0"


def load_saelens(folder: str | Path) -> tuple[SparseAutoencoder, dict[str, Any]]:
    """The autoencoder, in float32, and what the folder says of model, hook and data.

    Architectures "standard", "topk" and "jumprelu" (which others are saved as after training), before and since version 6. Decoder
    norms that "topk" counts in are folded into the weights.

    Raises:
        ValueError: if files are missing or broken, or the autoencoder is of a kind that would not be the same here.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "sae_weights.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"{folder} is not a SAELens folder, cfg.json beside sae_weights.safetensors: {error}") from error
    kind, k = _architecture(folder, config)
    expected = {"W_enc", "W_dec", "b_enc", "b_dec"} | ({"threshold"} if kind == "jumprelu" else set())
    if set(weights) != expected:
        raise ValueError(f"{folder} holds the tensors {sorted(weights)}, where {kind} has {sorted(expected)}")
    latents, width = weights["W_dec"].shape
    sae = SparseAutoencoder(width, latents, activation=kind, k=k)
    sae.bias_into_encoder = bool(config.get("apply_b_dec_to_input", True))
    sae.normalise = _normalisation(folder, config)
    _fill(sae, {name: tensor.float() for name, tensor in weights.items()}, bool(config.get("rescale_acts_by_decoder_norm")))
    described = config.get("metadata") or {key: config[key] for key in OLD_KEYS & config.keys()}
    return sae, dict(described)


OLD_KEYS = {
    "model_name",
    "hook_name",
    "hook_point",
    "hook_layer",
    "hook_head_index",
    "dataset_path",
    "context_size",
    "neuronpedia_id",
}


def _architecture(folder: Path, config: Mapping[str, Any]) -> tuple[Activation, int | None]:
    named = config.get("architecture", "standard")
    if config.get("activation_fn_str", config.get("activation_fn")) == "topk":
        return "topk", int(config["activation_fn_kwargs"]["k"])
    if named not in ARCHITECTURES or config.get("finetuning_scaling_factor"):
        raise ValueError(
            f"{folder} holds an autoencoder of kind {named!r}; those of kind {', '.join(ARCHITECTURES)} are read here"
        )
    return ARCHITECTURES[named], int(config["k"]) if named == "topk" else None


def _normalisation(folder: Path, config: Mapping[str, Any]) -> Normalisation:
    named = config.get("normalize_activations") or "none"
    if named not in ("none", "layer_norm", "constant_norm_rescale"):
        raise ValueError(
            f"{folder} was saved with activations normalised as {named!r}, by a factor that is not in the folder: save it folded into the "
            "weights"
        )
    return cast(Normalisation, named)


@torch.no_grad()
def _fill(sae: SparseAutoencoder, weights: Mapping[str, Tensor], norms_count: bool) -> None:
    norm = weights["W_dec"].norm(dim=1) if norms_count else torch.ones(sae.latents)
    sae.own_encoder.copy_(weights["W_enc"] * norm)
    sae.encoder_bias.copy_(weights["b_enc"] * norm)
    sae.decoder.copy_(weights["W_dec"] / norm[:, None])
    sae.decoder_bias.copy_(weights["b_dec"])
    if "threshold" in weights:
        sae.threshold.copy_(weights["threshold"])


def save_saelens(folder: str | Path, sae: SparseAutoencoder, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a folder that SAELens 6 reads; a tied encoder is written out.

    Args:
        folder: made if it is not there; its parent must be.
        sae: the autoencoder.
        metadata: such as model_name, hook_name and dataset_path.
    """
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    kinds = {ours: theirs for theirs, ours in ARCHITECTURES.items()}
    config = {
        "architecture": kinds[sae.activation],
        "d_in": sae.width,
        "d_sae": sae.latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.bias_into_encoder,
        "normalize_activations": sae.normalise,
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": WRITTEN_AS, **(metadata or {})},
        **({"k": sae.k, "rescale_acts_by_decoder_norm": False} if sae.k is not None else {}),
    }
    weights = {"W_enc": sae.encoder, "W_dec": sae.decoder, "b_enc": sae.encoder_bias, "b_dec": sae.decoder_bias}
    if sae.activation == "jumprelu":
        weights["threshold"] = sae.threshold
    # Weights first: a folder with a cfg.json is whole.
    with _whole(folder / "sae_weights.safetensors") as unfinished:
        save_file({name: w.detach().float().cpu().clone().contiguous() for name, w in weights.items()}, unfinished)
    with _whole(folder / "cfg.json") as unfinished:
        Path(unfinished).write_text(json.dumps(config, indent=1), encoding="utf-8")
