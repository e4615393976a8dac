"""Curl descent: updates worked out by hand, what the flow conserves, and what its stability predicts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from pressrun.methods.plasticity import (
    CurlSGD,
    critical_fraction,
    curl_flow,
    curl_ratio,
    curl_step,
    error_rates,
    flip_signs,
    flow_invariant,
    flow_jacobian,
    lyapunov_exponent,
    presynaptic_signs,
)


def student(inputs: int = 6, hidden: int = 5, outputs: int = 1, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    w1 = torch.randn(hidden, inputs, dtype=torch.float64, generator=generator) / inputs**0.5
    w2 = torch.randn(outputs, hidden, dtype=torch.float64, generator=generator) / hidden**0.5
    return w1, w2, torch.randn(outputs, inputs, dtype=torch.float64, generator=generator)


def signs(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_a_flipped_column_climbs_while_the_others_descend() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    optimiser = CurlSGD([weight], lr=0.1, signs={weight: torch.tensor([[1.0, -1.0]])})
    weight.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    optimiser.step()
    torch.testing.assert_close(weight.data, torch.tensor([[-0.1, 0.2], [-0.3, 0.4]]))


def test_momentum_gathers_flipped_gradients() -> None:
    weight = nn.Parameter(torch.zeros(1, 2))
    optimiser = CurlSGD([weight], lr=1.0, momentum=0.5, signs={weight: torch.tensor([1.0, -1.0])})
    for _ in range(2):
        weight.grad = torch.ones(1, 2)
        optimiser.step()
    # First step 1, second 1 + 0.5.
    assert weight.tolist() == [[-2.5, 2.5]]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_without_signs_it_is_sgd(momentum: float) -> None:
    ours, theirs = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimisers = CurlSGD([ours], lr=0.1, momentum=momentum), torch.optim.SGD([theirs], lr=0.1, momentum=momentum)
    for _ in range(3):
        for optimiser, weight in zip(optimisers, (ours, theirs), strict=True):
            optimiser.zero_grad()
            weight.pow(3).sum().backward()
            optimiser.step()
    assert torch.equal(ours, theirs)


def test_signs_survive_saving_and_loading() -> None:
    weight, copy = nn.Parameter(torch.zeros(1, 2)), nn.Parameter(torch.zeros(1, 2))
    saved = CurlSGD([weight], lr=1.0, signs={weight: torch.tensor([1.0, -1.0])}).state_dict()
    loaded = CurlSGD([copy], lr=1.0)
    loaded.load_state_dict(saved)
    copy.grad = torch.ones(1, 2)
    loaded.step()
    assert copy.tolist() == [[-1.0, 1.0]]


def test_the_optimiser_and_the_flow_take_the_same_step() -> None:
    w1, w2, target = student()
    inputs, hidden = signs(1, -1, 1, 1, -1, 1), signs(1, 1, -1, 1, 1)
    first, second = nn.Parameter(w1.clone()), nn.Parameter(w2.clone())
    optimiser = CurlSGD([first, second], lr=0.02, signs={first: inputs, second: hidden})
    ((second @ first - target).square().sum() / 2).backward()
    optimiser.step()
    flow = curl_flow(w1, w2, target, inputs, hidden, lr=0.02, steps=1)
    torch.testing.assert_close(first.data, flow.w1)
    torch.testing.assert_close(second.data, flow.w2)


def test_the_flow_of_a_chain_worked_out_by_hand() -> None:
    # w2 w1 = 2 * 3 = 6, target 1: error 5, so dw1 = -2 * 5 and dw2 = -5 * 3, whose sign is flipped.
    d1, d2 = curl_step(torch.tensor([[3.0]]), torch.tensor([[2.0]]), torch.tensor([[1.0]]), torch.ones(1), -torch.ones(1))
    assert (d1.item(), d2.item()) == (-10.0, 15.0)


def test_a_flipped_chain_turns_on_a_circle() -> None:
    # With one flip w1² + w2² is conserved, here 2; so w2 w1 reaches at most 1, and a target of 5 is out of reach.
    one, flipped = torch.ones(1, 1, dtype=torch.float64), -signs(1)
    flow = curl_flow(one, one, 5 * one, signs(1), flipped, lr=1e-4, steps=5000)
    assert (flow.w1.square() + flow.w2.square()).item() == pytest.approx(2, rel=1e-2)
    assert flow.loss.min() >= (5 - 1.01) ** 2 / 2


def test_no_flow_changes_its_invariant() -> None:
    w1, w2, target = student(outputs=2)
    inputs, hidden = signs(1, -1, 1, 1, -1, 1), signs(1, 1, -1, 1, -1)
    before = flow_invariant(w1, w2, inputs, hidden)
    drift = [
        abs(flow_invariant(flow.w1, flow.w2, inputs, hidden) - before).item()
        for steps in (100, 200)
        for flow in (curl_flow(w1, w2, target, inputs, hidden, lr=0.1 / steps, steps=steps),)
    ]
    # What is left is the error of the Euler step, which halves with the step.
    assert 0 < drift[1] < 0.6 * drift[0] < 1e-2


def test_gradient_descent_conserves_something_else() -> None:
    w1, w2, target = student()
    inputs, hidden = signs(1, -1, 1, 1, -1, 1), torch.ones(5, dtype=torch.float64)
    unflipped = curl_flow(w1, w2, target, inputs.abs(), hidden, lr=1e-3, steps=100)
    change = flow_invariant(unflipped.w1, unflipped.w2, inputs, hidden) - flow_invariant(w1, w2, inputs, hidden)
    assert abs(change) > 1e-3


@pytest.mark.parametrize("outputs", [1, 3])
def test_rates_are_those_at_which_a_small_error_dies(outputs: int) -> None:
    w1, w2, _ = student(outputs=outputs)
    inputs, hidden = signs(1, 1, -1, 1, 1, 1), signs(1, -1, 1, 1, 1)
    operator = torch.stack([change.flatten() for change in _error_changes(w1, w2, inputs, hidden)])
    expected = torch.linalg.eigvals(operator).real.sort().values
    torch.testing.assert_close(error_rates(w1, w2, inputs, hidden), expected, atol=1e-5, rtol=1e-5)


def _error_changes(w1: Tensor, w2: Tensor, inputs: Tensor, hidden: Tensor) -> list[Tensor]:
    """-dE/dt a unit of error, for each entry of E, by the flow itself with a target that small error away."""
    product, changes = w2 @ w1, []
    for entry in range(product.numel()):
        error = torch.zeros_like(product)
        error.view(-1)[entry] = 1e-7
        d1, d2 = curl_step(w1, w2, product - error, inputs, hidden)
        changes.append(-(d2 @ w1 + w2 @ d1) / 1e-7)
    return changes


def test_flips_leave_a_solution_where_it_is() -> None:
    w1, w2, _ = student()
    d1, d2 = curl_step(w1, w2, w2 @ w1, signs(-1, 1, 1, -1, 1, 1), signs(-1, 1, 1, -1, 1))
    assert not d1.any()
    assert not d2.any()


def test_rates_of_gradient_descent_are_never_negative() -> None:
    w1, w2, _ = student(inputs=8, hidden=3)
    assert error_rates(w1, w2, torch.ones(8, dtype=torch.float64), torch.ones(3, dtype=torch.float64)).min() > -1e-12


def test_a_batch_of_students_is_each_by_itself() -> None:
    both = [student(seed=seed) for seed in (0, 1)]
    w1, w2, target = (torch.stack(each) for each in zip(*both, strict=True))
    inputs, hidden = torch.stack([signs(1, 1, 1, 1, 1, 1), signs(-1, 1, 1, 1, 1, 1)]), torch.ones(2, 5, dtype=torch.float64)
    flow = curl_flow(w1, w2, target, inputs, hidden, lr=0.01, steps=20)
    for place, single in enumerate(both):
        alone = curl_flow(*single, inputs[place], hidden[place], lr=0.01, steps=20)
        torch.testing.assert_close(flow.loss[:, place], alone.loss)
        torch.testing.assert_close(flow.speed[:, place], alone.speed)
    assert flow.loss.shape == (21, 2)


def test_weights_that_overflow_have_an_infinite_loss() -> None:
    w1, w2, target = student(outputs=3)
    flow = curl_flow(w1 * 10, w2 * 10, target, torch.ones(6).double(), torch.ones(5).double(), lr=10.0, steps=50)
    first = int(flow.loss.isinf().nonzero()[0])
    assert flow.loss[:first].isfinite().all()
    assert (flow.loss[first:] == math.inf).all()


def test_no_share_of_flipped_inputs_harms_a_wide_hidden_layer() -> None:
    generator = torch.Generator().manual_seed(0)
    assert critical_fraction(0.1, "hidden", inputs=40, generator=generator) == 1.0
    assert critical_fraction(2.0, "hidden", inputs=40, generator=generator) == 1 / 40


def test_fewer_flipped_readouts_harm_a_narrow_hidden_layer() -> None:
    generator = torch.Generator().manual_seed(0)
    wide, narrow = (critical_fraction(each, "readout", inputs=60, generator=generator) for each in (0.25, 2.0))
    assert narrow < wide < 0.5


def test_a_rotation_is_all_curl_and_a_gradient_none() -> None:
    field = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    assert curl_ratio(flow_jacobian(lambda x: field @ x, torch.ones(2))) == math.inf
    assert curl_ratio(flow_jacobian(lambda x: -(x**3), torch.ones(2))) == 0
    assert curl_ratio(torch.tensor([[1.0, -1.0], [1.0, 1.0]])) == pytest.approx(1.0)


def test_the_exponent_of_a_linear_map_is_the_logarithm_of_its_largest_eigenvalue() -> None:
    generator = torch.Generator().manual_seed(0)
    grow = torch.diag(torch.tensor([1.5, 0.5], dtype=torch.float64))
    start = torch.zeros(3, 2, dtype=torch.float64)
    exponent = lyapunov_exponent(lambda x: x @ grow, start, steps=2000, dt=0.1, generator=generator)
    torch.testing.assert_close(exponent, torch.full((3,), math.log(1.5) / 0.1, dtype=torch.float64), rtol=1e-2, atol=0)


def test_the_share_of_flipped_neurons_is_rounded() -> None:
    flipped = flip_signs(10, 0.25, generator=torch.Generator().manual_seed(0))
    assert sorted(flipped.tolist()) == [-1.0] * 2 + [1.0] * 8
    assert torch.equal(flip_signs(4, 0.0), torch.ones(4))


def test_a_convolution_is_flipped_by_input_channel() -> None:
    assert presynaptic_signs(torch.zeros(8, 4, 3, 3), 0.5).shape == (1, 4, 1, 1)


def test_what_does_not_fit_is_said() -> None:
    weight = nn.Parameter(torch.zeros(2, 3))
    w1, w2, target = student()
    with pytest.raises(ValueError, match=r"lr must be positive, got 0"):
        CurlSGD([weight], lr=0)
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\), got 1"):
        CurlSGD([weight], lr=1, momentum=1)
    with pytest.raises(ValueError, match=r"signs must broadcast to their parameter, \(2, 3\), got \(2,\)"):
        CurlSGD([weight], lr=1, signs={weight: torch.ones(2)})
    with pytest.raises(ValueError, match=r"signs must be \+1 or -1, got values from 0 to 1"):
        CurlSGD([weight], lr=1, signs={weight: torch.tensor([0.0, 1.0, 1.0])})
    with pytest.raises(ValueError, match=r"signs of shape \(3,\) are for a parameter of shape \(2, 3\) that is not among params"):
        CurlSGD([nn.Parameter(torch.zeros(1))], lr=1, signs={weight: torch.ones(3)})
    with pytest.raises(ValueError, match=r"w1 must be \(..., M, N\) and w2 \(..., O, M\), got \(5, 6\) and \(1, 4\)"):
        error_rates(w1, w2[:, :4], torch.ones(6), torch.ones(5))
    with pytest.raises(ValueError, match=r"target must be \(..., 1, 6\), got \(1, 5\)"):
        curl_step(w1, w2, target[:, :5], torch.ones(6), torch.ones(5))
    with pytest.raises(ValueError, match=r"signs_hidden must be \(..., 5\), got \(6,\)"):
        flow_invariant(w1, w2, torch.ones(6), torch.ones(6))
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        curl_flow(w1, w2, target, torch.ones(6), torch.ones(5), lr=0.1, steps=0)
    with pytest.raises(ValueError, match='layer must be "hidden" or "readout", got \'both\''):
        critical_fraction(1.0, "both")
    with pytest.raises(ValueError, match=r"fraction must lie in \[0, 1\], got 2"):
        flip_signs(3, 2)
    with pytest.raises(ValueError, match=r"weight must be \(outputs, inputs, ...\), got \(3,\)"):
        presynaptic_signs(torch.ones(3), 0.5)
    with pytest.raises(ValueError, match=r"jacobian must be \(..., n, n\), got \(2, 3\)"):
        curl_ratio(torch.ones(2, 3))
    with pytest.raises(ValueError, match="steps must be at least 1, dt and separation positive, got 1, 0 and 1e-06"):
        lyapunov_exponent(lambda x: x, torch.ones(1), steps=1, dt=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_runs_on_cuda() -> None:
    w1, w2, target = (each.cuda() for each in student())
    flow = curl_flow(w1, w2, target, torch.ones(6).double().cuda(), torch.ones(5).double().cuda(), lr=0.05, steps=10)
    assert flow.loss[-1] < flow.loss[0]
