"""Corruptions: values by hand, strengths as they are said to be, nothing at severity 0, the same for the same seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pressrun.methods.continual import CORRUPTIONS, corrupt

GREY = torch.full((64, 1, 32, 32), 0.5)
CHANCE = {"gaussian_noise", "shot_noise", "speckle_noise", "impulse_noise", "inversion", "occlusion"}


@given(name=st.sampled_from(CORRUPTIONS), severity=st.floats(0, 5), seed=st.integers(0, 100), channels=st.integers(1, 3))
def test_images_stay_images(name: str, severity: float, seed: int, channels: int) -> None:
    x = torch.rand(3, channels, 9, 7, generator=torch.Generator().manual_seed(seed))
    before = x.clone()
    y = corrupt(x, name, severity, seed)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert y.isfinite().all()
    assert 0 <= y.min() <= y.max() <= 1
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severity_goes_from_nothing_upwards(name: str) -> None:
    # Smooth, since the pixels of white noise have nothing to do with their neighbours.
    x = corrupt(torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(0)), "blur", 2)
    assert torch.equal(corrupt(x, name, 0, 0), x)
    away = [(corrupt(x, name, severity, 0) - x).square().mean().item() for severity in (1, 2, 2.5, 3, 4, 5)]
    assert away == sorted(away)
    assert away[-1] > 1.5 * away[0] > 0


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_seed_and_its_generator_give_the_same_and_another_seed_does_not(name: str) -> None:
    x = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    first = corrupt(x, name, 3, 5)
    assert torch.equal(corrupt(x, name, 3, torch.Generator().manual_seed(5)), first)
    assert torch.equal(corrupt(x, name, 3, 6), first) == (name not in CHANCE)


def test_noise_has_the_strength_it_is_said_to_have() -> None:
    assert corrupt(GREY, "gaussian_noise", 2, 0).std().item() == pytest.approx(0.12, rel=0.02)
    assert corrupt(GREY, "speckle_noise", 2, 0).std().item() == pytest.approx(0.2 * 0.5, rel=0.02)
    # A Poisson count of mean 30, over 60.
    assert corrupt(GREY, "shot_noise", 1, 0).std().item() == pytest.approx(30**0.5 / 60, rel=0.02)
    impulses = corrupt(GREY, "impulse_noise", 5, 0)
    assert [(impulses == value).double().mean().item() for value in (0, 1)] == [pytest.approx(0.27 / 2, abs=0.005)] * 2
    assert corrupt(GREY, "gaussian_noise", 2, 0).mean().item() == pytest.approx(0.5, abs=0.002)


def test_strength_is_interpolated_between_levels() -> None:
    assert corrupt(GREY, "brightness", 1.5).unique().tolist() == [pytest.approx(0.65)]
    assert corrupt(GREY, "brightness", 0.5).unique().tolist() == [pytest.approx(0.55)]


def test_brightness_contrast_and_stripes_are_those_worked_out_by_hand() -> None:
    x = torch.tensor([0.2, 0.6]).reshape(1, 1, 1, 2)
    assert corrupt(x, "brightness", 5).flatten().tolist() == pytest.approx([0.7, 1.0])
    assert corrupt(x, "contrast", 3).flatten().tolist() == pytest.approx([0.4 - 0.2 * 0.2, 0.4 + 0.2 * 0.2])
    # Sixteen columns: bars of two, the second, fourth, … of eight; .2 + .6 · .8 at severity 4.
    row = corrupt(torch.full((1, 1, 1, 16), 0.2), "stripes", 4).flatten().tolist()
    assert row == pytest.approx([0.2, 0.2, 0.68, 0.68] * 4)


def test_a_blur_keeps_the_mean_spreads_a_point_and_leaves_a_flat_image_alone() -> None:
    torch.testing.assert_close(corrupt(GREY, "blur", 5), GREY)
    point = torch.zeros(1, 1, 33, 33)
    point[..., 16, 16] = 1
    blurred = corrupt(point, "blur", 2)
    assert blurred.sum().item() == pytest.approx(1, abs=1e-4)
    # The variance along each axis is the square of the deviation, .06 · 33.
    offsets = torch.arange(33.0) - 16
    for profile in (blurred.sum((0, 1, 2)), blurred.sum((0, 1, 3))):
        assert (profile * offsets**2).sum().item() == pytest.approx((0.06 * 33) ** 2, rel=0.01)


def test_pixelation_gives_blocks_of_their_mean() -> None:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    y = corrupt(x, "pixelate", 5)  # a quarter: 2 x 2 blocks of 4 x 4
    torch.testing.assert_close(y[0, 1, :4, 4:], x[0, 1, :4, 4:].mean().expand(4, 4))


def test_inversion_takes_that_share_of_the_images_and_all_at_severity_5() -> None:
    x = torch.full((10, 1, 2, 2), 0.1)
    assert corrupt(x, "inversion", 2, 0).amax((1, 2, 3)).gt(0.5).sum() == 4
    torch.testing.assert_close(corrupt(x, "inversion", 5, 0), 1 - x)


def test_occlusion_blackens_one_square_in_each_image() -> None:
    black = corrupt(torch.ones(2000, 2, 10, 20), "occlusion", 3, 0) == 0
    assert black.sum((1, 2, 3)).unique().tolist() == [2 * 4 * 4]
    assert black.any(2).sum(2).unique().tolist() == [4]
    # It comes to every place, the corners too.
    assert black.any(0).all()


@pytest.mark.parametrize(
    ("x", "name", "severity", "message"),
    [
        (torch.ones(4, 8, 8), "blur", 3, r"x must be \(B, C, H, W\) of floating point, got \(4, 8, 8\) of torch.float32"),
        (
            torch.ones(1, 1, 8, 8).long(),
            "blur",
            3,
            r"x must be \(B, C, H, W\) of floating point, got \(1, 1, 8, 8\) of torch.int64",
        ),
        (torch.full((1, 1, 8, 8), 255.0), "blur", 3, r"x must lie in \[0, 1\], got 255 to 255"),
        (torch.full((1, 1, 8, 8), torch.nan), "blur", 3, r"x must lie in \[0, 1\], got nan to nan"),
        (torch.ones(1, 1, 8, 8), "snow", 3, "name must be one of gaussian_noise, .*, occlusion, got 'snow'"),
        (torch.ones(1, 1, 8, 8), "blur", 6, "severity must lie between 0 and 5, got 6"),
    ],
)
def test_it_refuses_what_does_not_fit(x: torch.Tensor, name: str, severity: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corrupt(x, name, severity)


def test_an_empty_batch_stays_empty() -> None:
    for name in CORRUPTIONS:
        assert corrupt(torch.ones(0, 1, 8, 8), name, 3, 0).shape == (0, 1, 8, 8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_seed_gives_the_same_on_a_gpu(name: str) -> None:
    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(corrupt(x.cuda(), name, 3, 5).cpu(), corrupt(x, name, 3, 5), atol=1e-4, rtol=0)
