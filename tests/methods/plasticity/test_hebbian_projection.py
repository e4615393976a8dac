"""Lateral neurons and projected layers: steps and gradients by hand, what is protected, how a model is led through tasks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy

from pressrun.methods.continual import Subspace, principal_rows
from pressrun.methods.plasticity import HLOP, HebbianSubspace, ProjectedConv2d, ProjectedLinear, oja_update
from pressrun.methods.spiking import weighted_rate


def stacked_rule(subspace: HebbianSubspace, x: Tensor) -> Tensor:
    """The equations as they stand in the paper, with frozen and growing rows in one matrix: the growing rows after a batch."""
    old = len(subspace.frozen)
    h, m = subspace.rows().clone(), torch.zeros_like(subspace.rows())
    for _ in range(subspace.n_iter):
        y = subspace._respond(x @ h.T)
        feedback = subspace._respond(x @ h[:old].T) @ h[:old] + y[:, old:] @ h[old:]
        step = (y.T @ (x - feedback) / len(x)).clamp(-subspace.clip, subspace.clip)
        step[:old] = 0
        m = subspace.momentum * m + (1 - subspace.momentum) * step
        h = h + subspace.lr * m
    return h[old:]


@pytest.mark.parametrize("spiking", [False, True])
def test_a_batch_moves_the_growing_rows_as_the_equations_say_and_leaves_the_frozen_ones(spiking: bool) -> None:
    torch.manual_seed(0)
    subspace = HebbianSubspace(7, lr=0.1, clip=0.5, spiking=spiking, timesteps=40).double()
    x = 3 * torch.randn(20, 7, dtype=torch.float64)
    subspace.add(2)
    subspace.update(x)
    subspace.freeze()
    subspace.add(3)
    frozen, expected = subspace.frozen.clone(), stacked_rule(subspace, x)
    subspace.update(x.view(4, 5, 7))
    torch.testing.assert_close(subspace.growing, expected)
    assert torch.equal(subspace.frozen, frozen)
    assert len(subspace.rows()) == 5


def test_one_step_without_momentum_is_ojas_rule() -> None:
    torch.manual_seed(0)
    subspace, x = HebbianSubspace(5, lr=0.1, momentum=0.0, n_iter=1), torch.randn(9, 5)
    subspace.add(2)
    expected = oja_update(subspace.growing, x, lr=0.1)
    subspace.update(x)
    torch.testing.assert_close(subspace.growing, expected)


def test_new_rows_learn_the_principal_subspace_and_then_what_the_old_ones_left() -> None:
    torch.manual_seed(0)
    x = torch.randn(2000, 6) * torch.tensor([4.0, 3.0, 2.0, 1.5, 0.3, 0.2])
    subspace = HebbianSubspace(6, lr=0.02)
    for k in (2, 2):
        subspace.add(k)
        for _ in range(5):
            for batch in x.split(50):
                subspace.update(batch)
        best = Subspace(6)
        best.extend(principal_rows(x, k, beyond=subspace.frozen))
        best.extend(subspace.frozen)
        assert subspace.captured_variance(x) > 0.99 * best.captured_variance(x)
        assert subspace.orthonormality_error() < 0.15
        subspace.freeze()
    # Between them they hold the four strong axes and nothing of the weak ones.
    assert subspace.frozen[:, 4:].abs().max() < 0.1


def test_without_the_anti_hebbian_part_rows_grow_along_one_direction() -> None:
    torch.manual_seed(0)
    x = torch.randn(400, 4) * torch.tensor([2.0, 1.0, 1.0, 1.0])
    subspace = HebbianSubspace(4, lr=0.05, clip=1e30, anti_hebbian=False)
    subspace.add(2)
    for batch in x.split(20):
        subspace.update(batch)
    assert subspace.orthonormality_error() > 10
    directions = nn.functional.normalize(subspace.growing, dim=1)
    assert directions[0].dot(directions[1]).abs() > 0.99


def test_spiking_responses_are_rounded_to_steps_and_clipped() -> None:
    subspace = HebbianSubspace(1, spiking=True, scale=20.0, timesteps=40)
    subspace.extend(torch.ones(1, 1))
    # Steps of 20 / 40 = .5; halves go to the even step, as torch rounds.
    assert subspace.project(torch.tensor([[0.2], [0.3], [-0.8], [33.0]])).flatten().tolist() == [0.0, 0.5, -1.0, 20.0]


def test_rows_frozen_as_orthonormal_are_and_span_the_same() -> None:
    torch.manual_seed(0)
    subspace, x = HebbianSubspace(5), torch.randn(8, 5)
    subspace.add(2)
    subspace.update(10 * x)
    before, error = subspace.captured_variance(x), subspace.orthonormality_error()
    subspace.freeze(orthonormal=True)
    assert error > 1e-3
    assert subspace.orthonormality_error() < 1e-5
    torch.testing.assert_close(subspace.captured_variance(x), before)


def test_lateral_neurons_are_saved_and_loaded_with_the_rows_they_have() -> None:
    subspace, fresh = HebbianSubspace(4), HebbianSubspace(4)
    subspace.add(1)
    subspace.freeze()
    subspace.add(2)
    fresh.load_state_dict(subspace.state_dict())
    assert torch.equal(fresh.rows(), subspace.rows())
    assert len(fresh.growing) == 2


def test_only_the_gradient_of_the_weights_is_projected() -> None:
    # y = (1, 2) · (3, 4) = 11; dy = 1. F = (1, 0), so x⊥ = (0, 2) is dW, while y and dx = W are as without a projection.
    layer = ProjectedLinear(2, 1)
    layer.weight.data = torch.tensor([[3.0, 4.0]])
    layer.subspace = Subspace(2)
    layer.subspace.extend(torch.tensor([[1.0, 0.0]]))
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.item() == 11
    assert x.grad is not None
    assert layer.weight.grad is not None
    assert x.grad.tolist() == [[3.0, 4.0]]
    assert layer.weight.grad.tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize("bias", [False, True])
def test_without_a_subspace_the_layers_are_torchs_own(bias: bool) -> None:
    torch.manual_seed(0)
    linear, conv = ProjectedLinear(4, 3, bias=bias).double(), ProjectedConv2d(2, 3, 3, stride=2, padding=1, bias=bias).double()
    x, images = torch.randn(2, 5, 4, dtype=torch.float64), torch.randn(2, 4, 2, 7, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(linear, x.requires_grad_())
    assert torch.autograd.gradcheck(conv, images.requires_grad_())
    torch.testing.assert_close(linear(x), nn.functional.linear(x, linear.weight, linear.bias))
    expected = conv2d(images.flatten(0, 1), conv.weight, conv.bias, 2, 1).unflatten(0, (2, 4))
    torch.testing.assert_close(conv(images), expected)
    with torch.no_grad():
        torch.testing.assert_close(conv(images), expected)
    for ours, theirs in ((conv(images), expected), (linear(x), nn.functional.linear(x, linear.weight, linear.bias))):
        weight = conv.weight if ours.ndim == 5 else linear.weight
        target = torch.randn_like(ours)
        torch.testing.assert_close(*(torch.autograd.grad((y * target).sum(), weight)[0] for y in (ours, theirs)))


def test_the_gradient_of_a_kernel_keeps_out_of_the_subspace_of_patches() -> None:
    torch.manual_seed(0)
    layer, plain = ProjectedConv2d(2, 3, 3, padding=1).double(), nn.Conv2d(2, 3, 3, padding=1, bias=False).double()
    plain.weight.data = layer.weight.data
    rows = principal_rows(torch.randn(50, 18, dtype=torch.float64), 4)
    layer.subspace = Subspace(18).double()
    layer.subspace.extend(rows)
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    target = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((each(x) * target).sum(), each.weight)[0] for each in (layer, plain))
    # The projection is linear, so projecting every patch is projecting the gradient itself.
    flat = theirs.flatten(1)
    torch.testing.assert_close(ours.flatten(1), flat - flat @ rows.T @ rows)


def test_an_update_changes_nothing_for_inputs_in_the_subspace_and_does_for_others() -> None:
    torch.manual_seed(0)
    old, new = torch.randn(30, 3) @ torch.randn(3, 8), torch.randn(30, 8)
    layer = ProjectedLinear(8, 2)
    layer.subspace = Subspace(8)
    layer.subspace.extend(principal_rows(old, 3))
    before = layer(old), layer(new)
    layer(new).square().sum().backward()
    assert layer.weight.grad is not None
    layer.weight.data -= 0.1 * layer.weight.grad
    torch.testing.assert_close(layer(old), before[0], atol=1e-4, rtol=0)
    assert (layer(new) - before[1]).abs().max() > 0.1


def test_the_error_goes_down_through_the_feedback_that_was_asked_for() -> None:
    x = torch.zeros(1, 4, requires_grad=True)
    for feedback in ("symmetric", "sign", "random"):
        torch.manual_seed(0)
        layer = ProjectedLinear(4, 1, feedback=feedback)
        (down,) = torch.autograd.grad(layer(x).sum(), x)
        weight = layer.weight.detach()
        if feedback == "random":
            assert layer.feedback is not None
            expected = layer.feedback.T
            assert not torch.equal(expected, weight)
        else:
            expected = weight.sign() / 2 if feedback == "sign" else weight
        torch.testing.assert_close(down, expected)
        assert ("feedback" in layer.state_dict()) == (feedback == "random")


def small_model(**options: bool) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(ProjectedLinear(8, 16, **options), nn.ReLU(), ProjectedLinear(16, 2, **options))


def two_tasks() -> list[tuple[Tensor, Tensor]]:
    """The same two classes in the first and in the last four of 8 features, told apart by different directions."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 8, generator=generator)
    first, last = x * torch.tensor([1.0] * 4 + [0.0] * 4), x * torch.tensor([0.0] * 4 + [1.0] * 4)
    return [(first, (first[:, 0] > 0).long()), (last, (last[:, 7] > 0).long())]


