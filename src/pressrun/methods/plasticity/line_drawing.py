"""Drawing straight lines on a cue: a small task for recurrent networks whose targets may come rarely.

J. Pemberton, E. Boven, R. Apps, R. P. Costa, "Cortico-cerebellar networks as decoupling neural interfaces", NeurIPS 2021
(arXiv:2110.11501).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LineDrawing"]


@dataclass(frozen=True)
class LineDrawing:
    """A cue at the first step says to which point of a circle the network should draw a line from its centre, or to stay there.

    With n the number of lines, the cue of line i is (i - (n - 1) / 2) / 10, and zero input follows. The target is the line in
    equally spaced points, of which the first is the centre. The ends lie at equal angles on the circle, in the order of the cues
    anticlockwise up to (0, radius); the cue 0 means to stay.

    Args:
        n_points: lines, the one of no length among them; odd and at least 3.
        seq_len: steps, at least 2.
        radius: of the circle, in units of the output.
        noise: standard deviation of what is added to the input after the cue.

    Raises:
        ValueError: for an even number of lines or fewer than 3, fewer than 2 steps, or a radius or noise that cannot be.
    """

    n_points: int = 7
    seq_len: int = 10
    radius: float = 10.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if self.n_points < 3 or self.n_points % 2 == 0:
            raise ValueError(f"n_points must be odd and at least 3, since one of the lines has no length, got {self.n_points}")
        if self.seq_len < 2:
            raise ValueError(f"seq_len must be at least 2, so that a line has a start and an end, got {self.seq_len}")
        if not self.radius > 0 or not self.noise >= 0:
            raise ValueError(f"radius must be positive and noise not negative, got {self.radius} and {self.noise}")

    def lines(self) -> tuple[Tensor, Tensor]:
        """Each line once and without noise: inputs (n_points, seq_len, 1) and targets (n_points, seq_len, 2)."""
        half = self.n_points // 2
        x = torch.zeros(self.n_points, self.seq_len, 1)
        x[:, 0, 0] = torch.arange(-half, half + 1) / 10
        angles = torch.arange(2 * half - 1, -1, -1) * (math.pi / half)
        ends = torch.stack([angles.sin(), angles.cos()], 1)
        ends = self.radius * torch.cat([ends[:half], torch.zeros(1, 2), ends[half:]])
        return x, torch.linspace(0, 1, self.seq_len)[:, None] * ends[:, None]

    def sample(self, batch: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Lines drawn at random: inputs (batch, seq_len, 1) and targets (batch, seq_len, 2), on the CPU.

        Raises:
            ValueError: if batch is not positive.
        """
        if batch < 1:
            raise ValueError(f"batch must be positive, got {batch}")
        x, y = self.lines()
        chosen = torch.randint(self.n_points, (batch,), generator=generator)
        x, y = x[chosen], y[chosen]
        if self.noise:
            x[:, 1:] += self.noise * torch.randn(batch, self.seq_len - 1, 1, generator=generator)
        return x, y
