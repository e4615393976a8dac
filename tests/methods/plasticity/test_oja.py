"""Oja's subspace rule: a step by hand, fixed points, what it converges to, bad input."""

from __future__ import annotations

import pytest
import torch

from pressrun.methods.plasticity import OjaLayer, oja_direction, oja_update


def test_it_gives_the_update_worked_out_by_hand() -> None:
    weight, x = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    # y = (1, 3); the mean of y x is (5, 7), that of y² is 5, so the decay is (5, 0) and the step 0.1 (0, 7).
    assert oja_update(weight, x, lr=0.1).tolist() == [[1.0, pytest.approx(0.7)]]
    assert weight.tolist() == [[1.0, 0.0]]


def test_responses_of_ones_own_take_the_place_of_the_linear_ones() -> None:
    weight, x = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 2.0]])
    # y = 2: 2 ((1, 2) - 2 (1, 0)) = (-2, 4)
    assert oja_direction(weight, x, torch.tensor([[2.0]])).tolist() == [[-2.0, 4.0]]
    assert torch.equal(oja_direction(weight, x), oja_direction(weight, x, x @ weight.T))


def test_orthonormal_rows_in_the_principal_subspace_stay_however_they_are_turned() -> None:
    x = torch.diag(torch.tensor([3.0, 3.0, 1.0]))
    turned = torch.tensor([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0]])
    torch.testing.assert_close(oja_update(turned, x, lr=0.1), turned)


def test_two_units_come_to_span_the_first_two_components_with_orthonormal_weights() -> None:
    torch.manual_seed(0)
    x = torch.randn(4096, 3) * torch.tensor([3.0, 2.0, 0.5])
    layer = OjaLayer(3, 2, lr=0.02)
    for batch in x.split(8):
        layer.learn(batch)
    assert layer.weight[:, 2].abs().max() < 0.1
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(2), atol=0.1, rtol=0)
    assert torch.equal(layer(x), x @ layer.weight.T)
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: oja_update(torch.ones(1, 2), torch.ones(5, 3), lr=0.1),
            r"x must be \(B, 2\) to fit weight \(1, 2\), got \(5, 3\)",
        ),
        (
            lambda: oja_update(torch.ones(1, 2), torch.ones(0, 2), lr=0.1),
            r"x must be \(B, 2\) to fit weight \(1, 2\), got \(0, 2\)",
        ),
        (lambda: oja_update(torch.ones(1, 2), torch.ones(1, 2), lr=0), "lr must be positive, got 0"),
        (lambda: OjaLayer(2, 1, lr=-1.0), "lr must be positive, got -1.0"),
        (
            lambda: oja_direction(torch.ones(1, 2), torch.ones(5, 2), torch.ones(5, 2)),
            r"y must be \(5, 1\) to fit x and weight, got \(5, 2\)",
        ),
    ],
)
def test_it_refuses_what_does_not_fit(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