def learn(model: nn.Module, x: Tensor, y: Tensor, hlop: HLOP | None = None) -> None:
    optimiser = torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.3)
    for _ in range(20):
        for images, labels in zip(x.split(32), y.split(32), strict=True):
            optimiser.zero_grad()
            cross_entropy(model(images), labels).backward()
            optimiser.step()
            if hlop is not None:
                hlop.observe()


def test_a_model_led_through_tasks_keeps_the_first_one() -> None:
    tasks, kept = two_tasks(), {}
    for guarded in (False, True):
        model = small_model()
        hlop = HLOP(model, lr=0.05, generator=torch.Generator().manual_seed(0)) if guarded else None
        for x, y in tasks:
            if hlop:
                hlop.begin_task({"0": 4, "2": 6})
            learn(model, x, y, hlop)
            if hlop:
                hlop.end_task()
        scores = [(model(x).argmax(1) == y).float().mean().item() for x, y in tasks]
        assert scores[1] > 0.9
        kept[guarded] = scores[0]
    assert kept[True] > max(0.95, kept[False])


def test_rows_guard_the_weights_only_once_they_are_frozen() -> None:
    model, (x, y) = small_model(), two_tasks()[0]
    plain = copy.deepcopy(model)
    hlop = HLOP(model)
    hlop.begin_task(2)
    assert [len(subspace.growing) for subspace in hlop.subspaces.values()] == [2, 2]
    learn(model, x, y, hlop)
    learn(plain, x, y)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    hlop.end_task()
    assert [len(subspace.frozen) for subspace in hlop.subspaces.values()] == [2, 2]
    hlop.begin_task((1, 3))
    assert [len(subspace.growing) for subspace in hlop.subspaces.values()] == [1, 3]


