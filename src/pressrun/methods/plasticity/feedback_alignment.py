"""Feedback alignment: the error travels down through fixed random weights instead of the transposed forward ones.

T. P. Lillicrap et al., "Random synaptic feedback weights support error backpropagation for deep learning", Nature
Communications 7 (2016): forwards y = x Wᵀ + b, backwards dx = dy Bᵀ with B where back-propagation has Wᵀ.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["FALinear", "feedback_alignment_linear"]


def feedback_alignment_linear(
    x: Tensor, weight: Tensor, feedback: Tensor, bias: Tensor | None = None, *, trace: Tensor | None = None
) -> Tensor:
    """x Wᵀ + b, whose gradient with respect to x is taken through `feedback`; those of weight and bias are the usual ones.

    Args:
        x: (B, inputs).
        weight: (outputs, inputs).
        feedback: (inputs, outputs), what stands for the transpose of `weight`; it gets no gradient.
        bias: (outputs,), or None.
        trace: (B, inputs), the presynaptic activity that enters the weight's gradient (error)ᵀ trace; x when None. It gets no
            gradient.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if x.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"x must be (B, {weight.shape[1]}) to fit weight {tuple(weight.shape)}, got {tuple(x.shape)}")
    if feedback.shape != weight.T.shape:
        raise ValueError(
            f"feedback must be {tuple(weight.T.shape)} to fit weight {tuple(weight.shape)}, got {tuple(feedback.shape)}"
        )
    if trace is not None and trace.shape != x.shape:
        raise ValueError(f"trace must be {tuple(x.shape)} to fit x, got {tuple(trace.shape)}")
    y: Tensor = _FALinear.apply(x, weight, feedback, x if trace is None else trace)  # type: ignore[no-untyped-call]
    return y if bias is None else y + bias


class FALinear(nn.Module):
    """A linear layer trained by feedback alignment; `feedback` is a buffer, (in_features, out_features), drawn once.

    Shapes: input (B, in_features), output (B, out_features). Both weights have torch's default for linear layers.
    """

    feedback: Tensor

    def __init__(self, in_features: int, out_features: int, *, bias: bool = False) -> None:
        super().__init__()
        forward = nn.Linear(in_features, out_features, bias=bias)
        self.weight = forward.weight
        self.bias = forward.bias
        self.register_buffer("feedback", nn.Linear(out_features, in_features, bias=False).weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        return feedback_alignment_linear(x, self.weight, self.feedback, self.bias)


class _FALinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, feedback: Tensor, trace: Tensor) -> Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001
        ctx.save_for_backward(trace, feedback)
        return x @ weight.T

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # type: ignore[no-untyped-def]  # noqa: ANN001
        trace, feedback = ctx.saved_tensors
        return (
            grad @ feedback.T if ctx.needs_input_grad[0] else None,
            grad.T @ trace if ctx.needs_input_grad[1] else None,
            None,
            None,
        )
