"""Directions: vectors worked out by hand, invariances, the limits."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pressrun.methods.steering import (
    erasure_basis,
    mean_difference,
    principal_direction,
    probe_direction,
    random_directions,
    token_contrast,
)

X = torch.tensor([[4.0, 5.0], [1.0, 1.0], [6.0, 7.0], [3.0, 3.0]])
Y = torch.tensor([1, 0, 1, 0])


def noisy(shift: Tensor, n: int = 100, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    return torch.randn(n, len(shift), generator=generator) + y[:, None] * shift, y


def test_the_mean_difference_is_that_worked_out_by_hand() -> None:
    # (5, 6) - (2, 2) = (3, 4), of length 5.
    assert mean_difference(X, Y).tolist() == pytest.approx([0.6, 0.8])


def test_the_mean_difference_keeps_the_shape_of_an_activation() -> None:
    x = torch.zeros(2, 3, 4)
    x[0, 1, 2] = -7.0
    direction = mean_difference(x, torch.tensor([1, 0]))
    assert direction.shape == (3, 4)
    assert direction[1, 2] == -1.0


@given(scale=st.floats(0.01, 100), offset=st.floats(-100, 100))
def test_a_direction_does_not_change_when_activations_are_scaled_and_moved(scale: float, offset: float) -> None:
    x, y = noisy(torch.tensor([2.0, -1.0, 0.5]), n=20)
    torch.testing.assert_close(mean_difference(scale * x + offset, y), mean_difference(x, y), atol=1e-3, rtol=0)


@pytest.mark.parametrize("make", [mean_difference, principal_direction, probe_direction])
def test_a_direction_points_from_zero_to_one_and_turns_round_with_the_labels(make: Callable[[Tensor, Tensor], Tensor]) -> None:
    x, y = noisy(torch.tensor([5.0, 0.0, 0.0]))
    direction = make(x, y)
    assert float(direction.norm()) == pytest.approx(1.0)
    assert direction[0] > 0.9
    torch.testing.assert_close(make(x, 1 - y), -direction, atol=1e-4, rtol=0)


def test_centred_pairs_find_the_shift_that_all_pairs_share() -> None:
    # All pairs differ by exactly (0, 3): around their middles the rows are ±(0, 1.5), along (0, 1).
    x = torch.tensor([[1.0, 3.0], [1.0, 0.0], [5.0, 4.0], [5.0, 1.0]])
    assert principal_direction(x, Y).tolist() == pytest.approx([0.0, 1.0])


def test_differences_find_what_pairs_do_not_share() -> None:
    # Differences (1, 3), (-1, 3), (3, 3): without their mean (0, ±2, 0) along the first axis; 1, 3 and -1 put it ahead in two of three.
    x = torch.tensor([[1.0, 3.0], [0.0, 0.0], [-1.0, 3.0], [0.0, 0.0], [3.0, 3.0], [0.0, 0.0]])
    y = torch.tensor([1, 0, 1, 0, 1, 0])
    assert principal_direction(x, y, of="differences").tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


def test_pairs_that_differ_by_the_same_vector_have_no_component_of_differences() -> None:
    x = torch.tensor([[1.0, 3.0], [1.0, 0.0], [5.0, 4.0], [5.0, 1.0]])
    with pytest.raises(
        ValueError, match=r"All pairs differ by the same vector, so their differences have no component; use of='centred'"
    ):
        principal_direction(x, Y, of="differences")


def test_the_probe_discounts_a_dimension_that_varies_much() -> None:
    # The same shift in two dimensions, one of them 10 times as noisy: the mean difference leans on both alike, the probe does not.
    x, y = noisy(torch.tensor([1.0, 1.0]), n=2000)
    x[:, 1] += 10 * torch.randn(2000, generator=torch.Generator().manual_seed(1))
    direction = probe_direction(x, y)
    assert direction[0] > 0.99


def test_the_probe_gives_no_weight_to_a_dimension_that_does_not_vary() -> None:
    x, y = noisy(torch.tensor([3.0, 0.0]))
    x[:, 1] = 7.0
    assert probe_direction(x, y).tolist() == pytest.approx([1.0, 0.0])


def test_the_token_contrast_is_that_worked_out_by_hand() -> None:
    unembedding = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, -4.0], [9.0, 9.0]])
    # (2, 0) - (0, -4) = (2, 4) over its length √20.
    assert token_contrast(unembedding, [0, 1], [2]).tolist() == pytest.approx([2 / 20**0.5, 4 / 20**0.5])


def test_the_token_contrast_refuses_a_token_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"unwanted must be one or more token ids below 4, got \[4\]"):
        token_contrast(torch.eye(4), [0], [4])


def test_erasing_takes_from_a_probe_what_it_read() -> None:
    x, y = noisy(torch.tensor([3.0, 3.0, 0.0, 0.0]), n=400)
    basis = erasure_basis(x, y, rank=2)
    torch.testing.assert_close(basis @ basis.T, torch.eye(2), atol=1e-5, rtol=0)
    left = x - x @ basis.T @ basis
    assert (left[y == 1].mean(0) - left[y == 0].mean(0)).norm() < 0.5  # 4.24 before


def test_random_directions_have_length_one_and_no_favourite() -> None:
    drawn = random_directions(4000, 3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(4000))
    torch.testing.assert_close(drawn.T @ drawn / 4000, torch.eye(3) / 3, atol=0.02, rtol=0)


def test_half_precision_activations_give_a_direction_in_single_precision() -> None:
    assert mean_difference(X.bfloat16(), Y).dtype == torch.float32


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (X, torch.tensor([1, 0, 1]), r"x must be \(n, ...\) with one label a row, got x \(4, 2\) and y \(3,\)"),
        (X, torch.tensor([1, 0, 2, 0]), r"Labels must be 0 and 1, got \[0, 1, 2\]"),
        (X, torch.ones(4), "Both labels are needed, got 4 rows that are all 1"),
        (torch.ones(4, 2), Y, "A vector of norm 0.0 has no direction"),
        (torch.full((4, 2), float("nan")), Y, "A vector of norm nan has no direction"),
    ],
)
def test_it_refuses_what_has_no_direction(x: Tensor, y: Tensor, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        mean_difference(x, y)


def test_pairs_need_as_many_of_either_label() -> None:
    with pytest.raises(ValueError, match="Pairs need as many rows of either label, got 3 of label 1 and 1 of label 0"):
        principal_direction(X, torch.tensor([1, 1, 1, 0]))