def test_after_the_first_task_only_weights_learn() -> None:
    model = small_model(bias=True)
    hlop = HLOP(model)
    hlop.end_task()
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == ["0.weight", "2.weight"]


def test_a_copied_model_takes_its_lateral_neurons_along() -> None:
    model = small_model()
    hlop = HLOP(model, lr=0.5)
    hlop.begin_task(3)
    hlop.end_task()
    hlop.close()
    again = HLOP(copy.deepcopy(model))
    assert all(subspace.lr == 0.5 for subspace in again.subspaces.values())
    for ours, theirs in zip(hlop.subspaces.values(), again.subspaces.values(), strict=True):
        assert torch.equal(ours.frozen, theirs.frozen)
        assert ours is not theirs


def test_a_saved_model_is_loaded_with_its_lateral_neurons() -> None:
    model, fresh = small_model(), small_model()
    hlop, loaded = HLOP(model), HLOP(fresh)
    hlop.begin_task(3)
    hlop.end_task()
    fresh.load_state_dict(model.state_dict())
    for ours, theirs in zip(hlop.subspaces.values(), loaded.subspaces.values(), strict=True):
        assert torch.equal(ours.frozen, theirs.frozen)


def test_it_learns_from_training_passes_only_and_from_the_trace_it_is_given() -> None:
    model, sequence = small_model(), torch.rand(5, 3, 8)
    hlop = HLOP(model, trace=weighted_rate)
    with pytest.raises(
        RuntimeError, match="needs a forward pass of the model in training mode and with gradients first: 0 saw none"
    ):
        hlop.observe()
    model(sequence)
    with torch.no_grad():
        model(torch.zeros(5, 2, 8))
    model.eval()(torch.zeros(5, 2, 8))
    torch.testing.assert_close(hlop.traces()["0"], weighted_rate(sequence))


