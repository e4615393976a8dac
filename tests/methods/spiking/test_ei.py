"""E-I layers: the current by hand, the initialisation against its formula, both parts of E-I Prop, the sign."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pressrun.methods.spiking import (
    EIConv2d,
    EILinear,
    NonNegativeSGD,
    ei_current,
    ei_parameter_groups,
    replace_zeros_ste,
    scale_gradient,
)


def bernoulli(probability: float, *shape: int, seed: int = 0) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < probability).float()


def by_the_equations(x: Tensor, w_ee: Tensor, w_ie: Tensor, w_ei: Tensor, g_i: Tensor, g_e: Tensor, b_e: Tensor) -> Tensor:
    inhibitory = x @ w_ie.T
    return g_e * (x @ w_ee.T - inhibitory @ w_ei.T) / ((g_i * inhibitory) @ w_ei.T) + b_e


def positive_arguments(dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    shapes = ((4, 6), (8, 6), (2, 6), (8, 2), (2,), (8,), (8,))
    return tuple(torch.rand(shape, dtype=dtype).add_(0.1).requires_grad_() for shape in shapes)


def test_it_gives_the_current_worked_out_by_hand() -> None:
    # x = (1, 2): I_EE = 1*1 + 3*2 = 7, I_IE = .5*1 + 1*2 = 2.5, I_EI = 2*2.5 = 5, S = 2*(.4*2.5) = 2, I = 3*(7 - 5)/2 + .5
    x, w_ee, w_ie = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 3.0]]), torch.tensor([[0.5, 1.0]])
    w_ei, g_i, g_e, b_e = torch.tensor([[2.0]]), torch.tensor([0.4]), torch.tensor([3.0]), torch.tensor([0.5])
    assert ei_current(x, w_ee, w_ie, w_ei, g_i, g_e, b_e).tolist() == [[pytest.approx(3.5)]]


def test_its_gradients_are_those_of_the_equations() -> None:
    arguments = positive_arguments()
    weight = torch.randn(4, 8, dtype=torch.float64)
    fused = ei_current(*arguments, gradient_scaling=False)
    plain = by_the_equations(*arguments)
    torch.testing.assert_close(fused, plain)
    for one, other in zip(
        torch.autograd.grad((fused * weight).sum(), arguments),
        torch.autograd.grad((plain * weight).sum(), arguments),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_its_gradients_agree_with_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda *a: ei_current(*a, gradient_scaling=False), positive_arguments())


def test_gradient_scaling_divides_the_gradient_of_w_ei_by_the_fan_in_and_no_other() -> None:
    arguments = positive_arguments()
    scaled = torch.autograd.grad(ei_current(*arguments).square().sum(), arguments)
    unscaled = torch.autograd.grad(ei_current(*arguments, gradient_scaling=False).square().sum(), arguments)
    for position, (one, other) in enumerate(zip(scaled, unscaled, strict=True)):
        torch.testing.assert_close(one, other / 6 if position == 3 else other)


def test_scaling_a_gradient_leaves_the_value_alone() -> None:
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = scale_gradient(x, 0.25)
    y.square().sum().backward()
    assert y.tolist() == [2.0, 3.0]
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 1.5]


def test_zeros_take_the_smallest_non_zero_value_of_their_sample() -> None:
    s = torch.tensor([[0.0, 3.0, 2.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.0], [4.0, 1.0, 7.0]])
    inf = float("inf")
    assert replace_zeros_ste(s).tolist() == [[2, 3, 2], [5, 5, 5], [inf, inf, inf], [4, 1, 7]]


def test_zeros_are_sought_over_all_axes_of_a_sample() -> None:
    s = torch.tensor([[[[0.0, 9.0]], [[0.5, 4.0]]]])
    assert replace_zeros_ste(s).tolist() == [[[[0.5, 9.0]], [[0.5, 4.0]]]]


def test_the_gradient_passes_the_replacement_as_if_it_were_the_identity() -> None:
    s = torch.tensor([[0.0, 2.0], [0.0, 0.0]], requires_grad=True)
    (replace_zeros_ste(s) * torch.tensor([[3.0, 5.0], [7.0, 0.0]])).nan_to_num(0, 0, 0).sum().backward()
    assert s.grad is not None
    assert s.grad[0].tolist() == [3.0, 5.0]


def test_a_silent_sample_gives_the_bias_and_no_gradient_that_is_not_a_number() -> None:
    arguments = [a.detach().float() for a in positive_arguments()]
    arguments[0][1] = 0
    for argument in arguments:
        argument.requires_grad_()
    current = ei_current(*arguments)
    torch.testing.assert_close(current[1], arguments[6])
    current.sum().backward()
    assert all(a.grad is not None and a.grad.isfinite().all() for a in arguments)


def test_without_the_replacement_a_silent_sample_is_not_a_number() -> None:
    arguments = [a.detach().float() for a in positive_arguments()]
    arguments[0][1] = 0
    assert ei_current(*arguments, straight_through=False)[1].isnan().all()


@pytest.mark.parametrize(("probability", "predicted"), [(0.1, 0.53), (0.5, 0.67), (0.8, 0.83)])
def test_the_initial_current_has_zero_mean_and_the_variance_of_the_formula(probability: float, predicted: float) -> None:
    # E[x²] / (E[x²] + Var x) = p / (p + p (1 - p)); finite populations add to it, hence the wide tolerance.
    x, currents = bernoulli(probability, 500, 400), []
    for seed in range(6):
        layer = EILinear(400, 256)
        layer.init_from_batch(x, torch.Generator().manual_seed(seed))
        currents.append(layer(x).detach())
    current = torch.stack(currents)
    assert abs(current.mean()) < 0.1
    assert current.var().item() == pytest.approx(predicted, rel=0.2)


def test_the_variant_with_the_squared_mean_starts_with_unit_variance() -> None:
    x = bernoulli(0.2, 500, 400)
    layer = EILinear(400, 256, square_of_mean=True)
    layer.init_from_batch(x, torch.Generator().manual_seed(0))
    assert layer(x).var().item() == pytest.approx(1.0, rel=0.15)


def test_the_initial_weights_have_the_scale_of_the_equations() -> None:
    # x = 0 or 1 with mean 1/2: m2 = 1/2, Var (unbiased, 4 samples) = 1/3, so the mean weight is sqrt((1/3) / (900 * 5/6)) and
    # every gain sqrt((5/6) / 900) / (1/2).
    x = torch.tensor([[0.0], [1.0], [0.0], [1.0]]).expand(4, 900)
    layer = EILinear(900, 400)
    layer.init_from_batch(x, torch.Generator().manual_seed(0))
    assert layer.w_ee.mean().item() == pytest.approx(0.0210819, rel=0.01)
    assert layer.w_ie.std().item() == pytest.approx(0.0210819, rel=0.02)
    assert layer.w_ei.unique().tolist() == [pytest.approx(0.01)]
    assert layer.g_i.unique().tolist() == [pytest.approx(0.0608581, rel=1e-5)]
    assert layer.g_e.unique().tolist() == [1.0]
    assert layer.b_e.unique().tolist() == [0.0]


def test_the_first_batch_in_training_initialises_and_the_second_does_not() -> None:
    layer = EILinear(20, 8)
    layer(bernoulli(0.5, 10, 20))
    before = layer.w_ee.clone()
    layer(bernoulli(0.1, 10, 20, seed=1))
    assert layer.initialised
    assert before.min() >= 0
    assert before.max() > 0
    assert torch.equal(layer.w_ee, before)


def test_evaluation_before_training_is_refused() -> None:
    with pytest.raises(RuntimeError, match="takes its weights from the first training batch: call init_from_batch before eval"):
        EILinear(20, 8).eval()(torch.ones(3, 20))


def test_saved_weights_come_back_as_initialised() -> None:
    layer, other = EILinear(20, 8), EILinear(20, 8)
    x = bernoulli(0.5, 10, 20)
    layer(x)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.eval()(x), layer(x))


def test_time_is_one_more_batch_axis() -> None:
    x = bernoulli(0.5, 3, 5, 20)
    layer = EILinear(20, 8)
    layer.init_from_batch(x)
    assert layer(x).shape == (3, 5, 8)
    torch.testing.assert_close(layer(x)[1], layer(x[1]))


def test_an_output_layer_subtracts_and_does_not_divide() -> None:
    layer = EILinear(20, 8, output_layer=True)
    x = bernoulli(0.5, 10, 20)
    y = layer(x)
    torch.testing.assert_close(y, x @ layer.w_ee.T - x @ layer.w_ie.T @ layer.w_ei.T)
    assert [name for name, _ in layer.named_parameters()] == ["w_ee", "w_ie", "w_ei"]


@pytest.mark.parametrize("rule", ["kaiming", "mean"])
def test_a_fixed_scale_does_not_look_at_the_input(rule: str) -> None:
    layer = EILinear(400, 400)
    layer.init_fixed(rule, torch.Generator().manual_seed(0))
    expected = (2 / 400) ** 0.5 if rule == "kaiming" else 1 / 400
    assert layer.w_ee.mean().item() == pytest.approx(expected, rel=0.02)
    assert layer.w_ei.mean().item() == pytest.approx((2 / 100) ** 0.5 if rule == "kaiming" else 1 / 100, rel=0.02)


def test_a_convolution_with_the_kernel_of_the_whole_image_is_a_linear_layer() -> None:
    x = bernoulli(0.5, 6, 3, 4, 4)
    conv, linear = EIConv2d(3, 8, 4), EILinear(48, 8)
    conv.init_from_batch(x, torch.Generator().manual_seed(3))
    linear.init_from_batch(x.flatten(1), torch.Generator().manual_seed(3))
    torch.testing.assert_close(conv.w_ee.flatten(1), linear.w_ee)
    torch.testing.assert_close(conv(x).flatten(1), linear(x.flatten(1)))
    for layer, batch in ((conv, x), (linear, x.flatten(1))):
        layer(batch).square().sum().backward()
    assert conv.w_ei.grad is not None
    assert linear.w_ei.grad is not None
    torch.testing.assert_close(conv.w_ei.grad, linear.w_ei.grad)


def test_a_convolution_keeps_time_and_takes_stride_and_padding() -> None:
    layer = EIConv2d(3, 8, 3, stride=2, padding=1)
    assert layer(bernoulli(0.5, 2, 5, 3, 8, 6)).shape == (2, 5, 8, 4, 3)
    assert EIConv2d(3, 8, 3, output_layer=True)(bernoulli(0.5, 5, 3, 8, 6)).shape == (5, 8, 6, 4)


def test_no_step_leaves_a_weight_negative_and_the_bias_is_free() -> None:
    layer = EILinear(20, 8)
    x = bernoulli(0.5, 16, 20)
    layer(x)
    optimiser = NonNegativeSGD(ei_parameter_groups(layer), lr=1.0, momentum=0.9)
    for _ in range(5):
        optimiser.zero_grad()
        layer(x).sum().backward()
        optimiser.step()
        assert min(weight.min() for weight in layer.non_negative_parameters()) >= 0
    assert layer.b_e.max() < 0


def test_plain_sgd_leaves_negative_weights_that_the_next_forward_removes() -> None:
    layer = EILinear(20, 8)
    x = bernoulli(0.5, 16, 20)
    optimiser = torch.optim.SGD(layer.parameters(), lr=10.0)
    layer(x).sum().backward()
    optimiser.step()
    assert layer.w_ee.min() < 0
    layer(x)
    assert layer.w_ee.min() == 0


def test_the_groups_hold_every_parameter_once_and_mark_the_constrained() -> None:
    model = nn.Sequential(EILinear(20, 8), nn.Linear(8, 4))
    constrained, free = ei_parameter_groups(model)
    assert [constrained["non_negative"], free["non_negative"]] == [True, False]
    assert [len(constrained["params"]), len(free["params"])] == [5, 3]
    assert {id(p) for p in constrained["params"] + free["params"]} == {id(p) for p in model.parameters()}


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.full((4, 20), -0.5), "E-I Init needs non-negative inputs, got a minimum of -0.5"),
        (torch.zeros(4, 20), "E-I Init needs inputs that vary between samples, got 0 everywhere in the batch"),
        (torch.ones(1, 20), "E-I Init needs at least 2 samples to take a variance, got 1"),
        (torch.ones(4, 7), r"x must be \(\.\.\., 20\) to fit weights \(8, 20\), got \(4, 7\)"),
    ],
)
def test_it_refuses_a_batch_that_cannot_serve(x: Tensor, message: str) -> None:
    layer = EILinear(20, 8)
    with pytest.raises(ValueError, match=message):
        layer(x)
    assert not layer.initialised
    assert layer.w_ee.abs().sum() == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: EILinear(20, 3), "ei_ratio must be between 1 and the 3 excitatory units, got 4"),
        (lambda: EILinear(0, 8), r"an E-I layer needs at least one input, got \(0,\)"),
        (lambda: EILinear(20, 8).init_fixed("xavier"), "rule must be 'kaiming' or 'mean', got 'xavier'"),
        (lambda: EIConv2d(3, 8, 3)(torch.ones(2, 4, 8, 8)), r"x must be \(B, 3, H, W\) or \(T, B, 3, H, W\), got \(2, 4, 8, 8\)"),
        (
            lambda: replace_zeros_ste(torch.ones(3)),
            r"s must be \(B, \.\.\.\) with at least one axis besides the samples, got \(3,\)",
        ),
    ],
)
def test_it_refuses_sizes_that_do_not_fit(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()  # type: ignore[operator]
