"""The language that a model answers in: how much it leans to one, which latents turn it, and an edit that does (arXiv:2602.00945).

The paper fits its autoencoders on residuals of length 1 and edits residuals as they are; it reads them before a block and writes behind
it. Here reading and writing are one: residuals are brought to length 1, and what is added is in units of their norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.activations.positions import Positions

from ._inputs import Batch
from .controls import matched_random
from .sae import SAEQuality, SparseAutoencoder, train_sae
from .subspaces import ShiftSubspace, selectivity, shift_subspace, signed_shift

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "LanguageFeatures",
    "LanguageSwitch",
    "language_features",
    "language_mass",
    "language_token_sets",
    "relative_push",
    "signed_edit",
    "swept_lift",
    "unit_rows",
]


def language_mass(logits: Tensor, target: Sequence[int], default: Sequence[int]) -> Tensor:
    """Probability of the target tokens minus that of the default ones, (...), of logits (..., vocabulary): from -1 to 1.

    Raises:
        ValueError: if either is empty or they share a token.
    """
    if not target or not default or set(target) & set(default):
        raise ValueError(
            f"Both languages need tokens and none may belong to both, got {len(target)} and {len(default)} "
            f"that share {len(set(target) & set(default))}"
        )
    p = logits.float().softmax(dim=-1)
    return p[..., list(target)].sum(dim=-1) - p[..., list(default)].sum(dim=-1)


def language_token_sets(
    tokenizer: PreTrainedTokenizerBase, target: Sequence[str], default: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Token ids of the words of two languages that are one token, behind a space or at the start of a text; shared ones are left out."""

    def ids(words: Sequence[str]) -> set[int]:
        forms = [form for word in words for form in (f" {word}", f" {word.capitalize()}", word.capitalize())]
        return {found[0] for found in tokenizer(forms, add_special_tokens=False).input_ids if len(found) == 1}

    first, second = ids(target), ids(default)
    return sorted(first - second), sorted(second - first)


def unit_rows(x: Tensor) -> Tensor:
    """x at length 1 along its last axis, in float32; zeros stay zeros."""
    return torch.nn.functional.normalize(x.float(), dim=-1)


def swept_lift(
    model: act.Model,
    inputs: Batch,
    site: act.Site,
    directions: Tensor,
    alphas: Sequence[float],
    metric: Callable[[Tensor], Tensor],
) -> Tensor:
    """(features,): `causal_lift` of directions added at the last token of the prompts, many in one forward pass.

    Args:
        inputs: prompts.
        site: of one residual stream.
        directions: (features, width), such as decoder rows.
        alphas: sizes to try, in residual norms; none of them 0.
        metric: logits at the last token, (prompts, vocabulary), to the effect, (prompts,).
    """
    if not alphas or not all(alphas):
        raise ValueError(f"alphas must be one or more numbers other than 0, got {list(alphas)}")
    norms = model.read(inputs, site, "last_prompt")[site].norm(dim=-1, keepdim=True)
    pushes = [site.add(norms * v.to(norms), strength=alpha, positions="last_prompt") for v in directions for alpha in alphas]
    effect = model.sweep(inputs, [site.scale(1.0), *pushes], metric).float().mean(dim=1)
    gains = (effect[1:] - effect[0]).view(len(directions), len(alphas))
    return (gains / torch.tensor(alphas)).quantile(0.5, dim=1)


def signed_edit(
    site: act.Site,
    sae: SparseAutoencoder,
    features: Tensor,
    subspace: ShiftSubspace,
    *,
    towards: Tensor,
    away: Tensor,
    plus: float,
    minus: float,
    positions: Positions = "all",
) -> act.Edit:
    """Adds `signed_shift` of the chosen latents to the residual stream, plus the target language and minus the default one.

    Args:
        site: of one residual stream.
        sae: of residuals of length 1 at this site.
        features: (F,) numbers of the latents that are read and written.
        subspace: of their shifts between the languages.
        towards, away: (F,), the mean shift, and the mean latents of prompts that are answered in the default language.
        plus, minus: strengths. Decoder rows have length 1 and what they write is in residual norms.
        positions: where it is at work; the paper's is the last token of every forward pass, `slice(-1, None)`.
    """
    rows = sae.decoder.detach()[features]

    def shifted(h: Tensor) -> Tensor:
        z = sae.encode(unit_rows(h))[..., features].detach()
        shift = signed_shift(z, subspace, towards=towards, away=away, plus=plus, minus=minus)
        return _added(h, shift @ rows)

    return site.apply(shifted, positions=positions)


def relative_push(site: act.Site, v: Tensor, positions: Positions = "all") -> act.Edit:
    """Adds v, (width,), times the norm of each token's own residual: what a `signed_edit` without minus does, of any direction."""
    return site.apply(lambda h: _added(h, v), positions=positions)


