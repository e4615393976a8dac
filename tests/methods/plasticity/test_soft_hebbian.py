"""Competitive Hebbian learning: updates by hand, what the softmax and the two forms promise, convolutions as many linear layers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pressrun.methods.plasticity import SoftHebbConv2d, SoftHebbLinear, kernel_similarity, soft_hebbian_update
from pressrun.methods.plasticity.soft_hebbian import layer_update

LOG_3 = math.log(3)


def by_hand(**options: object) -> list[list[float]]:
    """Two units at the axes see x = (log 3, 0): u = (log 3, 0), and the softmax at temperature 1 is (3/4, 1/4)."""
    change = soft_hebbian_update(torch.eye(2), torch.tensor([[LOG_3, 0.0]]), lr=2.0, **options)
    return [[pytest.approx(value, abs=1e-6) for value in row] for row in change.tolist()]


def test_it_gives_the_updates_worked_out_by_hand() -> None:
    # Oja: x - u w is 0 for the first unit, x for the second, times 2 · 1/4.
    assert by_hand(standardise=False) == [[0.0, 0.0], [LOG_3 / 2, 0.0]]
    # Mixture: x - w is (log 3 - 1, 0) and (log 3, -1), times 2 · 3/4 and 2 · 1/4.
    assert by_hand(standardise=False, rule="mixture") == [[1.5 * (LOG_3 - 1), 0.0], [LOG_3 / 2, -0.5]]
    # The winner takes all: 2 · (log 3 - 1, 0), and nothing.
    assert by_hand(competition="hard", rule="mixture") == [[2 * (LOG_3 - 1), 0.0], [0.0, 0.0]]
    # The loser is pushed away instead of drawn.
    assert by_hand(standardise=False, rule="mixture", competition="anti") == [[1.5 * (LOG_3 - 1), 0.0], [-LOG_3 / 2, 0.5]]
    # u = (log 3, 0) has the deviation log 3 / 2, so the softmax is that of (2, 0).
    share = 1 / (1 + math.exp(2))
    assert by_hand() == [[0.0, 0.0], [2 * share * LOG_3, 0.0]]


@pytest.mark.parametrize("rule", ["oja", "mixture"])
@pytest.mark.parametrize("competition", ["soft", "hard", "anti"])
def test_a_convolution_is_a_linear_layer_on_all_patches(rule: str, competition: str) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(5, 2, 3, 2, dtype=torch.float64), torch.randn(4, 2, 9, 8, dtype=torch.float64)
    place = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
    patches = F.unfold(x, (3, 2), **place).transpose(1, 2).flatten(0, 1)
    rest = {"lr": 0.1, "tau": 0.7, "rule": rule, "competition": competition}
    flat = soft_hebbian_update(weight.flatten(1), patches, **rest)
    torch.testing.assert_close(soft_hebbian_update(weight, x, **place, **rest), flat.reshape(weight.shape))


def test_weights_settle_at_unit_length_under_ojas_form() -> None:
    torch.manual_seed(0)
    # Inputs around three directions in the positive orthant, so that the winner's response is positive.
    x = 2 * torch.eye(3)[torch.arange(300) % 3] + 0.05 * torch.randn(300, 3)
    weight = torch.rand(3, 3) + 2 * torch.eye(3)
    for _ in range(400):
        weight = weight + soft_hebbian_update(weight, x, lr=0.2, tau=0.3)
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(3), atol=0.02, rtol=0)


def test_the_mixture_form_finds_the_means_of_clusters() -> None:
    torch.manual_seed(0)
    # Of equal length, for the responses are dot products and not distances.
    means = 3 * torch.eye(4)
    x = means[torch.arange(400) % 4] + 0.1 * torch.randn(400, 4)
    weight = means.roll(1, 0) * 0.3 + 0.1 * torch.rand(4, 4)
    for _ in range(300):
        weight = weight + soft_hebbian_update(weight, x, lr=0.5, tau=0.1, rule="mixture")
    torch.testing.assert_close(weight, means.roll(1, 0), atol=0.1, rtol=0)


def test_the_temperature_leads_from_the_winner_alone_to_all_alike() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(4, 6), torch.randn(50, 6)
    hard = soft_hebbian_update(weight, x, lr=1.0, competition="hard")
    torch.testing.assert_close(soft_hebbian_update(weight, x, lr=1.0, tau=1e-4), hard, atol=1e-3, rtol=0)
    alike = soft_hebbian_update(weight, x, lr=1.0, tau=1e6, rule="mixture")
    torch.testing.assert_close(alike, (x.mean(0) - weight) / 4, atol=1e-4, rtol=0)


def test_with_standardised_responses_the_scale_of_the_input_changes_nothing_but_the_scale() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(4, 6), torch.randn(50, 6)
    once, tenfold = (soft_hebbian_update(weight, factor * x, lr=1.0, rule="mixture") for factor in (1, 10))
    shares = -torch.linalg.lstsq(weight.T, (10 * once - tenfold).T).solution.diagonal() / 9
    # 10 · Δ(x) - Δ(10 x) = -9 mean(y_k) w_k for each unit if y is the same for both, and the shares of all units sum to 1.
    assert shares.sum().item() == pytest.approx(1.0, abs=1e-4)
    torch.testing.assert_close(10 * once - tenfold, -9 * shares[:, None] * weight, atol=1e-4, rtol=0)


def test_renaming_the_units_renames_the_updates() -> None:
    torch.manual_seed(0)
    weight, x, order = torch.randn(4, 2, 3, 3), torch.randn(2, 2, 6, 6), torch.tensor([2, 0, 3, 1])
    change = soft_hebbian_update(weight, x, lr=1.0, padding=1)
    torch.testing.assert_close(soft_hebbian_update(weight[order], x, lr=1.0, padding=1), change[order])


def test_a_blank_batch_moves_nothing_to_infinity() -> None:
    change = soft_hebbian_update(torch.randn(4, 1, 3, 3), torch.zeros(2, 1, 6, 6), lr=1.0)
    assert change.abs().max() == 0


def test_it_is_differentiable_in_weights_and_inputs() -> None:
    torch.manual_seed(0)
    weight = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w, x: soft_hebbian_update(w, x, lr=0.5, stride=2, padding=1), (weight, x))


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (SoftHebbConv2d(2, 5, 3, padding=1, stride=2, bias=False), torch.rand(4, 2, 8, 8)),
        (SoftHebbConv2d(2, 5, 3, padding="same", dilation=2), torch.rand(4, 2, 8, 8)),
        (SoftHebbConv2d(2, 5, 3, padding=1, padding_mode="reflect"), torch.rand(4, 2, 8, 8)),
        (SoftHebbLinear(6, 5), torch.rand(4, 6)),
    ],
    ids=["conv", "same", "reflect", "linear"],
)
def test_a_layer_learns_from_what_its_forward_pass_sees(layer: SoftHebbConv2d | SoftHebbLinear, x: Tensor) -> None:
    seen = x
    if isinstance(layer, nn.Conv2d):
        sides = layer._reversed_padding_repeated_twice
        padded = F.pad(x, sides, mode="reflect" if layer.padding_mode == "reflect" else "constant")
        unfolded = F.unfold(padded, layer.kernel_size, dilation=layer.dilation, stride=layer.stride)
        seen = unfolded.transpose(1, 2).flatten(0, 1)
    before, bias = layer.weight.clone(), None if layer.bias is None else layer.bias.clone()
    expected = soft_hebbian_update(before.flatten(1), seen, lr=layer.hebb_lr).reshape(before.shape)
    change = layer.hebbian_step(x)
    torch.testing.assert_close(change, expected)
    torch.testing.assert_close(layer.weight, before + expected)
    assert bias is None or torch.equal(layer.bias, bias)
    assert not layer.weight.requires_grad
    assert layer(x).shape[1] == 5


def test_a_layer_takes_the_state_of_an_ordinary_one() -> None:
    ordinary, x = nn.Conv2d(1, 4, 3), torch.rand(2, 1, 5, 5)
    layer = SoftHebbConv2d(1, 4, 3)
    layer.load_state_dict(ordinary.state_dict())
    assert torch.equal(layer(x), ordinary(x))


def test_the_similarity_of_kernels_is_the_one_worked_out_by_hand() -> None:
    # Cosines 0 and 1 with opposite sign, and .6: pairs (1, 2): -1, (1, 3): .6, (2, 3): -.6.
    weight = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [3.0, 4.0]])
    assert kernel_similarity(weight).item() == pytest.approx((1 + 0.6 + 0.6) / 3)
    assert kernel_similarity(torch.eye(3).reshape(3, 1, 3, 1)).item() == 0
    with pytest.raises(ValueError, match=r"weight must have at least 2 units to compare, got \(1, 9\)"):
        kernel_similarity(torch.ones(1, 9))


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((2, 3, 4), (2, 3, 4)), {}, r"weight must be \(units, features\) or \(units, channels, kh, kw\), got \(2, 3, 4\)"),
        (((2, 3), (5, 4)), {}, r"x must be \(B, 3\) to fit weight \(2, 3\), got \(5, 4\)"),
        (((2, 3, 3, 3), (5, 3)), {}, r"x must be \(B, 3, H, W\) to fit weight \(2, 3, 3, 3\), got \(5, 3\)"),
        (((2, 3), (5, 3)), {"lr": -1.0}, r"lr must not be negative and tau must be positive, got lr=-1.0 and tau=1.0"),
        (((2, 3), (5, 3)), {"tau": 0.0}, r"lr must not be negative and tau must be positive, got lr=0.1 and tau=0.0"),
        (((2, 3), (5, 3)), {"rule": "hebb"}, "rule must be one of oja, mixture, got 'hebb'"),
        (((2, 3), (5, 3)), {"competition": "none"}, "competition must be one of soft, hard, anti, got 'none'"),
    ],
)
def test_it_refuses_what_does_not_fit(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        soft_hebbian_update(torch.ones(shapes[0]), torch.ones(shapes[1]), **{"lr": 0.1} | options)


def test_it_refuses_layers_whose_units_do_not_compete_for_the_same_input() -> None:
    with pytest.raises(ValueError, match="groups must be 1, since all units compete for the same patch, got 2"):
        SoftHebbConv2d(2, 4, 3, groups=2)
    with pytest.raises(ValueError, match=r"a layer that competes must be nn.Linear, or nn.Conv2d without groups, got ReLU\(\)"):
        layer_update(nn.ReLU(), torch.ones(1, 2), lr=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_it_gives_the_same_on_a_gpu() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(8, 3, 3, 3, dtype=torch.float64), torch.randn(4, 3, 12, 12, dtype=torch.float64)
    for competition in ("soft", "hard", "anti"):
        here, there = (
            soft_hebbian_update(weight.to(device), x.to(device), lr=0.1, competition=competition, padding=1)
            for device in ("cpu", "cuda")
        )
        torch.testing.assert_close(there.cpu(), here)
