"""Steering vectors, and learning any method from two groups of inputs.

A method reads the model on inputs (`observe`), learns from what it saw and labels (`fit`), and says which edits steer a batch at a
strength (`edits`). `fit` and `random` return a copy, so controls are the method itself, fitted to other labels or with random directions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.activations.positions import Positions

from ._checks import unit
from ._inputs import Batch, Inputs, batches, joined
from .directions import RECIPES, random_directions

__all__ = ["Method", "Provenance", "SteeringVector", "Strength", "learn", "read_one_a_row", "residual_norms", "steered"]

Strength = float | Tensor
"""A number, or (batch,) one a row."""


Seen = TypeVar("Seen")


class Method(Protocol[Seen]):
    """Something that steers and can be learnt."""

    def observe(self, model: act.Model, inputs: Inputs, batch: int = 16) -> Seen:
        """What `fit` needs of the inputs, one row an input."""

    def fit(self, seen: Seen, labels: Tensor) -> Self:
        """A copy that is learnt from what was observed; labels are (n,) of 0 and 1, and 1 is what steering moves towards."""

    def random(self, generator: torch.Generator) -> Self:
        """A copy of the same size whose directions, or places, are random."""

    def edits(self, model: act.Model, inputs: Batch, strength: Strength) -> list[act.Edit]:
        """The edits that steer this batch of inputs, ready for the model."""


M = TypeVar("M", bound=Method[Any])


@dataclass(frozen=True)
class Provenance:
    """Where a vector comes from; what is unknown is empty.

    `data` is the SHA-256 of the texts it was learnt from and their labels; `strength` and `metric` what it was calibrated to and how it
    was judged; `licence` that of the vector; `family` what transformers calls the architecture, such as "llama".
    """

    model: str = ""
    revision: str = ""
    family: str = ""
    data: str = ""
    strength: float | None = None
    metric: str = ""
    licence: str = ""


@dataclass(frozen=True)
class SteeringVector:
    """A unit direction for each of some sites; steering adds strength · norm · direction.

    Attributes:
        sites: where it reads and writes.
        recipe: how directions are made, a name in `directions.RECIPES`.
        reads: the token it learns from, one a row.
        positions: the tokens it is added at.
        directions: site -> a tensor of the site's own shape, length 1. Empty until learnt.
        norms: site -> median norm of the activation over the rows it was learnt from: the unit of strength. 1 where none is given.
        provenance: where it comes from.
    """

    sites: act.Site | act.Sites
    recipe: str = "mean difference"
    reads: Positions = "last_prompt"
    positions: Positions = "all"
    directions: Mapping[act.Site, Tensor] = field(default_factory=dict)
    norms: Mapping[act.Site, float] = field(default_factory=dict)
    provenance: Provenance = Provenance()

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, got {self.recipe!r}")
        object.__setattr__(self, "directions", {site: unit(v) for site, v in self.directions.items()})

    def observe(self, model: act.Model, inputs: Inputs, batch: int = 16) -> dict[act.Site, Tensor]:
        return read_one_a_row(model, inputs, self.sites, self.reads, batch)

    def fit(self, seen: Mapping[act.Site, Tensor], labels: Tensor) -> Self:
        make = RECIPES[self.recipe]
        return replace(
            self,
            directions={site: make(x.flatten(1), labels).view(x.shape[1:]) for site, x in seen.items()},
            norms={site: float(x.flatten(1).float().norm(dim=1).median()) for site, x in seen.items()},
        )

    def random(self, generator: torch.Generator) -> Self:
        drawn = {s: random_directions(1, v.numel(), generator).view_as(v).to(v.device) for s, v in self._learnt().items()}
        return replace(self, directions=drawn)

    def absolute(self, site: act.Site, strength: float = 1.0) -> Tensor:
        """What is added at the site."""
        return strength * self.norms.get(site, 1.0) * self._learnt()[site]

    def edits(self, model: act.Model, inputs: Batch, strength: Strength) -> list[act.Edit]:  # noqa: ARG002  # those of `Method`
        return [site.add(self.absolute(site), strength=strength, positions=self.positions) for site in self._learnt()]

    def _learnt(self) -> Mapping[act.Site, Tensor]:
        if not self.directions:
            raise ValueError(f"This vector for {self.sites} holds no direction yet: learn it first, or give it directions")
        return self.directions


def learn(model: act.Model, method: M, wanted: Inputs, unwanted: Inputs, *, batch: int = 16) -> M:
    """The method, learnt from inputs it should move towards and inputs it should move away from.

    Where there are as many of either, the i-th of both are a pair.
    """
    inputs, labels = joined(wanted, unwanted)
    fitted = method.fit(method.observe(model, inputs, batch), labels)
    if isinstance(fitted, SteeringVector):
        return replace(fitted, provenance=replace(_provenance(model), data=_digest(inputs, labels)))
    return fitted


def steered(model: act.Model, method: Method[Any], inputs: Batch, strength: Strength) -> AbstractContextManager[act.Model]:
    """The model steered for one batch of inputs (`model.inputs(texts)`), as a context."""
    return model.edit(*method.edits(model, inputs, strength))


def residual_norms(
    model: act.Model, inputs: Inputs, sites: act.Site | act.Sites, *, positions: Positions = "last_prompt", batch: int = 16
) -> dict[act.Site, float]:
    """The median norm of the activation at each site, over one token a row: the unit of strength there."""
    seen = read_one_a_row(model, inputs, sites, positions, batch)
    return {site: float(x.flatten(1).float().norm(dim=1).median()) for site, x in seen.items()}


def read_one_a_row(
    model: act.Model, inputs: Inputs, sites: act.Site | act.Sites, positions: Positions, batch: int = 16
) -> dict[act.Site, Tensor]:
    """site -> (n, *features), one token a row; with positions "all", of a network without tokens, the whole activation of each row.

    Raises:
        ValueError: if the positions choose more than one token a row.
    """
    one = positions == "last_prompt" or isinstance(positions, int)
    found: dict[act.Site, list[Tensor]] = {}
    for part in batches(model, inputs, batch):
        seen = model.read(part, sites, positions)
        if not one and (positions != "all" or seen.mask is not None):
            raise ValueError(f'One token a row is read here, such as "last_prompt" or -1, got positions={positions!r}')
        for site, x in seen.items():
            found.setdefault(site, []).append(x)
    return {site: torch.cat(xs) for site, xs in found.items()}


def _provenance(model: act.Model) -> Provenance:
    """Name, revision and family of a transformers model; a folder gives its own name, not the path to it."""
    config = getattr(model.module, "config", None)
    name = str(getattr(config, "_name_or_path", "") or type(model.module).__name__)
    return Provenance(
        model=Path(name).name if Path(name).is_dir() else name,
        revision=str(getattr(config, "_commit_hash", None) or ""),
        family=str(getattr(config, "model_type", "")),
    )


def _digest(inputs: Inputs, labels: Tensor) -> str:
    """SHA-256 of texts or tensors and their labels, in order."""
    digest = hashlib.sha256(bytes(labels.tolist()))
    if isinstance(inputs, Tensor):
        inputs = {"": inputs}
    if isinstance(inputs, Mapping):
        for name, value in sorted(inputs.items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    else:
        for text in inputs:
            digest.update(len(text.encode()).to_bytes(8, "big") + text.encode())
    return digest.hexdigest()
