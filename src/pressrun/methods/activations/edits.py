"""Edits are values: a site, what becomes of the activation there, at which tokens, how strongly, in which rows.

All of them mean x ← x + strength · (f(x) - x) at the chosen tokens and leave every other number as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from .positions import Call, Positions, Selector, repeat_rows

if TYPE_CHECKING:
    from .sites import Site

__all__ = ["Edit", "Editable", "Fit", "edit_at", "flatten"]

Value = float | Tensor | Mapping[Any, Tensor]
Strength = float | Tensor
# What an edit does at one site: the activation (rows, columns, *features), and how to fit a value to it.
Change = Callable[[Tensor, "Fit"], Tensor]


@dataclass(frozen=True)
class Fit:
    """One visit to a site: fits the values of an edit to the tensor that is there."""

    site: Site
    call: Call
    tokens: bool

    def value(self, value: Value, x: Tensor) -> tuple[Tensor, Tensor | bool]:
        """`value` so that it broadcasts to x, and the columns for which there is one.

        With tokens it is (*features), (rows, *features) or (rows, columns, *features); without, whatever broadcasts.
        """
        found = torch.as_tensor(self._lookup(value)).to(device=x.device, dtype=x.dtype)
        features = x.ndim - 2
        if not self.tokens or found.ndim <= features:
            self._check(found, x)
            return found, True
        found = repeat_rows(found, len(x), f"a value for {self.site}")
        if found.ndim == features + 1:
            found = found[:, None]
            self._check(found, x)
            return found, True
        return self._columns(found, x)

    def _columns(self, found: Tensor, x: Tensor) -> tuple[Tensor, Tensor | bool]:
        """Values for the prompt's columns: those of this pass, and which of its columns have one."""
        given, past, width = found.shape[1] if found.ndim > 1 else 0, self.call.past, x.shape[1]
        if given == 1 and (self.call.width != 1 or past == 0):
            self._check(found, x)
            return found, True
        if past == 0 and given != self.call.width:
            raise ValueError(f"a value for {self.site} has {given} columns, the prompt has {self.call.width}")
        here = found[:, past : past + width]
        have = here.shape[1]
        if have < width:
            filler = x.detach()[:, have:].expand(-1, -1, *x.shape[2:])
            here = torch.cat([here.expand(len(x), *here.shape[1:]), filler], dim=1)
        self._check(here, x)
        return here, have == width or (torch.arange(width, device=x.device) < have)[None]

    def rows(self, value: Tensor, x: Tensor, what: str) -> Tensor:
        """(rows,) so that it broadcasts to x."""
        if value.ndim != 1:
            raise ValueError(f"{what} is a number or one a row, (rows,), got {tuple(value.shape)}")
        return repeat_rows(value.to(x.device), len(x), what).reshape(-1, *(1,) * (x.ndim - 1))

    def _lookup(self, value: Value) -> float | Tensor:
        if not isinstance(value, Mapping):
            return value
        for key in (self.site, self.site.layer):
            try:
                return value[key]
            except (KeyError, TypeError):
                continue
        raise ValueError(f"the values given have none for {self.site}: they have {', '.join(map(str, value))}")

    def _check(self, value: Tensor, x: Tensor) -> None:
        try:
            fits = torch.broadcast_shapes(value.shape, x.shape) == x.shape
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(f"a value of shape {tuple(value.shape)} does not fit {self.site}, whose tensor is {tuple(x.shape)}")


@dataclass(frozen=True, eq=False)
class Edit:
    """What to do at some sites. Made by the methods of a site: `act.residual[12].add(v)`."""

    sites: tuple[Site, ...]
    name: str
    change: Change
    selector: Selector
    strength: Strength = 1.0
    rows: Tensor | None = None
    # An edit whose strength is part of what it computes: x + strength · v needs no second blend.
    blends: bool = field(default=False)

    def __str__(self) -> str:
        return f"{' | '.join(map(str, self.sites))}.{self.name}"

    @property
    def by_token(self) -> bool:
        """Whether what becomes of a token depends on no other token of its row; of a function nobody knows."""
        return self.name != "apply"

    def apply(self, x: Tensor, fit: Fit, chosen: Tensor | bool) -> Tensor:
        """x with the edit made at `chosen`, (rows, columns) or whatever broadcasts; x itself where nothing is chosen."""
        if chosen is False:
            return x
        new = self.change(x, fit)
        if new.shape != x.shape:
            raise ValueError(f"{self} made {tuple(new.shape)} out of {tuple(x.shape)}; the shape must stay")
        if not self.blends:
            new = _blend(x, new, self.strength, fit)
        if self.rows is not None:
            rows = fit.rows(self.rows.bool(), x, "rows")
            new = torch.where(rows, new, x)
        if chosen is True:
            return new
        return torch.where(chosen.reshape(*chosen.shape, *(1,) * (x.ndim - chosen.ndim)) if fit.tokens else chosen, new, x)


