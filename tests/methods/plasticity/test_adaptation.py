"""Test-time adaptation: what moves and what does not, what comes before and after, going back, and when it collapses."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from pressrun.methods.plasticity import (
    BatchNormAdapt,
    NeuroModulator,
    NHLAdapter,
    SoftHebbConv2d,
    Tent,
    entropy,
    prediction_collapse,
)

Adapter = BatchNormAdapt | Tent | NHLAdapter


def small_cnn() -> nn.Sequential:
    """Two convolutions with batch normalisation and a read-out of 3 classes; its running statistics are not those of a batch."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(5, 3),
    )
    for _ in range(3):
        model(torch.rand(16, 1, 8, 8))
    return model


def batch(seed: int = 1, size: int = 16) -> Tensor:
    return 2 * torch.rand(size, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) - 0.5


ADAPTERS: dict[str, Callable[[nn.Module], Adapter]] = {
    "batch_norm": lambda model: BatchNormAdapt(model),
    "tent": lambda model: Tent(model, lr=0.01),
    "nhl": lambda model: NHLAdapter(model, hebb_lr=0.1, mod_lr=0.01),
}
every_adapter = pytest.mark.parametrize("make", ADAPTERS.values(), ids=ADAPTERS)


def moved(adapter: Adapter, x: Tensor) -> set[str]:
    before = {name: value.clone() for name, value in adapter.state_dict().items() if isinstance(value, Tensor)}
    adapter(x)
    after = adapter.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


# Entropy and collapse.


def test_the_entropy_is_the_one_worked_out_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [math.log(3), 0.0, -math.inf, -math.inf], [500.0, 0.0, 0.0, 0.0]])
    # (3/4, 1/4): log 4 - 3/4 log 3.
    expected = [math.log(4), math.log(4) - 0.75 * math.log(3), 0.0]
    assert entropy(logits).tolist() == [pytest.approx(value, abs=1e-6) for value in expected]
    with pytest.raises(ValueError, match=r"logits must be \(B, classes, ...\), got \(3,\)"):
        entropy(torch.ones(3))


def test_the_entropy_has_a_gradient_and_none_where_a_class_is_ruled_out() -> None:
    assert torch.autograd.gradcheck(entropy, torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True))
    logits = torch.tensor([[1.0, 0.0, -math.inf]], requires_grad=True)
    entropy(logits).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 2] == 0


def test_a_collapse_is_seen_in_the_histogram_of_predictions() -> None:
    even = prediction_collapse(torch.arange(40) % 10, 10)
    assert (even.counts.tolist(), even.top_share, even.collapsed) == ([4] * 10, 0.1, False)
    assert even.effective_classes == pytest.approx(10)
    one = prediction_collapse(torch.full((40,), 7), 10)
    assert (one.top_share, one.effective_classes, one.collapsed) == (1.0, 1.0, True)
    # Half and half is two effective classes: of 10 that is a collapse, of 4 (at least 2) it is not.
    halves = torch.tensor([0, 1] * 20)
    assert prediction_collapse(halves, 10).effective_classes == pytest.approx(2)
    assert prediction_collapse(halves, 10).collapsed
    assert not prediction_collapse(halves, 4, least=0.4).collapsed


def test_a_collapse_needs_predicted_classes() -> None:
    with pytest.raises(ValueError, match=r"predicted must be \(N,\) integers, at least one, got \(4, 3\) of torch.float32"):
        prediction_collapse(torch.ones(4, 3), 3)
    with pytest.raises(ValueError, match=r"predicted must be \(N,\) integers, at least one, got \(0,\) of torch.int64"):
        prediction_collapse(torch.arange(0), 3)
    with pytest.raises(ValueError, match="predicted must lie between 0 and 2, got 1 to 3"):
        prediction_collapse(torch.tensor([1, 3]), 3)


