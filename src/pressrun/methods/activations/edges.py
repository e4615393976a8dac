"""Edges: what one component writes into the residual stream, as another one alone reads it.

A component's input is the sum of what was written before it. Patching an edge u → v adds a'_u - a_u, the output of u in
another run minus its output in this one, to the input of v and to nothing else (path patching: Wang et al. 2022,
arXiv:2211.00593, section 3.1; several edges at once make a circuit, as in ACDC, arXiv:2304.14997). Scoring edges by
gradients is attribution patching, averaged along a path between the two inputs: EAP-IG, Hanna et al. 2024,
arXiv:2403.17806, section 3.

Sources are residual.before[0] (the input), heads and MLPs. Targets are queries, keys and values of single heads, which
read separately, MLPs, and the logits. The stream is meant before the norm of the target.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .hooks import attach, first_tensor
from .positions import Call, Positions, Selector
from .reading import pick
from .sites import Site, _Layered, head, logits, mlp, residual
from .sites import key as key_site
from .sites import query as query_site
from .sites import value as value_site
from .structure import Place

if TYPE_CHECKING:
    from .model import Inputs, Model

__all__ = ["Edge", "all_edges", "edge_scores", "path_patch"]

INPUT = residual.before[0]
READS = ("query", "key", "value")
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")
# (targets, rows, columns, width) to add to the input of each of some targets that read at the same place.
Addition = Callable[[Sequence[Site], Tensor], Tensor]


@dataclass(frozen=True)
class Edge:
    """From what `source` writes to what `target` reads: `act.Edge(act.head[3, 1], act.query[7, 0])`."""

    source: Site
    target: Site

    def __str__(self) -> str:
        return f"{self.source} → {self.target}"


def all_edges(lm: Model) -> list[Edge]:
    """Every edge of the network, targets in the order in which they read."""
    sources = [INPUT]
    found = []
    for layer in range(lm.layers):
        reading = [kind[layer, n] for kind, count in _readers(lm) for n in range(count)]
        found += [Edge(source, target) for target in reading for source in sources]
        heads = [head[layer, n] for n in range(lm.heads)]
        found += [Edge(source, mlp[layer]) for source in (sources if _parallel(lm, layer) else sources + heads)]
        sources = [*sources, *heads, mlp[layer]]
    return found + [Edge(source, logits) for source in sources]


def _readers(lm: Model) -> list[tuple[_Layered, int]]:
    return [(query_site, lm.heads), (key_site, lm.kv_heads), (value_site, lm.kv_heads)]


def _parallel(lm: Model, layer: int) -> bool:
    """Whether attention and MLP of a block read the same stream."""
    return bool(getattr(lm.structure.config, "use_parallel_residual", False)) or "mlp_norm" not in lm.structure.parts(layer)


def path_patch(lm: Model, clean: Inputs, corrupt: Inputs, edges: Sequence[Edge], positions: Positions) -> Tensor:
    """Logits of `clean` where the given edges carry what they carry in `corrupt`; see `Model.path_patch`."""
    wanted = _by_target(lm, edges)
    sources = list(dict.fromkeys(source for reads in wanted.values() for source in reads))
    with torch.no_grad():
        other = _written(lm, corrupt, sources)
    selector, numbers = Selector(positions), dict[Site, int]()
    changes = next(iter(other.values())).new_empty(len(sources), *next(iter(other.values())).shape)

    def record(source: Site, x: Tensor, call: Call) -> None:
        chosen = selector.choose(call)
        change = other[source] - _write(lm, source, x)
        changes[len(numbers)] = change * chosen[..., None] if isinstance(chosen, Tensor) else change * chosen
        numbers[source] = len(numbers)

    def addition(targets: Sequence[Site], x: Tensor) -> Tensor:
        carried = x.new_zeros(len(targets), len(numbers))
        for row, target in zip(carried, targets, strict=True):
            late = [source for source in wanted[target] if source not in numbers]
            if late:
                raise ValueError(f"{late[0]} does not come before {target}: there is no such edge")
            row[[numbers[source] for source in wanted[target]]] = 1
        # All sums at once: a circuit has tens of thousands of edges.
        return (carried @ changes[: len(numbers)].flatten(1)).unflatten(1, x.shape)

    with torch.no_grad(), _watching(lm, sources, record), _adding(lm, list(wanted), addition):
        return first_tensor(lm.run(clean))


def edge_scores(
    lm: Model,
    clean: Inputs,
    corrupt: Inputs,
    metric: Callable[[Tensor], Tensor],
    edges: Sequence[Edge],
    steps: int,
    positions: Positions,
) -> Tensor:
    """(edges,) EAP-IG; see `Model.edge_scores`."""
    if steps < 1:
        raise ValueError(f"steps is at least 1, got {steps}")
    wanted = _by_target(lm, edges)
    sources = list(dict.fromkeys(edge.source for edge in edges))
    with torch.no_grad():
        ours, other = _written(lm, clean, [*sources, INPUT]), _written(lm, corrupt, [*sources, INPUT])
    gradients: dict[Site, Tensor] = {}
    for step in range(steps):
        between = other[INPUT] + (step / steps) * (ours[INPUT] - other[INPUT]) if steps > 1 else ours[INPUT]
        for target, gradient in _gradients(lm, clean, INPUT.replace(between), metric, list(wanted), positions).items():
            gradients[target] = gradients.get(target, 0) + gradient / steps
    change = torch.stack([other[source] - ours[source] for source in sources]).flatten(1)
    numbers = {source: number for number, source in enumerate(sources)}
    scores = {target: change @ gradients[target].flatten() for target in wanted}
    return torch.stack([scores[edge.target][numbers[edge.source]] for edge in _resolved(lm, edges)])


def _gradients(
    lm: Model, inputs: Inputs, start: object, metric: Callable[[Tensor], Tensor], targets: list[Site], positions: Positions
) -> dict[Site, Tensor]:
    """∂ metric / ∂ input of each target alone, (rows, columns, width)."""
    probes: dict[Site, Tensor] = {}

    def addition(some: Sequence[Site], x: Tensor) -> Tensor:
        for target in some:
            probes[target] = torch.zeros_like(x).requires_grad_()
        return torch.stack([probes[target] for target in some])

    selector = Selector(positions)
    with torch.enable_grad(), lm.edit(start), _adding(lm, targets, addition):  # type: ignore[arg-type]
        output = first_tensor(lm.run(inputs))
        call = lm.tracker.call
        assert call is not None  # noqa: S101
        value = metric(pick(output, selector, call, tokens=call.columns is not None, keep=True)).sum()
        found = torch.autograd.grad(value, [probes[target] for target in targets])
    return dict(zip(targets, found, strict=True))


def _resolved(lm: Model, edges: Sequence[Edge]) -> list[Edge]:
    return [Edge(_single(lm, edge.source), _single(lm, edge.target)) for edge in edges]


def _by_target(lm: Model, edges: Sequence[Edge]) -> dict[Site, list[Site]]:
    """The sources of each target, checked."""
    if not len(edges):
        raise ValueError("there are no edges")
    found: dict[Site, list[Site]] = defaultdict(list)
    for edge in _resolved(lm, edges):
        if edge.source != INPUT and edge.source.kind not in ("head", "mlp"):
            raise ValueError(f"an edge begins at residual.before[0], a head or an MLP, got {edge.source}")
        if edge.target.kind not in (*READS, "mlp", "logits"):
            raise ValueError(f"an edge ends at a query, key, value, MLP or the logits, got {edge.target}")
        found[edge.target].append(edge.source)
    return found


def _single(lm: Model, site: Site) -> Site:
    found = lm.sites(site)
    single = len(found) == 1 and (isinstance(found[0].units, int) or found[0].kind not in ("head", *READS))
    if not single:
        raise ValueError(f"an edge joins single sites, {site} is several: name one head")
    return found[0]


def _written(lm: Model, inputs: Inputs, sources: Sequence[Site]) -> dict[Site, Tensor]:
    """What each source writes into the stream in one run, (rows, columns, width)."""
    needed = dict.fromkeys(sources)
    seen: dict[Site, Tensor] = {}
    with _watching(lm, list(needed), lambda source, x, _: seen.update({source: _write(lm, source, x)})):
        lm.run(inputs)
    return seen


def _write(lm: Model, source: Site, x: Tensor) -> Tensor:
    """A head's output through its part of the output projection; what else writes, writes as it is. Without the bias."""
    if source.kind != "head":
        return x.clone()
    parts = lm.structure.parts(_layer(source))
    if parts["attention"] is not parts["attention_core"]:
        raise ValueError(f"{source}: a norm stands behind the output projection, so heads do not add up in this network")
    columns = _rows(lm, source, _width_in(parts["head"]))
    return x @ _weight(parts["head"])[:, columns].T


