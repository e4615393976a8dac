"""Spiking networks trained on rates: simulated in spikes, differentiated as the clipped linear map that the rates follow.

Q. Meng et al., "Training high-performance low-latency spiking neural networks by differentiation on spike representation" (DSR),
CVPR 2022, section 4, for leaky integrate-and-fire neurons. With time constant τ and step Δt in one unit of time, λ = exp(-Δt / τ),
current x and threshold θ:

    u[t] = λ v[t-1] + Δt / τ x[t]      s[t] = 1 if u[t] >= α θ else 0      v[t] = u[t] - θ s[t]      output θ / Δt s[t]

The weighted rate r = sum_t w_t output[t], w_t ∝ λ^(T-t) and sum_t w_t = 1, is then clip(x̄ / τ, 0, θ / Δt) up to what is left in v,
where x̄ is the weighted mean of x. The gradient is that of this map. α below 1 shares what is left between both signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["DSRNetwork", "DSRNeuron", "dsr_rate", "weighted_rate"]


def weighted_rate(x: Tensor, tau: float = 1.0, dt: float = 0.05) -> Tensor:
    """The mean over time with weights ∝ exp(-(T - t) dt / tau), (T, ...) to (...): late steps count more.

    Args:
        x: (T, ...), spikes or currents.
        tau, dt: time constant and length of a step, in one unit.

    Raises:
        ValueError: if x has no step, or tau or dt is not positive.
    """
    if x.ndim < 1 or len(x) == 0:
        raise ValueError(f"x must be (T, ...) with at least one step, got {tuple(x.shape)}")
    if not (tau > 0 and dt > 0):
        raise ValueError(f"tau and dt must be positive, got {tau} and {dt}")
    weights = torch.exp(torch.arange(1 - len(x), 1, dtype=x.dtype, device=x.device) * (dt / tau))
    mean: Tensor = torch.tensordot(weights / weights.sum(), x, 1)
    return mean


def dsr_rate(spikes: Tensor, mean_current: Tensor, v_threshold: Tensor, *, tau: float = 1.0, dt: float = 0.05) -> Tensor:
    """The weighted rate of spikes, with the gradient of clip(mean_current / tau, 0, v_threshold / dt).

    Args:
        spikes: (T, ...), output of the neurons; it gets no gradient.
        mean_current: (...), the weighted mean of their current.
        v_threshold: (), θ.
        tau, dt: time constant and length of a step.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if spikes.shape[1:] != mean_current.shape:
        raise ValueError(f"mean_current must be {tuple(spikes.shape[1:])} to fit spikes, got {tuple(mean_current.shape)}")
    rate: Tensor = _DSRRate.apply(weighted_rate(spikes.detach(), tau, dt), mean_current, v_threshold, tau, dt)  # type: ignore[no-untyped-call]
    return rate


class DSRNeuron(nn.Module):
    """Leaky integrate-and-fire neurons with the DSR gradient, (T, B, ...) currents to (T, B, ...) outputs 0 or θ / Δt.

    A sequence starts from rest each time. The gradient of the loss is right where the loss depends on the outputs by their
    weighted rate, as it does behind linear maps and this neuron again.

    Args:
        v_threshold: θ, a parameter; it is kept at 5e-4 or above.
        tau, dt: time constant and length of a step, in one unit.
        alpha: α, the part of the threshold at which a neuron fires.
        train_threshold: whether θ needs a gradient.

    Raises:
        ValueError: if a constant is not positive.
    """

    def __init__(
        self, v_threshold: float = 0.3, *, tau: float = 1.0, dt: float = 0.05, alpha: float = 0.3, train_threshold: bool = True
    ) -> None:
        super().__init__()
        if not (v_threshold > 0 and tau > 0 and dt > 0 and alpha > 0):
            raise ValueError(f"all constants must be positive, got v_threshold={v_threshold}, tau={tau}, dt={dt}, alpha={alpha}")
        self.v_threshold = nn.Parameter(torch.tensor(float(v_threshold)), requires_grad=train_threshold)
        self.tau = tau
        self.dt = dt
        self.alpha = alpha

    def forward(self, current: Tensor) -> Tensor:
        spikes = self.simulate(current)
        rate = self.rate(spikes, weighted_rate(current, self.tau, self.dt))
        # Adds 0; the sum over time of the outputs' gradients is that of the rate.
        return spikes + (rate - rate.detach())

    @torch.no_grad()
    def simulate(self, current: Tensor) -> Tensor:
        """The outputs alone, without a gradient.

        Raises:
            ValueError: if the current is no sequence of floats.
        """
        if current.ndim < 1 or len(current) == 0 or not current.is_floating_point():
            shape = f"{tuple(current.shape)} of {current.dtype}"
            raise ValueError(f"current must be floats of shape (T, ...) with at least one step, got {shape}")
        threshold = self._threshold().to(current.dtype)
        decay, gain, fires = exp(-self.dt / self.tau), self.dt / self.tau, self.alpha * threshold
        outputs = torch.empty(current.shape, dtype=current.dtype, device=current.device)
        v = torch.zeros_like(outputs[0])
        for current_t, spikes_t in zip(current.unbind(0), outputs.unbind(0), strict=True):
            v.mul_(decay).add_(current_t, alpha=gain)
            torch.ge(v, fires, out=spikes_t)
            v.addcmul_(spikes_t, threshold, value=-1)
        return outputs.mul_(threshold / self.dt)

    def rate(self, spikes: Tensor, mean_current: Tensor) -> Tensor:
        """`dsr_rate` with the constants of these neurons."""
        return dsr_rate(spikes, mean_current, self._threshold(), tau=self.tau, dt=self.dt)

    def _threshold(self) -> Tensor:
        return self.v_threshold.clamp(min=5e-4)

    def extra_repr(self) -> str:
        return f"v_threshold={self.v_threshold.item():.4g}, tau={self.tau}, dt={self.dt}, alpha={self.alpha}"


