"""Experts of a mixture: which fire for a behaviour, and switching them off or on (arXiv:2502.11096, mixture of tunable experts).

An expert is named by a pair (layer, expert). Gates are dense, (..., experts): the weight of each expert for a token, 0 where the
router did not choose it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self

import torch
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.activations.positions import Positions

from ._inputs import Batch, Inputs, batches
from .controls import matched_random
from .vectors import Strength

__all__ = [
    "Expert",
    "ExpertSteering",
    "expert_edits",
    "expert_usage",
    "matched_random_experts",
    "read_expert_usage",
    "resonance_map",
    "top_experts",
    "tune_gates",
]

Expert = tuple[int, int]


def expert_usage(gates: Tensor, mask: Tensor | None = None, *, weighted: bool = False) -> Tensor:
    """(prompts, experts): the share of a prompt's tokens that visit each expert; shares, so that long prompts weigh no more.

    Args:
        gates: (prompts, tokens, experts), dense.
        mask: (prompts, tokens), True where a token counts; None: everywhere. Leave out padding and what every prompt shares.
        weighted: take the mean gate instead of the share of visits.
    """
    real = torch.ones(gates.shape[:2], dtype=torch.bool, device=gates.device) if mask is None else mask.bool()
    if gates.ndim != 3 or real.shape != gates.shape[:2] or not bool(real.any(1).all()):
        raise ValueError(
            f"gates must be (prompts, tokens, experts) with a token that counts in every prompt, got {tuple(gates.shape)} and "
            f"a mask {tuple(real.shape)}"
        )
    visits = gates.float() if weighted else (gates != 0).float()
    return (visits * real[..., None]).sum(1) / real.sum(1, keepdim=True)


def read_expert_usage(
    model: act.Model, inputs: Inputs, *, positions: Positions = "prompt", weighted: bool = False, batch: int = 16
) -> Tensor:
    """(prompts, layers, experts): `expert_usage` of every mixture layer of the model, in the order of `act.expert[:]`."""
    usages = []
    for part in batches(model, inputs, batch):
        seen = model.read(part, act.expert[:], positions)
        usages.append(torch.stack([expert_usage(gates, seen.mask, weighted=weighted) for gates in seen.values()], dim=1))
    return torch.cat(usages)


def resonance_map(usage: Tensor, target: Tensor, *, score: Literal["difference", "contrast_ratio"] = "difference") -> Tensor:
    """(layers, experts): mean usage over the prompts with the behaviour minus that over the others.

    Args:
        usage: (prompts, layers, experts).
        target: (prompts,), True for the prompts with the behaviour, by the model's own response.
        score: "difference" a - b, or "contrast_ratio" (a - b) / (a + b), 0 for experts that never fire.
    """
    target = target.bool()
    if usage.ndim != 3 or target.shape != usage.shape[:1] or not bool(target.any()) or bool(target.all()):
        raise ValueError(
            f"usage must be (prompts, layers, experts) with prompts of both kinds, got {tuple(usage.shape)} and "
            f"{int(target.sum())} of {len(target)} prompts with the behaviour"
        )
    a, b = usage[target].float().mean(0), usage[~target].float().mean(0)
    if score == "difference":
        return a - b
    if score == "contrast_ratio":
        return torch.where(a + b > 0, (a - b) / (a + b).clamp_min(torch.finfo(a.dtype).tiny), 0.0)
    raise ValueError(f'score must be "difference" or "contrast_ratio", got {score!r}')


def top_experts(resonance: Tensor, k: int) -> list[Expert]:
    """The k experts with the largest resonance, largest first; equal ones by layer, then expert. Layers count rows of the map."""
    if not 0 <= k <= resonance.numel():
        raise ValueError(f"k must be from 0 to {resonance.numel()}, the number of experts, got {k}")
    order = resonance.flatten().argsort(descending=True, stable=True)[:k]
    return [divmod(int(i), resonance.shape[1]) for i in order]


def matched_random_experts(
    usage: Tensor, chosen: Sequence[Expert], sets: int, generator: torch.Generator, *, nearest: int = 5
) -> list[list[Expert]]:
    """Random sets to compare `chosen` with: for each expert another of the same layer, among the nearest in usage.

    Experts that are used more hurt more when removed, so a set that is not matched on usage is no control.

    Args:
        usage: (layers, experts), mean usage over all prompts.
        chosen: what to match; no set holds one of them.
        sets: how many sets.
        generator: draws among the candidates.
        nearest: how many candidates each replacement is drawn from.
    """
    experts = usage.shape[1]
    layers = torch.arange(usage.numel()) // experts
    flat = [layer * experts + expert for layer, expert in chosen]
    found = matched_random(usage.reshape(-1, 1), flat, sets, generator, nearest=nearest, groups=layers)
    return [[divmod(i, experts) for i in one] for one in found]


def tune_gates(
    gates: Tensor,
    *,
    suppress: Collection[int] = (),
    stimulate: Mapping[int, float] | None = None,
    renormalise: bool = True,
) -> Tensor:
    """Dense gates with some experts switched off and others forced; no expert is drawn into a place that becomes free.

    Args:
        gates: (..., experts).
        suppress: experts whose gate becomes 0.
        stimulate: expert -> its share of the token's total gate, within 0 and 1 together. Where it was not chosen it takes the place
            of a suppressed expert, or else of the weakest.
        renormalise: the gates of the others grow, or shrink, so that the total stays what it was. Where no other is left, nothing
            grows: a token whose experts are all suppressed has gates of 0, and only a shared expert answers.
    """
    experts, stimulate = gates.shape[-1], dict(stimulate or {})
    named = [*suppress, *stimulate]
    if not all(0 <= e < experts for e in named) or len(set(named)) < len(named):
        raise ValueError(f"Experts must lie from 0 to {experts - 1}, each suppressed or stimulated once, got {named}")
    if not all(share >= 0 for share in stimulate.values()) or sum(stimulate.values()) > 1:
        raise ValueError(f"The shares of stimulated experts must be 0 or more and at most 1 together, got {stimulate}")
    total, places = gates.sum(-1, keepdim=True), (gates != 0).sum(-1)
    tuned = gates.clone()
    tuned[..., list(suppress)] = 0.0
    for expert in stimulate:
        full = ((tuned != 0).sum(-1) >= places) & (tuned[..., expert] == 0)
        weakest = tuned.masked_fill(tuned == 0, torch.inf).argmin(-1, keepdim=True)
        tuned = torch.where(full[..., None], tuned.scatter(-1, weakest, 0.0), tuned)
        # It holds its place while the next one looks for one, and gets its share below.
        tuned[..., expert] = torch.inf
    tuned[..., list(stimulate)] = 0.0
    left = tuned.sum(-1, keepdim=True)
    if renormalise:
        tuned = tuned * torch.where(left > 0, (1 - sum(stimulate.values())) * total / left, 0.0)
    for expert, share in stimulate.items():
        tuned[..., expert] = share * total[..., 0]
    return tuned


def expert_edits(
    suppress: Collection[Expert] = (),
    stimulate: Mapping[Expert, float] | None = None,
    *,
    refill: bool = False,
    renormalise: bool = True,
    positions: Positions = "all",
    strength: Strength = 1.0,
) -> list[act.Edit]:
    """Edits that switch experts of a model off or force them, see `tune_gates`; layers are the model's.

    A strength below 1 goes a part of the way, from the gates as they are (with `refill` there is no part way).

    `refill=True` suppresses before the choice: the router's logit becomes -inf and the next best expert is drawn in.
    """
    off: dict[int, list[int]] = defaultdict(list)
    for layer, expert in suppress:
        off[layer].append(expert)
    on: dict[int, dict[int, float]] = defaultdict(dict)
    for (layer, expert), share in (stimulate or {}).items():
        on[layer][expert] = share
    edits = []
    for layer in sorted(off.keys() | on.keys()):
        if refill and off[layer]:
            edits.append(act.router[layer].apply(partial(_shut, experts=off[layer]), positions=positions))
        if on[layer] or not refill:
            shut = [] if refill else off[layer]
            tune = partial(tune_gates, suppress=shut, stimulate=on[layer], renormalise=renormalise)
            edits.append(act.expert[layer].apply(tune, positions=positions, strength=strength))
    return edits


def _shut(logits: Tensor, experts: list[int]) -> Tensor:
    return logits.index_fill(-1, torch.tensor(experts, device=logits.device), -torch.inf)


@dataclass(frozen=True)
class ExpertSteering:
    """Switch off the k experts that fire most for the unwanted inputs and least for the wanted ones; at strength 1 altogether.

    `random` takes others of the same layers that are used about as much.

    Attributes:
        k: how many.
        positions: the tokens at which they are off; they are learnt from the whole prompt.
        experts: (row, expert) pairs, rows counting the model's mixture layers from 0. None until learnt.
        usage: (mixture layers, experts), mean over what it was learnt from.
    """

    k: int = 10
    positions: Positions = "all"
    experts: tuple[Expert, ...] | None = None
    usage: Tensor | None = None

    def observe(self, model: act.Model, inputs: Inputs, batch: int = 16) -> Tensor:
        return read_expert_usage(model, inputs, batch=batch)

    def fit(self, seen: Tensor, labels: Tensor) -> Self:
        return replace(self, experts=tuple(top_experts(resonance_map(seen, labels == 0), self.k)), usage=seen.mean(0))

    def random(self, generator: torch.Generator) -> Self:
        experts, usage = self._learnt()
        (others,) = matched_random_experts(usage, experts, 1, generator)
        return replace(self, experts=tuple(others))

    def edits(self, model: act.Model, inputs: Batch, strength: Strength) -> list[act.Edit]:  # noqa: ARG002  # those of `Method`
        experts, _ = self._learnt()
        layers = [site.layer for site in model.sites(act.expert[:])]
        named = [(layer, expert) for row, expert in experts if isinstance(layer := layers[row], int)]
        return expert_edits(named, positions=self.positions, strength=strength)

    def _learnt(self) -> tuple[tuple[Expert, ...], Tensor]:
        if self.experts is None or self.usage is None:
            raise ValueError("No experts are chosen yet: learn them first")
        return self.experts, self.usage