def _layer(site: Site) -> int:
    assert isinstance(site.layer, int)  # noqa: S101
    return site.layer


def _weight(projection: nn.Module) -> Tensor:
    """(out, in); Conv1D of transformers has it the other way round."""
    weight = projection.weight
    assert isinstance(weight, Tensor)  # noqa: S101
    return weight if isinstance(projection, nn.Linear) else weight.T


def _width_in(projection: nn.Module) -> int:
    return _weight(projection).shape[1]


def _rows(lm: Model, site: Site, width: int) -> Tensor:
    """Where the features of a head lie in a projection."""
    return lm.structure.place(site).get(torch.arange(width)[None, None])[0, 0]


@contextmanager
def _watching(lm: Model, sources: Sequence[Site], see: Callable[[Site, Tensor, Call], None]) -> Iterator[None]:
    def visit(source: Site) -> Callable[[Tensor, Call, bool], None]:
        return lambda x, call, _: see(source, x, call)

    with attach(lm.tracker, [(lm.structure.place(source), visit(source)) for source in sources]):
        yield


@contextmanager
def _adding(lm: Model, targets: Sequence[Site], addition: Addition) -> Iterator[None]:
    """Hooks that let each target read the stream plus what `addition` gives for it."""
    groups: dict[tuple[str, int], list[Site]] = defaultdict(list)
    for target in targets:
        groups[target.kind, lm.layers if target == logits else _layer(target)].append(target)
    with ExitStack() as stack:
        for (kind, layer), some in groups.items():
            if kind in READS:
                stack.enter_context(_adding_to_heads(lm, layer, some, addition))
                continue
            norm = _final_norm(lm) if kind == "logits" else _part(lm, layer, "mlp_norm", some[0])
            place = Place(Site("input", path="norm"), norm, "input", layer)
            stack.enter_context(attach(lm.tracker, [(place, _plus(addition, some))]))
        yield


