"""Curl descent: gradient learning in which the synapses leaving some neurons have a plasticity rule of the opposite sign.

H. Ninou, J. Kadmon, N. A. Cayco-Gajic, "Curl descent: non-gradient learning dynamics with sign-diverse plasticity", NeurIPS 2025,
arXiv:2510.02765. A weight matrix W learns by dW = -lr (dC/dW) D with D a diagonal matrix of signs, one for each presynaptic
neuron. Where the gradient is zero the update is zero too, so solutions stay solutions; but the flow is the gradient of nothing,
and which solutions are stable changes.

For a student y = W2 W1 x with white inputs, E = W2 W1 - B and C = |E|² / 2 the flow is

    dW1/dt = - W2ᵀ E D0      dW2/dt = - E W1ᵀ D1

Close to a solution the error obeys dE/dt = - (E W1ᵀ D1 W1 + W2 W2ᵀ E D0), a symmetric operator on E whose eigenvalues are
`error_rates`; all positive, the error shrinks whatever it is. That operator and `flow_invariant` are derived here, not taken from the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = [
    "CurlFlow",
    "CurlSGD",
    "critical_fraction",
    "curl_flow",
    "curl_ratio",
    "curl_step",
    "error_rates",
    "flip_signs",
    "flow_invariant",
    "flow_jacobian",
    "lyapunov_exponent",
    "presynaptic_signs",
]


def flip_signs(size: int, fraction: float, *, generator: torch.Generator | None = None) -> Tensor:
    """(size,) of +1, a share of which, rounded to whole neurons, is -1 at random places.

    Raises:
        ValueError: if size is not positive or fraction is outside [0, 1].
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must lie in [0, 1], got {fraction}")
    signs = torch.ones(size)
    signs[torch.randperm(size, generator=generator)[: round(fraction * size)]] = -1
    return signs


def presynaptic_signs(weight: Tensor, fraction: float, *, generator: torch.Generator | None = None) -> Tensor:
    """Signs for `CurlSGD` that flip all synapses leaving a share of the inputs of a layer: shaped (1, inputs, 1, ...).

    Args:
        weight: (outputs, inputs, ...), of a linear layer or a convolution without groups.
        fraction: share of the inputs.

    Raises:
        ValueError: if weight has fewer than two dimensions or fraction is outside [0, 1].
    """
    if weight.ndim < 2:
        raise ValueError(f"weight must be (outputs, inputs, ...), got {tuple(weight.shape)}")
    signs = flip_signs(weight.shape[1], fraction, generator=generator).to(weight)
    return signs.view(1, -1, *[1] * (weight.ndim - 2))


