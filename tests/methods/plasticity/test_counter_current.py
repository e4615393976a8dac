"""Counter-current learning: levels and losses by hand, locality, what the variants do, learning."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, elu, mse_loss

from pressrun.methods.plasticity import (
    CCLConv2d,
    CCLConvTranspose2d,
    CCLLinear,
    CCLReshape,
    CCLSequential,
    CCLTrainer,
    ccl_autoencoder_loss,
    ccl_classification_loss,
    ccl_mlp,
    centralise_gradients,
    weight_alignment,
)


def blobs(samples: int = 120) -> tuple[Tensor, Tensor]:
    """Three classes in 6 dimensions, 4 deviations from each other."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(samples) % 3
    return torch.randn(samples, 6, generator=generator) + 4 * torch.eye(3, 6)[y], y


def small_mlp() -> CCLSequential:
    torch.manual_seed(0)
    return ccl_mlp((6, 5, 4, 3), num_classes=3)


def test_the_levels_are_those_of_the_equations() -> None:
    model, (x, _) = small_mlp(), blobs()
    w = [layer.up.weight for layer in model.weighted()]
    v = [layer.down.weight for layer in model.weighted()]
    a1 = elu(x @ w[0].T)
    a2 = elu(a1 @ w[1].T)
    c2 = elu(torch.eye(3) @ v[2].T)
    c1 = elu(c2 @ v[1].T)
    for ours, expected in zip(model.activations(x), [x, a1, a2, a2 @ w[2].T], strict=True):
        torch.testing.assert_close(ours, expected)
    for ours, expected in zip(model.signals(), [c1 @ v[0].T, c1, c2, torch.eye(3)], strict=True):
        torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(model(x), a2 @ w[2].T)


def test_the_classification_loss_is_the_one_worked_out_by_hand() -> None:
    # A Sᵀ = [[1, 2], [3, 4]], T = [[1, 0], [0, 1]]: squares 0, 4, 9, 9, mean 5.5; times .5 * 256 / 2 columns = 352.
    # Cross-entropy of equal logits of two classes is log 2.
    activations = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)]
    signals = [torch.eye(2), torch.eye(2)]
    loss, terms = ccl_classification_loss(activations, signals, torch.tensor([0, 1]))
    assert [term.item() for term in terms] == [pytest.approx(352.0), pytest.approx(0.6931472)]
    assert loss.item() == pytest.approx(352.6931472)


def test_the_normalised_loss_is_the_one_worked_out_by_hand() -> None:
    # Rows of unit length: A = [[.6, .8], [1, 0]], S = identity, so A Sᵀ = A; T = identity: (.16 + .64 + 1 + 1) / 4 = .7.
    # A Aᵀ has .6 off the diagonal: mean((.6)² twice of four) = .18; S Sᵀ is the identity.
    activations = [torch.tensor([[3.0, 4.0], [5.0, 0.0]]), torch.zeros(2, 2)]
    signals = [2 * torch.eye(2), torch.eye(2)]
    target = torch.tensor([0, 1])
    _, terms = ccl_classification_loss(activations, signals, target, scale=1.0, normalize=True)
    assert terms[0].item() == pytest.approx(0.7)
    _, terms = ccl_classification_loss(activations, signals, target, scale=1.0, normalize=True, ssl=0.5)
    assert terms[0].item() == pytest.approx(0.7 + 0.5 * 0.18)


def test_the_mask_keeps_settled_samples_from_moving_the_hidden_layers() -> None:
    hidden = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    logits = torch.tensor([[9.0, 0.0], [0.5, 0.0]])  # probabilities of class 0: .9999 and .62
    loss, _ = ccl_classification_loss([hidden, logits], [torch.eye(2), torch.eye(2)], torch.tensor([0, 0]), mask_threshold=0.1)
    loss.backward()
    assert hidden.grad is not None
    assert hidden.grad[0].tolist() == [0.0, 0.0]
    assert hidden.grad[1].abs().min() > 0


def test_other_labels_for_the_hidden_layers_leave_the_cross_entropy_alone() -> None:
    model, (x, y) = small_mlp(), blobs()
    levels = model.activations(x), model.signals()
    right, wrong = (ccl_classification_loss(*levels, y, local_target=labels)[1] for labels in (None, (y + 1) % 3))
    assert right[-1] == wrong[-1]
    assert all(one != other for one, other in zip(right[:-1], wrong[:-1], strict=True))


def test_the_loss_of_a_level_has_a_gradient_in_the_two_weights_that_meet_there_and_nowhere_else() -> None:
    model, (x, y) = small_mlp(), blobs()
    x.requires_grad_()
    names = [name for name, _ in model.named_parameters()]
    reached = []
    for term in ccl_classification_loss(model.activations(x), model.signals(), y)[1]:
        gradients = torch.autograd.grad(term, list(model.parameters()), retain_graph=True, allow_unused=True)
        reached.append({name for name, gradient in zip(names, gradients, strict=True) if gradient is not None})
    down, up = "layers.{}.down.weight", "layers.{}.up.weight"
    assert reached == [{down.format(0)}, {up.format(0), down.format(1)}, {up.format(1), down.format(2)}, {up.format(2)}]


