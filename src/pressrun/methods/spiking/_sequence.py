"""What `lif` and `alif` have in common: all steps of a sequence as one node of the autograd graph, on the fastest path there is.

On a CPU, at single and double precision, the loops are those of `_kernels` where numba is installed; elsewhere they are operations on
tensors. Both do the same arithmetic in the same order, so the spikes are equal to the bit; gradients differ by rounding,
because the exponential functions of the two do. Under `torch.compile`, tracing and `torch.func` the sequence is one operator,
`pressrun::sequence`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from math import prod
from threading import Thread
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .surrogate import _derivative

__all__ = ["Constants", "run"]

Flat = np.ndarray[tuple[int], np.dtype[Any]]

ENOUGH_FOR_A_THREAD = 1 << 18  # neurons times steps; below it a thread takes longer to start than it saves


class Constants(NamedTuple):
    """Of a layer, with potentials counted from rest. Without adaptation beta is 0 and rho means nothing."""

    decay: float
    threshold: float
    hard: bool
    detach_reset: bool
    surrogate: str
    slope: float
    rho: float = 0.0
    beta: float = 0.0
    adaptive: bool = False


def run(x: Tensor, v: Tensor | None, a: Tensor | None, constants: Constants) -> tuple[Tensor, Tensor, Tensor | None]:
    """Spikes, and potential and adaptation after the last step."""
    if _is_plain(x):
        found: tuple[Tensor, Tensor, Tensor | None] = _Sequence.apply(x, v, a, constants)  # type: ignore[no-untyped-call]
        return found
    v = torch.zeros_like(x[0]) if v is None else v
    a = (torch.zeros_like(x[0]) if constants.adaptive else x.new_zeros(0)) if a is None else a
    spikes, last, adaptation = _Traced.apply(x, v, a, *constants)  # type: ignore[no-untyped-call]
    return spikes, last, adaptation if constants.adaptive else None


def _is_plain(x: Tensor) -> bool:
    """Whether x is the numbers themselves and nobody watches what is done to them."""
    return (
        not torch.compiler.is_compiling()
        and type(x) in (Tensor, nn.Parameter)
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()
    )


@cache
def kernels() -> ModuleType | None:
    """The compiled loops, loaded at the first call; None where numba is missing or turned off."""
    try:
        import numba

        from . import _kernels
    except ImportError:
        return None
    return None if numba.config.DISABLE_JIT else _kernels  # type: ignore[attr-defined]


Kept = tuple[Tensor, Tensor | None]
"""What the backward pass needs: h of every step, and the threshold of every step where it moves."""


class _Sequence(torch.autograd.Function):
    """The node of the graph where nothing else is going on: lighter than the operator."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,  # noqa: ANN001
        x: Tensor,
        v: Tensor | None,
        a: Tensor | None,
        constants: Constants,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        ctx.constants = constants
        ctx.set_materialize_grads(False)
        spikes, last, adaptation, kept = forward(x, v, a, constants, keep=any(ctx.needs_input_grad))
        ctx.save_for_backward(*kept)
        return spikes, last, adaptation

    @staticmethod
    @once_differentiable
    def backward(  # type: ignore[no-untyped-def]
        ctx,  # noqa: ANN001
        above: Tensor | None,
        above_v: Tensor | None,
        above_a: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        found = backward(ctx.saved_tensors, above, above_v, above_a, ctx.constants)
        return *(grad if needed else None for grad, needed in zip(found, ctx.needs_input_grad[:3], strict=True)), None


def forward(
    x: Tensor, v: Tensor | None, a: Tensor | None, constants: Constants, *, keep: bool
) -> tuple[Tensor, Tensor, Tensor | None, Kept]:
    """Spikes, last potential, last adaptation, and what the backward pass needs if that is to be kept."""
    module = kernels() if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) else None
    return looped_forward(x, v, a, constants) if module is None else compiled_forward(module, x, v, a, constants, keep)


