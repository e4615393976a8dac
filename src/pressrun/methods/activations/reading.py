"""What was read, and how it is picked out of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .positions import Call, Selector
from .sites import Site, Sites
from .structure import Structure

__all__ = ["Activations", "pick"]


class Activations(Mapping[Site, Tensor]):
    """Tensors by site. Asking for a part of what was read gives that part: `seen[act.head[4, 2]]` after `act.head[4]`.

    Attributes:
        mask: (rows, columns) true for real tokens, of the pass that was read; None for a network without tokens.
    """

    def __init__(self, structure: Structure, tensors: dict[Site, Tensor], mask: Tensor | None = None) -> None:
        self._structure = structure
        self._tensors = tensors
        self.mask = mask

    def __getitem__(self, site: Site) -> Tensor:
        single = self._structure.sites(site)
        if len(single) != 1:
            raise KeyError(f"{site} is {len(single)} sites; seen.stack({site}) gives them as one tensor")
        found = self._tensors.get(single[0])
        if found is None:
            found = self._part(single[0])
        if found is None:
            raise KeyError(f"{site} was not read; there is {', '.join(map(str, self._tensors)) or 'nothing'}")
        return found

    def _part(self, site: Site) -> Tensor | None:
        """The units of a site out of the whole of it."""
        whole = self._tensors.get(Site(site.kind, site.layer, None, site.path))
        return None if whole is None else whole[self._structure.place(site).index]

    def __iter__(self) -> Iterator[Site]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"Activations({', '.join(f'{site}: {tuple(value.shape)}' for site, value in self._tensors.items())})"

    def stack(self, sites: Site | Sites | None = None) -> Tensor:
        """(sites, …), in the order asked for; all of them if none are named."""
        asked = list(self) if sites is None else self._structure.sites(sites)
        return torch.stack([self[site] for site in asked])


def pick(x: Tensor, selector: Selector, call: Call, *, tokens: bool, keep: bool) -> Tensor:
    """The chosen tokens of x, (rows, columns, *features), in memory of their own unless `keep`.

    Shapes: (rows, columns, *features) for all and prompt, (rows, *features) for one a row, (rows, k, *features) for a
    list, (tokens, *features) for masks, slices and decode.
    """
    if not tokens:
        if selector.positions == "all":
            return x if keep else x.clone()
        return x[selector.choose(call)]
    if selector.shape == "all":
        return x if keep else x.clone(memory_format=torch.contiguous_format)
    if selector.shape == "flat":
        chosen = selector.choose(call)
        every = torch.full(x.shape[:2], chosen, device=x.device) if isinstance(chosen, bool) else chosen[:, -x.shape[1] :]
        return x[every]
    columns = selector.columns(call).to(x.device)
    rows: Any = torch.arange(len(x), device=x.device)[:, None]
    found = x[rows, columns]
    return found[:, 0] if selector.shape == "one" else found
