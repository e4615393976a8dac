"""Common corruptions of images, to test or train a model on inputs other than it knows.

D. Hendrycks, T. Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR 2019. Noise,
brightness, contrast and pixelation have their five levels for ImageNet. The levels of the others are ours and, where they are lengths,
shares of the image, so that they fit small images as well. Inversion and stripes are among the shifts of MNIST-C (Mu and Gilmer 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)

__all__ = ["CORRUPTIONS", "corrupt"]


def corrupt(x: Tensor, name: str, severity: float = 3.0, generator: torch.Generator | int | None = None) -> Tensor:
    """The images with one corruption, clipped to [0, 1].

    | name | what it does, and its strength at severities 1 to 5 |
    |---|---|
    | gaussian_noise | adds normal noise of deviation .08, .12, .18, .26, .38 |
    | shot_noise | Poisson counts of 60, 25, 12, 5, 3 for white |
    | speckle_noise | adds normal noise of deviation .15, .2, .35, .45, .6 times the pixel |
    | impulse_noise | sets a share of .03, .06, .09, .17, .27 of the numbers to 0 or 1 |
    | blur | Gaussian; its deviation is .03, .06, .09, .12, .18 of the shorter side |
    | pixelate | pixels as large as at .6, .5, .4, .3, .25 of the resolution |
    | brightness | adds .1, .2, .3, .4, .5 to all channels |
    | contrast | keeps .4, .3, .2, .1, .05 of the distance from the mean of image and channel |
    | inversion | gives a share of .2, .4, .6, .8, 1 of the images as 1 - x |
    | stripes | mixes .15, .3, .45, .6, .75 of white into four upright bars, half of the width together |
    | occlusion | blackens a square of .2, .3, .4, .5, .6 of the shorter side, somewhere in each image |

    Args:
        x: (B, C, H, W) in [0, 1].
        name: one of `CORRUPTIONS`.
        severity: 0 to 5; 0 leaves the images as they are, between levels the strength is interpolated.
        generator: where chance comes from; an int is a seed, and gives the same on every device (but for shot noise, whose counts are
            drawn where the generator is). What one image gets depends on the others of its batch.

    Returns:
        A new tensor of the shape, dtype and device of x.

    Raises:
        ValueError: if x is not a batch of images in [0, 1], or name or severity are unknown.
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(f"x must be (B, C, H, W) of floating point, got {tuple(x.shape)} of {x.dtype}")
    if x.numel() and not (x.amin() >= 0 and x.amax() <= 1):
        raise ValueError(f"x must lie in [0, 1], got {float(x.amin()):g} to {float(x.amax()):g}")
    if name not in _KINDS:
        raise ValueError(f"name must be one of {', '.join(_KINDS)}, got {name!r}")
    if not 0 <= severity <= 5:
        raise ValueError(f"severity must lie between 0 and 5, got {severity}")
    if severity == 0:
        return x.clone()
    if isinstance(generator, int):
        generator = torch.Generator().manual_seed(generator)
    kind = _KINDS[name]
    levels = (kind.none, *kind.levels)
    below = min(int(severity), 4)
    strength = levels[below] + (severity - below) * (levels[below + 1] - levels[below])
    return kind.apply(x, strength, generator).clamp(0, 1)


Chance = torch.Generator | None


def _drawn(draw: Callable[..., Tensor], shape: tuple[int, ...], like: Tensor, chance: Chance) -> Tensor:
    """torch.rand or randn of a shape, drawn where the generator is and brought to `like`."""
    device = like.device if chance is None else chance.device
    return draw(shape, generator=chance, device=device, dtype=torch.float32).to(like)


def _gaussian_noise(x: Tensor, deviation: float, chance: Chance) -> Tensor:
    return x + deviation * _drawn(torch.randn, x.shape, x, chance)


def _shot_noise(x: Tensor, grain: float, chance: Chance) -> Tensor:
    grain = max(grain, 1e-6)
    rate = (x / grain).to(x.device if chance is None else chance.device, torch.float32)
    return torch.poisson(rate, chance).to(x) * grain


def _speckle_noise(x: Tensor, deviation: float, chance: Chance) -> Tensor:
    return x + x * deviation * _drawn(torch.randn, x.shape, x, chance)