def edit_at(edit: Edit, selector: Selector, x: Tensor, fit: Fit) -> Tensor:
    """x with the edit made at the tokens that `selector` chooses in this pass."""
    chosen = selector.choose(fit.call)
    if isinstance(chosen, Tensor):
        if fit.tokens:
            # Where only the last columns are computed, as logits are in generating.
            chosen = chosen[:, -x.shape[1] :]
        elif fit.call.columns is not None:
            raise ValueError(f'{fit.site} has no tokens, its tensor is {tuple(x.shape)}: edit it at positions="all"')
    return edit.apply(x, fit, chosen)


def _blend(x: Tensor, new: Tensor, strength: Strength, fit: Fit) -> Tensor:
    if isinstance(strength, Tensor):
        # lerp is exact at 0 and at 1, and keeps the gradient to the strength.
        return torch.lerp(x, new, _weight(strength, x, fit))
    return new if strength == 1.0 else x + strength * (new - x)


def _weight(strength: Tensor, x: Tensor, fit: Fit) -> Tensor:
    strength = strength.to(device=x.device, dtype=x.dtype)
    return strength if strength.ndim == 0 else fit.rows(strength, x, "strength")


class Editable:
    """The edits that a site offers.

    Keywords of all: `positions` (see positions.py), `strength` (a number, a 0-d tensor or one a row), `rows` (bool, one
    a row). Values are numbers, tensors (*features), (rows, *features) or (rows, columns, *features), or a mapping from
    layers or sites to such tensors.
    """

    @property
    def parts(self) -> tuple[Site, ...]:
        raise NotImplementedError

    def _edit(
        self,
        name: str,
        change: Change,
        positions: Positions,
        strength: Strength,
        rows: Tensor | None,
        *,
        blends: bool = False,
    ) -> Edit:
        return Edit(self.parts, name, change, Selector(positions), strength, rows, blends)

    def add(self, v: Value, *, strength: Strength = 1.0, positions: Positions = "all", rows: Tensor | None = None) -> Edit:
        """x + strength · v."""

        def change(x: Tensor, fit: Fit) -> Tensor:
            value, where = fit.value(v, x)
            weight = _weight(strength, x, fit) if isinstance(strength, Tensor) else strength
            return _only(where, x + value if isinstance(weight, float) and weight == 1.0 else x + weight * value, x)

        return self._edit("add", change, positions, strength, rows, blends=True)

    def scale(self, factor: Value, *, strength: Strength = 1.0, positions: Positions = "all", rows: Tensor | None = None) -> Edit:
        """factor · x; a tensor scales every feature by its own factor."""

        def change(x: Tensor, fit: Fit) -> Tensor:
            value, where = fit.value(factor, x)
            return _only(where, x * value, x)

        return self._edit("scale", change, positions, strength, rows)

    def replace(
        self, value: Value, *, strength: Strength = 1.0, positions: Positions = "all", rows: Tensor | None = None
    ) -> Edit:
        """value in place of x, as from another run (`lm.read`)."""

        def change(x: Tensor, fit: Fit) -> Tensor:
            new, where = fit.value(value, x)
            return _only(where, new.expand_as(x), x)

        return self._edit("replace", change, positions, strength, rows)

    def ablate(
        self,
        how: Literal["zero", "mean", "resample"] = "zero",
        *,
        mean: Value | None = None,
        generator: torch.Generator | None = None,
        strength: Strength = 1.0,
        positions: Positions = "all",
        rows: Tensor | None = None,
    ) -> Edit:
        """Zero, `mean`, or the same column of another row of the batch.

        Which other row is drawn anew in every forward pass from `generator`; without one it is the same in every pass.
        """
        if how == "mean":
            if mean is None:
                raise ValueError('ablate("mean") needs mean=, the value to put there')
            return self.replace(mean, strength=strength, positions=positions, rows=rows)
        if how not in ("zero", "resample"):
            raise ValueError(f'ablate takes "zero", "mean" or "resample", got {how!r}')

        def change(x: Tensor, fit: Fit) -> Tensor:
            return torch.zeros_like(x) if how == "zero" else x[_others(len(x), generator, fit).to(x.device)]

        return self._edit(f'ablate("{how}")', change, positions, strength, rows)

    def project_out(
        self, basis: Value, *, strength: Strength = 1.0, positions: Positions = "all", rows: Tensor | None = None
    ) -> Edit:
        """x without its part in the span of `basis`, (*features) or (k, *features), which need not be orthonormal."""

        def change(x: Tensor, fit: Fit) -> Tensor:
            flat = x.flatten(2 if fit.tokens else 1).to(torch.promote_types(x.dtype, torch.float32))
            axes = _orthonormal(torch.as_tensor(fit._lookup(basis)).to(flat), flat.shape[-1], fit)
            return (flat - (flat @ axes) @ axes.T).reshape(x.shape).to(x.dtype)

        return self._edit("project_out", change, positions, strength, rows)

    def clamp(
        self,
        low: Value | None = None,
        high: Value | None = None,
        *,
        strength: Strength = 1.0,
        positions: Positions = "all",
        rows: Tensor | None = None,
    ) -> Edit:
        """x, at least `low` and at most `high`."""
        if low is None and high is None:
            raise ValueError("clamp needs low, high or both")

        def change(x: Tensor, fit: Fit) -> Tensor:
            new = x
            for bound, limit in ((low, torch.maximum), (high, torch.minimum)):
                if bound is not None:
                    value, where = fit.value(bound, x)
                    new = _only(where, limit(new, value), x)
            return new

        return self._edit("clamp", change, positions, strength, rows)

    def apply(
        self,
        fn: Callable[[Tensor], Tensor],
        *,
        strength: Strength = 1.0,
        positions: Positions = "all",
        rows: Tensor | None = None,
    ) -> Edit:
        """fn(x) for the whole tensor of the pass, (rows, columns, *features); it counts at the chosen tokens only."""
        return self._edit("apply", lambda x, _: fn(x), positions, strength, rows)


