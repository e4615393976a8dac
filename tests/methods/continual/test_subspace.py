"""Subspaces: projection by hand, exact principal rows, how many rows a part of the variance needs, saving."""

from __future__ import annotations

import pytest
import torch

from pressrun.methods.continual import Subspace, orthonormal_rows, principal_rows


def test_the_projection_is_the_one_worked_out_by_hand() -> None:
    subspace, x = Subspace(3), torch.tensor([[1.0, 2.0, 3.0]])
    assert torch.equal(subspace.orthogonalize(x), x)
    assert torch.equal(subspace.project(x), torch.zeros(1, 3))
    subspace.extend(torch.tensor([[0.6, 0.8, 0.0]]))
    # F x = 2.2; Fᵀ F x = (1.32, 1.76, 0)
    torch.testing.assert_close(subspace.project(x), torch.tensor([[1.32, 1.76, 0.0]]))
    torch.testing.assert_close(subspace.orthogonalize(x), torch.tensor([[-0.32, 0.24, 3.0]]))
    assert subspace.captured_variance(x).item() == pytest.approx(2.2**2 / 14)


def test_what_is_left_is_orthogonal_to_orthonormal_rows_and_projecting_twice_changes_nothing() -> None:
    torch.manual_seed(0)
    subspace, x = Subspace(6).double(), torch.randn(2, 5, 6, dtype=torch.float64)
    basis = orthonormal_rows(torch.randn(3, 6, dtype=torch.float64))
    subspace.extend(basis[:2])
    subspace.extend(basis[2:])
    torch.testing.assert_close(subspace.orthogonalize(x) @ subspace.frozen.T, torch.zeros(2, 5, 3, dtype=torch.float64))
    torch.testing.assert_close(subspace.project(subspace.project(x)), subspace.project(x))


def test_the_captured_variance_is_that_of_the_span_however_the_rows_lie() -> None:
    skewed, straight = Subspace(3), Subspace(3)
    skewed.extend(torch.tensor([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [3.0, 1.0, 0.0]]))
    straight.extend(torch.eye(3)[:2])
    x = torch.randn(7, 3)
    torch.testing.assert_close(skewed.captured_variance(x), straight.captured_variance(x))
    assert straight.orthonormality_error() == 0
    assert skewed.orthonormality_error() == 9  # the largest square is 9 + 1, less 1
    assert Subspace(3).orthonormality_error() == 0


def test_an_orthonormal_basis_leaves_out_what_depends_on_other_rows() -> None:
    rows = torch.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 5.0]])
    basis = orthonormal_rows(rows)
    torch.testing.assert_close(basis @ basis.T, torch.eye(2))
    torch.testing.assert_close(rows @ basis.T @ basis, rows)
    assert len(orthonormal_rows(torch.empty(0, 3))) == 0


def test_principal_rows_are_the_right_singular_vectors() -> None:
    torch.manual_seed(1)
    x = torch.randn(40, 5, dtype=torch.float64) * torch.tensor([1.0, 5.0, 3.0, 0.5, 0.1], dtype=torch.float64) + 1
    expected = torch.linalg.svd(x)[2][:3]
    torch.testing.assert_close((principal_rows(x, 3) @ expected.T).abs(), torch.eye(3, dtype=torch.float64))


def test_rows_beyond_others_are_orthogonal_to_them_and_principal_in_what_is_left() -> None:
    # After the first axis is taken, the second has the most; the third is empty but still orthogonal to the first.
    x = torch.diag(torch.tensor([3.0, 2.0, 0.0]))
    rows = principal_rows(x, 2, beyond=torch.tensor([[7.0, 0.0, 0.0]]))
    torch.testing.assert_close(rows.abs(), torch.eye(3)[1:])


def test_no_other_rows_of_that_number_capture_more() -> None:
    torch.manual_seed(2)
    x, best, other = torch.randn(60, 8) @ torch.randn(8, 8), Subspace(8), Subspace(8)
    best.extend(principal_rows(x, 3))
    other.extend(torch.randn(3, 8))
    assert best.captured_variance(x) > other.captured_variance(x)


@pytest.mark.parametrize(("energy", "k"), [(0.5, 1), (0.7, 2), (0.9, 2), (0.95, 3), (1.0, 3)])
def test_energy_takes_as_few_rows_as_capture_it(energy: float, k: int) -> None:
    # Second moments 6, 3 and 1 of 10.
    x = torch.diag(torch.tensor([6.0, 3.0, 1.0]).sqrt())
    assert len(principal_rows(x, energy=energy)) == k
    # With the first axis captured, that many fewer are needed.
    assert len(principal_rows(x, energy=energy, beyond=torch.eye(3)[:1])) == k - 1


def test_it_is_saved_and_loaded_with_the_rows_it_has() -> None:
    subspace, fresh = Subspace(4), Subspace(4)
    subspace.extend(torch.randn(2, 4))
    fresh.load_state_dict(subspace.state_dict())
    assert torch.equal(fresh.frozen, subspace.frozen)
    with pytest.raises(RuntimeError, match="size mismatch"):
        Subspace(5).load_state_dict(subspace.state_dict())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Subspace(0), "in_features must be at least 1, got 0"),
        (lambda: Subspace(3).extend(torch.ones(2, 4)), r"rows must be \(k, 3\), got \(2, 4\)"),
        (lambda: Subspace(3).extend(torch.ones(4, 3)), r"0 \+ 4 rows are more than the 3 features there are"),
        (lambda: Subspace(3).project(torch.ones(2, 4)), r"x must be \(\.\.\., 3\), got \(2, 4\)"),
        (lambda: Subspace(3).captured_variance(torch.zeros(2, 3)), "x must have something to capture, but it is 0 everywhere"),
        (lambda: principal_rows(torch.ones(2, 3)), "one of k and energy must be given, got k=None and energy=None"),
        (lambda: principal_rows(torch.ones(2, 3), 1, energy=0.5), "one of k and energy must be given, got k=1 and energy=0.5"),
        (lambda: principal_rows(torch.ones(3), 1), r"x must be \(B, features\) and beyond \(rows, features\), got \(3,\)"),
        (lambda: principal_rows(torch.ones(2, 3), 1, beyond=torch.ones(1, 4)), r"got \(2, 3\) and beyond \(1, 4\)"),
        (
            lambda: principal_rows(torch.ones(2, 3), 3, beyond=torch.eye(3)[:1]),
            "k must be between 0 and the 2 directions left, got 3",
        ),
        (lambda: principal_rows(torch.ones(2, 3), energy=1.5), "energy must be above 0 and at most 1, got 1.5"),
    ],
)
def test_it_refuses_what_does_not_fit(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
