"""Competitive Hebbian learning: the units of a layer compete for every input, and the winners move towards it.

With u_k = w_k · x for an input (for a convolution: a patch) x and y the softmax of u / tau over the units,

    Δw_k = lr mean[y_k (x - u_k w_k)]      Oja's form: weights settle at unit length
    Δw_k = lr mean[y_k (x - w_k)]          mixture form: w_k is the mean of the inputs that unit k answers for

T. Moraitis et al., "SoftHebb: Bayesian inference in unsupervised Hebbian soft winner-take-all networks", Neuromorphic Computing and
Engineering 2 (2022); for convolutions and the anti-Hebbian competition A. Journé et al., "Hebbian deep learning without feedback",
ICLR 2023. The mean is over all inputs of the batch, and all positions.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the field's name)
from torch.nn.grad import conv2d_weight

__all__ = ["SoftHebbConv2d", "SoftHebbLinear", "kernel_similarity", "soft_hebbian_update"]

HebbianRule = Literal["oja", "mixture"]
Competition = Literal["soft", "hard", "anti"]


def soft_hebbian_update(
    weight: Tensor,
    x: Tensor,
    *,
    lr: float,
    tau: float = 1.0,
    rule: HebbianRule = "oja",
    competition: Competition = "soft",
    standardise: bool = True,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
) -> Tensor:
    """The change of the weights for one batch; add it to `weight`, which is left as it is.

    Args:
        weight: (units, features), or (units, channels, kh, kw) of a convolution without groups.
        x: (B, features), or (B, channels, H, W).
        lr: step size, dimensionless.
        tau: temperature of the softmax; 0 to it is winner-take-all, infinity lets all units answer alike.
        rule: "oja" or "mixture".
        competition: "soft" is the softmax; "hard" gives 1 to the unit with the largest u (the first of equals) and 0 to the others;
            "anti" is the softmax with a minus sign on all but the winner.
        standardise: whether u is divided by its standard deviation over the batch before the softmax, so that tau means the same
            whatever the scale of inputs and weights. Without, the softmax easily saturates to winner-take-all.
        stride, padding (zeros), dilation: of the convolution; unused for a linear layer.

    Returns:
        A tensor of the shape of `weight`, differentiable in weight and x where the competition is.

    Raises:
        ValueError: if shapes do not fit, lr is negative, tau is not positive, or a rule or a competition has another name.
    """
    _check(weight, x, lr, tau, rule, competition)
    image = weight.ndim == 4
    u = F.conv2d(x, weight, None, stride, padding, dilation) if image else x @ weight.T
    y = _responses(u, tau, competition, standardise)
    decay = (y * u if rule == "oja" else y).transpose(0, 1).flatten(1).sum(1)
    # The sum of y x over all patches is the weight gradient of a convolution whose outputs have the gradient y: no unfolding.
    towards = conv2d_weight(x, list(weight.shape), y, stride, padding, dilation) if image else y.T @ x
    change: Tensor = towards - decay.reshape(-1, *[1] * (weight.ndim - 1)) * weight
    return change * (lr * len(weight) / max(u.numel(), 1))


def kernel_similarity(weight: Tensor) -> Tensor:
    """Mean absolute cosine between the weights of different units: near 1 when all have learnt the same, as when inputs are not centred.

    Args:
        weight: (units, ...), at least 2 units.

    Raises:
        ValueError: if there are fewer than 2 units.
    """
    if len(weight) < 2:
        raise ValueError(f"weight must have at least 2 units to compare, got {tuple(weight.shape)}")
    rows = F.normalize(weight.flatten(1), dim=1)
    return (rows @ rows.T)[~torch.eye(len(rows), dtype=torch.bool, device=rows.device)].abs().mean()


class _SoftHebb:
    """What a layer that learns by competition has besides its weights."""

    weight: Tensor

    def _set(self, hebb_lr: float, tau: float, rule: HebbianRule, competition: Competition, standardise: bool) -> None:
        self.hebb_lr = hebb_lr
        self.tau = tau
        self.rule: HebbianRule = rule
        self.competition: Competition = competition
        self.standardise = standardise
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def hebbian_step(self, x: Tensor) -> Tensor:
        """Learn from one batch, shaped as for `forward`; returns the change that was made to `weight`."""
        change = layer_update(
            self,  # type: ignore[arg-type]  # always a module too
            x,
            lr=self.hebb_lr,
            tau=self.tau,
            rule=self.rule,
            competition=self.competition,
            standardise=self.standardise,
        )
        self.weight.add_(change)
        return change


class SoftHebbConv2d(_SoftHebb, nn.Conv2d):
    """A convolution that learns by `hebbian_step` instead of by gradients; state dicts are those of `nn.Conv2d`.

    Shapes as for `nn.Conv2d`, whose arguments it takes. A bias takes no part in the competition. `weight` asks for no gradient.

    Args:
        hebb_lr, tau, rule, competition, standardise: as in `soft_hebbian_update`.

    Raises:
        ValueError: if there are groups; from `hebbian_step` what `soft_hebbian_update` raises.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        hebb_lr: float = 1e-2,
        tau: float = 1.0,
        rule: HebbianRule = "oja",
        competition: Competition = "soft",
        standardise: bool = True,
        **convolution: Any,  # noqa: ANN401 (whatever nn.Conv2d takes)
    ) -> None:
        nn.Conv2d.__init__(self, in_channels, out_channels, kernel_size, **convolution)
        if self.groups != 1:
            raise ValueError(f"groups must be 1, since all units compete for the same patch, got {self.groups}")
        self._set(hebb_lr, tau, rule, competition, standardise)