class CurlSGD(torch.optim.Optimizer):
    """SGD whose gradients are multiplied by fixed signs, p ← p - lr D g; with momentum m ← momentum m + D g and p ← p - lr m.

    Args:
        params: as for any optimiser.
        lr: step size; may be set for each group.
        momentum: between 0 and 1, without dampening; may be set for each group.
        signs: for a parameter, the tensor of +1 and -1 that its gradient is multiplied by, broadcast to its shape. A parameter
            that is not named descends as usual. The signs belong to the state: they are saved and loaded with it.

    Raises:
        ValueError: if lr is not positive, momentum is outside [0, 1), or signs are of no parameter here, do not broadcast to their
            parameter, or hold anything but +1 and -1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.0,
        *,
        signs: Mapping[nn.Parameter, Tensor] | None = None,
    ) -> None:
        if not lr > 0:
            raise ValueError(f"lr must be positive, got {lr}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        super().__init__(params, {"lr": lr, "momentum": momentum})
        known = {id(parameter) for group in self.param_groups for parameter in group["params"]}
        for parameter, given in (signs or {}).items():
            if id(parameter) not in known:
                raise ValueError(
                    f"signs of shape {tuple(given.shape)} are for a parameter of shape {tuple(parameter.shape)} "
                    "that is not among params"
                )
            self.state[parameter]["signs"] = _checked_signs(given, parameter)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group["lr"], group["momentum"])
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, lr: float, momentum: float) -> None:
        state = self.state[parameter]
        direction: Tensor = gradient * state["signs"] if "signs" in state else gradient
        if momentum:
            if "momentum" in state:
                direction = state["momentum"].mul_(momentum).add_(direction)
            else:
                # A copy: without signs the direction is the gradient's own buffer.
                direction = state["momentum"] = direction.clone()
        parameter.sub_(direction, alpha=lr)


def _checked_signs(signs: Tensor, parameter: Tensor) -> Tensor:
    try:
        fits = torch.broadcast_shapes(signs.shape, parameter.shape) == parameter.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(f"signs must broadcast to their parameter, {tuple(parameter.shape)}, got {tuple(signs.shape)}")
    if not bool((signs.abs() == 1).all()):
        raise ValueError(f"signs must be +1 or -1, got values from {float(signs.min()):g} to {float(signs.max()):g}")
    return signs.to(parameter)


class CurlFlow(NamedTuple):
    """Where a linear student got to, and what it did on the way.

    Attributes:
        w1, w2: the weights at the end.
        loss: (steps + 1, ...), |E|² / 2 before each step and after the last; infinite where the weights have overflown.
        speed: (steps, ...), norm of the change of all weights for a unit of time.
    """

    w1: Tensor
    w2: Tensor
    loss: Tensor
    speed: Tensor


def curl_step(w1: Tensor, w2: Tensor, target: Tensor, signs_in: Tensor, signs_hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The direction of the flow, (dW1/dt, dW2/dt), for a linear student and white inputs.

    Args:
        w1: (..., M, N), from inputs to hidden units.
        w2: (..., O, M), from hidden units to outputs.
        target: (..., O, N), the teacher's whole map B.
        signs_in: (..., N), the diagonal of D0.
        signs_hidden: (..., M), the diagonal of D1.

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_student(w1, w2, target, signs_in, signs_hidden)
    error = w2 @ w1 - target
    return -(w2.mT @ error) * signs_in.unsqueeze(-2), -(error @ w1.mT) * signs_hidden.unsqueeze(-2)


@torch.no_grad()
def curl_flow(
    w1: Tensor, w2: Tensor, target: Tensor, signs_in: Tensor, signs_hidden: Tensor, *, lr: float, steps: int
) -> CurlFlow:
    """Follow the flow of `curl_step` by Euler steps of size lr, many students at once in the leading dimensions.

    Whether a student is lost to the flow or to a step that is too long shows by halving lr and doubling steps.

    Raises:
        ValueError: if the shapes do not fit, lr is not positive or steps is below 1.
    """
    _check_student(w1, w2, target, signs_in, signs_hidden)
    if not lr > 0:
        raise ValueError(f"lr must be positive, got {lr}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    w1, w2 = w1.clone(), w2.clone()
    rows_in, rows_hidden = signs_in.unsqueeze(-2), signs_hidden.unsqueeze(-2)
    # Written in place: small tensors kept from every step would scatter over the heap, between the large ones that come and go.
    loss = torch.empty(steps + 1, *(w2 @ w1 - target).shape[:-2], dtype=w1.dtype, device=w1.device)
    speed = torch.empty_like(loss[1:])
    for step in range(steps):
        error = w2 @ w1 - target
        d1, d2 = (w2.mT @ error).mul_(rows_in), (error @ w1.mT).mul_(rows_hidden)
        loss[step] = _half_square(error)
        speed[step] = (d1.square().sum((-2, -1)) + d2.square().sum((-2, -1))).sqrt()
        w1.sub_(d1, alpha=lr)
        w2.sub_(d2, alpha=lr)
    loss[steps] = _half_square(w2 @ w1 - target)
    return CurlFlow(w1, w2, loss.masked_fill_(loss.isnan(), torch.inf), speed.masked_fill_(speed.isnan(), torch.inf))


def error_rates(w1: Tensor, w2: Tensor, signs_in: Tensor, signs_hidden: Tensor) -> Tensor:
    """Rates at which errors die out close to these weights, ascending, (..., O N); negative ones grow.

    The eigenvalues of E ↦ E W1ᵀ D1 W1 + W2 W2ᵀ E D0. For one output that is S = W1ᵀ D1 W1 + |w2|² D0.

    Args:
        w1: (..., M, N).
        w2: (..., O, M).
        signs_in: (..., N).
        signs_hidden: (..., M).

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_student(w1, w2, None, signs_in, signs_hidden)
    through_hidden = (w1.mT * signs_hidden.unsqueeze(-2)) @ w1
    through_readout = w2 @ w2.mT
    if w2.shape[-2] == 1:
        operator = through_hidden + through_readout * torch.diag_embed(signs_in)
    else:
        identity = torch.eye(w2.shape[-2], dtype=w1.dtype, device=w1.device)
        operator = _kronecker(identity, through_hidden) + _kronecker(through_readout, torch.diag_embed(signs_in))
    rates: Tensor = torch.linalg.eigvalsh(operator)
    return rates


