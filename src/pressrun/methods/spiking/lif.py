"""Leaky integrate-and-fire neurons over a whole sequence, as one node of the autograd graph.

With decay d = 1 - 1/tau, input x and threshold th (the input is not decayed):

    h[t] = d v[t-1] + x[t]      s[t] = 1 if h[t] >= th else 0      v[t] = h[t] - th s[t]

or, with a hard reset to r, h[t] = v[t-1] + (r - v[t-1]) / tau + x[t] and v[t] = r where s[t] = 1.

W. Gerstner et al., "Neuronal Dynamics" (2014), section 1.3, in discrete time with a step of 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._sequence import Constants, run
from .surrogate import slope_of

__all__ = ["LIFNeuron", "lif"]

torch.fx.wrap("lif")  # whoever traces a network symbolically finds the layer as one call


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
        tau: membrane time constant in steps, at least 1; infinity for a neuron without leak.
        v_threshold: potential at which a neuron spikes.
        v_reset: potential after a spike; None for the soft reset that subtracts the threshold.
        surrogate: a name in `SURROGATES`.
        slope: its slope; the default of the surrogate when None.
        detach_reset: whether the gradient leaves out the path through the reset.

    Returns:
        Spikes, 0 or 1, shaped like x; and the potential after the last step, shaped like x[0]. Hand that in as `v` to go
        on: a sequence cut in pieces gives the spikes and gradients of the whole.

    Second derivatives are not available.

    Raises:
        ValueError: if x is no sequence of floats, v does not fit x, or a constant is out of range.
    """
    slope = slope_of(surrogate, slope)
    check(x, v, tau, v_threshold, v_reset)
    rest = 0.0 if v_reset is None else v_reset
    # Potentials are counted from rest inside, so that the hard reset is a multiplication and needs no offset.
    start = None if v is None else v - rest if rest else v
    spikes, last, _ = run(
        x, start, None, Constants(1 - 1 / tau, v_threshold - rest, v_reset is not None, detach_reset, surrogate, slope)
    )
    return spikes, last + rest if rest else last


def check(x: Tensor, v: Tensor | None, tau: float, v_threshold: float, v_reset: float | None) -> None:
    """What every neuron of this shape asks of its arguments."""
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
        check(torch.zeros(1), None, tau, v_threshold, v_reset)
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
