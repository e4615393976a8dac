"""Permuted pixels: one data set becomes many tasks, each with the pixels in an order of its own.

I. J. Goodfellow et al., "An empirical investigation of catastrophic forgetting in gradient-based neural networks" (2013).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["PermutedPixels"]


class PermutedPixels:
    """A fixed permutation of the pixels for every task; task 0 leaves them as they are.

    `stream(x, task)` gives images as that task sees them. Training and test images go through the same object, and the same
    seed gives the same tasks on every machine. `stream.permutations` is (tasks, pixels), int64.

    Args:
        pixels: of an image, in one channel.
        tasks: how many there are, the first one included.
        seed: of the permutations.

    Raises:
        ValueError: if pixels or tasks is below 1.
    """

    def __init__(self, pixels: int, tasks: int, seed: int = 0) -> None:
        if pixels < 1 or tasks < 1:
            raise ValueError(f"pixels and tasks must be at least 1, got {pixels} and {tasks}")
        generator = torch.Generator().manual_seed(seed)
        orders = [torch.arange(pixels), *(torch.randperm(pixels, generator=generator) for _ in range(tasks - 1))]
        self.permutations = torch.stack(orders)

    def __len__(self) -> int:
        return len(self.permutations)

    def __call__(self, x: Tensor, task: int) -> Tensor:
        """The images of a task, shaped like x.

        Args:
            x: (B, pixels), or (B, channels, height, width) with height x width = pixels; all channels are permuted alike.
            task: its number, from 0.

        Raises:
            ValueError: if x has other pixels, or there is no such task.
        """
        if not 0 <= task < len(self):
            raise ValueError(f"task must be between 0 and {len(self) - 1}, got {task}")
        pixels = self.permutations.shape[1]
        if x.ndim not in (2, 4) or x[0].numel() == 0 or x.shape[-1] * (x.shape[-2] if x.ndim == 4 else 1) != pixels:
            raise ValueError(f"x must be (B, {pixels}) or (B, channels, H, W) with H x W = {pixels}, got {tuple(x.shape)}")
        flat = x if x.ndim == 2 else x.flatten(2)
        return flat[..., self.permutations[task].to(x.device)].view(x.shape)
