"""Matrix products of linear layers by way of oneDNN, for the time of a context.

On CPUs with AVX-512 that Intel did not make, the library behind torch.nn.functional.linear uses half the width of the registers in
float32 (110 GFLOP/s on one core of an AMD EPYC); oneDNN, which PyTorch brings too, uses all of it (240). Both add the same
products up, in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["wide_products"]


@contextmanager
def wide_products(network: nn.Module) -> Iterator[None]:
    """While it is open, float32 `nn.Linear`s of `network` that are on a CPU with AVX-512 use oneDNN; without gradients only."""
    layers = [part for part in network.modules() if isinstance(part, nn.Linear) and _fits(part)] if _offered() else []
    try:
        for layer in layers:
            layer.forward = partial(_linear, layer)  # type: ignore[method-assign]
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _offered() -> bool:
    return (
        torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def _fits(layer: nn.Linear) -> bool:
    """Whether it is a plain linear layer whose forward nobody else has replaced."""
    if type(layer) is not nn.Linear or "forward" in vars(layer) or type(layer.weight) is not nn.Parameter:
        return False
    return layer.weight.dtype == torch.float32 and layer.weight.device.type == "cpu"


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    if x.ndim < 2 or not x.numel() or x.dtype != torch.float32:
        return functional.linear(x, layer.weight, layer.bias)
    return torch.ops.mkldnn._linear_pointwise(x, layer.weight, layer.bias, "none", [], "")
