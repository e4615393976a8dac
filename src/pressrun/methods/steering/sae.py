"""Sparse autoencoders: train a small one, and read and shift single latents of an activation.

x ≈ decode(encode(x)), where z = encode(x) is non-negative and mostly zero and each latent writes one unit vector, its decoder row.
Three ways to be sparse: "topk" keeps the k largest (L. Gao et al., arXiv:2406.04093), "jumprelu" those above a learnt threshold
(S. Rajamanoharan et al., arXiv:2407.14435), "relu" pays for their sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from scipy import stats
from torch import Tensor, nn

from pressrun.methods import activations as act
from pressrun.methods.activations.positions import Positions

from ._checks import rows_and_labels
from ._inputs import Batch, Inputs
from .controls import shuffled_labels
from .vectors import Strength, read_one_a_row

__all__ = [
    "LatentSet",
    "LatentSteering",
    "SAEQuality",
    "SparseAutoencoder",
    "exclusive_latents",
    "latent_edit",
    "sae_quality",
    "selective_latents",
    "shift_latents",
    "train_sae",
]

Activation = Literal["topk", "relu", "jumprelu"]
Normalisation = Literal["none", "layer_norm", "constant_norm_rescale"]

BANDWIDTH = 0.05  # of the kernel that stands for the derivative of the step, for inputs scaled to a mean square of 1


class _Step(torch.autograd.Function):
    """z · 1[z > threshold], and the step itself, with the rectangle kernel of arXiv:2407.14435 (eq. 11, 12) as its derivative.

    The derivative goes to the pre-activation as well as to the threshold (the paper's goes to the threshold alone): the encoder then
    learns what to leave out, and more of a planted dictionary is found.
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,  # noqa: ANN001
        pre: Tensor,
        threshold: Tensor,
        on: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(pre, threshold, on)
        return pre * on, on

    @staticmethod
    def backward(  # type: ignore[no-untyped-def]
        ctx,  # noqa: ANN001
        to_value: Tensor,
        to_on: Tensor,
    ) -> tuple[Tensor, Tensor, None]:
        pre, threshold, on = ctx.saved_tensors
        near = ((pre - threshold).abs() < BANDWIDTH / 2) / BANDWIDTH
        step = near * (threshold * to_value + to_on)
        return to_value * on + step, -step.flatten(0, -2).sum(0), None


class SparseAutoencoder(nn.Module):
    """A dictionary of `latents` directions in a space of `width` dimensions.

    Shapes: `encode` (..., width) -> (..., latents); `decode` back; `forward` the reconstruction. `decoder` is (latents, width), with rows
    of length 1 where `train_sae` trained it; `encoder` is (width, latents).

    Args:
        width: of the activations.
        latents: size of the dictionary.
        activation: "topk", "relu" or "jumprelu".
        k: how many latents "topk" keeps.
        tied: the encoder is the transposed decoder (arXiv:2602.00945).
        decoder_bias: whether there is one; it is taken from the input before encoding.
        generator: draws the decoder; the encoder starts as its transpose.
    """

    normalise: Normalisation
    bias_into_encoder: bool

    def __init__(
        self,
        width: int,
        latents: int,
        *,
        activation: Activation = "topk",
        k: int | None = None,
        tied: bool = False,
        decoder_bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if activation not in ("topk", "relu", "jumprelu"):
            raise ValueError(f'activation must be "topk", "relu" or "jumprelu", got {activation!r}')
        if (activation == "topk") != (k is not None) or (k is not None and not 1 <= k <= latents):
            raise ValueError(f'k is given for activation "topk" alone, from 1 to {latents}, got {k} for {activation!r}')
        self.activation, self.k, self.tied = activation, k, tied
        # Of autoencoders that were trained elsewhere: each activation is brought to mean 0 and standard deviation 1, or to a mean
        # square of 1, and back at the end; and whether the decoder's bias is taken from the input.
        self.normalise, self.bias_into_encoder = "none", True
        rows = nn.functional.normalize(torch.randn(latents, width, generator=generator), dim=1)
        self.decoder = nn.Parameter(rows)
        if not tied:
            self.own_encoder = nn.Parameter(rows.T.clone())
        self.encoder_bias = nn.Parameter(torch.zeros(latents))
        self.decoder_bias = nn.Parameter(torch.zeros(width), requires_grad=decoder_bias)
        # Kept in the file format of other activations as zeros: a latent is on where its pre-activation is above it.
        self.threshold = nn.Parameter(torch.full((latents,), 1e-2 if activation == "jumprelu" else 0.0), activation == "jumprelu")

    @property
    def width(self) -> int:
        return self.decoder.shape[1]

    @property
    def latents(self) -> int:
        return self.decoder.shape[0]

    @property
    def encoder(self) -> Tensor:
        return self.decoder.T if self.tied else self.own_encoder

    def encode(self, x: Tensor) -> Tensor:
        """(..., latents), none of them negative."""
        return self._encode(self._normalised(x)[0])[0]

    def decode(self, z: Tensor) -> Tensor:
        """(..., width), of latents (..., latents); where inputs are normalised, in the normalised space."""
        return z @ self.decoder + self.decoder_bias

    def forward(self, x: Tensor) -> Tensor:
        rows, mean, spread = self._normalised(x)
        return self.decode(self._encode(rows)[0]) * spread + mean

    def spread(self, x: Tensor) -> Tensor:
        """(..., 1): what a step of 1 along a decoder row is in units of x; 1 unless inputs are normalised."""
        return self._normalised(x)[2]

    def _normalised(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if x.shape[-1] != self.width:
            raise ValueError(f"This autoencoder reads activations of width {self.width}, got {tuple(x.shape)}")
        x = x.to(self.decoder.dtype)
        if self.normalise == "none":
            return x, x.new_zeros(()), x.new_ones(())
        if self.normalise == "constant_norm_rescale":
            size = x.norm(dim=-1, keepdim=True) / self.width**0.5
            return x / size, x.new_zeros(()), size
        mean, spread = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        # The small number is on the way in alone, as SAELens has it.
        return (x - mean) / (spread + 1e-5), mean, spread

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latents, and which are on (0 or 1; for "jumprelu" with a derivative to the threshold)."""
        if self.bias_into_encoder:
            x = x - self.decoder_bias
        pre = x @ self.encoder + self.encoder_bias
        if self.k is not None:
            best = pre.topk(self.k, dim=-1)
            z = torch.zeros_like(pre).scatter(-1, best.indices, best.values.relu())
            return z, (z > 0).to(z.dtype)
        if self.activation == "relu":
            z = pre.relu()
            return z, (z > 0).to(z.dtype)
        pre = pre.relu()
        value, on = _Step.apply(pre, self.threshold, (pre > self.threshold).to(pre.dtype))  # type: ignore[no-untyped-call]
        return value, on


@dataclass(frozen=True)
class SAEQuality:
    """How well an autoencoder does: say it next to every result that stands on its latents.

    `explained_variance` is 1 - residual / variance over all dimensions; `l0` the mean number of latents that are on; `dead` the share
    of latents that are on nowhere.
    """

    explained_variance: float
    l0: float
    dead: float


@torch.no_grad()
def sae_quality(sae: SparseAutoencoder, x: Tensor) -> SAEQuality:
    """The quality on activations x, (n, width)."""
    on = torch.cat([sae.encode(part) > 0 for part in x.split(4096)])
    residual = sum(float((sae(part) - part).square().sum()) for part in x.split(4096))
    variance = float((x - x.mean(0)).square().sum())
    return SAEQuality(1 - residual / variance, float(on.sum(1, dtype=torch.float).mean()), float((~on.any(0)).float().mean()))


def train_sae(
    sae: SparseAutoencoder,
    x: Tensor,
    *,
    steps: int,
    batch: int = 256,
    lr: float = 1e-3,
    sparsity: float = 0.0,
    resample_every: int | None = None,
    generator: torch.Generator | None = None,
) -> SAEQuality:
    """Train on activations and say how well it went on the same rows.

    Args:
        sae: trained where it is.
        x: (n, width), best without first tokens, whose norm can be a hundred times that of others. The scale does not matter: training sees them at a mean square of 1 a dimension, and the factor is folded
            into the biases and thresholds at the end.
        steps: of Adam, over batches drawn with replacement.
        batch: rows a step sees.
        lr: step size; falls to 0 over the last fifth.
        sparsity: price of the sum of the latents ("relu"), or of their number ("jumprelu"), both a row, beside the mean squared
            error a dimension; grows from 0 over the first half. "topk" needs none.
        resample_every: at these steps, but for the last fifth, latents that were on nowhere since the last time start anew, at rows
            that are reconstructed badly. None: a tenth of all steps, and 100 or more.
        generator: draws batches and rows.
    """
    if x.ndim != 2 or x.shape[1] != sae.width or steps < 1 or sae.normalise != "none":
        raise ValueError(
            f"Training needs x (n, {sae.width}), one step or more and inputs as they are, got {tuple(x.shape)}, {steps}"
        )
    x = x.detach().to(sae.decoder.dtype)
    # Mean square of 1 a dimension around the mean, so that lr, sparsity and the bandwidth mean the same for every layer.
    scale = float((x - x.mean(0)).square().mean().sqrt())
    if scale == 0:
        raise ValueError("All activations are the same: there is nothing to train on")
    _fold(sae, scale)
    with torch.no_grad():
        if sae.decoder_bias.requires_grad and not bool(sae.decoder_bias.any()):
            sae.decoder_bias.copy_(x.mean(0) / scale)
    optimiser = torch.optim.Adam([p for p in sae.parameters() if p.requires_grad], lr=lr, betas=(0.9, 0.999))
    every = resample_every or max(100, steps // 10)
    fired = torch.zeros(sae.latents, dtype=torch.bool)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1.0, 5 * (steps - step) / steps)
        rows = x[torch.randint(len(x), (batch,), generator=generator)] / scale
        z, on = sae._encode(rows)
        loss = (sae.decode(z) - rows).square().mean()
        if sparsity:
            loss = loss + sparsity * min(1.0, 2 * step / steps) * (z if sae.activation == "relu" else on).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        _keep_in_bounds(sae)
        fired |= (on.detach() > 0).any(0).cpu()
        if (step + 1) % every == 0 and step < 0.8 * steps:
            _resample(sae, optimiser, x / scale, ~fired, generator)
            fired.zero_()
    _fold(sae, 1 / scale)
    return sae_quality(sae, x)


@torch.no_grad()
def _fold(sae: SparseAutoencoder, scale: float) -> None:
    """Make the autoencoder of x the one of x / scale: latents shrink with it, so biases and thresholds do, and weights stay."""
    for p in (sae.encoder_bias, sae.decoder_bias):
        p.div_(scale)
    if sae.activation == "jumprelu":
        sae.threshold.div_(scale)


@torch.no_grad()
def _keep_in_bounds(sae: SparseAutoencoder) -> None:
    """Decoder rows of length 1, thresholds not below 0."""
    sae.decoder.div_(sae.decoder.norm(dim=1, keepdim=True).clamp_min(1e-12))
    sae.threshold.clamp_(min=0.0)


@torch.no_grad()
def _resample(
    sae: SparseAutoencoder, optimiser: torch.optim.Optimizer, x: Tensor, dead: Tensor, generator: torch.Generator | None
) -> None:
    """Start dead latents anew at rows that are reconstructed badly (T. Bricken et al., "Towards monosemanticity", 2023).

    Rows are drawn by their error in relation to their own size: by the error itself a few rows of huge norm, such as the first token
    of every text, would get all the latents, and together overshoot.
    """
    index = dead.nonzero()[:, 0]
    if not len(index):
        return
    some = x[torch.randint(len(x), (4096,), generator=generator)]
    error = some - sae(some)
    share = error.square().sum(1) / (some - x.mean(0)).square().sum(1).clamp_min(1e-12)
    worst = torch.multinomial(share + 1e-12, len(index), replacement=True, generator=generator)
    rows = nn.functional.normalize(error[worst], dim=1)
    alive = sae.encoder[:, ~dead].norm(dim=0).mean() if bool((~dead).any()) else torch.tensor(1.0)
    sae.decoder[index] = rows
    if not sae.tied:
        sae.own_encoder[:, index] = 0.2 * alive * rows.T
    sae.encoder_bias[index] = 0.0
    if sae.activation == "jumprelu":
        sae.threshold[index] = 1e-2
    for parameter, place in ((sae.decoder, (index,)), (sae.encoder_bias, (index,))):
        for moment in ("exp_avg", "exp_avg_sq"):
            optimiser.state[parameter][moment][place] = 0.0
    if not sae.tied:
        for moment in ("exp_avg", "exp_avg_sq"):
            optimiser.state[sae.own_encoder][moment][:, index] = 0.0


def shift_latents(
    sae: SparseAutoencoder,
    h: Tensor,
    latents: Tensor | list[int],
    *,
    to: float | Tensor | None = None,
    scale: float | Tensor | None = None,
    by: float | Tensor | None = None,
) -> Tensor:
    """h + (z' - z) · decoder for the latents named: only their difference is written, so what the autoencoder cannot reconstruct
    of h stays in it.

    Args:
        sae: whose latents.
        h: (..., width).
        latents: which; z' differs from z in these alone.
        to: their new value (0 takes them out), or
        scale: the factor on their value, or
        by: what is added to it. One of the three; a tensor broadcasts over (..., latents named).
    """
    if sum(choice is not None for choice in (to, scale, by)) != 1:
        raise ValueError("Give one of to, scale and by: what the latents become")
    index = torch.as_tensor(latents, dtype=torch.long, device=h.device).reshape(-1)
    if by is not None:
        change = torch.as_tensor(by, dtype=sae.decoder.dtype, device=h.device).expand(*h.shape[:-1], len(index))
    else:
        z = sae.encode(h)[..., index]
        change = (z * scale if scale is not None else to) - z  # type: ignore[operator]  # one of the three is there
    return h + ((change @ sae.decoder[index]) * sae.spread(h)).to(h.dtype)


def latent_edit(
    site: act.Site,
    sae: SparseAutoencoder,
    latents: Tensor | list[int],
    *,
    to: float | Tensor | None = None,
    scale: float | Tensor | None = None,
    by: float | Tensor | None = None,
    positions: Positions = "all",
    strength: Strength = 1.0,
) -> act.Edit:
    """`shift_latents` as an edit of a site of a model."""
    return site.apply(lambda h: shift_latents(sae, h, latents, to=to, scale=scale, by=by), positions=positions, strength=strength)


@dataclass(frozen=True)
class LatentSet:
    """Latents that tell two groups apart: `index`, and for each of them its `effect` and `q`.

    `by_chance` is how many as many would be found with labels that know nothing (mean over shuffles; nan where none were asked for).
    """

    index: Tensor
    effect: Tensor
    q: Tensor
    by_chance: float

    def __len__(self) -> int:
        return len(self.index)


def selective_latents(
    z: Tensor,
    y: Tensor,
    *,
    by: Literal["effect", "presence"] = "effect",
    fdr: float = 0.01,
    least: float = 0.5,
    share: float = 0.5,
    shuffles: int = 0,
    generator: torch.Generator | None = None,
) -> LatentSet:
    """Latents that are larger in the rows labelled 1, by falling effect.

    Args:
        z: (n, latents); y: (n,) of 0 and 1.
        by: "effect" takes those whose means differ by `least` pooled standard deviations or more with a false discovery rate below
            `fdr` (Welch's test, Benjamini and Hochberg); "presence" those that are on in at least `share` of the rows labelled 1 and
            at most a quarter of that share of the others.
        shuffles: how often to count again with shuffled labels, from `generator`. Tens of thousands of latents give finds by chance.
    """
    if by not in ("effect", "presence") or (shuffles and generator is None):
        raise ValueError(f'by must be "effect" or "presence", and shuffles need a generator, got {by!r} and {shuffles} shuffles')
    found, effect, q = _select(z, y, by, fdr, least, share)
    counts = [len(_select(z, shuffled_labels(y, generator), by, fdr, least, share)[0]) for _ in range(shuffles) if generator]
    return LatentSet(found, effect[found], q[found], sum(counts) / shuffles if shuffles else float("nan"))


def _select(z: Tensor, y: Tensor, by: str, fdr: float, least: float, share: float) -> tuple[Tensor, Tensor, Tensor]:
    a, b = rows_and_labels(z.detach().double(), y)
    spread = ((a.var(0) + b.var(0)) / 2).sqrt()
    gap = a.mean(0) - b.mean(0)
    effect = torch.where(gap == 0, 0.0, gap / spread)
    with torch.no_grad():
        p = torch.from_numpy(stats.ttest_ind(a.numpy(), b.numpy(), equal_var=False, alternative="greater").pvalue).nan_to_num(1.0)
    q = torch.from_numpy(stats.false_discovery_control(p.numpy()))
    if by == "presence":
        keep = ((a > 0).double().mean(0) >= share) & ((b > 0).double().mean(0) <= share / 4)
    else:
        keep = (q < fdr) & (effect >= least)
    index = keep.nonzero()[:, 0]
    return index[effect[index].argsort(descending=True, stable=True)], effect, q


def exclusive_latents(active_in: Tensor, silent_in: Tensor, *, share: float = 0.8, eps: float = 1e-8) -> Tensor:
    """Latents that are on in at least `share` of the rows of one group and in no row of the other (arXiv:2602.06941).

    Args:
        active_in, silent_in: (n, latents), such as the largest value of each latent over a text.
        eps: a latent below it is off.

    Returns:
        Their numbers, by falling share, then by falling mean over `active_in`.
    """
    on = (active_in >= eps).double().mean(0)
    index = ((on >= share) & (silent_in < eps).all(0)).nonzero()[:, 0]
    index = index[active_in[:, index].mean(0).argsort(descending=True, stable=True)]
    return index[on[index].argsort(descending=True, stable=True)]


@dataclass(frozen=True)
class LatentSteering:
    """Add to the k latents that tell the groups apart best; at strength 1 each gets the mean it has in the wanted rows.

    `random` takes k other latents and the same amounts.

    Attributes:
        site: a single site, the one the autoencoder was trained on.
        sae: whose latents.
        k: how many.
        reads: the token learnt from, one a row.
        positions: the tokens steered.
        latents, amounts: (k,) which, and how much at strength 1. None until learnt.
    """

    site: act.Site
    sae: SparseAutoencoder
    k: int = 1
    reads: Positions = "last_prompt"
    positions: Positions = "all"
    latents: Tensor | None = None
    amounts: Tensor | None = None

    @torch.no_grad()
    def observe(self, model: act.Model, inputs: Inputs, batch: int = 16) -> Tensor:
        (x,) = read_one_a_row(model, inputs, self.site, self.reads, batch).values()
        return self.sae.encode(x)

    def fit(self, seen: Tensor, labels: Tensor) -> Self:
        _, effect, _ = _select(seen, labels, "effect", 1.0, 0.0, 0.0)
        best = effect.argsort(descending=True, stable=True)[: self.k]
        return replace(self, latents=best, amounts=rows_and_labels(seen, labels)[0][:, best].mean(0))

    def random(self, generator: torch.Generator) -> Self:
        latents, _ = self._learnt()
        others = torch.ones(self.sae.latents, dtype=torch.bool)
        others[latents.cpu()] = False
        free = others.nonzero()[:, 0]
        return replace(self, latents=free[torch.randperm(len(free), generator=generator)[: len(latents)]])

    def edits(self, model: act.Model, inputs: Batch, strength: Strength) -> list[act.Edit]:  # noqa: ARG002  # those of `Method`
        latents, amounts = self._learnt()
        return [latent_edit(self.site, self.sae, latents, by=amounts, positions=self.positions, strength=strength)]

    def _learnt(self) -> tuple[Tensor, Tensor]:
        if self.latents is None or self.amounts is None:
            raise ValueError(f"No latents are chosen for {self.site} yet: learn them first")
        return self.latents, self.amounts