def _added(h: Tensor, v: Tensor) -> Tensor:
    """h plus v in units of each token's own norm, in float32 on the way."""
    x = h.float()
    norms: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return (x + norms * v).to(h.dtype)


@dataclass(frozen=True)
class LanguageFeatures:
    """Stage I at one layer: an autoencoder, and which of its latents belong to the target language and cause it.

    `score` (latents,) is selectivity times lift, 0 where either is not positive or the lift was not measured; `z_target` and `z_default`
    (pairs, latents) are those of translations, `z_weak` (prompts, latents) those of prompts that leave the language open;
    `mean_difference` (width,) is that of the translations' residuals, at length 1 each.
    """

    site: act.Site
    sae: SparseAutoencoder
    quality: SAEQuality
    score: Tensor
    z_target: Tensor
    z_default: Tensor
    z_weak: Tensor
    mean_difference: Tensor

    @property
    def chosen(self) -> Tensor:
        """Numbers of the latents with a positive score; where there are none, of the most selective one."""
        found = (self.score > 0).nonzero()[:, 0]
        return found if len(found) else selectivity(self.z_target, self.z_default).argmax()[None]

    @property
    def stats(self) -> Tensor:
        """(latents, 2): mean activation and frequency over both languages, to match random latents by."""
        z = torch.cat([self.z_target, self.z_default])
        return torch.stack([z.mean(0), (z > 0).float().mean(0)], dim=1)

    def random(self, generator: torch.Generator) -> Tensor:
        """As many other latents, of like mean activation and frequency."""
        return torch.tensor(matched_random(self.stats, self.chosen.tolist(), 1, generator)[0])

    def shifts(self, features: Tensor) -> Tensor:
        """(pairs, F): from the default language to the target one."""
        return (self.z_target - self.z_default)[:, features]


def language_features(
    site: act.Site,
    target: Tensor,
    default: Tensor,
    weak: Tensor,
    lift: Callable[[Tensor], Tensor],
    *,
    latents: int,
    kept: int = 50,
    steps: int = 1500,
    batch: int = 256,
    sparsity: float = 5e-3,
    generator: torch.Generator | None = None,
) -> LanguageFeatures:
    """Train the autoencoder of one layer and score its latents.

    Args:
        site: of the residual stream read.
        target, default: (pairs, width), residuals at the last token of translations.
        weak: (prompts, width), of prompts that leave the language open.
        lift: directions (features, width) to their causal lifts (features,), such as `swept_lift` on the weak prompts.
        latents: of the autoencoder; kept: the most selective ones, whose lift is measured; steps, batch, sparsity: of `train_sae`.
    """
    target, default, weak = unit_rows(target), unit_rows(default), unit_rows(weak)
    sae = SparseAutoencoder(target.shape[1], latents, activation="relu", tied=True, generator=generator)
    quality = train_sae(sae, torch.cat([target, default]), steps=steps, batch=batch, sparsity=sparsity, generator=generator)
    with torch.no_grad():
        z_target, z_default, z_weak = sae.encode(target), sae.encode(default), sae.encode(weak)
    selective = selectivity(z_target, z_default)
    best = selective.argsort(descending=True, stable=True)[:kept]
    score = torch.zeros(latents)
    score[best] = selective[best].clamp_min(0) * lift(sae.decoder.detach()[best]).clamp_min(0)
    return LanguageFeatures(site, sae, quality, score, z_target, z_default, z_weak, target.mean(0) - default.mean(0))


@dataclass(frozen=True)
class LanguageSwitch:
    """Stages II and III at one layer: the main directions of the shift within some latents, and the edit along them."""

    layer: LanguageFeatures
    features: Tensor
    subspace: ShiftSubspace
    towards: Tensor
    away: Tensor

    @classmethod
    def of(cls, layer: LanguageFeatures, features: Tensor) -> Self:
        """Of the shifts of those latents. Where weak prompts have none of them on, what is taken away is along the mean shift."""
        shifts = layer.shifts(features)
        towards, away = shifts.mean(0), layer.z_weak[:, features].mean(0)
        return cls(layer, features, shift_subspace(shifts), towards, away if bool(away.any()) else towards)

    def edit(self, plus: float, minus: float, positions: Positions = "all") -> act.Edit:
        return signed_edit(
            self.layer.site,
            self.layer.sae,
            self.features,
            self.subspace,
            towards=self.towards,
            away=self.away,
            plus=plus,
            minus=minus,
            positions=positions,
        )

    @torch.no_grad()
    def length(self, plus: float, minus: float) -> float:
        """Mean length, in residual norms, of what the edit adds to the weak prompts as they are without it."""
        z = self.layer.z_weak[:, self.features]
        shift = signed_shift(z, self.subspace, towards=self.towards, away=self.away, plus=plus, minus=minus)
        return float((shift @ self.layer.sae.decoder[self.features]).norm(dim=1).mean())
