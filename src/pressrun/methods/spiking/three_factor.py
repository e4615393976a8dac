"""Read-outs that learn while they run: a local three-factor rule, and recursive least squares to compare it with.

Three factors, as in W. Gerstner et al., "Eligibility traces and plasticity on behavioral time scales", Frontiers in Neural
Circuits 12 (2018): what a synapse remembers (its eligibility), and a third signal (an error, a reward) that says what to make
of it, let through by a gate. Y. Yamada, Z. C. Chao (arXiv:2510.14382) train reservoir read-outs so. Recursive least squares is the
learning rule of FORCE: D. Sussillo, L. F. Abbott, Neuron 63 (2009), eq. 4 to 6.

Learning means that `step`, `learn` and `consolidate` change the weights of the module; `forward` does not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

__all__ = ["RLSReadout", "ThreeFactorReadout", "three_factor_update"]


def three_factor_update(weight: Tensor, eligibility: Tensor, modulator: Tensor, *, lr: float) -> Tensor:
    """One step of a three-factor rule, averaged over the batch: ΔW = lr · mean over b of M_b · E_b.

    Args:
        weight: (outputs, inputs).
        eligibility: what each synapse remembers, (B, outputs, inputs); or (B, inputs) where it is a presynaptic trace.
        modulator: the third factor times the gate, one an output, (B, outputs); or one for all, (B, 1).
        lr: step size.

    Returns:
        The new weight; the argument is left as it is.

    Raises:
        ValueError: if the shapes do not fit.
    """
    outputs, inputs = weight.shape
    batch = len(eligibility)
    if eligibility.shape not in ((batch, inputs), (batch, outputs, inputs)):
        fits = f"(B, {inputs}) or (B, {outputs}, {inputs})"
        raise ValueError(f"eligibility must be {fits} to fit weight {tuple(weight.shape)}, got {tuple(eligibility.shape)}")
    if modulator.shape not in ((batch, outputs), (batch, 1)):
        raise ValueError(f"modulator must be ({batch}, {outputs}) or ({batch}, 1), got {tuple(modulator.shape)}")
    if eligibility.ndim == 2:
        return weight.addmm(modulator.expand(batch, outputs).T, eligibility, alpha=lr / batch)
    return weight.add((modulator[:, :, None] * eligibility).mean(0), alpha=lr)


class _Readout(nn.Module):
    """What both rules share: a linear prediction, and a sequence learned step by step."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        if inputs < 1 or outputs < 1:
            raise ValueError(f"a read-out needs at least 1 input and 1 output, got {inputs} and {outputs}")
        self.inputs = inputs
        self.outputs = outputs

    @property
    def weight(self) -> Tensor:
        raise NotImplementedError

    def forward(self, traces: Tensor) -> Tensor:
        """(..., inputs) traces to (..., outputs) predictions."""
        if traces.shape[-1] != self.inputs:
            raise ValueError(f"traces must be (..., {self.inputs}), got {tuple(traces.shape)}")
        return traces @ self.weight.T

    @torch.no_grad()
    def step(self, trace: Tensor, target: Tensor, gate: Tensor | float = 1.0) -> Tensor:
        """Learn from one time step and return what was predicted before it.

        Args:
            trace: (B, inputs).
            target: (B, outputs).
            gate: from 0 (closed) to 1; a number, or a tensor that broadcasts to (B, outputs).
        """
        self._check(trace, target, gate, 2)
        return self._step(trace, target, gate)

    @torch.no_grad()
    def learn(self, traces: Tensor, targets: Tensor, gate: Tensor | float = 1.0) -> Tensor:
        """`step` for every time in turn: (T, B, inputs) traces and (T, B, outputs) targets to (T, B, outputs) predictions.

        A gate that is a tensor broadcasts to (T, B, outputs): (T, 1, 1) is a window in time, (B, 1) chooses trials.
        """
        self._check(traces, targets, gate, 3)
        return torch.stack([self._step(*now) for now in self._in_time(traces, targets, gate)])

    def _in_time(self, traces: Tensor, targets: Tensor, gate: Tensor | float) -> Iterator[tuple[Tensor, Tensor, Tensor | float]]:
        gates = gate.expand(len(traces), -1, -1) if isinstance(gate, Tensor) and gate.ndim == 3 else [gate] * len(traces)
        return zip(traces, targets, gates, strict=True)

    def _step(self, trace: Tensor, target: Tensor, gate: Tensor | float) -> Tensor:
        raise NotImplementedError

    def _check(self, traces: Tensor, targets: Tensor, gate: Tensor | float, ndim: int) -> None:
        names = "(T, B, " if ndim == 3 else "(B, "
        if traces.ndim != ndim or traces.shape[-1] != self.inputs or traces.numel() == 0:
            raise ValueError(f"traces must be {names}{self.inputs}), got {tuple(traces.shape)}")
        if targets.shape != (*traces.shape[:-1], self.outputs):
            raise ValueError(
                f"targets must be {(*traces.shape[:-1], self.outputs)} to fit the traces, got {tuple(targets.shape)}"
            )
        if isinstance(gate, Tensor):
            try:
                fits = torch.broadcast_shapes(gate.shape, targets.shape) == targets.shape
            except RuntimeError:
                fits = False
            if not fits:
                raise ValueError(f"gate must broadcast to {tuple(targets.shape)}, got {tuple(gate.shape)}")


