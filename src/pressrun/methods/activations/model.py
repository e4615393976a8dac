"""A network with its tokenizer and the map of its sites: read from it, edit what passes, take it back."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from .collect import Collected, announce, counted, size_of, spots, storage
from .edges import Edge, all_edges, edge_scores, path_patch
from .edits import Edit, Fit, edit_at, flatten
from .hooks import Tracker, Visit, attach, call_of
from .positions import Call, Positions, Selector
from .reading import Activations, pick
from .sites import Site, Sites
from .structure import Family, Place, Structure
from .sweep import sweep

__all__ = ["Inputs", "Model"]

Inputs = str | Sequence[str] | Mapping[str, Any] | Tensor | tuple[Any, ...]


class _Enough(Exception):
    """Everything asked for was seen: the rest of the forward pass is not needed."""


class Model:
    """A network as it is: nothing is copied, folded or rewritten, and hooks are there only while a context is open.

    Not for several threads at once: an edit is in the one network that all of them call.

    Attributes:
        module: the network.
        tokenizer: of transformers, or None.
        structure: where the sites are.
        accepts: which of use_cache, past_key_values and logits_to_keep the network can be called with.
        tracker: what the tokens of the forward pass under way are, while hooks are set.
    """

    def __init__(self, module: nn.Module, tokenizer: Any = None, family: Family | None = None) -> None:
        # A compiled network wraps the one that has the modules.
        self.module: Any = module
        self.tokenizer = tokenizer
        self._inner: Any = getattr(module, "_orig_mod", module)
        self.structure = Structure(self._inner, family)
        self.tracker = Tracker(self._inner)
        accepted = inspect.signature(self._inner.forward).parameters
        self.accepts = {name for name in ("use_cache", "past_key_values", "logits_to_keep") if name in accepted}

    def __repr__(self) -> str:
        return f"Model({type(self._inner).__name__}, {len(self.structure.blocks)} layers)"

    @property
    def device(self) -> torch.device:
        return next((tensor.device for tensor in self._inner.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        return next((tensor.dtype for tensor in self._inner.parameters()), torch.float32)

    @property
    def layers(self) -> int:
        """How many blocks there are; 0 if none are recognised."""
        return len(self.structure.blocks)

    @property
    def width(self) -> int:
        """Features of the residual stream."""
        config = getattr(self.structure.config, "hidden_size", None)
        weight = cast(Tensor, self.structure.embeddings().weight)
        return int(config) if config else weight.shape[1]

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.structure.heads

    @property
    def kv_heads(self) -> int:
        """Key and value heads; fewer than query heads under grouped-query attention."""
        return self.structure.kv_heads

    @property
    def head_width(self) -> int:
        return self._features("head") // self.heads

    @property
    def neurons(self) -> int:
        """Neurons of the MLP of the first block that has one."""
        return self._features("neuron")

    @property
    def experts(self) -> int:
        """Experts of the first block that has some."""
        experts = self._part("experts")
        return int(getattr(experts, "num_experts", None) or len(list(experts.children())))

    def _part(self, name: str) -> nn.Module:
        for layer in range(self.layers):
            if name in self.structure.parts(layer):
                return self.structure.parts(layer)[name]
        raise ValueError(f"this {type(self._inner).__name__} has no {name}; {self.describe()}")

    def _features(self, name: str) -> int:
        """Features that go into a projection; Conv1D of transformers stores its weight the other way round."""
        part = self._part(name)
        features = getattr(part, "in_features", None) or cast(Tensor, part.weight).shape[0]
        return int(features)

    def describe(self) -> str:
        """What sites there are, for people."""
        if not self.layers:
            return f"no list of blocks is recognised in this {type(self._inner).__name__}; {self.structure.names()}"
        kinds = dict.fromkeys(self.structure.describe_block(layer).partition(" in this ")[2] for layer in range(self.layers))
        return f"{self.layers} blocks; " + "; ".join(f"a block of this {kind}" for kind in kinds)

    def sites(self, sites: Site | Sites) -> list[Site]:
        """One site a layer, open ends and negative numbers resolved; the error lists what there is."""
        found = self.structure.sites(sites)
        for site in found:
            self.structure.place(site)
        return found

    def inputs(
        self,
        texts: str | Sequence[str],
        *,
        padding: Literal["left", "right"] = "left",
        chat: bool = False,
        system: str | None = None,
    ) -> Any:
        """Token ids and attention mask, (texts, columns), on the network's device.

        Args:
            texts: one text or several; with `chat` what the user says.
            padding: the side on which shorter texts are filled. Generating needs the left.
            chat: puts each text into the tokenizer's chat template, up to where the answer begins.
            system: what the system says before it; needs `chat`.
        """
        if self.tokenizer is None:
            raise ValueError("this network has no tokenizer: call it with token ids, or load it with tokenizer=")
        if padding not in ("left", "right"):
            raise ValueError(f'padding is "left" or "right", got {padding!r}')
        if system is not None and not chat:
            raise ValueError("system= needs chat=True")
        given = [texts] if isinstance(texts, str) else list(texts)
        if not given or not all(isinstance(text, str) for text in given):
            raise ValueError("texts is one text or a list of at least one")
        said = [self._conversation(text, system) for text in given] if chat else given
        filler = {} if self.tokenizer.pad_token is not None or len(given) == 1 else {"pad_token": self.tokenizer.eos_token}
        with _filling(self.tokenizer, filler):
            batch = self.tokenizer(
                said, return_tensors="pt", padding=len(given) > 1, padding_side=padding, add_special_tokens=not chat
            )
        batch.pop("token_type_ids", None)
        return batch.to(self.device)

    def _conversation(self, text: str, system: str | None) -> str:
        said = [{"role": "system", "content": system}] if system is not None else []
        return str(
            self.tokenizer.apply_chat_template(
                [*said, {"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
            )
        )

    def run(self, inputs: Inputs) -> Any:
        """One forward pass over any kind of inputs, without a key-value cache."""
        return self.call(*self.arguments(inputs))

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One forward pass with these arguments; no key-value cache unless one is given."""
        own = {"use_cache": False} if "use_cache" in self.accepts and "past_key_values" not in kwargs else {}
        return self._inner(*args, **{**own, **kwargs})

    def arguments(self, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs as the arguments of a call: texts are tokenised, a mapping gives keywords, a tuple positions."""
        if isinstance(inputs, str) or (isinstance(inputs, list) and all(isinstance(text, str) for text in inputs)):
            inputs = self.inputs(inputs)
        if isinstance(inputs, Mapping) or hasattr(inputs, "keys"):
            return (), dict(inputs)
        if isinstance(inputs, Tensor):
            return (inputs,), {}
        if isinstance(inputs, tuple):
            return inputs, {}
        raise TypeError(f"inputs is a text, a list of texts, a mapping, a tensor or a tuple, got {type(inputs).__name__}")

    def read(
        self,
        inputs: Inputs,
        sites: Site | Sites,
        positions: Positions = "all",
        *,
        grad: bool = False,
        prompt: int | Tensor | None = None,
    ) -> Activations:
        """The activations at `sites` in one forward pass, which stops behind the last of them.

        Args:
            positions: which tokens; the shape follows (see `pick`).
            grad: keep the graph. Whole sites at "all" are then the tensors that the rest of the network uses.
            prompt: how many real tokens are prompt, a number or one a row; the others count as generated.
        """
        selector = Selector(positions, prompt)

        def take(x: Tensor, call: Call, tokens: bool) -> Tensor:
            return pick(x, selector, call, tokens=tokens, keep=grad)

        with nullcontext() if grad else torch.no_grad():
            found = self._taken(inputs, self.structure.sites(sites), take)
        call = self.tracker.call
        real = call.real() if call is not None and call.columns is not None else None
        return Activations(self.structure, found, real)

    def _taken(self, inputs: Inputs, sites: list[Site], take: Callable[[Tensor, Call, bool], Tensor]) -> dict[Site, Tensor]:
        """What `take` makes of each site's tensor in one forward pass, which stops behind the last of them."""
        found: dict[Site, Tensor] = {}

        def visit(site: Site) -> Visit:
            def look(x: Tensor, call: Call, tokens: bool) -> None:
                if site not in found:
                    found[site] = take(x, call, tokens)
                    if len(found) == len(sites):
                        raise _Enough

            return look

        with attach(self.tracker, [(self.structure.place(site), visit(site)) for site in sites]), suppress(_Enough):
            self.run(inputs)
        missing = [str(site) for site in sites if site not in found]
        if missing:
            raise ValueError(f"the forward pass did not come by {', '.join(missing)}: these inputs do not use it")
        return {site: found[site] for site in sites}

    def collect(
        self,
        batches: Sequence[Inputs],
        sites: Site | Sites,
        positions: Positions = "last_prompt",
        *,
        folder: str | os.PathLike[str] | None = None,
        dtype: torch.dtype | None = None,
        progress: bool = True,
    ) -> Collected:
        """The activations at `sites` of every chosen token of every batch, (N, *features), batch after batch.

        What it will take is said on stderr, and whether the disk has room is checked, when the first batch has shown the
        shapes and before the rest is run. A file appears whole or not at all.

        Args:
            batches: the inputs of one forward pass each. Their tokens are counted first, so this is no stream.
            positions: which tokens; for "all" and "prompt" the real ones.
            folder: where activations.safetensors is written; None keeps everything in memory.
            dtype: to keep them in; None for the network's.
            progress: the announcement and a bar.
        """
        if not len(batches):
            raise ValueError("batches is empty; give at least one")
        single, selector = self.structure.sites(sites), Selector(positions)
        ready = [self._prepared(batch) for batch in batches]
        chosen = [spots(call_of(*self.arguments(batch)), selector) for batch in ready]
        sizes = [call_of(*self.arguments(batch)).batch for batch in ready]
        count = sum(len(spot.rows) for spot in chosen)
        with torch.no_grad():
            first = self._taken(ready[0], single, chosen[0].take)
            shapes = {site: ((count, *there.shape[1:]), dtype or there.dtype) for site, there in first.items()}
            announce(size_of(shapes), len(single), count, folder, show=progress)
            with storage(folder, shapes, count) as kept:
                done = 0
                for number in counted(len(ready), show=progress):
                    spot = chosen[number]
                    found = first if number == 0 else self._taken(ready[number], single, spot.take)
                    here = slice(done, done + len(spot.rows))
                    for site in single:
                        kept[site][here] = found[site].to(kept[site].dtype)
                    kept.rows[here], kept.tokens[here] = spot.rows + sum(sizes[:number]), spot.tokens
                    done = here.stop
        return kept

    def _prepared(self, inputs: Inputs) -> Inputs:
        """Texts tokenised; the rest as it is."""
        args, kwargs = self.arguments(inputs)
        return args or kwargs

    def sweep(
        self,
        inputs: Inputs,
        edits: Sequence[Edit | Iterable[Edit]],
        metric: Callable[[Tensor], Tensor],
        *,
        positions: Positions = "last_prompt",
        tokens: int = 2048,
        prompt: int | Tensor | None = None,
    ) -> Tensor:
        """`metric` under each of many interventions, (len(edits), …), in few forward passes.

        Every intervention gives what a pass under `edit` gives, up to rounding: the same sums in another order (below 1e-4 of the
        largest logit in float32). Of a pass only what an edit can change is computed, its blocks from the first edited one on and
        its columns from the first edited one on, where unedited rows that pass that way come to what the plain pass comes to;
        else all of it.

        Args:
            edits: each is an edit or a list of edits, made in a copy of the inputs of its own.
            metric: gets what the network returns for one intervention: logits (rows, vocabulary) at `positions`, or
                (rows, columns, vocabulary) for "all"; of a network without tokens the output.
            positions: where the metric looks.
            tokens: at most so many in one pass (memory).
            prompt: as in `edit`.
        """
        return sweep(self, inputs, edits, metric, positions=positions, tokens=tokens, prompt=prompt)

    def edges(self) -> list[Edge]:
        """Every edge from something that writes into the residual stream to something that reads it later."""
        return all_edges(self)

    def path_patch(self, clean: Inputs, corrupt: Inputs, edges: Sequence[Edge], *, positions: Positions = "all") -> Tensor:
        """Logits for `clean` where `edges`, and nothing else, carry at `positions` what they carry for `corrupt`.

        (rows, columns, vocabulary). The two inputs have the same shape. What lies between the two ends of an edge goes on
        reading the clean run; to run a circuit, patch all edges outside it.
        """
        return path_patch(self, clean, corrupt, edges, positions)

    def edge_scores(
        self,
        clean: Inputs,
        corrupt: Inputs,
        metric: Callable[[Tensor], Tensor],
        edges: Sequence[Edge] | None = None,
        *,
        steps: int = 5,
        positions: Positions = "last_prompt",
    ) -> Tensor:
        """(edges,) how much `metric` would change, to first order, if the edge carried what it carries for `corrupt`.

        EAP-IG: (a'_u - a_u) · mean over k = 0 … steps - 1 of ∂ metric / ∂ in_v at the input e' + k/steps (e - e'), summed
        over rows and columns; with one step the gradient is taken at the clean input (plain EAP).

        Args:
            metric: of the logits at `positions`, (rows, vocabulary); summed over what it returns.
            edges: None for all, in the order of `edges()`.
        """
        return edge_scores(self, clean, corrupt, metric, self.edges() if edges is None else edges, steps, positions)

    @contextmanager
    def record(
        self, sites: Site | Sites, positions: Positions = "all", *, prompt: int | Tensor | None = None
    ) -> Iterator[Activations]:
        """Activations of every forward pass in the context, as of `generate`: each token once, with a cache or without.

        Shapes are those of `read`, with all tokens of the sequence; decode gives (rows, tokens, *features). Filled when
        the context ends. One sequence at a time, unless one token a row is recorded: then rows follow on rows.
        """
        selector = Selector(positions, prompt)
        places = [self.structure.place(site) for site in self.structure.sites(sites)]
        rolls = {place.site: _Roll(selector) for place in places}
        tensors: dict[Site, Tensor] = {}
        with attach(self.tracker, [(place, rolls[place.site].see) for place in places]):
            yield Activations(self.structure, tensors)
        tensors.update({site: roll.whole(site) for site, roll in rolls.items()})

    @contextmanager
    def edit(self, *edits: Edit | Iterable[Edit], prompt: int | Tensor | None = None) -> Iterator[Model]:
        """The edits, in the order given, in every forward pass while the context is open.

        Args:
            prompt: how many real tokens are prompt, a number or one a row. For scoring a prompt with its answer in one
                pass exactly as it would be generated; `generate` itself knows.
        """
        visits: list[tuple[Place, Visit]] = []
        for edit in flatten(edits):
            selector = edit.selector if prompt is None else Selector(edit.selector.positions, prompt)
            sites = self.structure.sites(Sites(edit.sites))
            visits.extend((self.structure.place(site), editing(edit, site, selector)) for site in sites)
        self.tracker.editing += 1
        try:
            with attach(self.tracker, visits):
                yield self
        finally:
            self.tracker.editing -= 1


def patch(
    cache: Mapping[Site, Tensor], sites: Site | Sites | None = None, positions: Positions = "all", **keywords: Any
) -> list[Edit]:
    """Edits that put back what another run had there: one for each site of `cache`, or for those named.

    Args:
        cache: what `lm.read` gave for the other run, at "all" positions, or at the one that is patched.
        keywords: strength and rows, as of every edit.
    """
    asked = list(cache) if sites is None else list(sites.parts)
    return [site.replace(cache, positions=positions, **keywords) for site in asked]


def editing(edit: Edit, site: Site, selector: Selector) -> Visit:
    """The visit that makes an edit at one of its sites."""
    return lambda x, call, tokens: edit_at(edit, selector, x, Fit(site, call, tokens))


class _Roll:
    """The tokens of one site, pass after pass."""

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self.parts: list[Tensor] = []
        self.sequence, self.until = 0, 0

    def see(self, x: Tensor, call: Call, tokens: bool) -> None:
        if not tokens:
            self.parts.append(pick(x, self.selector, call, tokens=False, keep=False).detach())
            return
        if call.sequence != self.sequence:
            if self.parts and self.selector.shape != "one":
                raise ValueError("record follows one sequence at a time: open a context for each")
            self.sequence, self.until = call.sequence, 0
        assert call.columns is not None  # noqa: S101
        new = min(call.columns, call.past + call.columns - self.until)
        self.until = call.past + call.columns
        chosen = self.selector.choose(call)
        if chosen is False or new <= 0:
            return
        fresh = x.detach()[:, x.shape[1] - min(new, x.shape[1]) :]
        if chosen is True:
            self.parts.append(fresh.clone())
            return
        there = chosen[:, -fresh.shape[1] :]
        if bool(there.any()):
            self.parts.append(self._chosen(fresh, there))

    def _chosen(self, x: Tensor, there: Tensor) -> Tensor:
        """(rows, tokens, *features) if every row has as many, else (tokens, *features)."""
        counts = there.sum(dim=1)
        if self.selector.shape == "one":
            if bool((counts != 1).any()):
                raise ValueError("record: the rows do not reach this position in the same pass; read them one by one")
            return x[there]
        if self.selector.shape == "flat" and self.selector.positions != "decode":
            return x[there]
        if self.selector.positions == "prompt":
            return x.clone()
        return x[there].reshape(len(x), int(counts[0]), *x.shape[2:]) if bool((counts == counts[0]).all()) else x[there]

    def whole(self, site: Site) -> Tensor:
        if not self.parts:
            raise ValueError(
                f"nothing was recorded at {site}: no forward pass came by with positions={self.selector.positions!r}"
            )
        rows = self.selector.shape == "one" or (self.parts[0].ndim < 3 and self.selector.shape == "flat")
        return torch.cat(self.parts, dim=0 if rows or self.parts[0].ndim < 2 else 1)


@contextmanager
def _filling(tokenizer: Any, filler: dict[str, str]) -> Iterator[None]:
    """A tokenizer without a padding token fills with the end token, for the time of the context."""
    if not filler:
        yield
        return
    tokenizer.pad_token = filler["pad_token"]
    try:
        yield
    finally:
        tokenizer.pad_token = None
