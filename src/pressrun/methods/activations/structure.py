"""Where a site is in a given network: found from the network's own modules, or from one line that describes it.

Nothing here depends on the class of the network, only on what its parts are called: a list of blocks that each have an
attention module, in it an output projection, beside it an MLP. Query, key and value may be one fused projection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from .sites import Chosen, Site, Sites, Span

__all__ = ["Family", "Place", "Structure"]

HEADS = ("head", "query", "key", "value")
USUAL = {
    "attention": ("self_attn", "attn", "attention", "self_attention"),
    "mlp": ("mlp", "feed_forward", "block_sparse_moe", "moe", "ffn"),
    "head": ("o_proj", "c_proj", "dense", "out_proj", "wo", "proj", "out"),
    "neuron": ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out", "w2"),
    "query": ("q_proj", "wq"),
    "key": ("k_proj", "wk"),
    "value": ("v_proj", "wv"),
    "router": ("gate", "router"),
    "experts": ("experts",),
}
# Halves whose output passes one more norm before it is added to the stream (Gemma 2 and later, OLMo 2, GLM 4).
POST_NORMS = (("post_attention_layernorm", "post_feedforward_layernorm"), ("post_self_attn_layernorm", "post_mlp_layernorm"))
# What a fused projection holds, side by side: (query, key, value).
FUSED = {"c_attn": "blocks", "qkv_proj": "blocks", "query_key_value": "interleaved"}
SENSES = ("vision", "visual", "image", "audio", "speech")


@dataclass(frozen=True)
class Family:
    """How a network is built, in one line. What is left empty is looked for under the usual names.

    Attributes:
        layers: path of the list of blocks, from the network ("model.layers").
        embeddings: path of the token embedding, from the network.
        attention: path, inside a block, of the module whose output the attention half adds to the residual stream.
        head: inside a block, the output projection; its input holds the heads side by side.
        query, key, value: inside a block, the projections.
        mlp: inside a block, the module whose output the MLP half adds to the residual stream.
        neuron: inside a block, the down projection; its input are the neurons.
        router: inside a block, the module that returns router logits (alone, or with weights and indices).
        experts: inside a block, the module that is called with (tokens, indices, weights).
        attention_norm, mlp_norm: inside a block, the norms before the two halves; edges need them.
        norm: path of the final norm, from the network.
        heads, kv_heads: how many, if no config says so.
    """

    layers: str
    embeddings: str = ""
    attention: str = ""
    head: str = ""
    query: str = ""
    key: str = ""
    value: str = ""
    mlp: str = ""
    neuron: str = ""
    router: str = ""
    experts: str = ""
    attention_norm: str = ""
    mlp_norm: str = ""
    norm: str = ""
    heads: int = 0
    kv_heads: int = 0


@dataclass(frozen=True)
class Place:
    """A site in a network: the module there, and how the site's tensor lies in what passes through it.

    Attributes:
        site: a single layer; its units as asked for.
        how: "output" or "input" of the module, or "router", "expert", "pattern", which are reached in their own way.
        view: from the tensor there, (rows, columns, …), a view of the site's; None for the tensor itself.
        layer: block the module is in, -1 before the blocks; after them their number.
    """

    site: Site
    module: nn.Module
    how: str
    layer: int
    view: Callable[[Tensor], Tensor] | None = None

    @property
    def index(self) -> Any:
        """The units, as an index of the site's whole tensor."""
        units = self.site.units
        if units is None:
            return ...
        number: Any = list(units) if isinstance(units, tuple) else units
        if isinstance(units, Span):
            number = slice(units.start, units.stop, units.step)
        return (..., number, slice(None)) if self.site.kind in (*HEADS, "pattern") else (..., number)

    def get(self, x: Tensor) -> Tensor:
        """The site's tensor out of (rows, columns, …)."""
        whole = self.view(x) if self.view is not None else x
        return whole if self.site.units is None else whole[self._checked(whole)]

    def put(self, x: Tensor, new: Tensor) -> Tensor:
        """x with the site's tensor replaced; x itself stays as it is."""
        if new.numel() == x.numel():
            return new.reshape(x.shape)
        out = x.clone()
        whole = self.view(out) if self.view is not None else out
        whole[self.index] = new
        return out

    def _checked(self, whole: Tensor) -> Any:
        units = self.site.units
        there = whole.shape[-2 if self.site.kind in (*HEADS, "pattern") else -1]
        for unit in (units,) if isinstance(units, int) else units if isinstance(units, tuple) else ():
            if not -there <= unit < there:
                raise ValueError(f"{self.site} asks for number {unit}; there are {there}, counted from 0")
        return self.index


