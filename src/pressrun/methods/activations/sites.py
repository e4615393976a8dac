"""Sites are values: they say where in a network an activation is, and know no network.

A site is a kind (residual, head, …), a layer and, where the tensor there has them, units: heads, neurons, experts,
dimensions. `|` joins sites, slices and lists make several, iterating gives single ones. A network turns a site into a
module and a tensor (structure.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from .edits import Editable

__all__ = ["Site", "Sites"]

Index = int | slice | Sequence[int]


@dataclass(frozen=True)
class Span:
    """A slice that can be a dictionary key; the network says where an open end is."""

    start: int | None
    stop: int | None
    step: int | None

    def __str__(self) -> str:
        ends = ["" if end is None else str(end) for end in (self.start, self.stop)]
        return ":".join([*ends, str(self.step)] if self.step is not None else ends)

    def among(self, count: int) -> tuple[int, ...]:
        return tuple(range(*slice(self.start, self.stop, self.step).indices(count)))

    def known(self) -> tuple[int, ...] | None:
        """The numbers meant, if they do not depend on how many there are."""
        start, step = self.start or 0, 1 if self.step is None else self.step
        if self.stop is None or start < 0 or self.stop < 0 or step < 1:
            return None
        return tuple(range(start, self.stop, step))


Chosen = None | int | tuple[int, ...] | Span


def _chosen(index: Index, what: str) -> Chosen:
    if isinstance(index, bool):
        raise TypeError(f"{what} is an int, a slice or a list of ints, got {index!r}")
    if isinstance(index, slice):
        span = Span(index.start, index.stop, index.step)
        if span == Span(None, None, None):
            return span
        return span if span.known() is None else span.known()
    if isinstance(index, int):
        return index
    try:
        numbers = tuple(int(number) for number in index)
    except (TypeError, ValueError):
        raise TypeError(f"{what} is an int, a slice or a list of ints, got {index!r}") from None
    if not numbers:
        raise ValueError(f"{what} is an empty list; name at least one")
    return numbers


def _text(chosen: Chosen) -> str:
    return str(list(chosen)) if isinstance(chosen, tuple) else str(chosen)


@dataclass(frozen=True)
class Site(Editable):
    """One place, or the same place in several layers. Made by `act.residual[3]` and its like, not by hand.

    Attributes:
        kind: "residual", "before", "attention", "mlp", "head", "query", "key", "value", "neuron", "router", "expert",
            "pattern", "embeddings", "logits", "input" or "output" (of the module at `path`).
        layer: number of the block; several while the site stands for several layers; None where there are no layers.
        units: heads, neurons, experts or dimensions; None for all of them.
        path: name of the module, for "input" and "output".
    """

    kind: str
    layer: Chosen = None
    units: Chosen = None
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f'act.module("{self.path}", "{self.kind}")'
        name = "act.residual.before" if self.kind == "before" else f"act.{self.kind}"
        if self.layer is None:
            return name
        return f"{name}[{_text(self.layer)}]" if self.units is None else f"{name}[{_text(self.layer)}, {_text(self.units)}]"

    def __or__(self, other: Site | Sites) -> Sites:
        return Sites((self,)) | other

    def __iter__(self) -> Iterator[Site]:
        """Single sites: one layer, and one unit where units are named."""
        for layer, unit in product(self._closed(self.layer), self._closed(self.units)):
            yield Site(self.kind, layer, unit, self.path)

    def __len__(self) -> int:
        return len(self._closed(self.layer)) * len(self._closed(self.units))

    def _closed(self, chosen: Chosen) -> tuple[int | None, ...]:
        if isinstance(chosen, Span):
            numbers = chosen.known()
            if numbers is None:
                raise ValueError(f"{self} has an open end that only a model knows: iterate over lm.sites({self})")
            return numbers
        return chosen if isinstance(chosen, tuple) else (chosen,)

    @property
    def parts(self) -> tuple[Site, ...]:
        return (self,)


@dataclass(frozen=True)
class Sites(Editable):
    """Several sites, in the order they were joined; none twice."""

    members: tuple[Site, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.members))

    def __or__(self, other: Site | Sites) -> Sites:
        if not isinstance(other, Site | Sites):
            return NotImplemented
        return Sites(tuple(dict.fromkeys(self.members + other.parts)))

    def __iter__(self) -> Iterator[Site]:
        for member in self.members:
            yield from member

    def __len__(self) -> int:
        return sum(map(len, self.members))

    @property
    def parts(self) -> tuple[Site, ...]:
        return self.members


@dataclass(frozen=True)
class _Layered:
    """`act.head[4, 2]`: indexing makes the site."""

    kind: str

    def __getitem__(self, index: Index | tuple[Index, Index]) -> Site:
        if not isinstance(index, tuple):
            return Site(self.kind, _chosen(index, f"the layer of act.{self.kind}"))
        if len(index) != 2:
            raise TypeError(f"act.{self.kind} takes a layer, or a layer and units, got {len(index)} indices")
        layer, units = index
        units_chosen = _chosen(units, f"the second index of act.{self.kind}")
        # All of them is the same site as none named.
        everything = units_chosen == Span(None, None, None)
        return Site(self.kind, _chosen(layer, f"the layer of act.{self.kind}"), None if everything else units_chosen)


@dataclass(frozen=True)
class _Residual(_Layered):
    before: _Layered = _Layered("before")


residual = _Residual("residual")
attention = _Layered("attention")
mlp = _Layered("mlp")
head = _Layered("head")
query = _Layered("query")
key = _Layered("key")
value = _Layered("value")
neuron = _Layered("neuron")
router = _Layered("router")
expert = _Layered("expert")
pattern = _Layered("pattern")
embeddings = Site("embeddings")
logits = Site("logits")


def module(path: str, side: str = "output") -> Site:
    """The output or the input of any named module (`dict(net.named_modules())`); of a tuple the first tensor."""
    if side not in ("input", "output"):
        raise ValueError(f'the side of a module is "input" or "output", got {side!r}')
    return Site(side, path=path)
