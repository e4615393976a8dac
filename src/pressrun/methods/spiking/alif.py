"""Adaptive leaky integrate-and-fire neurons: every spike raises the threshold, which then relaxes.

With d = 1 - 1/tau, rho = 1 - 1/tau_adaptation, input x, threshold th and the adaptation a, which counts spikes and forgets them:

    h[t] = d v[t-1] + x[t]      s[t] = 1 if h[t] >= th + beta a[t-1] else 0
    v[t] = h[t] - th s[t]       a[t] = rho a[t-1] + s[t]

or, with a hard reset to r, h and v as in `lif`. The reset subtracts the resting threshold, not the raised one. The surrogate gradient is taken at
h[t] - th - beta a[t-1], and flows through the adaptation too.

G. Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking neurons" (NeurIPS 2018), with the
threshold and reset in the form of G. Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking neurons",
Nature Communications 11 (2020), methods. There d and rho are exponentials of the time constants; here they are their Euler steps, as in `lif`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._sequence import Constants, run
from .lif import check
from .surrogate import slope_of

__all__ = ["ALIFNeuron", "alif"]

torch.fx.wrap("alif")


def alif(
    x: Tensor,
    state: tuple[Tensor, Tensor] | None = None,
    *,
    tau: float = 2.0,
    tau_adaptation: float = 20.0,
    beta: float = 0.2,
    v_threshold: float = 1.0,
    v_reset: float | None = None,
    surrogate: str = "sigmoid",
    slope: float | None = None,
    detach_reset: bool = True,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Spikes of a layer of adaptive leaky integrate-and-fire neurons.

    Args:
        x: (T, ...), input current of every step; usually (T, B, ...).
        state: membrane potential and adaptation before the first step, each (...); at rest and 0 when None.
        tau: membrane time constant in steps, at least 1.
        tau_adaptation: time constant of the adaptation in steps, at least 1.
        beta: how much a spike raises the threshold, not negative; 0 is `lif`.
        v_threshold, v_reset, surrogate, slope: as in `lif`.
        detach_reset: whether the gradient leaves out the path through the reset; the one through the adaptation stays.

    Returns:
        Spikes, 0 or 1, shaped like x; and the state after the last step. Hand that in to go on: a sequence cut in pieces gives
        the spikes and gradients of the whole.

    Raises:
        ValueError: if x is no sequence of floats, the state does not fit x, or a constant is out of range.
    """
    slope = slope_of(surrogate, slope)
    v, a = (None, None) if state is None else state
    check(x, v, tau, v_threshold, v_reset)
    _check_adaptation(x, a, tau_adaptation, beta)
    rest = 0.0 if v_reset is None else v_reset
    start = None if v is None else v - rest if rest else v
    hard = v_reset is not None
    rho = 1 - 1 / tau_adaptation
    constants = Constants(1 - 1 / tau, v_threshold - rest, hard, detach_reset, surrogate, slope, rho, beta, adaptive=True)
    spikes, last, adaptation = run(x, start, a, constants)
    assert adaptation is not None  # noqa: S101
    return spikes, (last + rest if rest else last, adaptation)


def _check_adaptation(x: Tensor, a: Tensor | None, tau_adaptation: float, beta: float) -> None:
    if a is not None and a.shape != x.shape[1:]:
        raise ValueError(f"the adaptation must be {tuple(x.shape[1:])} to fit x {tuple(x.shape)}, got {tuple(a.shape)}")
    if not tau_adaptation >= 1:
        raise ValueError(f"tau_adaptation must be at least 1 step, got {tau_adaptation}")
    if not beta >= 0:
        raise ValueError(f"beta must not be negative, got {beta}")


class ALIFNeuron(nn.Module):
    """A layer of adaptive neurons, (T, B, ...) currents to (T, B, ...) spikes; see `alif`.

    The module holds constants only. `forward` starts from rest each time; `step` takes and returns the state for those who go
    step by step.

    Raises:
        ValueError: as `alif`.
    """

    def __init__(
        self,
        tau: float = 2.0,
        tau_adaptation: float = 20.0,
        beta: float = 0.2,
        v_threshold: float = 1.0,
        v_reset: float | None = None,
        surrogate: str = "sigmoid",
        slope: float | None = None,
        detach_reset: bool = True,
    ) -> None:
        super().__init__()
        check(torch.zeros(1), None, tau, v_threshold, v_reset)
        _check_adaptation(torch.zeros(1), None, tau_adaptation, beta)
        self.tau = tau
        self.tau_adaptation = tau_adaptation
        self.beta = beta
        self.v_threshold = v_threshold
        self.v_reset = v_reset
        self.surrogate = surrogate
        self.slope = slope_of(surrogate, slope)
        self.detach_reset = detach_reset

    def forward(self, x: Tensor) -> Tensor:
        return self._run(x, None)[0]

    def step(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One step: (B, ...) current and state to (B, ...) spikes and the state after them."""
        spikes, state = self._run(x.unsqueeze(0), state)
        return spikes[0], state

    def _run(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return alif(
            x,
            state,
            tau=self.tau,
            tau_adaptation=self.tau_adaptation,
            beta=self.beta,
            v_threshold=self.v_threshold,
            v_reset=self.v_reset,
            surrogate=self.surrogate,
            slope=self.slope,
            detach_reset=self.detach_reset,
        )

    def extra_repr(self) -> str:
        return (
            f"tau={self.tau}, tau_adaptation={self.tau_adaptation}, beta={self.beta}, v_threshold={self.v_threshold}, "
            f"v_reset={self.v_reset}, surrogate={self.surrogate!r}"
        )