def test_without_detaching_the_gradient_reaches_every_layer_below() -> None:
    torch.manual_seed(0)
    model, (x, y) = ccl_mlp((6, 5, 4, 3), num_classes=3, local=False), blobs()
    cross_entropy(model(x), y).backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in model.forward_parameters())


def test_the_local_loss_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    model = ccl_mlp((4, 3, 2), num_classes=2).double()
    x, y = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1])
    weight = model.weighted()[0].up.weight

    def term(values: Tensor) -> Tensor:
        activations = [x, elu(x @ values.T), torch.zeros(5, 2, dtype=torch.float64)]
        return ccl_classification_loss(activations, [level.detach() for level in model.signals()], y)[1][1]

    assert torch.autograd.gradcheck(term, (weight.detach().requires_grad_(),))


def test_the_autoencoder_loss_is_the_mean_squared_difference_of_every_level() -> None:
    a, c = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]])], [torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0]])]
    loss, terms = ccl_autoencoder_loss(a, c)
    assert [term.item() for term in terms] == [2.5, 4.0]
    assert loss.item() == 6.5


def test_a_convolution_halves_the_image_and_its_feedback_doubles_it() -> None:
    layer, back = CCLConv2d(3, 8), CCLConvTranspose2d(8, 3)
    x, s = torch.randn(2, 3, 8, 6), torch.randn(5, 8, 4, 3)
    assert layer(x).shape == back.reverse(x).shape == (2, 8, 4, 3)
    assert layer.reverse(s).shape == back(s).shape == (5, 3, 8, 6)


def test_a_convolutional_classifier_has_matching_levels_and_learns_locally() -> None:
    torch.manual_seed(0)
    layers = [CCLConv2d(1, 4, feedback_act="none"), CCLReshape((4, 4, 4), (64,)), CCLLinear(64, 3, act="none")]
    model, x, y = CCLSequential(layers, 3), torch.randn(6, 1, 8, 8), torch.arange(6) % 3
    activations, signals = model.activations(x), model.signals()
    assert [tuple(a.shape[1:]) for a in activations] == [(1, 8, 8), (4, 4, 4), (3,)]
    assert [tuple(s.shape[1:]) for s in signals] == [(1, 8, 8), (4, 4, 4), (3,)]
    before = [parameter.clone() for parameter in model.parameters()]
    trainer = CCLTrainer(model, 0.1, 0.3, 0.8, centralise=True, scale=1.0, normalize=True, ssl=0.5, mask_threshold=0.1)
    trainer.step(x, y)
    assert all(not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_it_learns_to_tell_blobs_apart_and_shuffled_labels_teach_it_nothing() -> None:
    x, y = blobs()
    for labels, low, high in ((y, 0.95, 1.0), (y[torch.randperm(120, generator=torch.Generator().manual_seed(1))], 0.0, 0.6)):
        model = small_mlp()
        trainer = CCLTrainer(model, lr=0.3)
        for _ in range(100):
            trainer.step(x, labels)
        assert low <= (model(x).argmax(1) == y).double().mean() <= high


def test_training_aligns_forward_and_feedback_weights() -> None:
    model, (x, y) = small_mlp(), blobs()
    before = weight_alignment(model)
    trainer = CCLTrainer(model, lr=0.3)
    for _ in range(100):
        trainer.step(x, y)
    assert weight_alignment(model)[-1] > max(0.3, before[-1])


def test_an_autoencoder_learns_from_the_image_fed_in_at_the_top() -> None:
    torch.manual_seed(0)
    x, model = blobs()[0], ccl_mlp((6, 12, 6))
    first = mse_loss(model(x), x).item()
    trainer = CCLTrainer(model, lr=0.1)
    for _ in range(200):
        trainer.step(x, x)
    assert mse_loss(model(x), x).item() < 0.3 * first


def test_batch_normalisation_stands_before_every_activation_function_and_nowhere_else() -> None:
    torch.manual_seed(0)
    model, x = ccl_mlp((6, 5, 4, 6), bias=True, batch_norm=True), blobs()[0]
    first, _, last = model.weighted()
    up = first.up(x)
    normalised = (up - up.mean(0)) / (up.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(model.activations(x)[1], elu(normalised))
    assert [isinstance(norm, nn.Identity) for norm in (first.up_norm, first.down_norm, last.up_norm, last.down_norm)] == [
        False,
        True,
        True,
        False,
    ]
    assert len(list(model.parameters())) == 12


def test_clipping_is_separate_for_the_two_networks() -> None:
    # With a step of 1 and a clip of .01 each network moves by .01 and no more, however large the other's gradient is.
    model, (x, y) = small_mlp(), blobs()
    before = [[p.clone() for p in network] for network in (model.forward_parameters(), model.feedback_parameters())]
    CCLTrainer(model, lr=1.0, clip=0.01).step(x, y)
    for old, new in zip(before, (model.forward_parameters(), model.feedback_parameters()), strict=True):
        moved = torch.cat([(a - b).flatten() for a, b in zip(old, new, strict=True)]).norm().item()
        assert moved == pytest.approx(0.01, rel=1e-3)


def test_a_frozen_feedback_network_stays_as_it_is() -> None:
    model, (x, y) = small_mlp(), blobs()
    for parameter in model.feedback_parameters():
        parameter.requires_grad_(False)
    before = [parameter.clone() for parameter in model.feedback_parameters()]
    CCLTrainer(model).step(x, y)
    assert all(torch.equal(a, b) for a, b in zip(before, model.feedback_parameters(), strict=True))


def test_centralised_gradients_have_rows_of_zero_mean_and_biases_are_left_alone() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.grad, layer.bias.grad = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]), torch.tensor([1.0, 2.0])
    centralise_gradients(list(layer.parameters()))
    assert layer.weight.grad.tolist() == [[-2.0, -1.0, 3.0], [-1.0, -1.0, 2.0]]
    assert layer.bias.grad.tolist() == [1.0, 2.0]