class SoftHebbLinear(_SoftHebb, nn.Linear):
    """A linear layer that learns by `hebbian_step` instead of by gradients; state dicts are those of `nn.Linear`.

    Shapes: input (B, in_features), output (B, out_features). Otherwise as `SoftHebbConv2d`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = False,
        hebb_lr: float = 1e-2,
        tau: float = 1.0,
        rule: HebbianRule = "oja",
        competition: Competition = "soft",
        standardise: bool = True,
    ) -> None:
        nn.Linear.__init__(self, in_features, out_features, bias=bias)
        self._set(hebb_lr, tau, rule, competition, standardise)


def layer_update(layer: nn.Module, x: Tensor, **options: Any) -> Tensor:  # noqa: ANN401 (those of soft_hebbian_update)
    """`soft_hebbian_update` for the weight of a layer that was called with x, with its stride, padding and dilation.

    Raises:
        ValueError: if the layer is neither linear nor a convolution without groups.
    """
    if isinstance(layer, nn.Linear):
        return soft_hebbian_update(layer.weight, x, **options)
    if not isinstance(layer, nn.Conv2d) or layer.groups != 1:
        raise ValueError(f"a layer that competes must be nn.Linear, or nn.Conv2d without groups, got {layer}")
    padding: Any = layer.padding
    if layer.padding_mode != "zeros" or isinstance(padding, str):
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x, padding = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode), 0
    strides: Any = {"stride": layer.stride, "padding": padding, "dilation": layer.dilation}
    return soft_hebbian_update(layer.weight, x, **strides, **options)


def _responses(u: Tensor, tau: float, competition: Competition, standardise: bool) -> Tensor:
    """What share of every input each unit answers for; u and the result are (B, units, ...)."""
    if competition == "hard":
        return torch.zeros_like(u).scatter_(1, u.argmax(1, keepdim=True), 1)
    if standardise:
        # A blank batch has no spread; it is divided by something small, and all units answer alike.
        u = u / u.std(correction=0).clamp_min(torch.finfo(u.dtype).tiny)
    y = (u / tau).softmax(1)
    if competition == "soft":
        return y
    return torch.scatter(-y, 1, y.argmax(1, keepdim=True), y.amax(1, keepdim=True))


def _check(weight: Tensor, x: Tensor, lr: float, tau: float, rule: str, competition: str) -> None:
    if weight.ndim not in (2, 4):
        raise ValueError(f"weight must be (units, features) or (units, channels, kh, kw), got {tuple(weight.shape)}")
    if x.ndim != weight.ndim or x.shape[1] != weight.shape[1]:
        wanted = f"(B, {weight.shape[1]}{', H, W' if weight.ndim == 4 else ''})"
        raise ValueError(f"x must be {wanted} to fit weight {tuple(weight.shape)}, got {tuple(x.shape)}")
    if lr < 0 or tau <= 0:
        raise ValueError(f"lr must not be negative and tau must be positive, got lr={lr} and tau={tau}")
    for what, name, names in (("rule", rule, get_args(HebbianRule)), ("competition", competition, get_args(Competition))):
        if name not in names:
            raise ValueError(f"{what} must be one of {', '.join(names)}, got {name!r}")
