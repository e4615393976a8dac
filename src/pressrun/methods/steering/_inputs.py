"""Inputs of a model in batches: texts, or tensors as the model takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.activations.model import Inputs as Batch

__all__ = ["Batch", "Inputs", "batches", "joined", "rows"]

Inputs = Sequence[str] | Mapping[str, Tensor] | Tensor
"""Texts (tokenised with the model's tokenizer), a mapping of tensors or one tensor, with one row an input."""


def rows(inputs: Inputs) -> int:
    """How many inputs there are."""
    if isinstance(inputs, str):
        raise ValueError(f"Inputs are a list of texts, or tensors with one row an input, got the single text {inputs[:40]!r}")
    return len(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)


def batches(model: act.Model, inputs: Inputs, size: int) -> Iterator[Batch]:
    """Parts of at most `size` rows, ready for the model."""
    total = rows(inputs)
    if total == 0 or size < 1:
        raise ValueError(f"There must be inputs, in batches of 1 or more, got {total} and batches of {size}")
    for start in range(0, total, size):
        part = slice(start, start + size)
        if isinstance(inputs, Mapping):
            yield {name: value[part] for name, value in inputs.items()}
        elif isinstance(inputs, Tensor):
            yield inputs[part]
        else:
            yield model.inputs(list(inputs[part]))


def joined(wanted: Inputs, unwanted: Inputs) -> tuple[Inputs, Tensor]:
    """Both groups in one, and (n,) labels 1 and 0; pairs stand side by side where there are as many of either.

    So the i-th row labelled 1 belongs to the i-th row labelled 0, and still does when pairs are turned round.
    """
    first, second = rows(wanted), rows(unwanted)
    if first == 0 or second == 0:
        raise ValueError(f"Both groups are needed, got {first} wanted and {second} unwanted inputs")
    order = torch.arange(first + second)
    if first == second:
        order = order.view(2, first).T.flatten()
    labels = (order < first).long()
    if isinstance(wanted, Tensor) and isinstance(unwanted, Tensor):
        return torch.cat([wanted, unwanted])[order], labels
    if isinstance(wanted, Mapping) and isinstance(unwanted, Mapping):
        return {name: torch.cat([wanted[name], unwanted[name]])[order] for name in wanted}, labels
    if isinstance(wanted, Tensor | Mapping) or isinstance(unwanted, Tensor | Mapping):
        raise ValueError(f"Both groups must be of one kind, got {type(wanted).__name__} and {type(unwanted).__name__}")
    texts = [*wanted, *unwanted]
    return [texts[i] for i in order.tolist()], labels
