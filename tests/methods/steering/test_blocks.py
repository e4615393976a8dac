from __future__ import annotations

import pytest
import torch

from pressrun.methods.steering.blocks import block_gains


def test_it_takes_the_blocks_whose_mean_differs_most() -> None:
    bad = torch.zeros(2, 2, 2, 2)
    good = bad.clone()
    good[:, 0, 1] = torch.tensor([3.0, 4.0])  # norm 5
    good[:, 1, 0, 0] = 6.0
    good[0, 1, 1, 0], good[1, 1, 1, 0] = 100.0, -100.0  # large in each pair, nothing in the mean
    assert block_gains(good, bad, 1).tolist() == [[[0, 0], [0, 0]], [[1, 1], [0, 0]]]
    assert block_gains(good, bad, 2).tolist() == [[[0, 0], [1, 1]], [[1, 1], [0, 0]]]


def test_it_does_not_care_which_of_good_and_bad_is_larger() -> None:
    good, bad = torch.randn(5, 3, 4, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(5, 3, 4, 2)
    assert torch.equal(block_gains(good, bad, 3), block_gains(bad, good, 3))


@pytest.mark.parametrize("k", [0, 5])
def test_it_needs_a_number_of_blocks_there_are(k: int) -> None:
    with pytest.raises(ValueError, match=f"k must be from 1 to 4, the number of blocks, got {k}"):
        block_gains(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2), k)


def test_it_needs_pairs() -> None:
    with pytest.raises(ValueError, match=r"of one shape, got \(2, 1, 1, 1\) and \(1, 1, 1, 1\)"):
        block_gains(torch.zeros(2, 1, 1, 1), torch.zeros(1, 1, 1, 1), 1)