def test_a_large_rate_ends_in_one_class_and_that_is_detected() -> None:
    # Three overlapping classes, read out by the feature that is largest.
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3, bias=False))
    nn.init.eye_(model[1].weight)
    seen = []
    for lr in (1e-3, 1.0):
        adapter, generator = Tent(model, lr=lr), torch.Generator().manual_seed(0)
        stream = [torch.eye(3)[torch.arange(30) % 3] + torch.randn(30, 3, generator=generator) for _ in range(30)]
        predicted = [adapter(x).argmax(1) for x in stream]
        seen.append(prediction_collapse(torch.cat(predicted[-10:]), 3))
    assert [each.collapsed for each in seen] == [False, True]
    assert seen[0].effective_classes > 2.9
    assert seen[1].effective_classes < 1.1


# The modulator.


@pytest.mark.parametrize("kind", ["affine", "conv1x1"])
def test_a_modulator_starts_as_the_identity(kind: str) -> None:
    modulator = NeuroModulator(3, kind)
    for x in (torch.randn(2, 3), torch.randn(2, 3, 4), torch.randn(2, 3, 4, 5)):
        assert torch.equal(modulator(x), x)


def test_a_modulator_gives_the_values_worked_out_by_hand() -> None:
    x = torch.tensor([[[[1.0]], [[2.0]]]])
    affine, matrix = NeuroModulator(2), NeuroModulator(2, "conv1x1")
    affine.load_state_dict({"weight": torch.tensor([3.0, 4.0]), "bias": torch.tensor([0.5, -0.5])})
    matrix.load_state_dict({"weight": torch.tensor([[0.0, 1.0], [1.0, 2.0]]), "bias": torch.tensor([0.5, -0.5])})
    assert affine(x).flatten().tolist() == [3.5, 7.5]
    assert matrix(x).flatten().tolist() == [2.5, 4.5]


def test_a_modulator_refuses_other_kinds_and_channels() -> None:
    with pytest.raises(ValueError, match="kind must be affine or conv1x1, got 'matrix'"):
        NeuroModulator(3, "matrix")
    with pytest.raises(ValueError, match=r"x must be \(B, 3, ...\), got \(2, 4, 5\)"):
        NeuroModulator(3)(torch.ones(2, 4, 5))


# What moves.


def test_batch_statistics_are_those_of_training_mode_without_its_side_effects() -> None:
    model = small_cnn()
    adapter, x = BatchNormAdapt(model), batch()
    expected = deepcopy(model).train()
    expected[8] = nn.Identity()  # no dropout
    torch.testing.assert_close(adapter(x), expected(x))
    assert moved(adapter, x) == set()


