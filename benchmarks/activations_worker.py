"""One library's side of benchmarks/activations.py; it is run by that library's own Python, which need not have pressrun.

    python benchmarks/activations_worker.py LIBRARY MODEL TINY

Reads one JSON object a line ({"row", "repeats", "save"}), does that row with that library, and answers with its CPU seconds a
call (of "memory": MiB) and, where `save` names a file, with the tensors it got. It does nothing while it is not asked.

Each library is used as its documentation does it; where it can stop a forward pass, it is let. A library has only the methods
for what it can do; `cannot` says why it lacks the others.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from torch import Tensor, nn

ROWS, COLUMNS, PROMPT, NEW = 4, 32, 16, 64
SITE, HEAD, COLUMN, BLOCKS_RUN = 15, 4, 8, 10
GOOD, BAD = 2_000, 3_000  # the two tokens whose logits the sweeps compare
DEPTH, WIDTH = 12, 64  # of the networks that show the fixed cost of a call
Values = Tensor | list[Tensor]


class MLP(nn.Module):
    """Twelve small blocks and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()) for _ in range(DEPTH))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


@dataclass
class Subject:
    """A network and what is put into it.

    Attributes:
        blocks: path of the list of blocks.
        inputs: (rows, columns) token ids, or (1, width) for the MLP.
    """

    module: Any  # of transformers, or the MLP
    tokenizer: Any
    blocks: str
    inputs: Tensor

    def name(self, layer: int) -> str:
        return f"{self.blocks}.{layer}"

    def block(self, layer: int) -> nn.Module:
        found: nn.Module = self.module.get_submodule(self.name(layer))
        return found

    @property
    def layers(self) -> int:
        return len(self.module.get_submodule(self.blocks))

    @property
    def width(self) -> int:
        """Features of one head."""
        return int(self.module.config.head_dim)


@dataclass
class Task:
    """What all libraries are given: a prompt pair, the vector to steer with, the values to patch in.

    Attributes:
        vector: (features,)
        prompt: (1, columns) token ids.
        stream: (layers, 1, columns, features) residual stream behind each block for the other prompt of the pair.
        patch: (features,) what is put at one column, in every row of the batch.
    """

    vector: Tensor
    prompt: Tensor
    stream: Tensor
    patch: Tensor


def language(folder: str) -> Subject:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = min(module.config.vocab_size, 40_000)
    shape = (ROWS, COLUMNS) if module.config.num_hidden_layers > DEPTH else (1, 4)
    ids = torch.randint(10, tokens, shape, generator=torch.Generator().manual_seed(0))
    return Subject(module, AutoTokenizer.from_pretrained(folder), "model.layers", ids)


def perceptron() -> Subject:
    torch.manual_seed(0)
    return Subject(MLP().eval(), None, "blocks", torch.randn(1, WIDTH))