class ThreeFactorReadout(_Readout):
    """Linear read-outs under ΔW = lr · gate · (target - prediction) · trace / (eps + |trace|²).

    The normaliser makes lr the share of the error that one step takes away, stable below 2 whatever the rate of the inputs; without it,
    lr has to stay below 2 / max |trace|². The fixed point for a target that varies between trials is its mean, so that a bump
    that comes with probability p is predicted with height p.

    Weights are the sum of two buffers, (outputs, inputs) and zero at first: `fast`, which `step` and `learn` change, and `slow`,
    which `consolidate` changes.

    Args:
        inputs: neurons whose traces come in.
        outputs: read-outs; each learns by itself.
        lr: step size.
        normalise: whether the update is divided by eps + |trace|².
        eps: what keeps a silent reservoir from being divided by zero.

    Raises:
        ValueError: if a size or constant is not positive, or shapes do not fit.
    """

    fast: Tensor
    slow: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        lr: float = 0.05,
        normalise: bool = True,
        eps: float = 0.5,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(inputs, outputs)
        for name, value in {"lr": lr, "eps": eps}.items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.lr = lr
        self.normalise = normalise
        self.eps = eps
        self.register_buffer("fast", torch.zeros(outputs, inputs, dtype=dtype, device=device))
        self.register_buffer("slow", torch.zeros(outputs, inputs, dtype=dtype, device=device))

    @property
    def weight(self) -> Tensor:
        return self.fast + self.slow

    @torch.no_grad()
    def consolidate(
        self, traces: Tensor, targets: Tensor, gate: Tensor | float = 1.0, *, lr: float = 0.02, repeats: int = 1
    ) -> None:
        """Replay stored trials side by side, so that what they share is learned, and change `slow` only, by the same rule.

        Args:
            traces: (T, B, inputs), B trials.
            targets: (T, B, outputs).
            gate: as in `learn`.
            lr: step size of the replay.
            repeats: how often the trials are replayed.
        """
        self._check(traces, targets, gate, 3)
        for _ in range(repeats):
            for trace, target, gate_now in self._in_time(traces, targets, gate):
                update = self._factors(trace, target - trace @ self.weight.T, gate_now)
                self.slow = three_factor_update(self.slow, *update, lr=lr)

    def _step(self, trace: Tensor, target: Tensor, gate: Tensor | float) -> Tensor:
        predicted = trace @ self.weight.T
        self.fast = three_factor_update(self.fast, *self._factors(trace, target - predicted, gate), lr=self.lr)
        return predicted

    def _factors(self, trace: Tensor, error: Tensor, gate: Tensor | float) -> tuple[Tensor, Tensor]:
        """Eligibility and modulator."""
        eligibility = trace / (self.eps + trace.square().sum(1, keepdim=True)) if self.normalise else trace
        return eligibility, gate * error

    def extra_repr(self) -> str:
        return f"{self.inputs}, {self.outputs}, lr={self.lr}, normalise={self.normalise}"


