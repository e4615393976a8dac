"""Leaky integrate-and-fire neurons over a whole sequence, as one node of the autograd graph.

With decay d = 1 - 1/tau, input x and threshold th (the input is not decayed):

    h[t] = d v[t-1] + x[t]      s[t] = 1 if h[t] >= th else 0      v[t] = h[t] - th s[t]

or, with a hard reset to r, h[t] = v[t-1] + (r - v[t-1]) / tau + x[t] and v[t] = r where s[t] = 1.

W. Gerstner et al., "Neuronal Dynamics" (2014), section 1.3, in discrete time with a step of 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .surrogate import _derivative, slope_of

__all__ = ["LIFNeuron", "lif"]


def lif(
    x: Tensor,
    v: Tensor | None = None,
    *,
    tau: float = 2.0,
    v_threshold: float = 1.0,
    v_reset: float | None = None,
    surrogate: str = "sigmoid",
    slope: float | None = None,
    detach_reset: bool = True,
) -> tuple[Tensor, Tensor]:
    """Spikes of a layer of leaky integrate-and-fire neurons.

    Args:
        x: (T, ...), input current of every step; usually (T, B, ...).
        v: (...), membrane potential before the first step; at rest (0, or `v_reset`) when None.
        tau: membrane time constant in steps, at least 1.
        v_threshold: potential at which a neuron spikes.
        v_reset: potential after a spike; None for the soft reset that subtracts the threshold.
        surrogate: a name in `SURROGATES`.
        slope: its slope; the default of the surrogate when None.
        detach_reset: whether the gradient leaves out the path through the reset.

    Returns:
        Spikes, 0 or 1, shaped like x; and the potential after the last step, shaped like x[0]. Hand that in as `v` to go
        on: a sequence cut in pieces gives the spikes and gradients of the whole.

    Raises:
        ValueError: if x is no sequence of floats, v does not fit x, or a constant is out of range.
    """
    slope = slope_of(surrogate, slope)
    _check(x, v, tau, v_threshold, v_reset)
    rest = 0.0 if v_reset is None else v_reset
    # Potentials are counted from rest inside, so that the hard reset is a multiplication and needs no offset.
    start = None if v is None else v - rest if rest else v
    spikes, last = _LIF.apply(x, start, 1 - 1 / tau, v_threshold - rest, v_reset is not None, surrogate, slope, detach_reset)  # type: ignore[no-untyped-call]
    return spikes, last + rest if rest else last


def _check(x: Tensor, v: Tensor | None, tau: float, v_threshold: float, v_reset: float | None) -> None:
    if x.ndim < 1 or len(x) == 0 or not x.is_floating_point():
        raise ValueError(f"x must be floats of shape (T, ...) with at least one step, got {tuple(x.shape)} of {x.dtype}")
    if v is not None and v.shape != x.shape[1:]:
        raise ValueError(f"v must be {tuple(x.shape[1:])} to fit x {tuple(x.shape)}, got {tuple(v.shape)}")
    if not tau >= 1:
        raise ValueError(f"tau must be at least 1 step, got {tau}")
    if not v_threshold > (0.0 if v_reset is None else v_reset):
        raise ValueError(f"v_threshold must be above the resting potential {v_reset or 0.0}, got {v_threshold}")


class LIFNeuron(nn.Module):
    """A layer of leaky integrate-and-fire neurons, (T, B, ...) currents to (T, B, ...) spikes; see `lif`.

    The module holds constants only. `forward` starts from rest each time, so there is nothing to reset between batches;
    `step` takes and returns the potential for those who go step by step.

    Raises:
        ValueError: as `lif`.
    """

    def __init__(
        self,
        tau: float = 2.0,
        v_threshold: float = 1.0,
        v_reset: float | None = None,
        surrogate: str = "sigmoid",
        slope: float | None = None,
        detach_reset: bool = True,
    ) -> None:
        super().__init__()
        _check(torch.zeros(1), None, tau, v_threshold, v_reset)
        self.tau = tau
        self.v_threshold = v_threshold
        self.v_reset = v_reset
        self.surrogate = surrogate
        self.slope = slope_of(surrogate, slope)
        self.detach_reset = detach_reset

    def forward(self, x: Tensor) -> Tensor:
        return self._run(x, None)[0]

    def step(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step: (B, ...) current and potential to (B, ...) spikes and the potential after them."""
        spikes, v = self._run(x.unsqueeze(0), v)
        return spikes[0], v

    def _run(self, x: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        return lif(
            x,
            v,
            tau=self.tau,
            v_threshold=self.v_threshold,
            v_reset=self.v_reset,
            surrogate=self.surrogate,
            slope=self.slope,
            detach_reset=self.detach_reset,
        )

    def extra_repr(self) -> str:
        return f"tau={self.tau}, v_threshold={self.v_threshold}, v_reset={self.v_reset}, surrogate={self.surrogate!r}"


class _LIF(torch.autograd.Function):
    """All steps in one node: only h is kept, and the backward recursion runs in the gradient's own buffer."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,  # noqa: ANN001
        x: Tensor,
        v: Tensor | None,
        decay: float,
        threshold: float,
        hard: bool,
        surrogate: str,
        slope: float,
        detach_reset: bool,
    ) -> tuple[Tensor, Tensor]:
        h = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        spikes = torch.empty_like(h)
        potential = torch.empty_like(h[0])
        for t, (current, h_t, spikes_t) in enumerate(zip(x.unbind(0), h.unbind(0), spikes.unbind(0), strict=True)):
            before = potential if t else v
            if before is None:
                h_t.copy_(current)
            else:
                torch.add(current, before, alpha=decay, out=h_t)
            torch.ge(h_t, threshold, out=spikes_t)
            if hard:
                torch.addcmul(h_t, h_t, spikes_t, value=-1, out=potential)
            else:
                torch.add(h_t, spikes_t, alpha=-threshold, out=potential)
        ctx.save_for_backward(h)
        ctx.constants = decay, threshold, hard, surrogate, slope, detach_reset
        ctx.has_start = v is not None
        ctx.set_materialize_grads(False)
        return spikes, potential

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_spikes: Tensor | None, grad_last: Tensor | None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        (h,) = ctx.saved_tensors
        decay, threshold, hard, surrogate, slope, detach_reset = ctx.constants
        grad = _derivative(h - threshold, surrogate, slope)
        through_reset = _reset_jacobian(h, grad, threshold, hard, detach_reset)
        # grad[t] = surrogate[t] grad_spikes[t] + dv[t]/dh[t] decay grad[t+1], from the last step to the first.
        grad = grad.zero_() if grad_spikes is None else grad.mul_(grad_spikes)
        steps = grad.unbind(0)
        after = grad_last
        for t in range(len(steps) - 1, -1, -1):
            if after is not None:
                scale = decay if t < len(steps) - 1 else 1.0
                if through_reset is None:
                    steps[t].add_(after, alpha=scale)
                else:
                    steps[t].addcmul_(through_reset[t], after, value=scale)
            after = steps[t]
        grad_start = steps[0] * decay if ctx.has_start and ctx.needs_input_grad[1] else None
        return grad, grad_start, None, None, None, None, None, None


def _reset_jacobian(h: Tensor, derivative: Tensor, threshold: float, hard: bool, detach_reset: bool) -> Tensor | None:
    """dv/dh of every step, shaped like h; None where it is 1 everywhere."""
    if hard:
        silent = (h < threshold).to(h.dtype)
        return silent if detach_reset else silent.addcmul_(h, derivative, value=-1)
    return None if detach_reset else 1 - threshold * derivative
