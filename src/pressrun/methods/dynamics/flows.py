"""Small periodic flows, statistics of their fields, and a network that predicts the next frame.

Fields are (runs, size, size) on the square [0, 2π)², axis 1 along x, axis 2 along y; a shear layer's speed is 1, which
sets the unit of time. Two families: the vorticity equation in two dimensions, ∂ω/∂t + u·∇ω = ν∇²ω, and a scalar that is carried
along and spreads, ∂c/∂t + v·∇c = κ∇²c.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pixel_shuffle, pixel_unshuffle

__all__ = [
    "FlowSurrogate",
    "advect",
    "blobs",
    "enstrophy",
    "evolve_vorticity",
    "phase_speed",
    "rollout",
    "shear_layers",
    "spectral_share",
]


def shear_layers(runs: int, size: int, *, thickness: float = 0.3, noise: float = 0.05, generator: torch.Generator) -> Tensor:
    """Vorticity of two opposite shear layers of speed 1, (runs, size, size): shifted at random, with a little long-waved noise."""
    y = torch.arange(size) * (2 * math.pi / size)
    shift = torch.rand(runs, 1, generator=generator) * 2 * math.pi
    across = torch.remainder(y - shift, 2 * math.pi)
    layers = torch.cosh((across - math.pi / 2) / thickness) ** -2 - torch.cosh((across - 3 * math.pi / 2) / thickness) ** -2
    return layers[:, None, :] / thickness + noise / thickness * _long_waves(runs, size, 4, generator)


def blobs(runs: int, size: int, *, width: float = 0.5, count: int = 3, generator: torch.Generator) -> Tensor:
    """A scalar of mean 0: `count` round blobs of either sign at random places, (runs, size, size)."""
    grid = torch.arange(size) * (2 * math.pi / size)
    places = torch.rand(2, runs, count, generator=generator) * 2 * math.pi
    signs = torch.randint(0, 2, (runs, count), generator=generator) * 2.0 - 1
    # 1 − cos is the square of a distance on the circle, up to a half.
    near = [torch.exp((torch.cos(grid - at[..., None]) - 1) / width**2) for at in places]
    field = torch.einsum("rb,rbx,rby->rxy", signs, near[0], near[1])
    return field - field.mean((1, 2), keepdim=True)


def evolve_vorticity(omega: Tensor, viscosity: Tensor, *, frames: int, interval: float, steps: int = 8) -> Tensor:
    """Solve the vorticity equation: `frames` fields `interval` apart, the first being omega, (runs, frames, size, size).

    Pseudo-spectral, dealiased by the two-thirds rule, classical Runge-Kutta with `steps` steps an interval.

    Args:
        omega: (runs, size, size), of mean 0 in each run.
        viscosity: (runs,), one a run.

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_fields(omega, viscosity)
    kx, ky, square = _waves(omega.shape[-1])
    kept = ((kx.abs() < omega.shape[-1] / 3) & (ky.abs() < omega.shape[-1] / 3)).to(omega.dtype)
    inverse = torch.where(square > 0, 1 / square.clamp_min(1), 0)

    def change(now: Tensor) -> Tensor:
        stream = inverse * now
        u, v, wx, wy = torch.fft.ifft2(torch.stack([1j * ky * stream, -1j * kx * stream, 1j * kx * now, 1j * ky * now])).real
        carried: Tensor = kept * torch.fft.fft2(u * wx + v * wy)
        return -carried - viscosity[:, None, None] * square * now

    return _frames(torch.fft.fft2(omega) * kept, change, frames, interval, steps)


def advect(scalar: Tensor, velocity: Tensor, diffusivity: Tensor, *, frames: int, interval: float) -> Tensor:
    """A scalar in a uniform wind: `frames` fields `interval` apart, (runs, frames, size, size). Exact for each wave.

    Args:
        scalar: (runs, size, size).
        velocity: (runs, 2), along x and y.
        diffusivity: (runs,).

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_fields(scalar, diffusivity)
    if velocity.shape != (len(scalar), 2):
        raise ValueError(f"velocity must be (runs, 2) for {len(scalar)} runs, got {tuple(velocity.shape)}")
    kx, ky, square = _waves(scalar.shape[-1])
    u, v = velocity[:, :, None, None].unbind(1)
    rate = -1j * (u * kx + v * ky) - diffusivity[:, None, None] * square
    time = torch.arange(frames)[:, None, None] * interval
    return _field(torch.fft.fft2(scalar)[:, None] * torch.exp(rate[:, None] * time))


def enstrophy(omega: Tensor) -> Tensor:
    """Half the mean square of a field over its last two axes; of vorticity, the enstrophy per area."""
    return omega.square().mean((-2, -1)) / 2


def spectral_share(field: Tensor, above: float) -> Tensor:
    """The share of a field's variance in waves of a wave number above `above`, in [0, 1], over the last two axes."""
    _, _, square = _waves(field.shape[-1])
    power: Tensor = torch.fft.fft2(field).abs().square()
    waves = power.where(square > 0, 0)
    return (waves * (square > above**2)).sum((-2, -1)) / waves.sum((-2, -1)).clamp_min(1e-30)