class Structure:
    """A network's blocks and the parts of each, by the names of the sites."""

    def __init__(self, module: nn.Module, family: Family | None = None) -> None:
        self.module = module
        config: Any = getattr(module, "config", None)
        self.config: Any = config.get_text_config() if hasattr(config, "get_text_config") else config
        self.named = dict(module.named_modules())
        self.family = family
        self.path = family.layers if family is not None else _list_of_blocks(self.named)
        self.blocks: list[nn.Module] = list(self._at(self.path, "layers").children()) if self.path else []
        if self.path and not self.blocks:
            raise ValueError(f'there are no blocks in "{self.path}" of this {type(module).__name__}')
        self._parts: dict[int, dict[str, nn.Module]] = {}
        self._places: dict[Site, Place] = {}

    def _at(self, path: str, what: str) -> nn.Module:
        if path not in self.named:
            raise ValueError(f'{what}: this {type(self.module).__name__} has no module "{path}"; {self.names()}')
        return self.named[path]

    def names(self) -> str:
        """The names of the modules, the first forty."""
        names = [name for name in self.named if name]
        return f"it has {', '.join(names[:40])}{', …' if len(names) > 40 else ''}" if names else "it has no modules"

    def parts(self, layer: int) -> dict[str, nn.Module]:
        """What block `layer` has, by the names of Family."""
        if layer not in self._parts:
            self._parts[layer] = self._find_parts(self.blocks[layer])
        return self._parts[layer]

    def _find_parts(self, block: nn.Module) -> dict[str, nn.Module]:
        given = _given(self.family, block)
        inside = {"attention": block, "mlp": block}
        found = dict(given)
        for name in ("attention", "mlp", "head", "query", "key", "value", "neuron", "experts", "router"):
            holder = inside.get(name, found.get("attention" if name in HEADS else "mlp"))
            if name not in found and holder is not None:
                part = _first(holder, USUAL[name]) or (_attention(holder) if name == "attention" else None)
                # A gated MLP has a "gate" too; it routes only where there are experts.
                if part is not None and (name != "router" or "experts" in found):
                    found[name] = part
        _add_fused(found)
        _add_norms(found, given, block)
        return found

    @property
    def heads(self) -> int:
        return self._count("heads", "num_attention_heads", ("num_heads", "n_heads", "num_attention_heads", "n_head"))

    @property
    def kv_heads(self) -> int:
        try:
            return self._count("kv_heads", "num_key_value_heads", ("num_key_value_heads", "n_kv_heads"))
        except ValueError:
            return self.heads

    def _count(self, name: str, in_config: str, in_module: tuple[str, ...]) -> int:
        given = getattr(self.family, name, 0) or getattr(self.config, in_config, None)
        if given:
            return int(given)
        attention = self.parts(0).get("attention") if self.blocks else None
        for attribute in in_module:
            if isinstance(getattr(attention, attribute, None), int):
                return int(getattr(attention, attribute))
        raise ValueError(f"nothing says how many heads this {type(self.module).__name__} has; give act.Family(…, heads=…)")

    def embeddings(self) -> nn.Module:
        if self.family is not None and self.family.embeddings:
            return self._at(self.family.embeddings, "embeddings")
        own = getattr(self.module, "get_input_embeddings", None)
        if own is not None:
            return own()
        for part in self.module.modules():
            if isinstance(part, nn.Embedding):
                return part
        raise ValueError(f"act.embeddings: this {type(self.module).__name__} has no embedding; {self.names()}")

    def sites(self, sites: Site | Sites) -> list[Site]:
        """One site a layer, in the order asked for, with every layer's number; none twice."""
        if not isinstance(sites, Site | Sites):
            raise TypeError(f"a site is asked for, as act.residual[3] or act.residual[3] | act.head[4, 2], got {sites!r}")
        found: dict[Site, None] = {}
        for part in sites.parts:
            for layer in self._layers(part):
                found[Site(part.kind, layer, part.units, part.path)] = None
        return list(found)

    def _layers(self, site: Site) -> Iterator[int | None]:
        if site.layer is None:
            yield None
            return
        count = len(self.blocks)
        if not count:
            raise ValueError(
                f"{site}: this {type(self.module).__name__} has no list of blocks that are recognised; "
                f'say where they are with act.Family(layers="…"), or use act.module("…"); {self.names()}'
            )
        chosen: Chosen = site.layer
        numbers: Iterable[int] = (
            chosen.among(count) if isinstance(chosen, Span) else (chosen,) if isinstance(chosen, int) else chosen or ()
        )
        for number in numbers:
            if not -count <= number < count:
                raise ValueError(f"{site}: there are {count} blocks, 0 to {count - 1}; {number} is not one of them")
            yield number % count

    def place(self, site: Site) -> Place:
        """Where a site of one layer is. Looked up once."""
        if site not in self._places:
            self._places[site] = self._find(site)
        return self._places[site]

    def _find(self, site: Site) -> Place:
        if site.path or site.kind in ("input", "output"):
            return Place(site, self._at(site.path, str(site)), site.kind, self._layer_of(site.path))
        if site.kind == "embeddings":
            return Place(site, self.embeddings(), "output", -1)
        if site.kind == "logits":
            return Place(site, self.module, "output", len(self.blocks))
        layer = site.layer
        assert isinstance(layer, int)  # noqa: S101
        if site.kind in ("residual", "before"):
            return Place(site, self.blocks[layer], "output" if site.kind == "residual" else "input", layer)
        name = {"expert": "experts", "pattern": "attention"}.get(site.kind, site.kind)
        parts = self.parts(layer)
        if name not in parts and not (site.kind in HEADS and "fused" in parts):
            raise ValueError(f"{site}: {self.describe_block(layer)}")
        if site.kind == "pattern":
            return Place(site, parts.get("attention_core", parts["attention"]), "pattern", layer)
        if site.kind in HEADS:
            return self._heads(site, parts, layer)
        how = {"neuron": "input", "router": "router", "expert": "expert"}.get(site.kind, "output")
        return Place(site, parts[name], how, layer)

    def _heads(self, site: Site, parts: dict[str, nn.Module], layer: int) -> Place:
        heads = self.heads if site.kind in ("head", "query") else self.kv_heads
        if site.kind in parts:
            split = _split(heads)
            return Place(site, parts[site.kind], "input" if site.kind == "head" else "output", layer, split)
        fused = parts["fused"]
        layout = next(layout for name, layout in FUSED.items() if _first(parts["attention_core"], (name,)) is fused)
        which = ("query", "key", "value").index(site.kind)
        return Place(site, fused, "output", layer, _fused_view(layout, which, self.heads, self.kv_heads))

    def _layer_of(self, path: str) -> int:
        if self.path and path.startswith(self.path + "."):
            number = path.removeprefix(self.path + ".").split(".")[0]
            names = [name for name, _ in self.named[self.path].named_children()]
            return names.index(number)
        return -1

    def describe_block(self, layer: int) -> str:
        """What a block has, for people."""
        parts = self.parts(layer)
        there = [name for name in ("attention", "head", "query", "mlp", "neuron", "router", "expert") if self._has(name, parts)]
        children = ", ".join(name for name, _ in self.blocks[layer].named_children())
        return (
            f"block {layer} of {len(self.blocks)} in this {type(self.module).__name__} has "
            f"{', '.join(['residual', *there])}; its modules are {children}"
        )

    @staticmethod
    def _has(name: str, parts: dict[str, nn.Module]) -> bool:
        return name in parts or (name == "query" and "fused" in parts) or (name == "expert" and "experts" in parts)


