"""A language model of a few thousand random weights that reads words: what a smoke run takes in place of a real one."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pressrun.methods import activations as act

__all__ = ["language_model", "tiny_language_model"]

CHAT = "{% for message in messages %}{{ message['content'] }} <end> {% endfor %}"


def tiny_language_model(texts: Iterable[str], *, seed: int = 0, layers: int = 2, width: int = 32) -> act.Model:
    """A random Llama whose words are those of the texts; it says nothing that means anything."""
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text)})
    vocabulary = {word: number for number, word in enumerate(("<pad>", "<end>", "<unknown>", *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))  # noqa: S106  # no password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    reader = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="<pad>",  # noqa: S106
        eos_token="<end>",  # noqa: S106
        unk_token="<unknown>",  # noqa: S106
        chat_template=CHAT,
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LlamaForCausalLM(config)
    network.train(False)
    return act.load(network, tokenizer=reader)


def language_model(name: str, texts: Iterable[str], *, dtype: torch.dtype = torch.bfloat16) -> act.Model:
    """The model of that name; "tiny" is a random one that knows the words of the texts, always in float32."""
    return tiny_language_model(texts) if name == "tiny" else act.load(name, dtype=dtype)
