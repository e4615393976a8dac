"""Layers of excitatory and inhibitory populations that train deep spiking networks without normalisation.

P. Liu, J. Ding, Z. Yu, "Training deep normalization-free spiking neural networks with lateral inhibition"
(arXiv:2509.23253). Every weight but the bias is non-negative. The inhibitory population sees the layer's input, is linear and
instantaneous, and acts on the excitatory one twice: it is subtracted, and it divides.

    I_EE = W_EE x      I_IE = W_IE x      I_EI = W_EI I_IE      S = W_EI (g_I * I_IE)
    I = g_E * (I_EE - I_EI) / S + b_E

S normalises each unit by its own input: no statistic is taken over the batch, but there is a normalising effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812 (the field's name)

__all__ = [
    "EIConv2d",
    "EILinear",
    "NonNegativeSGD",
    "ei_current",
    "ei_parameter_groups",
    "replace_zeros_ste",
    "scale_gradient",
]


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """x itself, whose gradient arrives multiplied by `factor`."""
    scaled: Tensor = _ScaleGradient.apply(x, factor)  # type: ignore[no-untyped-call]
    return scaled


def replace_zeros_ste(s: Tensor) -> Tensor:
    """s with every zero replaced by the smallest non-zero value of the same sample, so that it can be divided by.

    Args:
        s: (B, ...), non-negative; the first axis counts samples.

    Returns:
        A tensor like s. A sample of nothing but zeros becomes infinity, so that what it divides becomes 0. The gradient
        passes straight through, as if nothing had been replaced.

    Raises:
        ValueError: if s has no axis besides the samples.
    """
    if s.ndim < 2:
        raise ValueError(f"s must be (B, ...) with at least one axis besides the samples, got {tuple(s.shape)}")
    replaced: Tensor = _ReplaceZeros.apply(s)  # type: ignore[no-untyped-call]
    return replaced


def ei_current(
    x: Tensor,
    w_ee: Tensor,
    w_ie: Tensor,
    w_ei: Tensor,
    g_i: Tensor,
    g_e: Tensor,
    b_e: Tensor,
    *,
    gradient_scaling: bool = True,
    straight_through: bool = True,
) -> Tensor:
    """The integrated current I of the module's equations, as a pure function.

    Args:
        x: (..., features), non-negative.
        w_ee, w_ie, w_ei: (units, features), (inhibitory, features), (units, inhibitory).
        g_i, g_e, b_e: (inhibitory,), (units,), (units,).
        gradient_scaling: E-I Prop (i), the gradient of w_ei is divided by the number of features.
        straight_through: E-I Prop (ii), zeros of S are replaced by `replace_zeros_ste`; without it they divide.

    Returns:
        (..., units).

    Raises:
        ValueError: if x does not have the features of w_ee.
    """
    _check_features(x, w_ee)
    scaling = 1 / x.shape[-1] if gradient_scaling else 1.0
    rows = x.reshape(-1, x.shape[-1])
    current: Tensor = _EICurrent.apply(rows, w_ee, w_ie, w_ei, g_i, g_e, b_e, scaling, straight_through)  # type: ignore[no-untyped-call]
    return current.view(*x.shape[:-1], -1)


class _EILayer(nn.Module):
    """The weights of both populations, their E-I Init and their sign; what x is, and how it is weighted, is a subclass's."""

    def __init__(
        self,
        kernel: tuple[int, ...],
        units: int,
        ei_ratio: int,
        output_layer: bool,
        gradient_scaling: bool,
        straight_through: bool,
        square_of_mean: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        if ei_ratio < 1 or units < ei_ratio:
            raise ValueError(f"ei_ratio must be between 1 and the {units} excitatory units, got {ei_ratio}")
        if min(kernel) < 1:
            raise ValueError(f"an E-I layer needs at least one input, got {kernel}")
        self.fan_in = int(torch.Size(kernel).numel())
        self.output_layer = output_layer
        self.gradient_scaling = gradient_scaling
        self.straight_through = straight_through
        self.square_of_mean = square_of_mean
        inhibitory = units // ei_ratio

        def zeros(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape, device=device, dtype=dtype))

        self.w_ee, self.w_ie, self.w_ei = zeros(units, *kernel), zeros(inhibitory, *kernel), zeros(units, inhibitory)
        if not output_layer:
            self.g_i, self.g_e, self.b_e = zeros(inhibitory), zeros(units), zeros(units)
        self.initialised = False

    def get_extra_state(self) -> dict[str, bool]:
        return {"initialised": self.initialised}

    def set_extra_state(self, state: dict[str, bool]) -> None:
        self.initialised = state["initialised"]

    def non_negative_parameters(self) -> list[nn.Parameter]:
        """All weights but the bias."""
        return [parameter for name, parameter in self.named_parameters() if name != "b_e"]

    def clamp_(self) -> None:
        """Set what became negative to zero; `forward` begins with it, `NonNegativeSGD` ends a step with it."""
        for parameter in self.non_negative_parameters():
            # By way of data: a layer called twice before backward (step by step) must not look modified in between.
            parameter.data.clamp_(min=0)

    @torch.no_grad()
    def init_from_batch(self, x: Tensor, generator: torch.Generator | None = None) -> None:
        """E-I Init (eq. 53 and 54): draw the weights so that the current is balanced and of unit order for inputs like x.

        With E = mean(x), m2 = mean(x²), Var = the variance over samples, averaged over features, and d inputs a unit: W_EE and
        W_IE are exponential with mean sqrt(Var / (d (m2 + Var))), W_EI = 1 / inhibitory units, g_I = sqrt((m2 + Var) / d) / E,
        g_E = 1, b_E = 0. The mean current is then 0 in expectation and its variance E[x²] / (m2 + Var).
        m2 is mean(x²) as in the authors' code; `square_of_mean` takes mean(x)², which makes that variance 1.

        Args:
            x: a batch as `forward` takes it, non-negative; samples are counted over all axes before the features, time too.
            generator: source of the random numbers; torch's own when None.

        Raises:
            ValueError: if x is negative somewhere, or does not vary between samples (a layer before that never spikes).
        """
        x = self._samples(x)
        if len(x) < 2:
            raise ValueError(f"E-I Init needs at least 2 samples to take a variance, got {len(x)}")
        if x.min() < 0:
            raise ValueError(f"E-I Init needs non-negative inputs, got a minimum of {x.min().item():.4g}")
        mean, variance = x.mean(), x.var(dim=0).mean()
        if variance == 0:
            raise ValueError(f"E-I Init needs inputs that vary between samples, got {mean.item():.4g} everywhere in the batch")
        total = (mean**2 if self.square_of_mean else x.square().mean()) + variance
        for weight in (self.w_ee, self.w_ie):
            weight.exponential_(generator=generator).mul_((variance / (self.fan_in * total)).sqrt())
        self.w_ei.fill_(1 / self.w_ei.shape[1])
        if not self.output_layer:
            self.g_i.fill_(((total / self.fan_in).sqrt() / mean).item())
            self.g_e.fill_(1)
            self.b_e.fill_(0)
        self.initialised = True

    @torch.no_grad()
    def init_fixed(self, rule: str, generator: torch.Generator | None = None) -> None:
        """Weights that do not look at the input, to compare E-I Init with: exponential, gains 1, bias 0.

        Args:
            rule: "kaiming", a standard deviation of sqrt(2 / inputs a unit); "mean", a mean of 1 / inputs a unit.
            generator: source of the random numbers; torch's own when None.

        Raises:
            ValueError: for another rule.
        """
        if rule not in ("kaiming", "mean"):
            raise ValueError(f"rule must be 'kaiming' or 'mean', got {rule!r}")
        for weight in (self.w_ee, self.w_ie, self.w_ei):
            inputs = weight[0].numel()
            # The mean of an exponential is its standard deviation.
            weight.exponential_(generator=generator).mul_((2 / inputs) ** 0.5 if rule == "kaiming" else 1 / inputs)
        if not self.output_layer:
            self.g_i.fill_(1)
            self.g_e.fill_(1)
            self.b_e.fill_(0)
        self.initialised = True

    def _begin(self, x: Tensor) -> None:
        """The sign, and on the first batch in training the initialisation."""
        if not self.initialised:
            if not self.training:
                raise RuntimeError(
                    "an E-I layer takes its weights from the first training batch: call init_from_batch before eval()"
                )
            self.init_from_batch(x)
        self.clamp_()

    def _samples(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class EILinear(_EILayer):
    """A fully connected layer of excitatory units with `out_features // ei_ratio` inhibitory ones; see the module's equations.

    Shapes: input (..., in_features), non-negative, such as (T, B, in_features); output (..., out_features), the current of the
    excitatory units, to be handed to `LIFNeuron`. An `output_layer` returns I_EE - I_EI and has no gains and no bias.

    The weights come from the first batch seen in training (E-I Init), or from `init_from_batch`; until then they are zero and
    evaluation is refused. Layers of a network are initialised in the order in which they are called, each by the spikes of the one before.

    Raises:
        ValueError: if x does not have `in_features`, the sizes do not fit, or the first batch cannot serve E-I Init.
        RuntimeError: if it is evaluated before it has weights.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        ei_ratio: int = 4,
        output_layer: bool = False,
        *,
        gradient_scaling: bool = True,
        straight_through: bool = True,
        square_of_mean: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            (in_features,),
            out_features,
            ei_ratio,
            output_layer,
            gradient_scaling,
            straight_through,
            square_of_mean,
            device,
            dtype,
        )

    def forward(self, x: Tensor) -> Tensor:
        _check_features(x, self.w_ee)
        self._begin(x)
        if self.output_layer:
            w_ei = scale_gradient(self.w_ei, 1 / self.fan_in) if self.gradient_scaling else self.w_ei
            return x @ self.w_ee.T - x @ self.w_ie.T @ w_ei.T
        return ei_current(
            x,
            self.w_ee,
            self.w_ie,
            self.w_ei,
            self.g_i,
            self.g_e,
            self.b_e,
            gradient_scaling=self.gradient_scaling,
            straight_through=self.straight_through,
        )

    def _samples(self, x: Tensor) -> Tensor:
        _check_features(x, self.w_ee)
        return x.reshape(-1, x.shape[-1])

    def extra_repr(self) -> str:
        return f"{self.fan_in}, {len(self.w_ee)}, inhibitory={len(self.w_ie)}, output_layer={self.output_layer}"


class EIConv2d(_EILayer):
    """A convolution with excitatory and inhibitory channels: W_EE and W_IE are kernels, W_EI and the gains act per channel.

    Shapes: input (B, in_channels, H, W) or (T, B, in_channels, H, W), non-negative; output the same axes with `out_channels` and
    the height and width of a convolution with `stride` and `padding`. A sample whose divisor is zero somewhere takes the smallest
    non-zero one over all its channels and positions.

    Initialisation and errors as in `EILinear`; fan-in is in_channels x kernel_size².
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        ei_ratio: int = 4,
        output_layer: bool = False,
        *,
        stride: int = 1,
        padding: int = 0,
        gradient_scaling: bool = True,
        straight_through: bool = True,
        square_of_mean: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kernel = (in_channels, kernel_size, kernel_size)
        super().__init__(
            kernel, out_channels, ei_ratio, output_layer, gradient_scaling, straight_through, square_of_mean, device, dtype
        )
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        images = self._samples(x)
        self._begin(x)
        w_ei = scale_gradient(self.w_ei, 1 / self.fan_in) if self.gradient_scaling else self.w_ei
        w_ei = w_ei[:, :, None, None]
        inhibitory = F.conv2d(images, self.w_ie, stride=self.stride, padding=self.padding)
        balanced = F.conv2d(images, self.w_ee, stride=self.stride, padding=self.padding) - F.conv2d(inhibitory, w_ei)
        if self.output_layer:
            return balanced.view(*x.shape[:-3], *balanced.shape[1:])
        divisor = F.conv2d(self.g_i[:, None, None] * inhibitory, w_ei)
        if self.straight_through:
            divisor = replace_zeros_ste(divisor)
        current = torch.addcmul(self.b_e[:, None, None], self.g_e[:, None, None], balanced / divisor)
        return current.view(*x.shape[:-3], *current.shape[1:])

    def _samples(self, x: Tensor) -> Tensor:
        if x.ndim not in (4, 5) or x.shape[-3] != self.w_ee.shape[1]:
            channels = self.w_ee.shape[1]
            raise ValueError(f"x must be (B, {channels}, H, W) or (T, B, {channels}, H, W), got {tuple(x.shape)}")
        return x.reshape(-1, *x.shape[-3:])

    def extra_repr(self) -> str:
        kernel = tuple(self.w_ee.shape[2:])
        return f"{self.w_ee.shape[1]}, {len(self.w_ee)}, kernel_size={kernel}, stride={self.stride}, inhibitory={len(self.w_ie)}"


def ei_parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Two optimiser groups for `NonNegativeSGD`: the sign-constrained weights of all E-I layers, then everything else."""
    constrained = [p for layer in model.modules() if isinstance(layer, _EILayer) for p in layer.non_negative_parameters()]
    ids = {id(p) for p in constrained}
    free = [p for p in model.parameters() if id(p) not in ids]
    return [{"params": constrained, "non_negative": True}, {"params": free, "non_negative": False}]


class NonNegativeSGD(torch.optim.SGD):
    """SGD that sets the parameters of groups marked `non_negative` back to zero where a step made them negative.

    Args:
        params: groups as `ei_parameter_groups` makes them; a group without the mark is free.
        options: those of `torch.optim.SGD`.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], **options: Any) -> None:  # noqa: ANN401 (SGD's own)
        super().__init__(params, **options)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss: float | None = super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"] if group.get("non_negative") else ():
                    parameter.clamp_(min=0)
        return loss


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, factor: float) -> Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return grad * ctx.factor, None