def _first(holder: nn.Module, names: tuple[str, ...]) -> nn.Module | None:
    children = dict(holder.named_children())
    return next((children[name] for name in names if name in children), None)


def _given(family: Family | None, block: nn.Module) -> dict[str, nn.Module]:
    """The parts of a block that the description names."""
    if family is None:
        return {}
    found = {}
    for entry in fields(family):
        path = getattr(family, entry.name)
        if entry.name in ("layers", "embeddings", "norm", "heads", "kv_heads") or not path:
            continue
        try:
            found[entry.name] = block.get_submodule(path)
        except AttributeError:
            names = ", ".join(name for name, _ in block.named_modules() if name)
            raise ValueError(f'{entry.name}="{path}": a block of this network has {names}') from None
    return found


def _add_fused(found: dict[str, nn.Module]) -> None:
    if "attention" not in found:
        return
    found["attention_core"] = found["attention"]
    fused = _first(found["attention"], tuple(FUSED))
    if fused is not None and "query" not in found:
        found["fused"] = fused


def _add_norms(found: dict[str, nn.Module], given: dict[str, nn.Module], block: nn.Module) -> None:
    """The norms before the two halves; and where a half has one behind it, that is where the stream is added to."""
    children = dict(block.named_children())
    post = next((pair for pair in POST_NORMS if pair[1] in children and pair[0] in children), None)
    for half, name in zip(("attention", "mlp"), post or (), strict=False):
        if half not in given:
            found[half] = children[name]
    before_mlp = ("pre_feedforward_layernorm", "ln_2", "norm2", "ln2", *(() if post else ("post_attention_layernorm",)))
    for half, names in (("attention_norm", ("input_layernorm", "ln_1", "norm1", "ln1")), ("mlp_norm", before_mlp)):
        part = _first(block, names)
        if half not in found and part is not None:
            found[half] = part