def backward(
    kept: Kept, above: Tensor | None, above_v: Tensor | None, above_a: Tensor | None, constants: Constants
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The gradients of x, v and a from those of the spikes, the last potential and the last adaptation."""
    h = kept[0]
    module = kernels() if h.device.type == "cpu" and h.dtype in (torch.float32, torch.float64) else None
    if module is None:
        return looped_backward(*kept, above, above_v, above_a, constants)
    return compiled_backward(module, *kept, above, above_v, above_a, constants)


def looped_forward(
    x: Tensor, v: Tensor | None, a: Tensor | None, constants: Constants
) -> tuple[Tensor, Tensor, Tensor | None, Kept]:
    """In operations on tensors, for every device and precision."""
    decay, threshold, hard, *_, rho, beta, adaptive = constants
    h = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    spikes, potential = torch.empty_like(h), torch.empty_like(h[0])
    level = torch.empty_like(h) if adaptive else None
    adaptation = None
    if adaptive:
        adaptation = torch.zeros_like(potential) if a is None else a.clone(memory_format=torch.contiguous_format)
    for t, (current, h_t, spikes_t) in enumerate(zip(x.unbind(0), h.unbind(0), spikes.unbind(0), strict=True)):
        before = potential if t else v
        if before is None:
            h_t.copy_(current)
        else:
            # Not as one operation: whether that rounds once or twice would be up to the processor.
            torch.mul(before, decay, out=h_t).add_(current)
        if level is None or adaptation is None:
            torch.ge(h_t, threshold, out=spikes_t)
        else:
            torch.ge(h_t, torch.mul(adaptation, beta, out=level[t]).add_(threshold), out=spikes_t)
            adaptation.mul_(rho).add_(spikes_t)
        if hard:
            torch.addcmul(h_t, h_t, spikes_t, value=-1, out=potential)
        else:
            torch.add(h_t, spikes_t, alpha=-threshold, out=potential)
    return spikes, potential, adaptation, (h, level)


def looped_backward(
    h: Tensor,
    level: Tensor | None,
    above: Tensor | None,
    above_v: Tensor | None,
    above_a: Tensor | None,
    constants: Constants,
) -> tuple[Tensor, Tensor, Tensor | None]:
    if level is not None:
        return _adaptive_backward(h, level, above, above_v, above_a, constants)
    decay, threshold, hard, detach_reset, surrogate, slope, *_ = constants
    grad = _derivative(h - threshold, surrogate, slope)
    through_reset = _reset_jacobian(h, grad, threshold, hard, detach_reset)
    # grad[t] = surrogate[t] above[t] + dv[t]/dh[t] decay grad[t+1], from the last step to the first.
    grad = grad.zero_() if above is None else grad.mul_(above)
    steps = grad.unbind(0)
    after = above_v
    for t in range(len(steps) - 1, -1, -1):
        if after is not None:
            scale = decay if t < len(steps) - 1 else 1.0
            if through_reset is None:
                steps[t].add_(after, alpha=scale)
            else:
                steps[t].addcmul_(through_reset[t], after, value=scale)
        after = steps[t]
    return grad, steps[0] * decay, None


def _reset_jacobian(h: Tensor, derivative: Tensor, threshold: float, hard: bool, detach_reset: bool) -> Tensor | None:
    """dv/dh of every step, shaped like h; None where it is 1 everywhere."""
    if hard:
        silent = (h < threshold).to(h.dtype)
        return silent if detach_reset else silent.addcmul_(h, derivative, value=-1)
    return None if detach_reset else 1 - threshold * derivative


def _adaptive_backward(
    h: Tensor,
    level: Tensor,
    above: Tensor | None,
    above_v: Tensor | None,
    above_a: Tensor | None,
    constants: Constants,
) -> tuple[Tensor, Tensor, Tensor]:
    decay, threshold, hard, detach_reset, surrogate, slope, rho, beta, _ = constants
    derivative = _derivative(h - level, surrogate, slope)
    silent = (h < level).to(h.dtype) if hard else None
    grad = torch.empty_like(h)
    after_v = torch.zeros_like(h[0]) if above_v is None else above_v
    after_a = torch.zeros_like(h[0]) if above_a is None else above_a
    for t in range(len(h) - 1, -1, -1):
        of_spike = after_a if above is None else above[t] + after_a
        if not detach_reset:
            of_spike = of_spike - (h[t] if hard else threshold) * after_v
        through = derivative[t] * of_spike
        torch.add(through, after_v if silent is None else silent[t] * after_v, out=grad[t])
        after_v, after_a = decay * grad[t], rho * after_a - beta * through
    return grad, after_v, after_a


def compiled_forward(
    module: ModuleType, x: Tensor, v: Tensor | None, a: Tensor | None, constants: Constants, keep: bool
) -> tuple[Tensor, Tensor, Tensor | None, Kept]:
    decay, threshold, hard, *_, rho, beta, adaptive = constants
    number, size = _number(x), x.numel() // len(x)
    numbers = number(decay), number(threshold), hard
    # NumPy asks the system for huge pages, which makes the first use of a large buffer several times cheaper.
    spikes, potential = np.empty(x.numel(), number), _state(v, x)
    # What is not to be kept is written over itself.
    h, stride = (np.empty(x.numel(), number), size) if keep else (np.empty(size, number), 0)
    if not adaptive:
        _for_all(module.lif_forward, x, *_flat(x), potential, spikes, h, stride, *numbers)
        return (
            _shaped(spikes, x.shape),
            _shaped(potential, x.shape[1:]),
            None,
            (_shaped(h, x.shape if keep else x.shape[1:]), None),
        )
    adaptation, level = _state(a, x), np.empty_like(h)
    _for_all(
        module.alif_forward, x, *_flat(x), potential, adaptation, spikes, h, level, stride, *numbers, number(rho), number(beta)
    )
    kept = _shaped(h, x.shape if keep else x.shape[1:]), _shaped(level, x.shape if keep else x.shape[1:])
    return _shaped(spikes, x.shape), _shaped(potential, x.shape[1:]), _shaped(adaptation, x.shape[1:]), kept


def compiled_backward(
    module: ModuleType,
    h: Tensor,
    level: Tensor | None,
    above: Tensor | None,
    above_v: Tensor | None,
    above_a: Tensor | None,
    constants: Constants,
) -> tuple[Tensor, Tensor, Tensor | None]:
    decay, threshold, hard, detach_reset, surrogate, slope, rho, beta, _ = constants
    number = _number(h)
    numbers = number(decay), number(threshold), hard, detach_reset, *map(number, module.scale_and_height(surrogate, slope))
    given = _flat(torch.zeros_like(h[0]).expand_as(h) if above is None else above)
    kept, grad, grad_v = _flat(h)[0], np.empty(h.numel(), number), _state(above_v, h)
    if level is None:
        _for_all(module.lif_backward(surrogate), h, kept, *given, grad_v, grad, *numbers)
        return _shaped(grad, h.shape), _shaped(grad_v, h.shape[1:]), None
    grad_a = _state(above_a, h)
    adaptation = number(rho), number(beta)
    _for_all(module.alif_backward(surrogate), h, kept, _flat(level)[0], *given, grad_v, grad_a, grad, *numbers, *adaptation)
    return _shaped(grad, h.shape), _shaped(grad_v, h.shape[1:]), _shaped(grad_a, h.shape[1:])


def _number(x: Tensor) -> type[np.floating[Any]]:
    return np.float32 if x.dtype == torch.float32 else np.float64


def _state(given: Tensor | None, x: Tensor) -> Flat:
    """A fresh copy to be overwritten, with as many elements as a step of x."""
    if given is None:
        return np.zeros(prod(x.shape[1:]), _number(x))
    return given.detach().numpy().astype(_number(x), order="C").reshape(-1)


def _shaped(array: Flat, shape: torch.Size) -> Tensor:
    return torch.from_numpy(array).view(shape)


def _flat(x: Tensor) -> tuple[Flat, int]:
    """The memory behind x as a flat array, and how far apart steps are in it: 0 when x is one step shown for all."""
    x = x.detach()
    if x.is_contiguous():
        return x.view(-1).numpy(), x.numel() // len(x)
    if not x[0].is_contiguous():
        return _flat(x.contiguous())
    stride = x.stride(0)
    return x.as_strided(((len(x) - 1) * stride + prod(x.shape[1:]),), (1,)).numpy(), stride


def _for_all(kernel: Callable[..., None], x: Tensor, *arguments: object) -> None:
    """Run a kernel for all neurons of x, in as many threads as torch may use where that pays. Who does which changes nothing."""
    if x.numel() == 0:
        return
    size = x.numel() // len(x)
    pieces = max(1, min(torch.get_num_threads(), x.numel() // ENOUGH_FOR_A_THREAD))
    bounds = [size * piece // pieces for piece in range(pieces + 1)]
    others = [Thread(target=kernel, args=(*arguments, lo, hi)) for lo, hi in pairwise(bounds[1:])]
    for thread in others:
        thread.start()
    try:
        kernel(*arguments, bounds[0], bounds[1])
    finally:
        for thread in others:
            thread.join()


# Operators, so that torch neither looks into the loops nor writes them out step by step where it records what is done.
CONSTANTS = (
    "float decay, float threshold, bool hard, bool detach_reset, str surrogate, float slope, float rho, float beta, bool adaptive"
)
torch.library.define("pressrun::sequence", f"(Tensor x, Tensor v, Tensor a, {CONSTANTS}) -> (Tensor, Tensor, Tensor)")
torch.library.define(
    "pressrun::sequence_backward",
    f"(Tensor x, Tensor v, Tensor a, Tensor above, Tensor above_v, Tensor above_a, {CONSTANTS}) -> (Tensor, Tensor, Tensor)",
)


@torch.library.impl("pressrun::sequence", "CompositeExplicitAutograd")
def _sequence(x: Tensor, v: Tensor, a: Tensor, *constants: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401
    spikes, last, adaptation, _ = forward(x, v, a, Constants(*constants), keep=False)
    return spikes, last, x.new_empty(0) if adaptation is None else adaptation


@torch.library.impl("pressrun::sequence_backward", "CompositeExplicitAutograd")
def _sequence_backward(
    x: Tensor,
    v: Tensor,
    a: Tensor,
    above: Tensor,
    above_v: Tensor,
    above_a: Tensor,
    *constants: Any,  # noqa: ANN401
) -> tuple[Tensor, Tensor, Tensor]:
    kept = forward(x, v, a, Constants(*constants), keep=True)[3]
    grad, grad_v, grad_a = backward(kept, above, above_v, above_a, Constants(*constants))
    return grad, grad_v, x.new_empty(0) if grad_a is None else grad_a


def _shapes(x: Tensor, v: Tensor, a: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(v.shape), x.new_empty(a.shape)


class _Traced(torch.autograd.Function):
    """The node of the graph around the operators, for whoever looks into it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401
        found: tuple[Tensor, Tensor, Tensor] = torch.ops.pressrun.sequence(*arguments)
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: object) -> None:  # noqa: ANN401, ARG004
        ctx.save_for_backward(*inputs[:3])
        ctx.constants = inputs[3:]

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        found = torch.ops.pressrun.sequence_backward(*ctx.saved_tensors, *above, *ctx.constants)
        return *found, *(None for _ in ctx.constants)


