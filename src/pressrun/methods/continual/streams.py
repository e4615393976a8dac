"""Streams in which the meaning of the labels shifts while a network learns.

The shift is that of K. Man, A. Damasio, H. Neven, "Need is all you need: homeostatic neural networks adapt to concept shift",
arXiv:2205.08645: from time to time two classes exchange their labels, and exchanges add up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["ConceptShiftStream", "Shifted", "label_swaps", "recovery_times"]


def label_swaps(when: Tensor, classes: int, *, generator: torch.Generator | None = None) -> Tensor:
    """What each class is called at each update, when two classes exchange their names at some updates.

    Args:
        when: (updates,) of bool, True where two classes drawn at random swap before the update.
        classes: number of classes.

    Returns:
        (updates, classes) of int64: row t is the permutation from true class to present label, so that labels are `row[y]`.

    Raises:
        ValueError: if when is no vector of bool or there are fewer than two classes.
    """
    if when.ndim != 1 or when.dtype != torch.bool:
        raise ValueError(f"when must be a vector of bool, one for each update, got {tuple(when.shape)} of {when.dtype}")
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    mapping = torch.arange(classes)
    rows = []
    for swaps in when.tolist():
        if swaps:
            a, b = torch.randperm(classes, generator=generator)[:2].tolist()
            mapping = mapping.clone()
            mapping[[a, b]] = mapping[[b, a]]
        rows.append(mapping)
    return torch.stack(rows) if rows else torch.empty(0, classes, dtype=torch.int64)


class Shifted(NamedTuple):
    """One batch of a stream.

    Attributes:
        x: (B, ...).
        y: (B,), the labels as they are called now.
        update: its number from 0.
        epoch: the pass over the data it belongs to.
        swapped: whether two labels were exchanged just before it.
    """

    x: Tensor
    y: Tensor
    update: int
    epoch: int
    swapped: bool


class ConceptShiftStream:
    """Batches of a labelled data set, in a new order each epoch, with labels that are exchanged on the way.

    Iterating gives `Shifted` batches, the same ones each time. A last batch that is not full is left out.

    Args:
        x: (N, ...), samples.
        y: (N,), classes from 0.
        when: (updates,) of bool, True where two classes exchange their labels; its length is the length of the stream. For an exchange
            every k updates: `torch.arange(updates) % k == k - 1`.
        batch: samples an update sees.
        seed: of the orders and of the classes that swap.

    Attributes:
        mapping: (updates, classes), what each class is called at each update; see `label_swaps`.

    Raises:
        ValueError: if x and y do not match, there are fewer samples than a batch, or `when` is no vector of bool.
    """

    def __init__(self, x: Tensor, y: Tensor, when: Tensor, *, batch: int = 10, seed: int = 0) -> None:
        if len(x) != len(y) or y.ndim != 1:
            raise ValueError(f"x must be (N, ...) and y (N,), got {tuple(x.shape)} and {tuple(y.shape)}")
        if not 1 <= batch <= len(x):
            raise ValueError(f"batch must be between 1 and the {len(x)} samples, got {batch}")
        self.x, self.y, self.when, self.batch, self.seed = x, y, when, batch, seed
        generator = torch.Generator().manual_seed(seed)
        self.mapping = label_swaps(when, int(y.max()) + 1, generator=generator)
        self._generator_state = generator.get_state()

    def __len__(self) -> int:
        return len(self.when)

    def __iter__(self) -> Iterator[Shifted]:
        for update, (epoch, chosen) in enumerate(self._orders()):
            labels = self.mapping[update].to(self.y.device)[self.y[chosen]]
            yield Shifted(self.x[chosen], labels, update, epoch, bool(self.when[update]))

    def indices(self) -> Tensor:
        """(updates, B) of int64: which samples each update sees."""
        return torch.stack([chosen for _, chosen in self._orders()])

    def _orders(self) -> Iterator[tuple[int, Tensor]]:
        generator = torch.Generator()
        generator.set_state(self._generator_state)
        update, epoch = 0, 0
        while update < len(self):
            for chosen in torch.randperm(len(self.x), generator=generator).split(self.batch):
                if len(chosen) == self.batch and update < len(self):
                    yield epoch, chosen
                    update += 1
            epoch += 1


def recovery_times(correct: Tensor, swaps: Tensor, *, window: int = 50, share: float = 0.9) -> Tensor:
    """How long it takes after each swap until a running accuracy is back at a share of what it was before.

    Args:
        correct: (N,), 1 where the sample was classified rightly before it was learned from, else 0.
        swaps: (S,) of int64, samples before which labels were swapped, ascending.
        window: samples that the running accuracy looks back on.
        share: of the accuracy over the window before the swap.

    Returns:
        (S,) of float: samples from the swap until a window that begins at or after it reaches the share, at least `window`; infinite if
        that does not happen before the next swap or the end; NaN for a swap with less than a window before it.

    Raises:
        ValueError: if correct or swaps is no vector, a swap lies outside, or window or share is not positive.
    """
    if correct.ndim != 1 or swaps.ndim != 1:
        raise ValueError(f"correct and swaps must be vectors, got {tuple(correct.shape)} and {tuple(swaps.shape)}")
    if window < 1 or not share > 0:
        raise ValueError(f"window and share must be positive, got {window} and {share}")
    if len(swaps) and not 0 <= int(swaps.min()) <= int(swaps.max()) < len(correct):
        raise ValueError(f"swaps must lie within the {len(correct)} samples, got {swaps.tolist()}")
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), correct.double().cpu().cumsum(0)])
    ends = [*swaps.tolist()[1:], len(correct)]
    times = []
    for swap, end in zip(swaps.tolist(), ends, strict=True):
        if swap < window:
            times.append(float("nan"))
            continue
        before = sums[swap] - sums[swap - window]
        after = sums[swap + window : end + 1] - sums[swap : max(swap, end + 1 - window)]
        # A hair below the share, so that 45 of 50 is 90 % whatever the rounding says.
        back = torch.nonzero(after >= share * before - 1e-9)
        times.append(float(back[0]) + window if len(back) else float("inf"))
    return torch.tensor(times)