def flow_invariant(w1: Tensor, w2: Tensor, signs_in: Tensor, signs_hidden: Tensor) -> Tensor:
    """tr(W1 D0 W1ᵀ) - tr(W2 D1 W2ᵀ), (...): no flow of `curl_step` changes it, whatever the target.

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_student(w1, w2, None, signs_in, signs_hidden)
    return (w1.square() * signs_in.unsqueeze(-2)).sum((-2, -1)) - (w2.square() * signs_hidden.unsqueeze(-2)).sum((-2, -1))


def critical_fraction(
    compression: float, layer: str, *, inputs: int = 200, draws: int = 5, generator: torch.Generator | None = None
) -> float:
    """The share of flipped neurons at which a typical solution loses its stability, by bisection over random students.

    Weights are Gaussian with variance 1 / fan-in and there is one output. Typical means that the smallest of `error_rates`, averaged
    over the draws, is negative. The same draws are used for every share, and a larger share flips all that a smaller one does.

    Args:
        compression: number of inputs over number of hidden units.
        layer: "hidden" flips the synapses that leave inputs, "readout" those that leave hidden units.
        inputs: N; the answer is known to one neuron of the flipped kind.
        draws: random students averaged over.

    Returns:
        The smallest share that is unstable, or 1 when no share up to one half is. (Flipping more than half of the hidden units is not
        looked at: the paper's curve ends there.)

    Raises:
        ValueError: if compression is not positive, layer is unknown, or inputs or draws is below 1.
    """
    if layer not in ("hidden", "readout"):
        raise ValueError(f'layer must be "hidden" or "readout", got {layer!r}')
    if not compression > 0 or inputs < 1 or draws < 1:
        raise ValueError(f"compression must be positive, inputs and draws at least 1, got {compression}, {inputs} and {draws}")
    hidden = max(1, round(inputs / compression))
    w1 = torch.randn(draws, hidden, inputs, dtype=torch.float64, generator=generator) / inputs**0.5
    w2 = torch.randn(draws, 1, hidden, dtype=torch.float64, generator=generator) / hidden**0.5
    size = inputs if layer == "hidden" else hidden
    order = torch.randperm(size, generator=generator)

    def unstable(flipped: int) -> bool:
        signs_in, signs_hidden = torch.ones(inputs, dtype=w1.dtype), torch.ones(hidden, dtype=w1.dtype)
        (signs_in if layer == "hidden" else signs_hidden)[order[:flipped]] = -1
        return bool(error_rates(w1, w2, signs_in, signs_hidden)[:, 0].mean() < 0)

    safe, lost = 0, max(1, size // 2)
    if not unstable(lost):
        return 1.0
    while lost - safe > 1:
        middle = (safe + lost) // 2
        safe, lost = (safe, middle) if unstable(middle) else (middle, lost)
    return lost / size


def flow_jacobian(field: Callable[[Tensor], Tensor], state: Tensor) -> Tensor:
    """(n, n) derivatives of a vector field at a state of n numbers.

    Raises:
        ValueError: if state is no vector, or field does not give one of the same size.
    """
    if state.ndim != 1 or field(state).shape != state.shape:
        raise ValueError(f"state must be a vector and field must give one of its size, got {tuple(state.shape)}")
    jacobian: Tensor = torch.func.jacrev(field)(state)
    return jacobian


def curl_ratio(jacobian: Tensor) -> Tensor:
    """|J - Jᵀ| / |J + Jᵀ| with Frobenius norms, (...): 0 for the flow of a gradient, infinite for a pure rotation.

    Raises:
        ValueError: if jacobian is not (..., n, n).
    """
    if jacobian.ndim < 2 or jacobian.shape[-1] != jacobian.shape[-2]:
        raise ValueError(f"jacobian must be (..., n, n), got {tuple(jacobian.shape)}")
    ratio: Tensor = (jacobian - jacobian.mT).norm(dim=(-2, -1)) / (jacobian + jacobian.mT).norm(dim=(-2, -1))
    return ratio


@torch.no_grad()
def lyapunov_exponent(
    advance: Callable[[Tensor], Tensor],
    state: Tensor,
    *,
    steps: int,
    dt: float = 1.0,
    separation: float = 1e-6,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Finite-time largest Lyapunov exponent, per unit of time: how fast two neighbouring trajectories part.

    G. Benettin et al., Meccanica 15 (1980): a neighbour at distance `separation` in a random direction is followed, and brought back to that
    distance after every step; the exponent is the mean logarithm of the growth. Use float64.

    Args:
        advance: from a state, (..., n), to the next one.
        state: (..., n), where to begin; leading dimensions are separate trajectories.
        steps: number of steps.
        dt: time that a step takes.
        separation: distance of the neighbour.

    Returns:
        (...), positive for chaos.

    Raises:
        ValueError: if steps is below 1, or dt or separation is not positive.
    """
    if steps < 1 or not dt > 0 or not separation > 0:
        raise ValueError(f"steps must be at least 1, dt and separation positive, got {steps}, {dt} and {separation}")
    away = torch.randn(state.shape, dtype=state.dtype, generator=generator).to(state.device)
    neighbour = state + separation * away / away.norm(dim=-1, keepdim=True)
    growth = torch.zeros(state.shape[:-1], dtype=state.dtype, device=state.device)
    for _ in range(steps):
        state, neighbour = advance(state), advance(neighbour)
        away = neighbour - state
        distance = away.norm(dim=-1)
        growth += (distance / separation).log()
        neighbour = state + away * (separation / distance).unsqueeze(-1)
    return growth / (steps * dt)


def _check_student(w1: Tensor, w2: Tensor, target: Tensor | None, signs_in: Tensor, signs_hidden: Tensor) -> None:
    if w1.ndim < 2 or w2.ndim < 2 or w2.shape[-1] != w1.shape[-2]:
        raise ValueError(f"w1 must be (..., M, N) and w2 (..., O, M), got {tuple(w1.shape)} and {tuple(w2.shape)}")
    hidden, inputs = w1.shape[-2:]
    if target is not None and target.shape[-2:] != (w2.shape[-2], inputs):
        raise ValueError(f"target must be (..., {w2.shape[-2]}, {inputs}), got {tuple(target.shape)}")
    for name, signs, size in (("signs_in", signs_in, inputs), ("signs_hidden", signs_hidden, hidden)):
        if signs.ndim < 1 or signs.shape[-1] != size:
            raise ValueError(f"{name} must be (..., {size}), got {tuple(signs.shape)}")


def _half_square(error: Tensor) -> Tensor:
    return error.square().sum((-2, -1)) / 2


def _kronecker(a: Tensor, b: Tensor) -> Tensor:
    """Kronecker product of the last two dimensions, with the leading ones broadcast."""
    product = torch.einsum("...ij,...kl->...ikjl", a, b)
    return product.reshape(*product.shape[:-4], a.shape[-2] * b.shape[-2], a.shape[-1] * b.shape[-1])