def _many(
    operator: Callable[..., tuple[Tensor, Tensor, Tensor]],
    sequences: tuple[int, ...],
    info: Any,  # noqa: ANN401
    in_dims: tuple[int | None, ...],
    *arguments: Any,  # noqa: ANN401
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int, int, int | None]]:
    """The rule of `torch.vmap`: neurons know nothing of each other, so one more axis of them is all it takes."""
    adaptive = arguments[-1]

    def beside(position: int, tensor: Tensor, axis: int | None) -> Tensor:
        to = 1 if position in sequences else 0
        if axis is not None:
            return tensor.movedim(axis, to)
        return tensor.unsqueeze(to).expand(*tensor.shape[:to], info.batch_size, *tensor.shape[to:])

    tensors = [
        argument if argument.ndim == 1 and len(argument) == 0 and not adaptive else beside(position, argument, axis)
        for position, (argument, axis) in enumerate(zip(arguments, in_dims, strict=True))
        if isinstance(argument, Tensor)
    ]
    found = operator(*tensors, *arguments[len(tensors) :])
    return found, (1, 0, 0 if adaptive else None)


torch.library.register_fake("pressrun::sequence", _shapes)
torch.library.register_fake("pressrun::sequence_backward", _shapes)
torch.library.register_vmap("pressrun::sequence", partial(_many, torch.ops.pressrun.sequence, (0,)))
torch.library.register_vmap("pressrun::sequence_backward", partial(_many, torch.ops.pressrun.sequence_backward, (0, 3)))
