"""The neurons: vectors worked out by hand, the whole sequence against step by step, gradients against a plain loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pressrun.methods.spiking import SURROGATES, LIFNeuron, lif, spike, surrogate_derivative


def plain_loop(
    x: Tensor, v: Tensor, tau: float, threshold: float, v_reset: float | None, surrogate: str, detach: bool
) -> tuple[Tensor, Tensor]:
    """The equations of the module, step by step under autograd."""
    rest = 0.0 if v_reset is None else v_reset
    spikes = []
    for current in x.unbind(0):
        h = v + (rest - v) / tau + current
        s = spike(h - threshold, surrogate)
        reset = s.detach() if detach else s
        v = h - threshold * reset if v_reset is None else h * (1 - reset) + v_reset * reset
        spikes.append(s)
    return torch.stack(spikes), v


def test_it_spikes_as_worked_out_by_hand_with_a_soft_reset() -> None:
    # h: .8 | .4 + .8 = 1.2, spike, v = .2 | .1 + .8 = .9 | .45 + .8 = 1.25, spike, v = .25
    spikes, v = lif(torch.tensor([[0.8], [0.8], [0.8], [0.8]]))
    assert spikes.flatten().tolist() == [0, 1, 0, 1]
    assert v.tolist() == pytest.approx([0.25])


def test_it_spikes_as_worked_out_by_hand_with_a_hard_reset() -> None:
    # from rest -0.5 with tau 2: h = -.5 + 1 = .5 | .5 - .5 + 1 = 1.0, spike, v = -.5 | .5
    spikes, v = lif(torch.ones(3, 1), v_reset=-0.5)
    assert spikes.flatten().tolist() == [0, 1, 0]
    assert v.tolist() == pytest.approx([0.5])


def test_a_potential_exactly_at_the_threshold_spikes() -> None:
    assert lif(torch.tensor([[1.0]]))[0].tolist() == [[1.0]]


def test_a_time_constant_of_one_step_forgets_everything() -> None:
    assert lif(torch.tensor([[0.9], [0.9], [0.9]]), tau=1.0)[0].tolist() == [[0.0], [0.0], [0.0]]


def test_the_gradient_is_the_one_worked_out_by_hand() -> None:
    # One neuron, two silent steps at distance -1 and -1 from the threshold: x = (0, 0), h = (0, 0).
    # slope' = 4 p (1 - p) with p = 1 / (1 + e^4). The second spike also depends on the first input, by half.
    x = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    lif(x)[0].sum().backward()
    p = 1 / (1 + 2.718281828459045**4)
    assert x.grad is not None
    assert x.grad.flatten().tolist() == pytest.approx([4 * p * (1 - p) * 1.5, 4 * p * (1 - p)])


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.3])
@pytest.mark.parametrize("surrogate", list(SURROGATES))
def test_one_node_gives_the_spikes_and_gradients_of_the_plain_loop(surrogate: str, v_reset: float | None, detach: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 3, 5, dtype=torch.float64).add_(0.4).requires_grad_()
    v = torch.rand(3, 5, dtype=torch.float64, requires_grad=True)
    weight, last = torch.randn(7, 3, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)

    def gradients(spikes: Tensor, end: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad((spikes * weight).sum() + (end * last).sum(), (x, v))

    ours = lif(x, v, tau=1.7, v_threshold=0.9, v_reset=v_reset, surrogate=surrogate, detach_reset=detach)
    loop = plain_loop(x, v, 1.7, 0.9, v_reset, surrogate, detach)
    assert 10 < ours[0].sum() < 95
    assert torch.equal(ours[0], loop[0])
    torch.testing.assert_close(ours[1], loop[1])
    for one, other in zip(gradients(*ours), gradients(*loop), strict=True):
        torch.testing.assert_close(one, other)


def test_below_the_threshold_the_potential_is_linear_and_its_gradient_exact() -> None:
    x = torch.full((4, 2, 3), 0.1, dtype=torch.float64, requires_grad=True)
    v = torch.full((2, 3), 0.2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, v: lif(x, v)[1], (x, v))


@given(cut=st.integers(1, 5), hard=st.booleans(), seed=st.integers(0, 1000))
def test_a_sequence_cut_in_two_gives_the_spikes_and_gradients_of_the_whole(cut: int, hard: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 2, 3, generator=generator, dtype=torch.float64).add_(0.5).requires_grad_()
    neuron = LIFNeuron(v_reset=-0.1 if hard else None)
    whole = neuron(x)
    first, v = lif(x[:cut], v_reset=neuron.v_reset)
    second, _ = lif(x[cut:], v, v_reset=neuron.v_reset)
    pieces = torch.cat([first, second])
    assert torch.equal(whole, pieces)
    weight = torch.arange(36, dtype=torch.float64).view(6, 2, 3)
    torch.testing.assert_close(*(torch.autograd.grad((spikes * weight).sum(), x)[0] for spikes in (whole, pieces)))


def test_going_step_by_step_gives_the_spikes_of_the_whole_sequence() -> None:
    torch.manual_seed(1)
    x, neuron, v, steps = torch.randn(10, 4, 6) + 0.5, LIFNeuron(), None, []
    for current in x:
        spikes, v = neuron.step(current, v)
        steps.append(spikes)
    assert torch.equal(torch.stack(steps), neuron(x))


def test_a_second_sequence_starts_from_rest_again() -> None:
    x, neuron = torch.full((3, 1), 0.6), LIFNeuron()
    assert torch.equal(neuron(x), neuron(x))


def test_an_expanded_static_current_gets_the_gradient_of_all_its_steps() -> None:
    static = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    repeated = static.detach().repeat(5, 1).requires_grad_()
    lif(static.expand(5, -1))[0].sum().backward()
    lif(repeated)[0].sum().backward()
    assert static.grad is not None
    assert repeated.grad is not None
    torch.testing.assert_close(static.grad, repeated.grad.sum(0))


def test_it_neither_changes_its_input_nor_needs_a_gradient() -> None:
    x = torch.ones(3, 2)
    assert not lif(x)[0].requires_grad
    assert torch.equal(x, torch.ones(3, 2))


@pytest.mark.parametrize(
    ("surrogate", "u", "expected"),
    # sigmoid: 4 / 4 at 0; atan: 1 at 0, 1 / (1 + pi²) at 1; fast: 1 / (1 + 25)² at -1; triangle: 1 - .25;
    # gaussian: 2 / sqrt(pi) e^-1 at 1/2; exponential: e^-2 at 1
    [
        ("sigmoid", 0.0, 1.0),
        ("atan", 0.0, 1.0),
        ("atan", 1.0, 0.0919997),
        ("fast_sigmoid", -1.0, 1 / 676),
        ("triangle", 0.25, 0.75),
        ("rectangle", 0.49, 1.0),
        ("rectangle", -0.51, 0.0),
        ("gaussian", 0.5, 0.4151075),
        ("exponential", -1.0, 0.1353353),
        ("straight_through", 9.0, 1.0),
    ],
)
def test_a_surrogate_has_the_height_worked_out_by_hand(surrogate: str, u: float, expected: float) -> None:
    assert surrogate_derivative(torch.tensor(u), surrogate).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("surrogate", "area"),
    [(name, 2 / 25 if name == "fast_sigmoid" else 1.0) for name in SURROGATES if name != "straight_through"],
)
def test_a_surrogate_is_symmetric_and_has_the_area_of_its_formula(surrogate: str, area: float) -> None:
    u = torch.linspace(-400, 400, 800_001, dtype=torch.float64)
    derivative = surrogate_derivative(u, surrogate)
    torch.testing.assert_close(derivative, derivative.flip(0))
    assert torch.trapezoid(derivative, u).item() == pytest.approx(area, rel=2e-3)


def test_the_derivative_leaves_its_argument_as_it_is() -> None:
    u = torch.tensor([0.5, -0.5])
    surrogate_derivative(u)
    assert u.tolist() == [0.5, -0.5]


def test_a_steeper_slope_narrows_the_bump() -> None:
    u = torch.tensor(1.0)
    assert surrogate_derivative(u, "sigmoid", 10.0) < surrogate_derivative(u, "sigmoid", 4.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lif(torch.zeros(0, 2)), r"x must be floats of shape \(T, \.\.\.\) with at least one step, got \(0, 2\)"),
        (lambda: lif(torch.ones(2, 2, dtype=torch.int64)), r"x must be floats of shape .* got \(2, 2\) of torch.int64"),
        (lambda: lif(torch.zeros(4, 2), torch.zeros(3)), r"v must be \(2,\) to fit x \(4, 2\), got \(3,\)"),
        (lambda: lif(torch.zeros(4, 2), tau=0.5), "tau must be at least 1 step, got 0.5"),
        (lambda: lif(torch.zeros(4, 2), v_threshold=0.0), "v_threshold must be above the resting potential 0.0, got 0.0"),
        (lambda: LIFNeuron(v_reset=2.0), "v_threshold must be above the resting potential 2.0, got 1.0"),
        (lambda: LIFNeuron(surrogate="step"), "surrogate must be one of sigmoid, atan, .*, straight_through, got 'step'"),
        (lambda: spike(torch.zeros(1), slope=-1), "slope must be positive, got -1"),
    ],
)
def test_it_refuses_what_it_cannot_run(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