class DSRNetwork(nn.Module):
    """Maps with a `DSRNeuron` behind each but the last, which reads the rates.

    Spikes run forwards without a graph, and each map is called once more on the rates to build one of shape (B, ...). Backwards
    costs as much as in a network without time, whatever T is; gradients are those of a chain of maps and `DSRNeuron`s.

    Shapes: input (B, ...), shown for `steps` steps, or (T, B, ...); output (B, ...), the last map of the weighted rates.

    Args:
        maps: linear or affine modules that take any (rows, ...) batch: `nn.Linear`, `ProjectedLinear`, a convolution, pooling.
        steps: T for an input without time axis.
        time_axis: whether the input has one.
        v_threshold, tau, dt, alpha, train_threshold: as in `DSRNeuron`; each layer of neurons has a threshold of its own.

    Raises:
        ValueError: if there are no maps, or steps is below 1.
    """

    def __init__(
        self,
        maps: Sequence[nn.Module],
        *,
        steps: int = 20,
        time_axis: bool = False,
        v_threshold: float = 0.3,
        tau: float = 1.0,
        dt: float = 0.05,
        alpha: float = 0.3,
        train_threshold: bool = True,
    ) -> None:
        super().__init__()
        if not maps or steps < 1:
            raise ValueError(f"maps must not be empty and steps be at least 1, got {len(maps)} maps and {steps} steps")
        self.maps = nn.ModuleList(maps)
        self.neurons = nn.ModuleList(
            DSRNeuron(v_threshold, tau=tau, dt=dt, alpha=alpha, train_threshold=train_threshold) for _ in maps[1:]
        )
        self.steps = steps
        self.time_axis = time_axis
        self.tau = tau
        self.dt = dt

    def forward(self, x: Tensor) -> Tensor:
        return self.trace(x)[-1]

    def trace(self, x: Tensor) -> list[Tensor]:
        """The weighted rates that each map sees, first to last, and the output: len(maps) + 1 tensors, (B, ...)."""
        spikes = x if self.time_axis else None  # None while nothing has varied in time
        rates = [weighted_rate(x, self.tau, self.dt) if self.time_axis else x]
        for each, neuron in zip(self.maps, self._neurons(), strict=False):
            mean_current = each(rates[-1])
            with torch.no_grad():
                if spikes is None:
                    current = mean_current.expand(self.steps, *mean_current.shape)
                else:
                    current = each(spikes.flatten(0, 1)).unflatten(0, spikes.shape[:2])
            spikes = neuron.simulate(current)
            rates.append(neuron.rate(spikes, mean_current))
        return [*rates, self.maps[-1](rates[-1])]

    def _neurons(self) -> list[DSRNeuron]:
        return [neuron for neuron in self.neurons if isinstance(neuron, DSRNeuron)]


class _DSRRate(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,  # noqa: ANN001
        rate: Tensor,
        mean_current: Tensor,
        v_threshold: Tensor,
        tau: float,
        dt: float,
    ) -> Tensor:
        ctx.save_for_backward(mean_current, v_threshold)
        ctx.constants = tau, dt
        return rate

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[None, Tensor | None, Tensor | None, None, None]:  # type: ignore[no-untyped-def]  # noqa: ANN001
        mean_current, v_threshold = ctx.saved_tensors
        tau, dt = ctx.constants
        saturated = mean_current >= v_threshold * (tau / dt)
        passing = (mean_current > 0) & ~saturated
        return (
            None,
            grad * passing / tau if ctx.needs_input_grad[1] else None,
            (grad * saturated).sum() / dt if ctx.needs_input_grad[2] else None,
            None,
            None,
        )