class RLSReadout(_Readout):
    """Linear read-outs by recursive least squares, with the interface of `ThreeFactorReadout`.

    Each step is the exact solution for all samples so far, each weighted by its gate, with a ridge of `alpha` around zero. A
    sample so moves the weights less the more came before it; `reset` forgets how many did, `forgetting` below 1 lets them fade, by
    that factor for every step whose gate is open anywhere. A closed gate leaves everything as it is.

    Args:
        inputs, outputs: as there.
        alpha: the ridge; the inverse correlation `precision`, (inputs, inputs), starts from identity / alpha.
        forgetting: above 0 and at most 1. Below 1, use double precision: `precision` grows in directions that no input has.

    The gate is one a sample, (B, 1): the read-outs share `precision`, so that none can sleep alone.

    Raises:
        ValueError: if a size or constant is out of range, or shapes do not fit.
    """

    _weight: Tensor
    precision: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        alpha: float = 0.1,
        forgetting: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(inputs, outputs)
        if not alpha > 0:
            raise ValueError(f"alpha must be positive, got {alpha}")
        if not 0 < forgetting <= 1:
            raise ValueError(f"forgetting must be above 0 and at most 1, got {forgetting}")
        self.alpha = alpha
        self.forgetting = forgetting
        self.register_buffer("_weight", torch.zeros(outputs, inputs, dtype=dtype, device=device))
        self.register_buffer("precision", torch.eye(inputs, dtype=dtype, device=device) / alpha)

    @property
    def weight(self) -> Tensor:
        return self._weight

    def reset(self) -> None:
        """Back to the precision of the start; the weights stay."""
        self.precision = torch.eye(self.inputs, dtype=self.precision.dtype, device=self.precision.device) / self.alpha

    def _check(self, traces: Tensor, targets: Tensor, gate: Tensor | float, ndim: int) -> None:
        super()._check(traces, targets, gate, ndim)
        if isinstance(gate, Tensor) and gate.ndim and gate.shape[-1] != 1:
            raise ValueError(f"the gate of recursive least squares must be one a sample, (..., B, 1), got {tuple(gate.shape)}")

    def _step(self, trace: Tensor, target: Tensor, gate: Tensor | float) -> Tensor:
        predicted = trace @ self._weight.T
        if not (gate.any() if isinstance(gate, Tensor) else gate):
            return predicted
        error = target - predicted
        if isinstance(gate, Tensor) or gate != 1:
            root = gate**0.5  # a sample of weight g is one that is sqrt(g) times as long
            trace, error = root * trace, root * error
        # With P the precision and R the samples: S = forgetting + R P Rᵀ = L Lᵀ and Z = L⁻¹ R P, so that ΔP = -Zᵀ Z is symmetric.
        spread = trace @ self.precision
        covariance = spread @ trace.T
        covariance.diagonal().add_(self.forgetting)
        lower = torch.linalg.cholesky(covariance)
        gain = torch.linalg.solve_triangular(lower, spread, upper=False)
        self._weight.addmm_(torch.linalg.solve_triangular(lower, error, upper=False).T, gain)
        self.precision.addmm_(gain.T, gain, beta=1 / self.forgetting, alpha=-1 / self.forgetting)
        return predicted

    def extra_repr(self) -> str:
        return f"{self.inputs}, {self.outputs}, alpha={self.alpha}, forgetting={self.forgetting}"
