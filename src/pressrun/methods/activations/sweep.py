"""Many interventions in few forward passes: every row of a big batch has its own edit (passes.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .edits import Edit, flatten
from .hooks import call_of
from .passes import Intervention, Passes
from .positions import Call, Positions, Selector
from .products import wide_products
from .reading import pick
from .sites import Sites
from .structure import Place

if TYPE_CHECKING:
    from .model import Inputs, Model

__all__ = ["sweep"]


def sweep(
    lm: Model,
    inputs: Inputs,
    edits: Sequence[Edit | Iterable[Edit]],
    metric: Callable[[Tensor], Tensor],
    *,
    positions: Positions,
    tokens: int,
    prompt: int | Tensor | None,
) -> Tensor:
    """`metric` under each of many interventions; see `Model.sweep`."""
    if not len(edits):
        raise ValueError("there are no edits to sweep over")
    args, kwargs = lm.arguments(inputs)
    call = call_of(args, kwargs)
    selector = Selector(positions if call.columns is not None else "all", prompt)
    kept = _kept(selector, call)
    results: dict[int, Tensor] = {}
    with torch.no_grad(), wide_products(lm.module):
        passes = Passes(lm, args, kwargs, call, kept)
        interventions = [_understood(lm, number, flatten([edit]), prompt, call) for number, edit in enumerate(edits)]
        for group in _groups(passes.planned(interventions), call, tokens):
            for one, output in zip(group, passes.run(group), strict=True):
                results[one.number] = torch.as_tensor(metric(_seen(output, selector, call, kept)))
    return torch.stack([results[number] for number in range(len(edits))])


def _understood(lm: Model, number: int, edits: list[Edit], prompt: int | Tensor | None, call: Call) -> Intervention:
    found = tuple(
        (lm.structure.place(site), edit, edit.selector if prompt is None else Selector(edit.selector.positions, prompt))
        for edit in edits
        for site in lm.structure.sites(Sites(edit.sites))
    )
    # What is edited behind a block leaves the block itself as it is.
    starts = [place.layer + (place.site.kind == "residual") for place, _, _ in found]
    columns = [_first_column(*each, call) for each in found]
    return Intervention(number, found, max(0, min(starts, default=0)), min(columns, default=0))


def _first_column(place: Place, edit: Edit, selector: Selector, call: Call) -> int:
    """The first column that an edit changes; 0 where its tensor may have other axes, or it may look at other tokens."""
    if call.columns is None or place.site.path or place.site.kind in ("logits", "pattern") or not edit.by_token:
        return 0
    chosen = selector.choose(call)
    if isinstance(chosen, bool):
        return 0 if chosen else call.columns
    columns = chosen.any(dim=0).nonzero()
    return int(columns[0]) if len(columns) else call.columns


def _groups(interventions: list[Intervention], call: Call, tokens: int) -> Iterator[list[Intervention]]:
    """Passes of at most `tokens` tokens; in each all begin at the same column."""

    def together(one: Intervention) -> tuple[bool, int]:
        return one.writes_logits, one.column

    for (_, column), each in groupby(sorted(interventions, key=lambda one: (together(one), one.start)), key=together):
        group = list(each)
        size = max(1, tokens // (max(1, call.batch) * max(1, (call.columns or 1) - column)))
        yield from (group[first : first + size] for first in range(0, len(group), size))


def _kept(selector: Selector, call: Call) -> Tensor | None:
    """The columns that the metric looks at, in order."""
    if call.columns is None:
        return None
    if selector.shape in ("one", "some"):
        return selector.columns(call).unique()
    return torch.arange(call.columns, device=call.device)


def _seen(output: Tensor, selector: Selector, call: Call, kept: Tensor | None) -> Tensor:
    if kept is None:
        return output
    if len(kept) == call.columns:
        return pick(output, selector, call, tokens=True, keep=True)
    columns = torch.searchsorted(kept, selector.columns(call)).to(output.device)
    rows = torch.arange(len(output), device=output.device)[:, None]
    found = output[rows, columns]
    return found[:, 0] if selector.shape == "one" else found