def _only(where: Tensor | bool, new: Tensor, x: Tensor) -> Tensor:
    """`new` in the columns that have a value."""
    if isinstance(where, bool):
        return new
    return torch.where(where.reshape(*where.shape, *(1,) * (x.ndim - 2)), new, x)


def _others(rows: int, generator: torch.Generator | None, fit: Fit) -> Tensor:
    """(rows,) for each row the number of another one: a random cycle through all of them."""
    if rows < 2:
        raise ValueError(f'ablate("resample") at {fit.site} needs at least two rows in the batch, got {rows}')
    order = torch.randperm(rows, generator=generator if generator is not None else torch.Generator().manual_seed(0))
    return torch.empty_like(order).scatter_(0, order, order.roll(1))


def _orthonormal(basis: Tensor, features: int, fit: Fit) -> Tensor:
    """(features, k) orthonormal columns with the span of `basis`."""
    if basis.numel() % features or basis.numel() == 0:
        raise ValueError(f"a basis of shape {tuple(basis.shape)} does not fit {fit.site}, which has {features} features")
    rows = basis.reshape(-1, features)
    if len(rows) == 1:
        return (rows / rows.norm()).T
    axes, triangle = torch.linalg.qr(rows.T)
    diagonal = triangle.diagonal().abs()
    if len(rows) > features or bool(diagonal.min() <= 1e-6 * diagonal.max()):
        raise ValueError(f"the {len(rows)} vectors of a basis for {fit.site} depend on each other; leave some out")
    return axes


def flatten(edits: Iterable[Edit | Iterable[Edit]]) -> list[Edit]:
    """Edits out of edits and lists of edits."""
    found: list[Edit] = []
    for edit in edits:
        if isinstance(edit, Edit):
            found.append(edit)
        elif isinstance(edit, Iterable) and not isinstance(edit, Editable):
            found.extend(flatten(edit))
        else:
            raise TypeError(f"an edit is asked for, as act.residual[12].add(v), got {edit!r}")
    return found