def task(subject: Subject) -> Task:
    generator = torch.Generator().manual_seed(1)
    prompt = torch.randint(10, 40_000, (1, PROMPT), generator=generator)
    other = prompt.clone()
    other[0, PROMPT // 3] += 1
    seen: list[Tensor] = []
    with contextlib.ExitStack() as stack, torch.no_grad():
        for layer in range(subject.layers):
            stack.callback(subject.block(layer).register_forward_hook(lambda *given: seen.append(given[2])).remove)
        subject.module(other)
    stream = torch.stack(seen)
    vector = torch.randn(stream.shape[-1], generator=generator)
    vector *= 0.5 * stream[SITE, 0, -1].norm() / vector.norm()
    return Task(vector, prompt, stream, torch.randn(stream.shape[-1], generator=generator))


def generated(module: Any, ids: Tensor) -> Tensor:  # noqa: ANN401 - of transformers, or the MLP
    """(rows, columns + NEW) greedily; never ends early, so that everyone does the same work."""
    return module.generate(  # type: ignore[no-any-return]
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=2
    )


def preference(logits: Tensor) -> Tensor:
    """What the sweeps measure: (rows,) for logits (rows, vocabulary)."""
    return logits[:, GOOD] - logits[:, BAD]


class Library:
    """What the rows have in common. A library gives plain, read, stop, steer, ablate and patch, or says why it cannot."""

    cannot: ClassVar[dict[str, str]] = {}
    package = "transformers"

    def __init__(self, subject: Subject, task: Task | None) -> None:
        self.subject = subject
        self._task = task

    @property
    def task(self) -> Task:
        assert self._task is not None
        return self._task

    def call(self, ids: Tensor) -> Tensor:
        """Logits of the bare module."""
        out = self.subject.module(ids)
        logits: Tensor = out if isinstance(out, Tensor) else out.logits
        return logits

    def plain(self, ids: Tensor) -> Tensor:
        """Logits through the library, with nothing read or edited."""
        return self.call(ids)

    def read(self, layers: range) -> list[Tensor]:
        """The residual stream (rows, columns, features) behind each of these blocks."""
        raise NotImplementedError

    def stop(self, layer: int) -> list[Tensor]:
        """The same for one block, with a pass that ends there."""
        raise NotImplementedError

    def steer(self) -> Tensor:
        """Token ids generated while the vector is added behind a block, at every token."""
        raise NotImplementedError

    def ablate(self, ids: Tensor, layer: int, head: int) -> Tensor:
        """Logits while what a head hands to the output projection is zero."""
        raise NotImplementedError

    def patch(self, ids: Tensor, layer: int, column: int, value: Tensor) -> Tensor:
        """Logits while `value`, (features,), stands behind a block at one column."""
        raise NotImplementedError

    def head_sweep(self) -> Tensor:
        """(layers · heads,) the preference with each head ablated once."""
        heads = self.subject.module.config.num_attention_heads
        chosen = [(layer, head) for layer in range(self.subject.layers) for head in range(heads)]
        return torch.cat([preference(self.ablate(self.task.prompt, layer, head)[:, -1]) for layer, head in chosen])

    def patch_sweep(self) -> Tensor:
        """(layers · columns,) the preference with each place patched once from the other prompt."""
        chosen = [(layer, column) for layer in range(self.subject.layers) for column in range(PROMPT)]
        return torch.cat(
            [
                preference(self.patch(self.task.prompt, layer, column, self.task.stream[layer, 0, column])[:, -1])
                for layer, column in chosen
            ]
        )


class Bare(Library):
    """Plain transformers: the same amount of forward passes, with nothing read or edited."""

    def read(self, layers: range) -> list[Tensor]:  # noqa: ARG002 - it does nothing with it
        return [self.call(self.subject.inputs)]

    def stop(self, layer: int) -> list[Tensor]:  # noqa: ARG002 - it does nothing with it
        return [self.call(self.subject.inputs)]

    def steer(self) -> Tensor:
        return generated(self.subject.module, self.task.prompt)

    def ablate(self, ids: Tensor, layer: int, head: int) -> Tensor:  # noqa: ARG002 - it does nothing with it
        return self.call(ids)

    def patch(self, ids: Tensor, layer: int, column: int, value: Tensor) -> Tensor:  # noqa: ARG002 - it does nothing with it
        return self.call(ids)


class Stop(Exception):
    """The pass is not needed further."""


class Hooks(Library):
    """PyTorch's forward hooks as people write them by hand."""

    package = "torch"

    def read(self, layers: range) -> list[Tensor]:
        seen: list[Tensor] = []
        with contextlib.ExitStack() as stack:
            for layer in layers:
                hook = self.subject.block(layer).register_forward_hook(lambda _, __, out: seen.append(out.clone()))
                stack.callback(hook.remove)
            self.call(self.subject.inputs)
        return seen

    def stop(self, layer: int) -> list[Tensor]:
        seen: list[Tensor] = []

        def take(_: nn.Module, __: object, out: Tensor) -> None:
            seen.append(out.clone())
            raise Stop

        with self.hooked(self.subject.block(layer), take), contextlib.suppress(Stop):
            self.call(self.subject.inputs)
        return seen

    def steer(self) -> Tensor:
        with self.hooked(self.subject.block(SITE), lambda _, __, out: out + self.task.vector):
            return generated(self.subject.module, self.task.prompt)

    def ablate(self, ids: Tensor, layer: int, head: int) -> Tensor:
        width = self.subject.width

        def zero(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
            x = given[0].clone()
            x[..., head * width : (head + 1) * width] = 0
            return (x,)

        hook = self.subject.module.get_submodule(self.subject.name(layer) + ".self_attn.o_proj").register_forward_pre_hook(zero)
        try:
            return self.call(ids)
        finally:
            hook.remove()

    def patch(self, ids: Tensor, layer: int, column: int, value: Tensor) -> Tensor:
        def put(_: nn.Module, __: object, out: Tensor) -> Tensor:
            out = out.clone()
            out[:, column] = value
            return out

        with self.hooked(self.subject.block(layer), put):
            return self.call(ids)

    @contextlib.contextmanager
    def hooked(self, module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
        handle = module.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()


class Ours(Library):
    """pressrun.methods.activations."""

    package = "pressrun"

    def __init__(self, subject: Subject, task: Task | None) -> None:
        super().__init__(subject, task)
        from pressrun.methods import activations as act

        self.act = act
        family = act.Family(layers="blocks") if subject.blocks == "blocks" else None
        self.lm = act.load(subject.module, tokenizer=subject.tokenizer, family=family)

    def plain(self, ids: Tensor) -> Tensor:
        with self.lm.edit():
            return self.call(ids)

    def read(self, layers: range) -> list[Tensor]:
        return list(self.lm.read(self.subject.inputs, self.act.residual[layers.start : layers.stop]).values())

    def stop(self, layer: int) -> list[Tensor]:
        return self.read(range(layer, layer + 1))

    def steer(self) -> Tensor:
        with self.lm.edit(self.act.residual[SITE].add(self.task.vector)):
            return generated(self.lm.module, self.task.prompt)

    def ablate(self, ids: Tensor, layer: int, head: int) -> Tensor:
        with self.lm.edit(self.act.head[layer, head].ablate("zero")):
            return self.call(ids)

    def patch(self, ids: Tensor, layer: int, column: int, value: Tensor) -> Tensor:
        with self.lm.edit(self.act.residual[layer].replace(value, positions=column)):
            return self.call(ids)

    def head_sweep(self) -> Tensor:
        edits = [self.act.head[layer, head].ablate("zero") for layer in range(self.lm.layers) for head in range(self.lm.heads)]
        return self.lm.sweep(self.task.prompt, edits, preference)[:, 0]

    def patch_sweep(self) -> Tensor:
        edits = [
            self.act.residual[layer].replace(self.task.stream[layer, 0, column], positions=column)
            for layer in range(self.lm.layers)
            for column in range(PROMPT)
        ]
        return self.lm.sweep(self.task.prompt, edits, preference)[:, 0]


class Baukit(Library):
    package = "baukit"
    cannot: ClassVar[dict[str, str]] = {"ablate": "edits outputs only, a head is an input", "head_sweep": "edits outputs only"}

    def __init__(self, subject: Subject, task: Task | None) -> None:
        super().__init__(subject, task)
        from baukit import Trace, TraceDict

        self.trace, self.traces = Trace, TraceDict

    def read(self, layers: range) -> list[Tensor]:
        with self.traces(self.subject.module, [self.subject.name(layer) for layer in layers], clone=True) as seen:
            self.call(self.subject.inputs)
        return [each.output for each in seen.values()]

    def stop(self, layer: int) -> list[Tensor]:
        with self.trace(self.subject.module, self.subject.name(layer), clone=True, stop=True) as seen:
            self.call(self.subject.inputs)
        return [seen.output]

    def steer(self) -> Tensor:
        with self.trace(
            self.subject.module,
            self.subject.name(SITE),
            retain_output=False,
            edit_output=lambda out: out + self.task.vector,
        ):
            return generated(self.subject.module, self.task.prompt)

    def patch(self, ids: Tensor, layer: int, column: int, value: Tensor) -> Tensor:
        def put(out: Tensor) -> Tensor:
            out = out.clone()
            out[:, column] = value
            return out

        with self.trace(self.subject.module, self.subject.name(layer), retain_output=False, edit_output=put):
            return self.call(ids)


class Nnsight(Library):
    """Sweeps put many interventions into one trace, as `invoke` is made for."""

    package = "nnsight"
    together = 32  # invokes in a trace

    def __init__(self, subject: Subject, task: Task | None) -> None:
        super().__init__(subject, task)
        import nnsight

        self.keep = nnsight.save
        if subject.tokenizer is None:
            self.lm = nnsight.NNsight(subject.module)
            self.blocks = self.lm.blocks
        else:
            from nnsight.modeling.transformers import TransformersModel

            self.lm = TransformersModel(subject.module, tokenizer=subject.tokenizer, task="text-generation")
            self.blocks = self.lm.model.layers

    def plain(self, ids: Tensor) -> Tensor:
        with self.lm.trace(ids):
            out = self.keep(self.lm.output)
        logits: Tensor = out if isinstance(out, Tensor) else out.logits
        return logits

    def read(self, layers: range) -> list[Tensor]:
        with self.lm.trace(self.subject.inputs):
            seen = self.keep([self.blocks[layer].output for layer in layers])
        return list(seen)

    def stop(self, layer: int) -> list[Tensor]:
        with self.lm.trace(self.subject.inputs) as tracer:
            seen = self.keep(self.blocks[layer].output)
            tracer.stop()
        return [seen]

    def steer(self) -> Tensor:
        block, vector = self.blocks[SITE], self.task.vector
        settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 2}
        with self.lm.generate(self.task.prompt, **settings) as tracer:
            for _ in tracer.iter[:NEW]:
                block.output = block.output + vector
            out = self.keep(tracer.result)
        return out  # type: ignore[no-any-return]  # noqa: RET504 - it is bound inside the trace

    def ablate(self, ids: Tensor, layer: int, head: int) -> Tensor:
        width = self.subject.width
        with self.lm.trace(ids):
            self.blocks[layer].self_attn.o_proj.input[..., head * width : (head + 1) * width] = 0
            logits = self.keep(self.lm.output.logits)
        return logits  # type: ignore[no-any-return]  # noqa: RET504 - it is bound inside the trace

    def patch(self, ids: Tensor, layer: int, column: int, value: Tensor) -> Tensor:
        with self.lm.trace(ids):
            self.blocks[layer].output[:, column] = value
            logits = self.keep(self.lm.output.logits)
        return logits  # type: ignore[no-any-return]  # noqa: RET504 - it is bound inside the trace

    def head_sweep(self) -> Tensor:
        width, ids = self.subject.width, self.task.prompt
        heads = self.subject.module.config.num_attention_heads
        chosen = [(layer, head) for layer in range(self.subject.layers) for head in range(heads)]
        found: list[Tensor] = []
        for first in range(0, len(chosen), self.together):
            with self.lm.trace() as tracer:
                seen = self.keep([])
                for layer, head in chosen[first : first + self.together]:
                    with tracer.invoke(ids):
                        self.blocks[layer].self_attn.o_proj.input[..., head * width : (head + 1) * width] = 0
                        seen.append(preference(self.lm.output.logits[:, -1]))
            found += seen
        return torch.cat(found)

    def patch_sweep(self) -> Tensor:
        ids, stream = self.task.prompt, self.task.stream
        chosen = [(layer, column) for layer in range(self.subject.layers) for column in range(PROMPT)]
        found: list[Tensor] = []
        for first in range(0, len(chosen), self.together):
            with self.lm.trace() as tracer:
                seen = self.keep([])
                for layer, column in chosen[first : first + self.together]:
                    with tracer.invoke(ids):
                        self.blocks[layer].output[:, column] = stream[layer, 0, column]
                        seen.append(preference(self.lm.output.logits[:, -1]))
            found += seen
        return torch.cat(found)


class Nnterp(Nnsight):
    """nnsight with one set of names for all families.

    Beside it only an older nnsight imports, where the second invoke of a trace sees the logits of all and keeps its input unedited:
    sweeps make one trace for each intervention.
    """

    package = "nnterp"
    cannot: ClassVar[dict[str, str]] = {"mlp": "language models only"}
    head_sweep = Library.head_sweep
    patch_sweep = Library.patch_sweep

    def __init__(self, subject: Subject, task: Task | None) -> None:
        Library.__init__(self, subject, task)
        import nnsight
        from nnterp import StandardizedTransformer

        self.keep = nnsight.save
        self.lm = StandardizedTransformer(subject.module, tokenizer=subject.tokenizer)
        self.blocks = self.lm.layers

    def read(self, layers: range) -> list[Tensor]:
        with self.lm.trace(self.subject.inputs):
            seen = self.keep([self.lm.layers_output[layer] for layer in layers])
        return list(seen)

    def stop(self, layer: int) -> list[Tensor]:
        with self.lm.trace(self.subject.inputs) as tracer:
            seen = self.keep(self.lm.layers_output[layer])
            tracer.stop()
        return [seen]

    def steer(self) -> Tensor:
        settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 2}
        with self.lm.generate(self.task.prompt, **settings) as tracer:
            for _ in tracer.iter[:NEW]:
                self.lm.steer(SITE, self.task.vector)
            out = self.keep(tracer.result)
        return out  # type: ignore[no-any-return]  # noqa: RET504 - it is bound inside the trace


class TransformerLens(Library):
    """The bridge, which wraps the model of transformers, as it comes (eager attention)."""

    package = "transformer-lens"
    cannot: ClassVar[dict[str, str]] = {"mlp": "language models only"}

    def __init__(self, subject: Subject, task: Task | None) -> None:
        super().__init__(subject, task)
        from transformer_lens.model_bridge import TransformerBridge

        self.bridge = TransformerBridge.boot_transformers(str(subject.module.config._name_or_path), tokenizer=subject.tokenizer)

    def plain(self, ids: Tensor) -> Tensor:
        return self.bridge(ids)  # type: ignore[no-any-return]

    def read(self, layers: range) -> list[Tensor]:
        names = [f"blocks.{layer}.hook_resid_post" for layer in layers]
        _, cache = self.bridge.run_with_cache(self.subject.inputs, names_filter=names)
        return [cache[name] for name in names]

    def stop(self, layer: int) -> list[Tensor]:
        name = f"blocks.{layer}.hook_resid_post"
        _, cache = self.bridge.run_with_cache(self.subject.inputs, names_filter=name, stop_at_layer=layer + 1)
        return [cache[name]]

    def steer(self) -> Tensor:
        with self.bridge.hooks(fwd_hooks=[(f"blocks.{SITE}.hook_resid_post", lambda x, **_: x + self.task.vector)]):
            return self.bridge.hf_generate(  # type: ignore[no-any-return]
                self.task.prompt, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=2, return_type="tokens"
            )

    def ablate(self, ids: Tensor, layer: int, head: int) -> Tensor:
        def zero(z: Tensor, **_: object) -> Tensor:
            z = z.clone()
            z[:, :, head] = 0
            return z

        return self.bridge.run_with_hooks(ids, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", zero)])  # type: ignore[no-any-return]

    def patch(self, ids: Tensor, layer: int, column: int, value: Tensor) -> Tensor:
        def put(x: Tensor, **_: object) -> Tensor:
            x = x.clone()
            x[:, column] = value
            return x

        return self.bridge.run_with_hooks(ids, fwd_hooks=[(f"blocks.{layer}.hook_resid_post", put)])  # type: ignore[no-any-return]


class Pyvene(Library):
    """Interventions as functions at components named by path."""

    package = "pyvene"
    cannot: ClassVar[dict[str, str]] = {"stop": "always runs the whole pass", "mlp": "needs a config of transformers"}

    def __init__(self, subject: Subject, task: Task | None) -> None:
        super().__init__(subject, task)
        import pyvene

        self.pyvene = pyvene

    def through(self, component: str, intervention: Callable[..., Tensor]) -> Any:  # noqa: ANN401 - a class of the library
        return self.pyvene.IntervenableModel({"component": component, "intervention": intervention}, model=self.subject.module)

    def output(self, layer: int) -> str:
        return f"model.layers[{layer}].output"

    def plain(self, ids: Tensor) -> Tensor:
        model = self.pyvene.IntervenableModel([], model=self.subject.module)
        return model({"input_ids": ids}, output_original_output=True)[0].logits  # type: ignore[no-any-return]

    def read(self, layers: range) -> list[Tensor]:
        wanted = [{"component": self.output(layer), "intervention": self.collect()} for layer in layers]
        model = self.pyvene.IntervenableModel(wanted, model=self.subject.module)
        (_, seen), _ = model({"input_ids": self.subject.inputs})
        return list(seen)

    def collect(self) -> Any:  # noqa: ANN401 - a class of the library
        """Without keep_last_dim it returns something of another shape."""
        return self.pyvene.CollectIntervention(embed_dim=self.subject.module.config.hidden_size, keep_last_dim=True)

    def steer(self) -> Tensor:
        model = self.through(self.output(SITE), lambda base, _: base + self.task.vector)
        prompt = {"input_ids": self.task.prompt, "attention_mask": torch.ones_like(self.task.prompt)}
        settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 2}
        return model.generate(prompt, unit_locations=None, intervene_on_prompt=True, **settings)[1]  # type: ignore[no-any-return]

    def ablate(self, ids: Tensor, layer: int, head: int) -> Tensor:
        width = self.subject.width

        def zero(base: Tensor, _: object) -> Tensor:
            base = base.clone()
            base[..., head * width : (head + 1) * width] = 0
            return base

        model = self.through(f"model.layers[{layer}].self_attn.o_proj.input", zero)
        return model({"input_ids": ids})[1].logits  # type: ignore[no-any-return]

    def patch(self, ids: Tensor, layer: int, column: int, value: Tensor) -> Tensor:
        model = self.through(self.output(layer), lambda base, _: value.expand_as(base))
        return model({"input_ids": ids}, unit_locations={"base": column})[1].logits  # type: ignore[no-any-return]


class SteeringVectors(Library):
    package = "steering-vectors"
    cannot: ClassVar[dict[str, str]] = {
        "stop": "always runs the whole pass",
        "ablate": "edits outputs only, a head is an input",
        "head_sweep": "edits outputs only",
        "mlp": "language models only",
    }

    def __init__(self, subject: Subject, task: Task | None) -> None:
        super().__init__(subject, task)
        import steering_vectors

        self.library = steering_vectors

    def read(self, layers: range) -> list[Tensor]:
        with self.library.record_activations(self.subject.module, layer_nums=list(layers)) as seen:
            self.call(self.subject.inputs)
        return [seen[layer][0] for layer in layers]

    def steer(self) -> Tensor:
        with self.library.SteeringVector({SITE: self.task.vector}).apply(self.subject.module):
            return generated(self.subject.module, self.task.prompt)

    def patch(self, ids: Tensor, layer: int, column: int, value: Tensor) -> Tensor:
        vector = self.library.SteeringVector({layer: value})
        with vector.apply(self.subject.module, operator=lambda x, new: new - x, token_indices=[column], min_token_index=None):
            return self.call(ids)


class Repeng(Library):
    package = "repeng"
    cannot: ClassVar[dict[str, str]] = {
        "read": "from texts, the last token only",
        "stop": "always runs the whole pass",
        "ablate": "adds to blocks only",
        "patch": "adds to blocks only",
        "head_sweep": "adds to blocks only",
        "patch_sweep": "adds to blocks only",
        "mlp": "language models only",
    }

    def __init__(self, subject: Subject, task: Task | None) -> None:
        super().__init__(subject, task)
        from repeng import ControlModel

        # It is put into the model for good, and set and reset later.
        self.control = ControlModel(subject.module, [min(SITE, subject.layers - 1)])

    def steer(self) -> Tensor:
        self.control.set_raw_control({SITE: self.task.vector})
        try:
            return generated(self.control, self.task.prompt)
        finally:
            self.control.reset()


LIBRARIES: dict[str, type[Library]] = {
    "bare": Bare,
    "hooks": Hooks,
    "ours": Ours,
    "nnsight": Nnsight,
    "nnterp": Nnterp,
    "transformer-lens": TransformerLens,
    "pyvene": Pyvene,
    "repeng": Repeng,
    "steering-vectors": SteeringVectors,
    "baukit": Baukit,
}


class Worker:
    """One library with the three networks; a network is loaded when a row first needs it."""

    def __init__(self, name: str, folder: str, tiny: str) -> None:
        self.kind = LIBRARIES[name]
        self.make: dict[str, Callable[[], Subject]] = {
            "model": partial(language, folder),
            "tiny": partial(language, tiny),
            "mlp": perceptron,
        }
        self.ready: dict[str, Library] = {}

    def library(self, which: str) -> Library:
        if which not in self.ready:
            subject = self.make[which]()
            self.ready[which] = self.kind(subject, task(subject) if which == "model" else None)
        return self.ready[which]

    def call(self, row: str) -> Callable[[], Values]:
        """What a row does, as a function without arguments."""
        which, _, what = row.partition(" ")
        for reason in (which, what, what.partition(" ")[0]):
            if reason in self.kind.cannot:
                raise NotImplementedError(self.kind.cannot[reason])
        library = self.library(which)
        inputs, layers = library.subject.inputs, library.subject.layers
        middle = min(SITE, layers - 1)
        calls: dict[str, Callable[[], Values]] = {
            "plain": lambda: library.plain(inputs),
            "prompt": lambda: library.plain(library.task.prompt),
            "read one": lambda: library.read(range(middle, middle + 1)),
            "read all": lambda: library.read(range(layers)),
            "stop": lambda: library.stop(BLOCKS_RUN - 1),
            "steer": library.steer,
            "ablate": lambda: library.ablate(inputs, SITE, HEAD),
            "patch": lambda: library.patch(inputs, SITE, COLUMN, library.task.patch),
            "head_sweep": library.head_sweep,
            "patch_sweep": library.patch_sweep,
        }
        return calls[what]

    def memory(self, row: str) -> float:
        """MiB that reading all sites takes, of the bare model a pass; or that takes which computes the logits of one column only."""
        subject = self.library("model").subject
        inputs = subject.inputs
        subject.inputs = inputs.repeat(2, 2)  # more of it, that workspaces do not count
        try:
            read = self.call("model read all")
            return rise(read if row == "memory" else lambda: subject.module(subject.inputs, logits_to_keep=1))
        finally:
            subject.inputs = inputs

    def answer(self, row: str, repeats: int, save: str | None) -> dict[str, object]:
        if row.startswith("memory"):
            return {"mib": self.memory(row)}
        call = self.call(row)
        gc.collect()
        start = time.process_time()
        for _ in range(repeats):
            values = call()
        seconds = (time.process_time() - start) / repeats
        if save:
            torch.save(torch.stack(values) if isinstance(values, list) else values.detach(), save)
        return {"seconds": seconds}


def rise(call: Callable[[], object]) -> float:
    """MiB by which a call raises the peak of the resident size. Large blocks go back to the system at once from here on."""
    ctypes.CDLL(None).mallopt(-3, 1 << 16)  # M_MMAP_THRESHOLD: no more reuse of what was freed before
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from now
    before = resident_kib("VmRSS")
    kept = call()
    peak = resident_kib("VmHWM")
    del kept
    return (peak - before) / 1024


def resident_kib(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0])


def main() -> None:
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    worker = Worker(*sys.argv[1:4])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            said = worker.answer(**request)
        except NotImplementedError as error:
            said = {"cannot": str(error) or "not offered"}
        except Exception as error:
            said = {"cannot": f"fails: {type(error).__name__}: {str(error).strip().partition(chr(10))[0][:80]}"}
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