def _impulse_noise(x: Tensor, share: float, chance: Chance) -> Tensor:
    drawn = _drawn(torch.rand, x.shape, x, chance)
    return torch.where(drawn < share / 2, 0.0, torch.where(drawn < share, 1.0, x))


def _blur(x: Tensor, deviation: float, _: Chance) -> Tensor:
    """Two one-dimensional passes; beyond the border the image goes on as it ends there."""
    # Far below a pixel nothing is mixed any more, and dividing by it has its limits.
    deviation = max(deviation * min(x.shape[-2:]), 1e-3)
    reach = max(1, round(4 * deviation))
    steps = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = (-0.5 * (steps / deviation) ** 2).exp()
    kernel /= kernel.sum()
    single = x.reshape(-1, 1, *x.shape[-2:])
    for shape in ((1, 1, -1, 1), (1, 1, 1, -1)):
        sides = (0, 0, reach, reach) if shape[2] == -1 else (reach, reach, 0, 0)
        single = F.conv2d(F.pad(single, sides, mode="replicate"), kernel.reshape(shape))
    return single.reshape(x.shape)


def _pixelate(x: Tensor, resolution: float, _: Chance) -> Tensor:
    height, width = x.shape[-2:]
    small = F.interpolate(x, (max(1, round(height * resolution)), max(1, round(width * resolution))), mode="area")
    return F.interpolate(small, (height, width), mode="nearest-exact")


def _brightness(x: Tensor, added: float, _: Chance) -> Tensor:
    return x + added


def _contrast(x: Tensor, kept: float, _: Chance) -> Tensor:
    mean = x.mean((-2, -1), keepdim=True)
    return mean + kept * (x - mean)


def _inversion(x: Tensor, share: float, chance: Chance) -> Tensor:
    inverted = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    order = _drawn(torch.rand, (len(x),), x, chance).argsort()
    inverted[order[: round(share * len(x))]] = True
    return torch.where(inverted[:, None, None, None], 1 - x, x)


def _stripes(x: Tensor, white: float, _: Chance) -> Tensor:
    width = x.shape[-1]
    # The eighth of the width in which a column lies; every other one belongs to a bar.
    bar = (torch.arange(width, device=x.device) * 8 // width) % 2 == 1
    return torch.where(bar, x + white * (1 - x), x)


def _occlusion(x: Tensor, share: float, chance: Chance) -> Tensor:
    height, width = x.shape[-2:]
    side = round(share * min(height, width))
    top, left = (_drawn(torch.rand, (len(x), 2), x, chance) * x.new_tensor([height - side + 1, width - side + 1])).floor().T
    row, column = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    rows = (row >= top[:, None]) & (row < top[:, None] + side)
    columns = (column >= left[:, None]) & (column < left[:, None] + side)
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


class _Kind(NamedTuple):
    apply: Callable[[Tensor, float, Chance], Tensor]
    none: float  # the strength that changes nothing
    levels: tuple[float, float, float, float, float]


_KINDS = {
    "gaussian_noise": _Kind(_gaussian_noise, 0, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": _Kind(_shot_noise, 0, (1 / 60, 1 / 25, 1 / 12, 1 / 5, 1 / 3)),
    "speckle_noise": _Kind(_speckle_noise, 0, (0.15, 0.2, 0.35, 0.45, 0.6)),
    "impulse_noise": _Kind(_impulse_noise, 0, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "blur": _Kind(_blur, 0, (0.03, 0.06, 0.09, 0.12, 0.18)),
    "pixelate": _Kind(_pixelate, 1, (0.6, 0.5, 0.4, 0.3, 0.25)),
    "brightness": _Kind(_brightness, 0, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": _Kind(_contrast, 1, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "inversion": _Kind(_inversion, 0, (0.2, 0.4, 0.6, 0.8, 1.0)),
    "stripes": _Kind(_stripes, 0, (0.15, 0.3, 0.45, 0.6, 0.75)),
    "occlusion": _Kind(_occlusion, 0, (0.2, 0.3, 0.4, 0.5, 0.6)),
}

CORRUPTIONS: tuple[str, ...] = tuple(_KINDS)
"""Names that `corrupt` knows."""
