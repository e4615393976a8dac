"""Pair-based spike-timing-dependent plasticity: who fires before whom within some milliseconds decides how a weight changes.

With Δ = t_post - t_pre, one pair of spikes changes the weight between them by

    W(Δ) = a_plus exp(-Δ / tau_plus) for Δ > 0      W(Δ) = -a_minus exp(Δ / tau_minus) for Δ < 0

Each neuron carries a trace that decays with its time constant and that a spike raises (all pairs count) or sets to one (only
the nearest do), so that a spike needs to look at traces alone. A. Morrison, M. Diesmann, W. Gerstner, "Phenomenological models of
synaptic plasticity based on spike timing", Biological Cybernetics 98 (2008), sections 4.1 (pairing schemes) and 4.2 (bounds).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["PairSTDP", "STDPTraces"]

Backend = Literal["auto", "torch", "compiled"]
Decay = NDArray[np.float64]

# Below this many synapses a step costs a few microseconds in either way, and compiling a second or two.
COMPILED_FROM = 1 << 14


class STDPTraces(NamedTuple):
    """What is left of earlier spikes, right after the last step: (B, n_pre) and (B, n_post)."""

    pre: Tensor
    post: Tensor


@dataclass(frozen=True)
class PairSTDP:
    """The rule with its constants. It holds no state: weight and traces are handed in.

    A weight is (n_post, n_pre), as in `torch.nn.Linear`; spikes are (B, n_pre) and (B, n_post) for a step and have time in front of
    that for a whole train, boolean or 0 and 1. All B trials see the weight as it was before the step; their changes are summed or
    averaged, and then the bounds apply. Nothing here is differentiated.

    On the CPU, weights from 16,384 synapses on are updated event by event in compiled code where numba is installed: a step
    touches the rows of neurons that fire after and the columns of those that fire before. Otherwise, and on every other device,
    it is a matrix product. Both give the same up to rounding; `backend` chooses one.

    Args:
        tau_plus, tau_minus: time constants of the traces of the neurons before and after the synapse, in the unit of dt.
        a_plus, a_minus: change by a pair that fires in that order without delay, 0 or more.
        dt: duration of a step; milliseconds if the time constants are.
        w_min, w_max: bounds that no weight leaves.
        bounds: "hard", weights are clipped; "soft", a_plus is multiplied by w_max - w and a_minus by w - w_min, besides.
        pairing: "all" pairs, or the "nearest": each spike with the last one before it on the other side.
        coincident: what spikes in the same step do: "none", "ltp" (as Δ → 0 from above), "ltd" (from below), or "both".
        reduction: "sum" or "mean" over the batch.

    Raises:
        ValueError: if a constant is out of range.
    """

    tau_plus: float = 20.0
    tau_minus: float = 20.0
    a_plus: float = 0.01
    a_minus: float = 0.01
    dt: float = 1.0
    w_min: float = -math.inf
    w_max: float = math.inf
    bounds: Literal["hard", "soft"] = "hard"
    pairing: Literal["all", "nearest"] = "all"
    coincident: Literal["none", "ltp", "ltd", "both"] = "none"
    reduction: Literal["sum", "mean"] = "sum"

    def __post_init__(self) -> None:
        for name in ("tau_plus", "tau_minus", "dt"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        for name in ("a_plus", "a_minus"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more and finite, got {getattr(self, name)}")
        if not self.w_min < self.w_max:
            raise ValueError(f"w_min must be below w_max, got {self.w_min} and {self.w_max}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.bounds == "soft" and not math.isfinite(self.w_max - self.w_min):
            raise ValueError(f"soft bounds need a finite w_min and w_max, got {self.w_min} and {self.w_max}")

    def window(self, delta: Tensor) -> Tensor:
        """W(Δ), the change by one pair with Δ = t_post - t_pre, any shape; without the factors of soft bounds."""
        potentiated = delta >= 0 if self.coincident in ("ltp", "both") else delta > 0
        depressed = delta <= 0 if self.coincident in ("ltd", "both") else delta < 0
        return (
            self.a_plus * torch.exp(-delta.abs() / self.tau_plus) * potentiated
            - self.a_minus * torch.exp(-delta.abs() / self.tau_minus) * depressed
        )

    def run(
        self, weight: Tensor, pre: Tensor, post: Tensor, traces: STDPTraces | None = None, *, backend: Backend = "auto"
    ) -> tuple[Tensor, STDPTraces]:
        """Whole spike trains.

        Args:
            weight: (n_post, n_pre), floats.
            pre, post: (T, B, n_pre) and (T, B, n_post) spikes.
            traces: of the step before the first; silence before it when None.
            backend: "torch", "compiled", or the faster one.

        Returns:
            The weight after the last step and the traces then; the arguments stay as they are. A train cut in pieces, or gone
            through step by step, gives the weight of the whole.

        Raises:
            ValueError: if shapes or devices do not fit, or "compiled" cannot be had.
        """
        _check_spikes(weight, pre, post, 3)
        weight = weight.detach().clone(memory_format=torch.contiguous_format)
        traces = self._started(weight, pre, post, traces, own=True)
        decay = np.tile(self._decay(self.dt), (len(pre), 1))
        self._update(weight, pre, post, traces, decay, backend)
        return weight, traces

    def step(
        self, weight: Tensor, pre: Tensor, post: Tensor, traces: STDPTraces | None = None, *, backend: Backend = "auto"
    ) -> tuple[Tensor, STDPTraces]:
        """One step of `run`, with spikes (B, n_pre) and (B, n_post)."""
        _check_spikes(weight, pre, post, 2)
        return self.run(weight, pre.unsqueeze(0), post.unsqueeze(0), traces, backend=backend)

    def step_(
        self, weight: Tensor, pre: Tensor, post: Tensor, traces: STDPTraces | None = None, *, backend: Backend = "auto"
    ) -> STDPTraces:
        """One step that changes `weight`, and the traces where given, in place; returns the traces.

        A weight may be a parameter, a view, or anything else that can be written to. This is the way to learn while a network
        runs: nothing of the size of the weight is copied.
        """
        _check_spikes(weight, pre, post, 2)
        traces = self._started(weight, pre, post, traces, own=False)
        self._update(weight, pre.unsqueeze(0), post.unsqueeze(0), traces, self._decay(self.dt), backend)
        return traces

    def from_times(self, weight: Tensor, pre_times: Tensor, post_times: Tensor, *, backend: Backend = "auto") -> Tensor:
        """Spikes given by their times, which need not lie on a grid; one trial, silent before.

        Args:
            weight: (n_post, n_pre), floats.
            pre_times, post_times: (n_pre, K) and (n_post, L), in the unit of the time constants, in any order; NaN where a neuron has
                fewer spikes. Two spikes of a neuron at one time count as one. Only equal times are coincident.

        Returns:
            The new weight; `weight` stays as it is.

        Raises:
            ValueError: if the neurons do not fit the weight.
        """
        _check_weight(weight)
        for name, times, neurons in (("pre_times", pre_times, weight.shape[1]), ("post_times", post_times, weight.shape[0])):
            if times.ndim != 2 or len(times) != neurons:
                raise ValueError(
                    f"{name} must be ({neurons}, spikes) to fit weight {tuple(weight.shape)}, got {tuple(times.shape)}"
                )
        both = torch.cat([pre_times.flatten(), post_times.flatten().to(pre_times)])
        moments = both[~both.isnan()].unique()
        if moments.isinf().any():
            raise ValueError("spike times must be finite, or NaN for no spike, got an infinite one")
        new = weight.detach().clone(memory_format=torch.contiguous_format)
        if len(moments) == 0:
            return new
        pre, post = (_train(times, moments) for times in (pre_times, post_times.to(pre_times)))
        since = np.diff(moments.cpu().double().numpy(), prepend=float(moments[0]))
        decay = np.stack([np.exp(-since / self.tau_plus), np.exp(-since / self.tau_minus)], axis=1)
        self._update(new, pre, post, self._started(new, pre, post, None, own=True), decay, backend)
        return new

    def _decay(self, interval: float) -> Decay:
        return np.array([[math.exp(-interval / self.tau_plus), math.exp(-interval / self.tau_minus)]])

    def _started(self, weight: Tensor, pre: Tensor, post: Tensor, traces: STDPTraces | None, own: bool) -> STDPTraces:
        shapes = pre.shape[-2:], post.shape[-2:]
        if traces is None:
            return STDPTraces(*(torch.zeros(shape, dtype=weight.dtype, device=weight.device) for shape in shapes))
        for name, trace, shape in zip(STDPTraces._fields, traces, shapes, strict=True):
            if trace.shape != shape or trace.dtype != weight.dtype:
                raise ValueError(
                    f"the {name} trace must be {tuple(shape)} of {weight.dtype}, got {tuple(trace.shape)} of {trace.dtype}"
                )
        return STDPTraces(*(trace.clone() for trace in traces)) if own else traces

    def _update(
        self,
        weight: Tensor,
        pre: Tensor,
        post: Tensor,
        traces: STDPTraces,
        decay: Decay,
        backend: Backend,
    ) -> None:
        """All steps, in place on the weight and the traces; `decay` is (T, 2), what is left of each trace since the step before."""
        if _is_compiled(weight, backend):
            self._update_compiled(weight, pre, post, traces, decay)
        else:
            self._update_by_products(weight, pre, post, traces, decay)

    @torch.no_grad()
    def _update_by_products(
        self,
        weight: Tensor,
        pre: Tensor,
        post: Tensor,
        traces: STDPTraces,
        decay: Decay,
    ) -> None:
        scale = 1 / pre.shape[1] if self.reduction == "mean" else 1.0
        trains = zip(pre.to(weight.dtype).unbind(0), post.to(weight.dtype).unbind(0), decay.tolist(), strict=True)
        for before, after, (keep_pre, keep_post) in trains:
            early, late = traces.pre.mul_(keep_pre), traces.post.mul_(keep_post)
            if self.coincident in ("none", "ltd"):
                early = early.clone()
            if self.coincident in ("none", "ltp"):
                late = late.clone()
            for trace, spikes in ((traces.pre, before), (traces.post, after)):
                if self.pairing == "nearest":
                    trace.masked_fill_(spikes != 0, 1.0)
                else:
                    trace.add_(spikes)
            if self.bounds == "soft":
                up, down = after.T @ early, late.T @ before
                change = up.mul_(self.w_max - weight).mul_(scale * self.a_plus)
                weight.add_(change.addcmul_(down, weight - self.w_min, value=-scale * self.a_minus))
            else:
                weight.addmm_(after.T, early, alpha=scale * self.a_plus)
                weight.addmm_(late.T, before, alpha=-scale * self.a_minus)
            if self.w_min > -math.inf or self.w_max < math.inf:
                weight.clamp_(self.w_min, self.w_max)

    def _update_compiled(
        self,
        weight: Tensor,
        pre: Tensor,
        post: Tensor,
        traces: STDPTraces,
        decay: Decay,
    ) -> None:
        from ._stdp_kernel import update

        scale = 1 / pre.shape[1] if self.reduction == "mean" else 1.0
        update(
            _array(weight),
            _array(pre),
            _array(post),
            _array(traces.pre),
            _array(traces.post),
            decay,
            scale * self.a_plus,
            scale * self.a_minus,
            self.w_min,
            self.w_max,
            self.bounds == "soft",
            self.pairing == "nearest",
            self.coincident in ("ltp", "both"),
            self.coincident in ("ltd", "both"),
        )
        # What autograd has kept of the weight is not what it was.
        torch.autograd.graph.increment_version(weight)


_CHOICES = {
    "bounds": ("hard", "soft"),
    "pairing": ("all", "nearest"),
    "coincident": ("none", "ltp", "ltd", "both"),
    "reduction": ("sum", "mean"),
}


@cache
def _numba() -> bool:
    return find_spec("numba") is not None


def _is_compiled(weight: Tensor, backend: Backend) -> bool:
    if backend not in ("auto", "torch", "compiled"):
        raise ValueError(f"backend must be one of auto, torch, compiled, got {backend!r}")
    able = weight.device.type == "cpu" and _numba() and weight.dtype in (torch.float32, torch.float64)
    if backend == "compiled" and not able:
        raise ValueError(
            f"backend 'compiled' needs numba and a weight of 32 or 64 bits on the CPU, got {weight.dtype} on {weight.device}"
        )
    return able and (backend == "compiled" or (backend == "auto" and weight.numel() >= COMPILED_FROM))


def _array(tensor: Tensor) -> NDArray[Any]:
    """The same memory. Detaching costs more than the look whether it must be, and a step has few microseconds."""
    array: NDArray[Any] = tensor.detach().numpy() if tensor.requires_grad else tensor.numpy()
    return array


def _check_weight(weight: Tensor) -> None:
    if weight.ndim != 2 or not weight.is_floating_point():
        raise ValueError(f"weight must be floats of shape (n_post, n_pre), got {tuple(weight.shape)} of {weight.dtype}")


def _check_spikes(weight: Tensor, pre: Tensor, post: Tensor, axes: int) -> None:
    _check_weight(weight)
    time = "T, " if axes == 3 else ""
    for name, spikes, neurons in (("pre", pre, weight.shape[1]), ("post", post, weight.shape[0])):
        if spikes.ndim != axes or spikes.shape[-1] != neurons:
            raise ValueError(
                f"{name} must be ({time}B, {neurons}) to fit weight {tuple(weight.shape)}, got {tuple(spikes.shape)}"
            )
    if pre.shape[:-1] != post.shape[:-1]:
        raise ValueError(f"pre and post must be of the same steps and trials, got {tuple(pre.shape)} and {tuple(post.shape)}")


def _train(times: Tensor, moments: Tensor) -> Tensor:
    """(moments, 1, neurons), true where a neuron fires at one of the sorted moments."""
    train = torch.zeros(len(moments), 1, len(times), dtype=torch.bool, device=times.device)
    neuron, spike = (~times.isnan()).nonzero(as_tuple=True)
    train[torch.searchsorted(moments, times[neuron, spike]), 0, neuron] = True
    return train
