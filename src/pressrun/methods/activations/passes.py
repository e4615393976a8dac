"""Forward passes for many interventions at once that compute little more than what these change.

The rows of one input stand together, one for each intervention of a pass. An unedited run is shared by all of them:

- A row joins the pass at the first block that its intervention edits, with what the unedited network has there.
- Where later tokens cannot change earlier ones, a pass has only the columns from the first edited one on; of those before,
  attention reads the keys and values of the unedited run, out of the network's own cache.

None of it is believed of a network: every sweep first has a few rows pass both that way and through the whole network, stirred where
the edits begin, and they must come to the same. Where they do not, every row goes through the whole network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .edits import Edit, Fit, edit_at
from .hooks import Visit, attach, first_tensor
from .positions import Call, Selector
from .sites import Site
from .structure import Place

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Intervention", "Passes"]

# The shared run and the check cost more than so many interventions save.
FEW = 8
# Inputs with a column a token; the mask of a pass goes on to tell of all columns.
COLUMNWISE = ("input_ids", "inputs_embeds", "position_ids")


@dataclass(frozen=True)
class Intervention:
    """Edits that are made together.

    Attributes:
        number: its place in the sweep.
        edits: site by site.
        start: the first block that it changes.
        column: the first column that it changes, over all rows.
    """

    number: int
    edits: tuple[tuple[Place, Edit, Selector], ...]
    start: int = 0
    column: int = 0

    @property
    def writes_logits(self) -> bool:
        return any(place.site.kind == "logits" for place, _, _ in self.edits)


class Passes:
    """One batch of inputs, the unedited run of it, and the passes with interventions that go out from there.

    Attributes:
        kept: columns of the output that are looked at, in order; None for a network without tokens.
        output: (rows, kept, …) of the unedited network.
        streams: by block, what enters it in the unedited network.
        cache: by block, its keys and values (rows, heads, columns, width).
    """

    def __init__(self, lm: Model, args: tuple[Any, ...], kwargs: dict[str, Any], call: Call, kept: Tensor | None) -> None:
        self.lm, self.args, self.kwargs, self.call, self.kept = lm, args, kwargs, call, kept
        self.output: Tensor | None = None
        self.streams: dict[int, Tensor] = {}
        self.cache: list[tuple[Tensor, Tensor]] = []

    def planned(self, interventions: list[Intervention]) -> list[Intervention]:
        """The interventions with the block and the column at which they can begin here; this runs the unedited network."""
        whole = [replace(one, start=0, column=0) for one in interventions]
        # With other edits open, the unedited run would have been edited too, and would be once more.
        if len(interventions) < FEW or self.lm.tracker.editing or any(map(_hooked, self.lm.structure.blocks)):
            return whole
        later = [replace(one, column=0) for one in interventions]
        if later == interventions == whole:
            return whole
        self._run_unedited({one.start for one in interventions}, later != interventions)
        ways = (later,) if later == interventions else (interventions, later)
        return next((way for way in ways if self._holds(way)), whole)

    def _run_unedited(self, starts: set[int], cached: bool) -> None:
        def keep(start: int) -> Visit:
            return lambda x, call, tokens: self.streams.update({start: x.clone()})

        cache = self._empty_cache() if cached else None
        kwargs = self.kwargs | self._keeping(self.kept) | ({} if cache is None else {"past_key_values": cache})
        visits = [(self.lm.structure.place(Site("residual", start - 1)), keep(start)) for start in starts if start]
        with attach(self.lm.tracker, visits):
            self.output = self._looked_at(first_tensor(self.lm.call(self.args, kwargs)), self.kept)
        if cache is not None:
            self.cache = [(layer.keys, layer.values) for layer in cache.layers]

    def _empty_cache(self) -> Any:
        """A cache of transformers, where the network takes one and the inputs are of a kind that can be cut."""
        known = {*COLUMNWISE, "attention_mask"}
        if "past_key_values" not in self.lm.accepts or not known.issuperset(self.kwargs) or len(self.args) > 1:
            return None
        from transformers import DynamicCache

        return DynamicCache()

    def _holds(self, way: list[Intervention]) -> bool:
        """Whether rows that are stirred where these interventions begin come to the same that way and in a whole pass."""
        columns = {one.column for one in way if self._seen(one)} or {0}
        starts = {one.start for one in way}
        if any(columns) and not self.cache:
            return False
        # Whatever a network of unknown make does with less than it is used to: then it gets all.
        with suppress(Exception):
            for column in sorted({min(columns), max(columns)}):
                short = [self._stirred(start, column) for start in sorted({min(starts), max(starts)})]
                whole = self.run([replace(one, start=0, column=0) for one in short])
                if not all(map(_same, self.run(short), whole)):
                    return False
            return True
        return False

    def _stirred(self, start: int, column: int) -> Intervention:
        """An intervention after which nothing downstream of one place is as it was: earlier columns neither, if they look there."""
        site = Site("before", start) if start < self.lm.layers else Site("residual", start - 1)
        where: Any = "all"
        if column:
            where = torch.arange(self.call.columns or 0, device=self.call.device)[None] == column
        edit = site.apply(lambda x: x.flip(-1), positions=where)
        return Intervention(0, ((self.lm.structure.place(site), edit, edit.selector),), start, column)

    def _seen(self, one: Intervention) -> bool:
        """Whether what is looked at can change at all."""
        return self.kept is None or one.column <= int(self.kept[-1])

    def run(self, group: Sequence[Intervention]) -> list[Tensor]:
        """The output, (rows, kept, …), for each intervention of one pass: they begin at the same column, the lower blocks first."""
        column, copies = group[0].column, len(group)
        if not self._seen(group[0]):
            assert self.output is not None  # noqa: S101
            return [self.output] * copies
        call = _from_column(self.call, column)
        wanted = self.kept[self.kept >= column] - column if self.kept is not None else None
        keeping = {} if any(one.writes_logits for one in group) else self._keeping(wanted)
        args = tuple(self._repeated(_cut(value, column), copies) for value in self.args)
        kwargs = {
            name: self._repeated(_cut(value, column) if name in COLUMNWISE else value, copies)
            for name, value in self.kwargs.items()
        }
        active = [sum(one.start <= block for one in group) for block in range(self.lm.layers + 1)]
        if column:
            kwargs["past_key_values"] = self._filled_cache(active, column)
        with ExitStack() as stack:
            stack.enter_context(attach(self.lm.tracker, _visits(group, call)))
            if any(one.start for one in group):
                stack.enter_context(self._joining(active, column))
            output = first_tensor(self.lm.call(args, kwargs | keeping))
        if not keeping:
            output = self._looked_at(output, wanted)
        return [self._with_earlier(output[number::copies], column) for number in range(copies)]

    def _keeping(self, columns: Tensor | None) -> dict[str, Tensor]:
        """The argument that asks for the logits of some columns only, where the network knows of it."""
        return {} if columns is None or "logits_to_keep" not in self.lm.accepts else {"logits_to_keep": columns}

    def _looked_at(self, output: Tensor, wanted: Tensor | None) -> Tensor:
        if wanted is None or output.ndim < 3 or output.shape[1] == len(wanted):
            return output
        return output[:, wanted.to(output.device)]

    def _with_earlier(self, output: Tensor, column: int) -> Tensor:
        """With the columns before the pass, which are as in the unedited network."""
        if not column or self.output is None or self.kept is None or not bool((self.kept < column).any()):
            return output
        return torch.cat([self.output[:, : int((self.kept < column).sum())], output], dim=1)

    def _repeated(self, value: Any, copies: int) -> Any:
        """A tensor with one row an input gets `copies` rows for each, one after the other."""
        if isinstance(value, Tensor) and value.ndim and len(value) == self.call.batch:
            return value.repeat_interleave(copies, dim=0)
        return value

    def _filled_cache(self, active: list[int], column: int) -> Any:
        """What the unedited run left before `column`, for the rows that are active in each block."""
        cache = self._empty_cache()
        for block, (keys, values) in enumerate(self.cache):
            rows = max(1, active[block])
            cache.update(*(part[:, :, :column].repeat_interleave(rows, dim=0) for part in (keys, values)), block)
        return cache

    @contextmanager
    def _joining(self, active: list[int], column: int) -> Iterator[None]:
        """For the time of the context block k runs the first active[k] rows of each input; behind it more of them join."""
        blocks = self.lm.structure.blocks
        before = [vars(block).get("forward") for block in blocks]
        try:
            for number, block in enumerate(blocks):
                block.forward = partial(self._staged, block.forward, number, active, column)
            yield
        finally:
            for block, own in zip(blocks, before, strict=True):
                vars(block).pop("forward", None)
                if own is not None:
                    block.forward = own

    def _staged(
        self, forward: Callable[..., Any], number: int, active: list[int], column: int, /, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Block `number` for its active rows; the mask, and whatever else has a row for each copy, is cut alike."""
        here, after, inputs = active[number], active[number + 1], self.call.batch
        tracked = self.lm.tracker.call
        assert tracked is not None  # noqa: S101
        x: Any = args[0] if args else kwargs["hidden_states"]
        if here:
            tracked.batch = inputs * here
            cut = partial(_narrowed, inputs=inputs, copies=active[-1], active=here)
            x = forward(*cut(args), **cut(kwargs))
            if not isinstance(x, Tensor):
                raise TypeError(f"a block returned {type(x).__name__}, not the stream alone")
        if after > here:
            fresh = self.streams[number + 1][:, None, column:].expand(-1, after - here, *x.shape[1:])
            x = (torch.cat([x.unflatten(0, (inputs, here)), fresh], dim=1) if here else fresh).flatten(0, 1)
        if after:
            tracked.batch = inputs * after
        return x


