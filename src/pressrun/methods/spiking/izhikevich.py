"""Izhikevich neurons: two variables, four constants, and the firing patterns of cortical cells.

E. M. Izhikevich, "Simple model of spiking neurons", IEEE Transactions on Neural Networks 14 (2003), eq. 1 to 3, with
potentials in mV and times in ms:

    dv/dt = 0.04 v² + 5 v + 140 - u + I      du/dt = a (b v - u)      where v >= 30: v <- c, u <- u + d

A step takes two half steps for v, then one for u. v is capped at 40 before it is squared: what has spiked cannot overflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .surrogate import slope_of, spike

__all__ = ["IZHIKEVICH", "IzhikevichNeuron", "IzhikevichPopulation", "IzhikevichState", "izhikevich"]

IZHIKEVICH = {
    "RS": (0.02, 0.2, -65.0, 8.0),
    "IB": (0.02, 0.2, -55.0, 4.0),
    "CH": (0.02, 0.2, -50.0, 2.0),
    "FS": (0.1, 0.2, -65.0, 2.0),
    "LTS": (0.02, 0.25, -65.0, 2.0),
}
"""a, b, c and d of regular spiking, intrinsically bursting, chattering, fast spiking and low-threshold spiking cells (figure 2)."""

CONSTANTS = (0.04, 5.0, 140.0, 40.0)
"""Of v², of v, alone, and the cap."""

PEAK = 30.0
REST = -65.0
SLOPE = 0.2  # of the surrogate gradient, per mV


class IzhikevichState(NamedTuple):
    """Membrane potential and recovery variable, each shaped like the input of one step; mV."""

    v: Tensor
    u: Tensor


Constant = float | Tensor


def izhikevich(
    x: Tensor,
    state: IzhikevichState | None = None,
    *,
    a: Constant = 0.02,
    b: Constant = 0.2,
    c: Constant = -65.0,
    d: Constant = 8.0,
    dt: float = 1.0,
    surrogate: str = "sigmoid",
    slope: float = SLOPE,
) -> tuple[Tensor, IzhikevichState]:
    """Spikes of a layer of Izhikevich neurons.

    Args:
        x: (T, ..., N), input current of every step; usually (T, B, N).
        state: before the first step, shaped like x[0]; v = -65 and u = b v when None.
        a, b, c, d: numbers, or (N,) for a population whose neurons differ.
        dt: length of a step in ms, at most 1.
        surrogate: a name in `SURROGATES`, for gradients; the path through the reset is left out.
        slope: its slope per mV.

    Returns:
        Spikes, 0 or 1, shaped like x; and the state after the last step. Hand that in to go on: a sequence cut in pieces gives
        the spikes of the whole. On a CPU, where no gradient is asked for and numba is installed, the loop is compiled; the
        results are the same.

    Raises:
        ValueError: if x is no sequence of floats, the state or a constant does not fit x, or dt is out of range.
    """
    slope_of(surrogate, slope)
    check_input(x, state, dt)
    abcd = torch.stack([constant(name, value, x) for name, value in zip("abcd", (a, b, c, d), strict=True)])
    if state is None:
        state = at_rest(x[0], abcd)
    kernel = compiled(x, abcd, *state)
    if kernel is None:
        spikes, constants = [], abcd.unbind(0)
        for current in x.unbind(0):
            spiked, state = advance(current, state, constants, dt, surrogate, slope)
            spikes.append(spiked)
        return torch.stack(spikes), state
    return _run_compiled(kernel, x, state, abcd, dt)


class IzhikevichNeuron(nn.Module):
    """A layer of Izhikevich neurons, (T, B, N) currents to (T, B, N) spikes; see `izhikevich`.

    Args:
        preset: a name in `IZHIKEVICH`; or give constants of your own instead, numbers or (N,).
        dt: length of a step in ms.

    The module holds constants only, as buffers. `forward` starts from rest each time; `step` takes and returns the state.

    Raises:
        ValueError: for an unknown preset, and as `izhikevich`.
    """

    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor

    def __init__(
        self,
        preset: str = "RS",
        *,
        a: Constant | None = None,
        b: Constant | None = None,
        c: Constant | None = None,
        d: Constant | None = None,
        dt: float = 1.0,
        surrogate: str = "sigmoid",
        slope: float = SLOPE,
    ) -> None:
        super().__init__()
        if preset not in IZHIKEVICH:
            raise ValueError(f"preset must be one of {', '.join(IZHIKEVICH)}, got {preset!r}")
        for name, given, usual in zip("abcd", (a, b, c, d), IZHIKEVICH[preset], strict=True):
            self.register_buffer(name, torch.as_tensor(usual if given is None else given, dtype=torch.get_default_dtype()))
        check_step(dt)
        slope_of(surrogate, slope)
        self.dt = dt
        self.surrogate = surrogate
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return self._run(x, None)[0]

    def step(self, x: Tensor, state: IzhikevichState | None = None) -> tuple[Tensor, IzhikevichState]:
        """One step: (B, N) current and state to (B, N) spikes and the state after them."""
        spikes, state = self._run(x.unsqueeze(0), state)
        return spikes[0], state

    def _run(self, x: Tensor, state: IzhikevichState | None) -> tuple[Tensor, IzhikevichState]:
        constants = {"a": self.a, "b": self.b, "c": self.c, "d": self.d}
        return izhikevich(x, state, **constants, dt=self.dt, surrogate=self.surrogate, slope=self.slope)

    def extra_repr(self) -> str:
        return f"neurons={self.a.numel() if self.a.ndim else 'any'}, dt={self.dt}"


class IzhikevichPopulation(IzhikevichNeuron):
    """N neurons of which no two are alike, excitatory ones first, as in the network of the 2003 paper (section III).

    With r uniform on [0, 1], one draw a neuron, excitatory cells go from regular spiking to chattering, c = -65 + 15 r² and
    d = 8 - 6 r², with a = 0.02, b = 0.2; inhibitory ones from low-threshold to fast spiking, a = 0.02 + 0.08 r and
    b = 0.25 - 0.05 r, with c = -65, d = 2.

    Args:
        n: neurons.
        excitatory: share of them, rounded to whole neurons; `is_excitatory`, (N,), says which.
        heterogeneity: 1 draws r from [0, 1]; 0 sets it to one half everywhere, in between from a narrower range around it.
        dt: length of a step in ms.
        generator: source of the random numbers; torch's own when None.

    Raises:
        ValueError: if n is not positive, or a share is outside [0, 1].
    """

    is_excitatory: Tensor

    def __init__(
        self,
        n: int,
        *,
        excitatory: float = 0.8,
        heterogeneity: float = 1.0,
        dt: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        if n < 1:
            raise ValueError(f"a population needs at least 1 neuron, got {n}")
        for name, share in {"excitatory": excitatory, "heterogeneity": heterogeneity}.items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {share}")
        r = 0.5 + heterogeneity * (torch.rand(n, generator=generator) - 0.5)
        is_excitatory = torch.arange(n) < round(excitatory * n)
        super().__init__(
            a=torch.where(is_excitatory, 0.02, 0.02 + 0.08 * r),
            b=torch.where(is_excitatory, 0.2, 0.25 - 0.05 * r),
            c=torch.where(is_excitatory, -65 + 15 * r**2, -65.0),
            d=torch.where(is_excitatory, 8 - 6 * r**2, 2.0),
            dt=dt,
        )
        self.register_buffer("is_excitatory", is_excitatory)

    def __len__(self) -> int:
        return len(self.a)


def advance(
    x: Tensor, state: IzhikevichState, abcd: Sequence[Tensor], dt: float, surrogate: str = "sigmoid", slope: float = SLOPE
) -> tuple[Tensor, IzhikevichState]:
    """One step, in the order of operations that the compiled loop has too."""
    square, linear, offset, cap = CONSTANTS
    a, b, c, d = abcd
    v, u = state
    for _ in range(2):
        v = v.clamp(max=cap)
        v = v + (square * v * v + linear * v + offset - u + x) * (dt / 2)
    u = u + (b * v - u) * a * dt
    spikes = spike(v - PEAK, surrogate, slope)
    spiked = spikes.detach() > 0
    return spikes, IzhikevichState(torch.where(spiked, c, v), torch.where(spiked, u + d, u))


def at_rest(x: Tensor, abcd: Tensor) -> IzhikevichState:
    v = torch.full_like(x, REST, memory_format=torch.contiguous_format)
    return IzhikevichState(v, abcd[1] * v)


@cache
def _kernel() -> ModuleType | None:
    try:
        from . import _izhikevich_kernel
    except ImportError:
        return None
    return _izhikevich_kernel


def compiled(x: Tensor, *others: Tensor) -> ModuleType | None:
    """The compiled loop, where it can take over: on a CPU, in single or double precision, without gradients."""
    tensors = (x, *others)
    if any(each.device.type != "cpu" or each.dtype != x.dtype for each in tensors) or x.dtype not in (
        torch.float32,
        torch.float64,
    ):
        return None
    if x.numel() == 0 or (torch.is_grad_enabled() and any(each.requires_grad for each in tensors)):
        return None
    return _kernel()


def simulate(
    kernel: ModuleType,
    x: Tensor,
    weight_t: Tensor,
    abcd: Tensor,
    dt: float,
    decay: float,
    state: tuple[Tensor, Tensor, Tensor],
    spikes: Tensor,
) -> None:
    """Run the compiled loop: `spikes` and the three of `state` are written over; all are contiguous."""
    constants = torch.tensor([*CONSTANTS, PEAK, dt, dt / 2, decay], dtype=x.dtype)
    kernel.simulate(*(each.detach().numpy() for each in (x, weight_t, abcd, constants, *state, spikes)))


def _run_compiled(
    kernel: ModuleType, x: Tensor, state: IzhikevichState, abcd: Tensor, dt: float
) -> tuple[Tensor, IzhikevichState]:
    rows = x.contiguous().view(len(x), -1, x.shape[-1])
    v, u = (each.clone(memory_format=torch.contiguous_format).view(rows.shape[1:]) for each in state)
    spikes = torch.empty_like(rows)
    simulate(kernel, rows, rows.new_empty(0, 0), abcd, dt, 0.0, (v, u, torch.zeros_like(v)), spikes)
    return spikes.view(x.shape), IzhikevichState(v.view(x.shape[1:]), u.view(x.shape[1:]))


def constant(name: str, value: Constant, x: Tensor) -> Tensor:
    """One a neuron, (N,), of the dtype of x and where it is."""
    tensor = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    if tensor.ndim > 1 or (tensor.ndim == 1 and len(tensor) != x.shape[-1]):
        raise ValueError(f"{name} must be a number or ({x.shape[-1]},) to fit x {tuple(x.shape)}, got {tuple(tensor.shape)}")
    return tensor.expand(x.shape[-1])


def check_input(x: Tensor, state: tuple[Tensor, ...] | None, dt: float) -> None:
    if x.ndim < 2 or len(x) == 0 or not x.is_floating_point():
        raise ValueError(f"x must be floats of shape (T, ..., N) with at least one step, got {tuple(x.shape)} of {x.dtype}")
    for each in state or ():
        if each.shape != x.shape[1:]:
            raise ValueError(f"the state must be {tuple(x.shape[1:])} to fit x {tuple(x.shape)}, got {tuple(each.shape)}")
    check_step(dt)


def check_step(dt: float) -> None:
    if not 0 < dt <= 1:
        raise ValueError(f"dt must be above 0 and at most 1 ms, got {dt}")
