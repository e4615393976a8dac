"""Permuted pixels: the first task is the data as it is, all others are fixed rearrangements of it."""

from __future__ import annotations

import pytest
import torch

from pressrun.methods.continual import PermutedPixels


def test_the_first_task_is_the_data_and_the_others_rearrange_it() -> None:
    stream, x = PermutedPixels(16, 3, seed=0), torch.randn(5, 16)
    assert len(stream) == 3
    assert torch.equal(stream(x, 0), x)
    assert all(not torch.equal(stream(x, task), x) for task in (1, 2))
    assert not torch.equal(stream(x, 1), stream(x, 2))
    assert all(torch.equal(stream(x, task).sort().values, x.sort().values) for task in range(3))


def test_all_samples_and_all_channels_are_permuted_alike() -> None:
    stream = PermutedPixels(6, 2, seed=1)
    pixels = torch.arange(6.0)
    flat = stream(pixels.repeat(3, 1), 1)
    images = stream(pixels.view(2, 3).repeat(3, 4, 1, 1), 1)
    assert torch.equal(flat, stream.permutations[1].float().repeat(3, 1))
    assert images.shape == (3, 4, 2, 3)
    assert torch.equal(images.flatten(2), flat[0].expand(3, 4, 6))


def test_the_same_seed_gives_the_same_tasks_and_more_tasks_leave_the_first_ones_alone() -> None:
    one, more, other = PermutedPixels(9, 3, 5), PermutedPixels(9, 4, 5), PermutedPixels(9, 3, 6)
    assert torch.equal(one.permutations, more.permutations[:3])
    assert not torch.equal(one.permutations, other.permutations)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PermutedPixels(0, 2), "pixels and tasks must be at least 1, got 0 and 2"),
        (lambda: PermutedPixels(4, 2)(torch.ones(1, 4), 2), "task must be between 0 and 1, got 2"),
        (lambda: PermutedPixels(4, 2)(torch.ones(1, 5), 1), r"x must be \(B, 4\) or \(B, channels, H, W\) .*, got \(1, 5\)"),
        (lambda: PermutedPixels(4, 2)(torch.ones(1, 1, 2, 3), 1), r"with H x W = 4, got \(1, 1, 2, 3\)"),
    ],
)
def test_it_refuses_what_does_not_fit(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