def _list_of_blocks(named: dict[str, nn.Module]) -> str:
    """Path of the longest list whose members all have an attention module; one that reads text before one that sees."""
    best = ("", 0, False)
    for path, part in named.items():
        blocks = list(part.children()) if isinstance(part, nn.ModuleList | nn.Sequential) else []
        if not blocks or not all(_attends(block) for block in blocks):
            continue
        reads = not any(sense in path.lower() for sense in SENSES)
        if not best[0] or (reads, len(blocks)) > (best[2], best[1]):
            best = (path, len(blocks), reads)
    return best[0]


def _attention(block: nn.Module) -> nn.Module | None:
    return next((part for part in block.children() if "attention" in type(part).__name__.lower()), None)


def _attends(block: nn.Module) -> bool:
    return (_first(block, USUAL["attention"]) or _attention(block)) is not None


def _split(heads: int) -> Callable[[Tensor], Tensor]:
    """(…, heads · width) → (…, heads, width)."""

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (heads, -1))

    return split


def _fused_view(layout: str, which: int, heads: int, kv_heads: int) -> Callable[[Tensor], Tensor]:
    """Query, key or value out of one projection: all queries, all keys, all values; or the three of each head together."""
    before = (0, heads, heads + kv_heads)[which]
    count = heads if which == 0 else kv_heads

    def view(x: Tensor) -> Tensor:
        if layout == "interleaved":
            return x.unflatten(-1, (heads, 3, -1))[..., which, :]
        return x.unflatten(-1, (heads + 2 * kv_heads, -1))[..., before : before + count, :]

    return view
