"""Linear CKA: what leaves it alone, what it is for nothing in common, a value by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pressrun.methods.plasticity import linear_cka


def test_it_gives_the_value_worked_out_by_hand() -> None:
    # One feature each: the squared correlation. a = (-1, 0, 1), b centred = (-1, 2, -1) + a = (-2, 2, 0) / … : r² = 4 / (2 · 8).
    a, b = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[-2.0], [2.0], [0.0]])
    assert linear_cka(a, b).item() == pytest.approx(0.25)


@given(samples=st.integers(5, 60), seed=st.integers(0, 100))
def test_rotating_scaling_and_shifting_change_nothing(samples: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(samples, 20, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(20, 20, generator=generator, dtype=torch.float64))[0]
    assert linear_cka(a, 3 * a @ rotation + 7).item() == pytest.approx(1.0)


def test_it_lies_between_0_and_1_and_is_the_same_either_way_round() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(30, 4, generator=generator), torch.randn(30, 50, generator=generator)
    assert 0 < linear_cka(a, b) < 1
    torch.testing.assert_close(linear_cka(a, b), linear_cka(b, a))


def test_many_samples_of_unrelated_features_have_nothing_in_common() -> None:
    generator = torch.Generator().manual_seed(0)
    assert linear_cka(torch.randn(5000, 3, generator=generator), torch.randn(5000, 3, generator=generator)) < 0.01


def test_it_is_differentiable() -> None:
    a, b = (torch.randn(6, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(linear_cka, (a, b))


def test_it_refuses_other_samples_and_constant_ones() -> None:
    with pytest.raises(
        ValueError, match=r"a and b must be \(samples, features\) with the same samples, got \(3, 2\) and \(4, 2\)"
    ):
        linear_cka(torch.ones(3, 2), torch.ones(4, 2))
    with pytest.raises(ValueError, match="a and b must vary over the samples, but all samples of one of them are equal"):
        linear_cka(torch.ones(3, 2), torch.rand(3, 2))