class _ReplaceZeros(torch.autograd.Function):
    @staticmethod
    def forward(ctx, s: Tensor) -> Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001, ARG004
        return _without_zeros(s).view_as(s)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001, ARG004
        return grad


def _without_zeros(s: Tensor) -> Tensor:
    # Zeros are rare: one pass over s finds out. Where that would stall a device, all passes are made instead.
    if s.device.type == "cpu" and s.numel() and s.min() > 0:
        return s
    zero = s == 0
    smallest = s.masked_fill(zero, torch.inf).flatten(1).amin(1).view(-1, *[1] * (s.ndim - 1))
    return torch.where(zero, smallest, s)


class _EICurrent(torch.autograd.Function):
    """The E-I equations for rows of inputs in one node: four tensors are kept and elementwise results overwrite each other."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,  # noqa: ANN001
        x: Tensor,
        w_ee: Tensor,
        w_ie: Tensor,
        w_ei: Tensor,
        g_i: Tensor,
        g_e: Tensor,
        b_e: Tensor,
        scaling: float,
        straight_through: bool,
    ) -> Tensor:
        inhibitory = x @ w_ie.T
        divisor = (inhibitory * g_i) @ w_ei.T
        if straight_through:
            divisor = _without_zeros(divisor)
        quotient = (x @ w_ee.T).addmm_(inhibitory, w_ei.T, alpha=-1).div_(divisor)
        ctx.save_for_backward(x, w_ee, w_ie, w_ei, g_i, g_e, inhibitory, divisor, quotient)
        ctx.scaling = scaling
        return torch.addcmul(b_e, g_e, quotient)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        x, w_ee, w_ie, w_ei, g_i, g_e, inhibitory, divisor, quotient = ctx.saved_tensors
        d_balanced = (grad * g_e).div_(divisor)
        d_divisor = d_balanced * quotient  # of minus the divisor
        subtracted, divided = d_balanced @ w_ei, d_divisor @ w_ei
        d_w_ei = (d_balanced.T @ inhibitory).addmm_(d_divisor.T, inhibitory * g_i).mul_(-ctx.scaling)
        d_g_i = (divided * inhibitory).sum(0).neg_()
        d_inhibitory = subtracted.addcmul_(divided, g_i).neg_()
        d_x = (d_balanced @ w_ee).addmm_(d_inhibitory, w_ie) if ctx.needs_input_grad[0] else None
        d_g_e = (grad * quotient).sum(0)
        return d_x, d_balanced.T @ x, d_inhibitory.T @ x, d_w_ei, d_g_i, d_g_e, grad.sum(0), None, None


def _check_features(x: Tensor, weight: Tensor) -> None:
    if x.ndim < 2 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"x must be (..., {weight.shape[1]}) to fit weights {tuple(weight.shape)}, got {tuple(x.shape)}")