def _plus(addition: Addition, targets: list[Site]) -> Callable[[Tensor, Call, bool], Tensor]:
    return lambda x, call, tokens: x + addition(targets, x)[0]


@contextmanager
def _adding_to_heads(lm: Model, layer: int, targets: list[Site], addition: Addition) -> Iterator[None]:
    """The heads' part of a projection is computed once more, from the norm of the changed stream."""
    norm = _part(lm, layer, "attention_norm", targets[0])
    projection = lm.structure.place(targets[0]).module
    stream: dict[str, Tensor] = {}

    def keep(x: Tensor, call: Call, tokens: bool) -> None:
        stream["x"] = x

    def project(y: Tensor, call: Call, tokens: bool) -> Tensor:
        normed = norm.forward(stream["x"] + addition(targets, stream["x"]))
        out = y.clone()
        for number, target in enumerate(targets):
            rows = _rows(lm, target, y.shape[-1])
            bias = getattr(projection, "bias", None)
            new = normed[number] @ _weight(projection)[rows].T
            out[..., rows] = new if bias is None else new + bias[rows]
        return out

    before = Place(Site("input", path="norm"), norm, "input", layer)
    behind = Place(Site("output", path="projection"), projection, "output", layer)
    with attach(lm.tracker, [(before, keep), (behind, project)]):
        yield


def _part(lm: Model, layer: int, name: str, target: Site) -> nn.Module:
    parts: Mapping[str, nn.Module] = lm.structure.parts(layer)
    if name not in parts:
        raise ValueError(f"{target}: block {layer} has no norm of its own before this, so its input cannot be changed alone")
    return parts[name]


def _final_norm(lm: Model) -> nn.Module:
    structure = lm.structure
    if structure.family is not None and structure.family.norm:
        return structure.named[structure.family.norm]
    holder = structure.named[structure.path.rpartition(".")[0]]
    found = next((part for name, part in holder.named_children() if name in FINAL_NORMS), None)
    if found is None:
        raise ValueError('act.logits: no final norm is found beside the blocks; say where it is with act.Family(…, norm="…")')
    return found