def test_blended_statistics_lie_between_the_batch_and_training() -> None:
    model, x = small_cnn(), batch(size=4)
    torch.testing.assert_close(BatchNormAdapt(model, source_samples=1e9)(x), model.eval()(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(BatchNormAdapt(model, source_samples=1e-9)(x), BatchNormAdapt(model)(x), atol=1e-5, rtol=0)
    # One feature with running mean 0 and variance 1: the batch (1, 3) has 2 and 1, so that 2 samples against 6 give .5 and 1.
    norm = BatchNormAdapt(nn.BatchNorm1d(1, eps=0.0), source_samples=6)
    assert norm(torch.tensor([[1.0], [3.0]])).flatten().tolist() == [0.5, 2.5]


def test_tent_moves_scales_and_shifts_of_normalisation_and_nothing_else() -> None:
    assert moved(Tent(small_cnn(), lr=0.01), batch()) == {
        f"model.{layer}.{kind}" for layer in (1, 4) for kind in ("weight", "bias")
    }


def test_neuro_modulated_hebbian_learning_moves_the_first_layer_and_the_modulator_and_nothing_else() -> None:
    modulator = {"modulator.weight", "modulator.bias"}
    assert moved(NHLAdapter(small_cnn()), batch()) == {"model.0.weight"} | modulator
    assert moved(NHLAdapter(small_cnn(), hebb_lr=0), batch()) == modulator
    assert moved(NHLAdapter(small_cnn(), mod_lr=0), batch()) == {"model.0.weight"}


def test_the_first_layer_moves_by_the_hebbian_update_of_the_batch() -> None:
    model, x = small_cnn(), batch()
    twin = SoftHebbConv2d(1, 4, 3, padding=1, hebb_lr=0.1)
    twin.load_state_dict(model[0].state_dict())
    adapter = NHLAdapter(model, hebb_lr=0.1)
    for each in (x, batch(2)):
        adapter(each)
        twin.hebbian_step(each)
    torch.testing.assert_close(adapter.layer.weight, twin.weight)


@pytest.mark.parametrize("name", ["tent", "nhl"])
def test_many_steps_on_a_batch_lower_its_entropy(name: str) -> None:
    x = batch()
    adapter = Tent(small_cnn(), lr=0.01) if name == "tent" else NHLAdapter(small_cnn(), hebb_lr=0, mod_lr=0.01)
    values = [entropy(adapter.adapt(x).after).mean().item() for _ in range(20)]
    assert values[-1] < values[0] - 1e-3
    assert values == sorted(values, reverse=True)


def test_a_scale_and_shift_before_batch_normalisation_get_no_gradient() -> None:
    # Batch statistics undo what is scaled and shifted per channel: hence the modulator behind the normalisation.
    x = batch()
    for modulated, most, least in (("0", 1e-4, 0.0), ("auto", 1.0, 1e-3)):
        adapter = NHLAdapter(small_cnn(), hebb_lr=0, modulated=modulated)
        entropy(adapter.model(x)).mean().backward()
        assert adapter.modulator.weight.grad is not None
        assert least <= adapter.modulator.weight.grad.abs().max() < most


# Before, after, back.


@every_adapter
def test_the_model_that_was_given_stays_as_it_is(make: Callable[[nn.Module], Adapter]) -> None:
    model = small_cnn().train()
    before, gradients = deepcopy(model.state_dict()), [parameter.requires_grad for parameter in model.parameters()]
    make(model)(batch())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == gradients
    assert all(module.training for module in model.modules())


@every_adapter
def test_after_one_batch_is_before_the_same_batch_again(make: Callable[[nn.Module], Adapter]) -> None:
    adapter, x = make(small_cnn()), batch()
    first, second = adapter.adapt(x), adapter.adapt(x)
    torch.testing.assert_close(first.after, second.before)
    assert not first.after.requires_grad


def test_tent_predicts_before_it_learns_and_nhl_after() -> None:
    for make, which in ((ADAPTERS["tent"], 0), (ADAPTERS["nhl"], 1)):
        x = batch()
        torch.testing.assert_close(make(small_cnn())(x), make(small_cnn()).adapt(x)[which])


@every_adapter
def test_reset_and_a_saved_state_lead_back_exactly(make: Callable[[nn.Module], Adapter]) -> None:
    adapter = make(small_cnn())
    first = [adapter(batch(seed)) for seed in range(3)]
    adapter.reset()
    assert all(torch.equal(adapter(batch(seed)), logits) for seed, logits in enumerate(first))
    twin = make(small_cnn())
    twin.load_state_dict(adapter.state_dict())
    # The optimiser's moments are part of the state.
    assert all(torch.equal(adapter(batch(seed)), twin(batch(seed))) for seed in range(3, 6))


@every_adapter
def test_a_copy_goes_its_own_way(make: Callable[[nn.Module], Adapter]) -> None:
    adapter = make(small_cnn())
    adapter(batch(0))
    twin = deepcopy(adapter)
    expected = [adapter(batch(seed)) for seed in (1, 2)]
    assert all(torch.equal(twin(batch(seed)), logits) for seed, logits in zip((1, 2), expected, strict=True))


def test_episodic_means_that_no_batch_affects_another() -> None:
    for make in (
        lambda episodic: Tent(small_cnn(), lr=0.01, episodic=episodic),
        lambda episodic: NHLAdapter(small_cnn(), episodic=episodic),
    ):
        alone, stream, episodic = (make(flag) for flag in (False, False, True))
        stream(batch(0))
        episodic(batch(0))
        expected = alone.adapt(batch(1)).after
        assert torch.equal(episodic.adapt(batch(1)).after, expected)
        assert not torch.equal(stream.adapt(batch(1)).after, expected)


@every_adapter
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_learns_where_gradients_are_off_and_in_either_mode(make: Callable[[nn.Module], Adapter], context: type) -> None:
    plain, other = make(small_cnn()), make(small_cnn()).eval()
    expected = [plain.train()(batch(seed)) for seed in range(2)]
    with context():
        found = [other(batch(seed)) for seed in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_several_steps_are_several_batches_of_the_same_inputs() -> None:
    x = batch()
    once, thrice = NHLAdapter(small_cnn(), mod_lr=0.01), NHLAdapter(small_cnn(), mod_lr=0.01, steps=3)
    for _ in range(2):
        once(x)
    torch.testing.assert_close(thrice(x), once(x))
    plain, three = Tent(small_cnn(), lr=0.01), Tent(small_cnn(), lr=0.01, steps=3)
    for _ in range(2):
        plain(x)
    torch.testing.assert_close(three.adapt(x).after, plain.adapt(x).after)


def test_with_source_statistics_and_no_learning_it_is_the_source_model() -> None:
    model, x = small_cnn(), batch()
    adapter = NHLAdapter(model, hebb_lr=0, mod_lr=0, bn="source")
    assert torch.equal(adapter(x), model.eval()(x))


def test_the_layer_and_the_place_of_the_modulator_can_be_named() -> None:
    adapter = NHLAdapter(small_cnn(), layer="3")
    assert (adapter.layer_name, adapter.modulated_name, len(adapter.modulator.bias)) == ("3", "4", 5)
    assert NHLAdapter(small_cnn(), layer="3", modulated="3").modulated_name == "3"
    dense = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    adapter = NHLAdapter(dense, bn="source")
    assert (adapter.layer_name, adapter.modulated_name) == ("0", "0")
    assert moved(adapter, torch.randn(8, 6)) == {"model.0.weight", "modulator.weight", "modulator.bias"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BatchNormAdapt(nn.Linear(2, 2)), "model must have batch normalisation, got Linear without"),
        (lambda: BatchNormAdapt(small_cnn(), source_samples=-1), "source_samples must not be negative, got -1"),
        (
            lambda: BatchNormAdapt(nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)), source_samples=4),
            "source_samples needs running statistics, but 0 has none",
        ),
        (lambda: Tent(nn.Linear(2, 2)), "model must have normalisation with scale and shift, got Linear without"),
        (
            lambda: Tent(small_cnn(), lr=-1.0),
            "a learning rate must not be negative and steps must be 1 or more, got -1.0 and 1",
        ),
        (
            lambda: NHLAdapter(small_cnn(), steps=0),
            "a learning rate must not be negative and steps must be 1 or more, got 0.001 and 0",
        ),
        (
            lambda: NHLAdapter(small_cnn(), tau=0.0),
            "hebb_lr must not be negative and tau must be positive, got hebb_lr=0.01 and tau=0.0",
        ),
        (lambda: NHLAdapter(small_cnn(), bn="none"), "bn must be batch or source, got 'none'"),
        (lambda: NHLAdapter(small_cnn(), rule="x"), "rule must be one of oja, mixture, got 'x'"),
        (
            lambda: NHLAdapter(small_cnn(), layer="1"),
            "layer must be the name of an nn.Conv2d or nn.Linear of Sequential, got '1'",
        ),
        (lambda: NHLAdapter(nn.ReLU()), "layer must be the name of an nn.Conv2d or nn.Linear of ReLU, got 'auto'"),
        (lambda: NHLAdapter(small_cnn(), modulated="x"), "modulated must be the name of a module of Sequential, got 'x'"),
    ],
)
def test_it_refuses_what_does_not_fit(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_layer_that_the_model_does_not_call_cannot_adapt() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.second = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(x)

    with pytest.raises(ValueError, match="the model did not call first, the layer that is to adapt"):
        NHLAdapter(Idle())(torch.ones(2, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_adapter
def test_it_works_on_a_gpu(make: Callable[[nn.Module], Adapter]) -> None:
    here, there, x = make(small_cnn()), make(small_cnn().cuda()), batch()
    for _ in range(2):
        torch.testing.assert_close(there(x.cuda()).cpu(), here(x), atol=1e-3, rtol=1e-3)
    there.reset()