def _hooked(block: nn.Module) -> bool:
    """Whether somebody looks at what comes out of a block: he would also see rows that have not been through it."""
    return any(not str(getattr(hook, "__module__", "")).startswith("transformers.") for hook in block._forward_hooks.values())


def _from_column(call: Call, column: int) -> Call:
    """The call of a pass that has the columns from `column` on."""
    if not column or call.columns is None:
        return call
    return replace(call, past=column, columns=call.columns - column, chosen={})


def _cut(value: Any, column: int) -> Any:
    return value[:, column:] if column else value


def _narrowed(value: Any, inputs: int, copies: int, active: int) -> Any:
    """The first `active` of the `copies` rows that each input has, in every tensor inside that has as many."""
    if active == copies:
        return value
    if isinstance(value, Tensor):
        fits = value.ndim > 1 and len(value) == inputs * copies
        return value.unflatten(0, (inputs, copies))[:, :active].flatten(0, 1) if fits else value
    if isinstance(value, tuple | list):
        return type(value)(_narrowed(each, inputs, copies, active) for each in value)
    if isinstance(value, dict):
        return {name: _narrowed(each, inputs, copies, active) for name, each in value.items()}
    return value


def _same(found: Tensor, expected: Tensor) -> bool:
    """Equal within what another order of the same sums does."""
    if found.shape != expected.shape:
        return False
    scale = float(expected.abs().max())
    return float((found - expected).abs().max()) <= torch.finfo(expected.dtype).eps ** 0.5 * scale


def _visits(group: Sequence[Intervention], call: Call) -> list[tuple[Place, Visit]]:
    """One visit a site; there each intervention edits its own rows."""
    at: dict[Place, list[tuple[int, Edit, Selector]]] = defaultdict(list)
    for number, one in enumerate(group):
        for place, edit, selector in one.edits:
            at[place].append((number, edit, selector))
    return [(place, _each_its_own(place, todo, call)) for place, todo in at.items()]


def _each_its_own(place: Place, todo: list[tuple[int, Edit, Selector]], call: Call) -> Visit:
    def visit(x: Tensor, _: Call, tokens: bool) -> Tensor:
        out = x.clone()
        fit = Fit(place.site, call, tokens)
        copies = len(x) // call.batch
        for number, edit, selector in todo:
            out[number::copies] = edit_at(edit, selector, out[number::copies], fit)
        return out

    return visit
