"""Steering by forgetting: directions are taken out of the activation, whatever it holds of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.activations.positions import Positions

from ._inputs import Batch, Inputs
from .directions import erasure_basis, mean_difference, random_directions
from .vectors import Strength, read_one_a_row

__all__ = ["ProjectOut"]


@dataclass(frozen=True)
class ProjectOut:
    """h - strength · (h U) Uᵀ at a site; at strength 1 nothing is left in the span of U.

    With no rank U is the mean difference of the two groups (directional ablation), else the directions of so many probes, each trained on
    what the ones before left (INLP). Either is the same with the labels turned round.

    Attributes:
        site: a single site.
        rank: how many probes; None for the mean difference.
        reads: the token learnt from, one a row.
        positions: the tokens steered.
        basis: (directions, width), orthonormal. None until learnt.
    """

    site: act.Site
    rank: int | None = None
    reads: Positions = "last_prompt"
    positions: Positions = "all"
    basis: Tensor | None = None

    def observe(self, model: act.Model, inputs: Inputs, batch: int = 16) -> dict[act.Site, Tensor]:
        return read_one_a_row(model, inputs, self.site, self.reads, batch)

    def fit(self, seen: Mapping[act.Site, Tensor], labels: Tensor) -> Self:
        (x,) = seen.values()
        basis = mean_difference(x, labels)[None] if self.rank is None else erasure_basis(x, labels, rank=self.rank)
        return replace(self, basis=basis)

    def random(self, generator: torch.Generator) -> Self:
        basis = self._learnt()
        drawn = random_directions(len(basis), basis.shape[1], generator)
        return replace(self, basis=torch.linalg.qr(drawn.T).Q.T.contiguous())

    def edits(self, model: act.Model, inputs: Batch, strength: Strength) -> list[act.Edit]:  # noqa: ARG002  # those of `Method`
        return [self.site.project_out(self._learnt(), strength=strength, positions=self.positions)]

    def _learnt(self) -> Tensor:
        if self.basis is None:
            raise ValueError(f"Nothing is chosen to be taken out of {self.site} yet: learn it first, or give it a basis")
        return self.basis