def test_a_convolution_learns_from_its_patches() -> None:
    model = nn.Sequential(ProjectedConv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    hlop = HLOP(model)
    hlop.begin_task(5)
    model(torch.randn(2, 1, 6, 6))
    assert hlop.traces()["0"].shape == (2 * 36, 9)
    before = hlop.subspaces["0"].growing.clone()
    hlop.observe()
    assert not torch.equal(before, hlop.subspaces["0"].growing)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_it_works_on_cuda() -> None:
    model, (x, y) = small_model().cuda(), two_tasks()[0]
    hlop = HLOP(model)
    for _ in range(2):
        hlop.begin_task(2)
        learn(model, x.cuda(), y.cuda(), hlop)
        hlop.end_task()
    assert all(subspace.frozen.is_cuda and len(subspace.frozen) == 4 for subspace in hlop.subspaces.values())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HebbianSubspace(4, lr=0), "lr, clip and scale must be positive, timesteps and n_iter at least 1, got lr=0, .*"),
        (lambda: HebbianSubspace(4, momentum=1.0), "momentum must be at least 0 and below 1, got 1.0"),
        (lambda: HebbianSubspace(4).add(5), r"0 \+ 5 rows are more than the 4 features there are"),
        (lambda: HebbianSubspace(4).add(-1), "k must be 0 or more, got -1"),
        (lambda: HebbianSubspace(4).update(torch.ones(3, 5)), r"x must be \(\.\.\., 4\), got \(3, 5\)"),
        (lambda: HebbianSubspace(4).update(torch.ones(0, 4)), r"x must hold one or more samples, got \(0, 4\)"),
        (lambda: ProjectedLinear(4, 3, feedback="tied"), "feedback must be one of symmetric, sign, random, got 'tied'"),
        (lambda: ProjectedLinear(4, 3)(torch.ones(2, 5)), r"x must be \(\.\.\., 4\), got \(2, 5\)"),
        (
            lambda: ProjectedConv2d(1, 3, 3)(torch.ones(2, 2, 5, 5)),
            r"x must be \(B, 1, H, W\) or \(T, B, 1, H, W\), got \(2, 2, 5, 5\)",
        ),
        (lambda: HLOP(nn.Linear(2, 2)), "model must have a ProjectedLinear or ProjectedConv2d, got none"),
        (lambda: HLOP(small_model()).begin_task([3]), "n_new must have a number for each of the 2 layers, got 1"),
        (lambda: HLOP(small_model()).begin_task({"0": 1}), "n_new must name the layers 0, 2, got 0"),
        (lambda: HLOP(small_model()).begin_task(9), r"0 \+ 9 rows are more than the 8 features there are"),
    ],
)
def test_it_refuses_what_does_not_fit(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
