"""Many interventions in few forward passes: every row of a big batch has its own edit.

The rows of one input stand together, one for each edit of a pass. What lies below the lowest edited block is the same
as in the unedited network and is computed once; a pass begins at that block.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .edits import Edit, Fit, edit_at, flatten
from .hooks import Visit, attach, call_of, first_tensor
from .positions import Call, Positions, Selector
from .reading import pick
from .sites import Site, Sites
from .structure import Place

if TYPE_CHECKING:
    from .model import Inputs, Model

__all__ = ["sweep"]

# Fewer tokens than this leave a matrix product waiting for the weights; more are worth it only from the same block on.
FULL = 128


@dataclass(frozen=True)
class Intervention:
    """One element of a sweep: its number, its edits site by site, and the first block that it changes."""

    number: int
    edits: tuple[tuple[Place, Edit, Selector], ...]
    start: int


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
    base = Base(lm, args, kwargs, call, Selector(positions if call.columns is not None else "all", prompt))
    interventions = [_understood(lm, number, flatten([edit]), prompt) for number, edit in enumerate(edits)]
    results: dict[int, Tensor] = {}
    with torch.no_grad():
        below = base.below({one.start for one in interventions})
        for group in _groups(interventions, call, tokens):
            outputs = _forward(base, group, below)
            for one, output in zip(group, outputs, strict=True):
                results[one.number] = torch.as_tensor(metric(output))
    return torch.stack([results[number] for number in range(len(edits))])


def _understood(lm: Model, number: int, edits: list[Edit], prompt: int | Tensor | None) -> Intervention:
    found = [
        (lm.structure.place(site), edit, edit.selector if prompt is None else Selector(edit.selector.positions, prompt))
        for edit in edits
        for site in lm.structure.sites(Sites(edit.sites))
    ]
    # What is edited behind a block leaves the block itself as it is.
    starts = [place.layer + (place.site.kind == "residual") for place, _, _ in found]
    return Intervention(number, tuple(found), max(0, min(starts, default=0)))


def _groups(interventions: list[Intervention], call: Call, tokens: int) -> Iterator[list[Intervention]]:
    """Passes: up to `tokens` tokens from one block on; beyond a full load of them, no other block joins."""
    each = max(1, call.batch * (call.columns or 1))
    group: list[Intervention] = []
    for one in sorted(interventions, key=lambda one: one.start):
        full = (len(group) + 1) * each > tokens
        other = bool(group) and one.start != group[0].start and len(group) * each >= FULL
        if group and (full or other):
            yield group
            group = []
        group.append(one)
    yield group


@dataclass(frozen=True)
class Base:
    """What a sweep goes out from: one batch of inputs, and where the metric looks."""

    lm: Model
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    call: Call
    selector: Selector

    def run(
        self, copies: int, start: int, entering: Tensor | None, visits: list[tuple[Place, Visit]], last: Tensor | None
    ) -> Tensor:
        """The output for `copies` copies of each row, from block `start` on."""
        args = tuple(_repeated(value, copies, self.call) for value in self.args)
        kwargs = {name: _repeated(value, copies, self.call) for name, value in self.kwargs.items()}
        if last is not None:
            kwargs["logits_to_keep"] = last
        with ExitStack() as stack:
            stack.enter_context(attach(self.lm.tracker, visits))
            if entering is not None:
                stack.enter_context(_from_block(self.lm, start, entering.repeat_interleave(copies, dim=0)))
            return first_tensor(self.lm.call(args, kwargs))

    def below(self, starts: set[int]) -> dict[int, Tensor]:
        """The residual stream as it enters each block of `starts`; nothing where passes cannot begin at a block."""
        wanted = sorted(start for start in starts if start > 0)
        # With other edits open, what is below has been edited too, and would be once more.
        if not wanted or self.lm.tracker.editing:
            return {}
        sites = Sites(tuple(Site("residual", start - 1) for start in wanted))
        seen = self.lm.read(self.args or self.kwargs, sites)
        entering = {start: seen[Site("residual", start - 1)] for start in wanted}
        if self.lm.tracker.skips is None:
            self.lm.tracker.skips = self._same_from(wanted[-1], entering[wanted[-1]])
        return entering if self.lm.tracker.skips else {}

    def _same_from(self, start: int, entering: Tensor) -> bool:
        """Whether a pass that begins at a block gives what a whole pass gives, bit for bit: blocks may know of each other."""
        plain: list[bool] = []
        hook = self.lm.structure.blocks[start - 1].register_forward_hook(
            lambda _, __, output: plain.append(isinstance(output, Tensor))
        )
        try:
            whole = self.run(1, 0, None, [], None)
        finally:
            hook.remove()
        return all(plain) and torch.equal(whole, self.run(1, start, entering, [], None))


def _forward(base: Base, group: list[Intervention], below: dict[int, Tensor]) -> list[Tensor]:
    """What the network returns for each intervention of one pass, where the metric looks."""
    start = min(one.start for one in group)
    writes_logits = any(place.site.kind == "logits" for one in group for place, _, _ in one.edits)
    last = None if writes_logits else _only_last(base)
    output = base.run(len(group), start, below.get(start), _visits(group, base.call), last)
    return [_seen(output[number :: len(group)], base.selector, base.call, last) for number in range(len(group))]


def _repeated(value: Any, copies: int, call: Call) -> Any:
    """A tensor with one row an input gets `copies` rows for each, one after the other."""
    if isinstance(value, Tensor) and value.ndim and len(value) == call.batch:
        return value.repeat_interleave(copies, dim=0)
    return value


def _only_last(base: Base) -> Tensor | None:
    """The columns whose logits are wanted, where the network can leave the others out."""
    if base.selector.shape not in ("one", "some") or "logits_to_keep" not in base.lm.accepts or base.call.columns is None:
        return None
    return base.selector.columns(base.call).unique()


def _seen(output: Tensor, selector: Selector, call: Call, kept: Tensor | None) -> Tensor:
    if call.columns is None:
        return output
    if kept is None:
        return pick(output, selector, call, tokens=True, keep=True)
    columns = torch.searchsorted(kept, selector.columns(call)).to(output.device)
    rows: Any = torch.arange(len(output), device=output.device)[:, None]
    found = output[rows, columns]
    return found[:, 0] if selector.shape == "one" else found


def _visits(group: list[Intervention], call: Call) -> list[tuple[Place, Visit]]:
    """One visit a site; there each intervention edits its own rows."""
    at: dict[Place, list[tuple[int, Edit, Selector]]] = defaultdict(list)
    for number, one in enumerate(group):
        for place, edit, selector in one.edits:
            at[place].append((number, edit, selector))
    return [(place, _each_its_own(place, todo, len(group), call)) for place, todo in at.items()]


def _each_its_own(place: Place, todo: list[tuple[int, Edit, Selector]], copies: int, call: Call) -> Visit:
    def visit(x: Tensor, _: Call, tokens: bool) -> Tensor:
        out = x.clone()
        fit = Fit(place.site, call, tokens)
        for number, edit, selector in todo:
            out[number::copies] = edit_at(edit, selector, out[number::copies], fit)
        return out

    return visit


@contextmanager
def _from_block(lm: Model, start: int, entering: Tensor) -> Iterator[None]:
    """For the time of the context the blocks before `start` do nothing, and the last of them hands on `entering`."""
    skipped = lm.structure.blocks[:start]
    before = [vars(block).get("forward") for block in skipped]

    def idle(*args: Any, **kwargs: Any) -> Tensor:
        return args[0] if args else kwargs["hidden_states"]

    def hand_on(*_: Any, **__: Any) -> Tensor:
        return entering

    try:
        for block in skipped[:-1]:
            block.forward = idle
        skipped[-1].forward = hand_on
        yield
    finally:
        for block, own in zip(skipped, before, strict=True):
            vars(block).pop("forward", None)
            if own is not None:
                block.forward = own