def test_tied_weights_are_fully_aligned() -> None:
    layers = [CCLConv2d(1, 2), CCLReshape((2, 2, 2), (8,)), CCLLinear(8, 3)]
    conv, linear = layers[0], layers[2]
    assert isinstance(conv, CCLConv2d)
    assert isinstance(linear, CCLLinear)
    conv.down.weight.data = conv.up.weight.data.transpose(0, 1).flip(2, 3)
    linear.down.weight.data = -linear.up.weight.data.T
    assert weight_alignment(CCLSequential(layers, 3)) == [pytest.approx(1.0), pytest.approx(-1.0)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CCLLinear(4, 3)(torch.ones(2, 5)), r"x must be \(B, 4\), got \(2, 5\)"),
        (lambda: CCLLinear(4, 3).reverse(torch.ones(2, 4)), r"s must be \(B, 3\), got \(2, 4\)"),
        (lambda: CCLLinear(4, 3, act="gelu"), "an activation function must be one of elu, relu, .*, none, got 'gelu'"),
        (lambda: CCLConv2d(1, 4, 2), "kernel_size must be odd, so that the halves line up, got 2"),
        (lambda: CCLConv2d(1, 4)(torch.ones(2, 1, 7, 8)), r"x must be \(B, 1, H, W\) with even H and W, got \(2, 1, 7, 8\)"),
        (lambda: CCLConv2d(1, 4).reverse(torch.ones(2, 1, 8, 8)), r"s must be \(B, 4, H, W\), got \(2, 1, 8, 8\)"),
        (lambda: CCLReshape((2, 3), (7,)), r"below and above must hold as many numbers, got \(2, 3\) and \(7,\)"),
        (lambda: CCLSequential([CCLReshape((6,), (2, 3))]), "layers must hold at least one layer with weights, got 1 without"),
        (lambda: ccl_mlp((4,)), r"sizes must be two or more and end with num_classes \(None\), got \(4,\)"),
        (lambda: ccl_mlp((4, 3), num_classes=2), r"sizes must be two or more and end with num_classes \(2\), got \(4, 3\)"),
        (lambda: ccl_mlp((4, 3)).signals(), "signals needs a target, since the network has no number of classes"),
        (lambda: CCLTrainer(ccl_mlp((4, 3)), lr=0), "lr and clip must be positive, got 0 and 1.0"),
        (lambda: ccl_autoencoder_loss([torch.ones(2, 3)], []), "must have the same levels, got 1 and 0"),
        (lambda: ccl_autoencoder_loss([torch.ones(2, 3)], [torch.ones(2, 4)]), r"level 0 must be of one size, got .*\(2, 3\)"),
        (lambda: ccl_autoencoder_loss([torch.ones(2, 3)], [torch.ones(5, 3)]), "must be of the same samples, got 2 and 5"),
    ],
)
def test_it_refuses_what_does_not_fit(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_a_loss_refuses_targets_and_options_that_do_not_fit() -> None:
    levels = [torch.ones(4, 3), torch.ones(4, 2)], [torch.ones(2, 3), torch.eye(2)]
    with pytest.raises(ValueError, match=r"target must be \(4,\) to fit the logits \(4, 2\), got \(3,\)"):
        ccl_classification_loss(*levels, torch.tensor([0, 1, 0]))
    with pytest.raises(ValueError, match=r"ssl needs normalize=True, since it compares directions, got ssl=0\.5"):
        ccl_classification_loss(*levels, torch.tensor([0, 1, 0, 1]), ssl=0.5)