def phase_speed(frames: Tensor, interval: float) -> Tensor:
    """How fast the pattern travels, (runs,): the angle by which its strongest wave turns from frame to frame, over its wave number.

    Args:
        frames: (runs, frames, size, size), at least 2 frames; between two the wave must turn by less than half a period.
        interval: time between frames.
    """
    if frames.ndim != 4 or frames.shape[1] < 2:
        raise ValueError(f"frames must be (runs, at least 2 frames, size, size), got {tuple(frames.shape)}")
    _, _, square = _waves(frames.shape[-1])
    waves = torch.fft.fft2(frames).flatten(2)
    strongest = (waves[:, 0].abs() * (square.flatten() > 0)).argmax(1)
    wave = waves.gather(2, strongest[:, None, None].expand(-1, waves.shape[1], 1))[..., 0]
    turned = torch.angle((wave[:, 1:] * wave[:, :-1].conj()).sum(1))
    return turned.abs() / square.flatten()[strongest].sqrt() / interval


class FlowSurrogate(nn.Module):
    """Predicts the next frame from the last three: patches of 2 x 2, residual convolution blocks with periodic borders, an increment.

    Nothing but frames goes in, so the network has to see for itself which flow it is in. `blocks` are its places to read and steer:
    each gives (runs, channels, size / 2, size / 2).
    """

    def __init__(self, channels: int = 48, blocks: int = 5) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3 * 4, channels, 3, padding=1, padding_mode="circular")
        self.blocks = nn.ModuleList(_Block(channels) for _ in range(blocks))
        self.head = nn.Conv2d(channels, 4, 1)
        nn.init.zeros_(self.head.weight)  # at the start nothing moves
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, frames: Tensor) -> Tensor:
        """The frame after three, (runs, size, size), from (runs, 3, size, size); size has to be even."""
        hidden = self.embed(pixel_unshuffle(frames, 2))
        for block in self.blocks:
            hidden = block(hidden)
        last: Tensor = frames[:, -1]
        return last + pixel_shuffle(self.head(hidden), 2)[:, 0]


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="circular")
        self.second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="circular")

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = hidden + self.second(gelu(self.first(self.norm(hidden))))
        return result


@torch.no_grad()
def rollout(model: Callable[[Tensor], Tensor], frames: Tensor, steps: int) -> Tensor:
    """The next `steps` frames, each predicted from the three before it: (runs, steps, size, size), from (runs, 3, size, size)."""
    window, seen = frames, []
    for _ in range(steps):
        seen.append(model(window))
        window = torch.cat([window[:, 1:], seen[-1][:, None]], 1)
    return torch.stack(seen, 1)


def _frames(start: Tensor, change: Callable[[Tensor], Tensor], frames: int, interval: float, steps: int) -> Tensor:
    now, seen, dt = start, [start], interval / steps
    for _ in range(frames - 1):
        for _ in range(steps):
            a = change(now)
            b = change(now + dt / 2 * a)
            c = change(now + dt / 2 * b)
            d = change(now + dt * c)
            now = now + dt / 6 * (a + 2 * b + 2 * c + d)
        seen.append(now)
    return _field(torch.stack(seen, 1))


def _field(waves: Tensor) -> Tensor:
    """The real field of a Fourier transform over the last two axes."""
    field: Tensor = torch.fft.ifft2(waves).real
    return field


def _waves(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Wave numbers along x, (size, 1), and y, (1, size), and the square of both, (size, size)."""
    k = torch.fft.fftfreq(size, 1 / size)
    return k[:, None], k[None, :], k[:, None] ** 2 + k[None, :] ** 2


def _long_waves(runs: int, size: int, most: int, generator: torch.Generator) -> Tensor:
    """Noise of mean 0 and variance 1 made of waves up to `most` in each direction, (runs, size, size)."""
    kx, ky, square = _waves(size)
    kept = (kx.abs() <= most) & (ky.abs() <= most) & (square > 0)
    noise = _field(torch.fft.fft2(torch.randn(runs, size, size, generator=generator)) * kept)
    return noise / noise.std((1, 2), keepdim=True)


def _check_fields(fields: Tensor, each: Tensor) -> None:
    if fields.ndim != 3 or fields.shape[1] != fields.shape[2]:
        raise ValueError(f"fields must be (runs, size, size), got {tuple(fields.shape)}")
    if each.shape != fields.shape[:1]:
        raise ValueError(f"one number a run is needed for {len(fields)} runs, got {tuple(each.shape)}")
