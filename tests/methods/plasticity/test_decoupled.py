"""Decoupled interfaces: the recursion by hand, against back-propagation through time, and one window after the other; the switches."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from pressrun.methods.plasticity import (
    CorticoCerebellarRNN,
    DecoupledTrainer,
    GradientSynthesizer,
    LineDrawing,
    gradient_cosine,
    synthetic_gradient_step,
    true_state_gradients,
)


def network(
    cell: str = "lstm", *, synthesizer: nn.Module | None = None, learnt: bool = True, scale: float = 0.1
) -> CorticoCerebellarRNN:
    """2 inputs, 3 hidden units, 2 outputs in double precision, with a synthesizer whose last layer is not zero."""
    torch.manual_seed(0)
    model = CorticoCerebellarRNN(2, 3, 2, cell=cell, sg_scale=scale)  # type: ignore[arg-type]
    if learnt:
        model.synthesizer = GradientSynthesizer(model.state_dim, 5, 1, zero_last=False)
    if synthesizer is not None:
        model.synthesizer = synthesizer
    return model.double()


def sequences(steps: int = 6, batch: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, batch, steps, 2, generator=generator, dtype=torch.float64)
    return x, y


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters() if parameter.grad is not None}


def by_backpropagation(
    model: CorticoCerebellarRNN, x: Tensor, y: Tensor, feedback: list[int], state: Tensor | None = None
) -> dict[str, Tensor]:
    """Gradients of the loss of the whole sequence, by autograd."""
    model = copy.deepcopy(model)
    model.zero_grad()
    output = model(x, state)[0]
    sum(F.mse_loss(output[:, step], y[:, step]) for step in feedback).backward()  # type: ignore[union-attr]
    return gradients(model)


class Oracle(nn.Module):
    """Returns the true gradient of a state that it has seen, whatever the order of the rows."""

    def __init__(self, states: Tensor, true: Tensor) -> None:
        super().__init__()
        self.states, self.true = states.flatten(0, 1), true.flatten(0, 1)
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, state: Tensor) -> Tensor:
        distance, place = torch.cdist(state, self.states, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        assert distance.max() < 1e-9
        return self.true[place] + 0 * self.unused


def test_two_windows_worked_out_by_hand() -> None:
    # One tanh unit with u = 2 and w = 1 from state 1. Input -2, then 0: both sums are 0, so h = 0, 0 and tanh' = 1. Read-out 3 h.
    # Targets 1 and 5: dE/dh = 2 (0 - 1) 3 = -6 and 2 (0 - 5) 3 = -30. C is 4 for any state, α = 1/2: g = 2 at both ends.
    # δ_1 = 2 (-30 + 2) = -56, δ_0 = 2 (-6 + 2) = -8. Over both windows, gradients of the sums are -4 and -28.
    model = CorticoCerebellarRNN(1, 1, 1, cell="rnn", synthesizer=GradientSynthesizer(1, n_hidden=0), sg_scale=0.5)
    values = {"weight_ih_l0": 1.0, "weight_hh_l0": 2.0, "bias_ih_l0": 0.0, "bias_hh_l0": 0.0}
    with torch.no_grad():
        for name, value in values.items():
            getattr(model.rnn, name).fill_(value)
        model.readout.weight.fill_(3.0)
        model.readout.bias.zero_()
        model.synthesizer.layers[0].bias.fill_(4.0)  # type: ignore[union-attr, index]
    x, y = torch.tensor([[[-2.0], [0.0]]]), torch.tensor([[[1.0], [5.0]]])
    done = synthetic_gradient_step(model, x, y, torch.ones(1, 1))
    assert done.loss.item() == 1 + 25
    assert done.starts.flatten().tolist() == [1.0, 0.0]
    assert done.predicted is not None
    assert done.predicted.flatten().tolist() == [4.0, 4.0]
    assert done.targets is not None
    assert done.targets.flatten().tolist() == [-8.0, -56.0]
    found = {name: gradient.item() for name, gradient in gradients(model).items()}
    assert found == {
        "rnn.weight_ih_l0": -2.0 * -4,
        "rnn.weight_hh_l0": 1.0 * -4,
        "rnn.bias_ih_l0": -4.0 - 28,
        "rnn.bias_hh_l0": -4.0 - 28,
        "readout.weight": 0.0,
        "readout.bias": -2.0 - 10,
        "synthesizer.layers.0.weight": 2 * (4 + 8) * 1.0,  # of (C - δ)² at the states 1 and 0
        "synthesizer.layers.0.bias": 2.0 * (4 + 8) + 2 * (4 + 56),
    }


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
@pytest.mark.parametrize("bptt", [1, 2, 4])  # 4 leaves a shorter window of 2 at the end
def test_with_an_exact_synthesizer_and_no_scale_down_it_is_backpropagation_through_time(cell: str, bptt: int) -> None:
    x, y = sequences()
    feedback = [0, 2, 4]
    model = network(cell, learnt=False, scale=1.0)
    start = torch.linspace(-1, 1, 4 * model.state_dim, dtype=torch.float64).reshape(4, -1)  # another for every sample
    # The state behind the last step comes from one more, which has no target: its true gradient is zero.
    longer = torch.cat([x, x[:, :1]], 1)
    model.synthesizer = Oracle(*true_state_gradients(model, longer, y[:, feedback], start, feedback=feedback))
    done = synthetic_gradient_step(model, x, y[:, feedback], start, bptt=bptt, feedback=feedback)
    assert done.predicted is not None
    assert done.targets is not None
    torch.testing.assert_close(done.targets, done.predicted)
    found = gradients(model)
    for name, expected in by_backpropagation(model, x, y, feedback, start).items():
        if not name.startswith("synthesizer"):
            torch.testing.assert_close(found[name], expected)


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_a_single_window_without_synthesizer_is_backpropagation_through_time(cell: str) -> None:
    x, y = sequences()
    model = network(cell, learnt=False)
    done = synthetic_gradient_step(model, x, y[:, [1, 5]], bptt=None, feedback=[1, 5])
    assert done.predicted is None
    found = gradients(model)
    for name, expected in by_backpropagation(model, x, y, [1, 5]).items():
        torch.testing.assert_close(found[name], expected)
    output, state = model(x)
    torch.testing.assert_close(done.state, state)
    expected_loss = F.mse_loss(output[:, 1], y[:, 1]) + F.mse_loss(output[:, 5], y[:, 5])
    torch.testing.assert_close(done.loss, expected_loss)


@pytest.mark.parametrize("at_the_end", ["synthetic", "zero"])
@pytest.mark.parametrize("bptt", [1, 2, 4])
def test_windows_side_by_side_are_windows_one_after_the_other(bptt: int, at_the_end: str) -> None:
    x, y = sequences()
    feedback = [0, 3, 5]
    model = network()
    expected = copy.deepcopy(model)
    done = synthetic_gradient_step(model, x, y[:, feedback], bptt=bptt, feedback=feedback, at_the_end=at_the_end)  # type: ignore[arg-type]
    state, targets = torch.zeros(4, 6, dtype=torch.float64), []
    for start in range(0, 6, bptt):
        window = slice(start, start + bptt)
        leaf = state.detach().requires_grad_()
        output, state = expected(x[:, window], leaf)
        loss = sum(F.mse_loss(output[:, step - start], y[:, step]) for step in feedback if start <= step < start + bptt)
        fed_in = 0.1 * expected.synthesizer(state.detach()).detach()  # type: ignore[misc]
        if at_the_end == "zero" and start + bptt >= 6:
            fed_in = torch.zeros_like(fed_in)
        (loss + (state * fed_in).sum()).backward()
        (expected.synthesizer(leaf.detach()) - leaf.grad).square().sum().backward()  # type: ignore[misc]
        targets.append(leaf.grad)
    torch.testing.assert_close(gradients(model), gradients(expected))
    torch.testing.assert_close(done.targets, torch.stack(targets, 1))
    torch.testing.assert_close(done.state, state.detach())


def test_gradients_are_added_to_those_that_are_there() -> None:
    x, y = sequences()
    model = network()
    synthetic_gradient_step(model, x, y)
    once = gradients(model)
    synthetic_gradient_step(model, x, y)
    torch.testing.assert_close(gradients(model), {name: 2 * gradient for name, gradient in once.items()})


def test_a_zero_last_layer_starts_as_truncated_backpropagation() -> None:
    x, y = sequences()
    alone, both = network(learnt=False), network(synthesizer=GradientSynthesizer(6, 5, 2))
    synthetic_gradient_step(alone, x, y, bptt=2)
    synthetic_gradient_step(both, x, y, bptt=2)
    for name, expected in gradients(alone).items():
        torch.testing.assert_close(gradients(both)[name], expected)


def test_the_mean_reduction_divides_the_synthesizers_gradient_by_the_batch_and_leaves_the_cortex() -> None:
    x, y = sequences()
    total, mean = network(), network()
    synthetic_gradient_step(total, x, y)
    synthetic_gradient_step(mean, x, y, reduction="mean")
    for name, gradient in gradients(total).items():
        torch.testing.assert_close(gradients(mean)[name], gradient / 4 if name.startswith("synthesizer") else gradient)


def test_shuffled_targets_reach_the_synthesizer_alone() -> None:
    x, y = sequences()
    straight, shuffled = network(), network()
    expected = synthetic_gradient_step(straight, x, y)
    found = synthetic_gradient_step(shuffled, x, y, shuffle_targets=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.targets, expected.targets)
    same = {name for name, gradient in gradients(straight).items() if torch.allclose(gradients(shuffled)[name], gradient)}
    # The bias of C's last layer sees the sum over samples and windows, which a permutation leaves as it is.
    cortical = {name for name, _ in straight.named_parameters() if not name.startswith("synthesizer")}
    assert same == cortical | {"synthesizer.layers.1.bias"}


def test_context_is_the_same_sample_in_every_window() -> None:
    x, y = sequences()
    label = torch.eye(4, dtype=torch.float64)
    model = network(synthesizer=GradientSynthesizer(6, 5, 1, zero_last=False, context_dim=4))
    done = synthetic_gradient_step(model, x, y, context=label)
    assert done.predicted is not None
    for window in range(6):
        torch.testing.assert_close(done.predicted[:, window], model.synthesizer(done.starts[:, window], label))  # type: ignore[misc]


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_one_step_at_a_time_is_the_whole_sequence(cell: str) -> None:
    x, _ = sequences()
    model = network(cell)
    outputs, last = model(x)
    state = model.initial_state(x)
    for step in range(6):
        output, state = model.step(x[:, step], state)
        torch.testing.assert_close(output, outputs[:, step])
    torch.testing.assert_close(state, last)


def test_the_true_gradient_of_a_state_is_that_of_what_comes_after_it() -> None:
    x, y = sequences()
    feedback = [0, 2, 4]
    model = network()
    states, true = true_state_gradients(model, x, y[:, feedback], feedback=feedback)
    assert not true[:, 5].any()  # no target after it
    for start in range(6):
        state = states[:, start].clone().requires_grad_()
        output = model(x[:, start:], state)[0]
        after = [F.mse_loss(output[:, step - start], y[:, step]) for step in feedback if step >= start]
        if after:
            torch.testing.assert_close(true[:, start], torch.autograd.grad(sum(after), state)[0])  # type: ignore[arg-type]
    assert not gradients(model)


def test_without_any_target_every_gradient_is_zero() -> None:
    x, y = sequences()
    model = network(scale=0.0)
    assert not true_state_gradients(model, x, y[:, :0], feedback=[])[1].any()
    done = synthetic_gradient_step(model, x, y[:, :0], feedback=[])
    assert done.loss == 0
    assert done.targets is not None
    assert not done.targets.any()


def test_the_cosine_is_between_minus_one_and_one_and_undefined_where_there_is_nothing_to_predict() -> None:
    predicted = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [-1e-30, 0.0]])
    true = torch.tensor([[6.0, 8.0], [0.0, 2.0], [1.0, 1.0], [0.0, 0.0], [1e-30, 0.0]])
    assert gradient_cosine(predicted, true)[:3].tolist() == [pytest.approx(1.0), 0.0, 0.0]
    assert gradient_cosine(predicted, true)[3].isnan()
    assert gradient_cosine(predicted, true)[4].item() == pytest.approx(-1.0)


def test_a_window_update_moves_the_parameters_after_every_window() -> None:
    x, y = sequences()
    model = network()
    expected = copy.deepcopy(model)
    optimiser = torch.optim.SGD(expected.parameters(), lr=0.1)
    loss = DecoupledTrainer(
        model, torch.optim.SGD(model.parameters(), lr=0.1), bptt=2, feedback_interval=3, update="window", clip=None
    ).step(x, y)
    state, total = None, 0.0
    for start, due in ((0, [0]), (2, [1]), (4, [])):  # targets at steps 0 and 3
        optimiser.zero_grad()
        window = slice(start, start + 2)
        done = synthetic_gradient_step(expected, x[:, window], y[:, window][:, due], state, bptt=2, feedback=due)
        optimiser.step()
        state, total = done.state, total + done.loss.item()
    torch.testing.assert_close(dict(model.named_parameters()), dict(expected.named_parameters()))
    assert loss.item() == pytest.approx(total)


def test_a_sequence_update_is_one_step_with_the_clipped_gradient() -> None:
    x, y = sequences()
    for together in (True, False):
        model = network()
        expected = copy.deepcopy(model)
        trainer = DecoupledTrainer(model, torch.optim.SGD(model.parameters(), lr=1.0), clip=0.01, clip_together=together)
        trainer.step(x, y)
        synthetic_gradient_step(expected, x, y)
        cortex, cerebellum = expected.cortical_parameters(), list(expected.synthesizer.parameters())  # type: ignore[union-attr]
        for group in [cortex + cerebellum] if together else [cortex, cerebellum]:
            nn.utils.clip_grad_norm_(group, 0.01)
        torch.optim.SGD(expected.parameters(), lr=1.0).step()
        torch.testing.assert_close(dict(model.named_parameters()), dict(expected.named_parameters()))


def test_frozen_it_is_fed_in_and_stays_and_ablated_it_is_as_if_it_were_not_there() -> None:
    x, y = sequences()
    after = {}
    for cerebellum in ("intact", "frozen", "ablated", "absent"):
        model = network(learnt=cerebellum != "absent")
        trainer = DecoupledTrainer(model, torch.optim.Adam(model.parameters(), lr=0.1), clip_together=False)
        before = copy.deepcopy(model.synthesizer)
        if cerebellum != "absent":
            trainer.cerebellum = cerebellum  # type: ignore[assignment]
        trainer.step(x, y)
        after[cerebellum] = torch.cat([parameter.detach().flatten() for parameter in model.cortical_parameters()])
        if before is not None:
            same = all(torch.equal(a, b) for a, b in zip(before.parameters(), model.synthesizer.parameters(), strict=True))  # type: ignore[union-attr]
            assert same == (cerebellum != "intact")
    torch.testing.assert_close(after["frozen"], after["intact"])
    torch.testing.assert_close(after["ablated"], after["absent"])
    assert not torch.allclose(after["frozen"], after["ablated"])


def test_feedback_at_the_last_step_alone_takes_targets_without_steps() -> None:
    x, _ = sequences()
    labels = torch.tensor([0, 1, 1, 0])
    model = network()
    expected = copy.deepcopy(model)
    trainer = DecoupledTrainer(
        model, torch.optim.SGD(model.parameters(), lr=0.1), feedback_interval=None, loss_fn=F.cross_entropy, clip=None
    )
    loss = trainer.step(x, labels)
    assert loss.item() == pytest.approx(F.cross_entropy(expected(x)[0][:, -1], labels).item())
    synthetic_gradient_step(expected, x, labels[:, None], feedback=[5], loss_fn=F.cross_entropy)
    torch.testing.assert_close(gradients(model), gradients(expected))


def test_a_predicted_gradient_teaches_what_a_window_alone_cannot_see() -> None:
    """The cue comes at the first step and is asked for two steps later: with windows of one step no error reaches its weight."""
    generator = torch.Generator().manual_seed(0)
    error = {}
    for both in (False, True):
        torch.manual_seed(0)
        model = CorticoCerebellarRNN(1, 8, 1, cell="rnn", sg_scale=0.5)
        if both:
            model.synthesizer = GradientSynthesizer(8, 32, 1)
        with torch.no_grad():
            # The cue's way in starts closed, so that memory by chance does not help.
            model.rnn.weight_ih_l0.zero_()  # type: ignore[union-attr, operator]
        trainer = DecoupledTrainer(model, torch.optim.Adam(model.parameters(), lr=5e-3), feedback_interval=None)
        for _ in range(600):
            cue = torch.randn(32, 1, generator=generator).sign()
            x = torch.zeros(32, 3, 1)
            x[:, 0] = cue
            trainer.step(x, cue)
        x = torch.tensor([[[1.0], [0.0], [0.0]], [[-1.0], [0.0], [0.0]]])
        error[both] = (model(x)[0][:, -1] - x[:, 0]).square().mean().item()
    assert error[False] > 0.9  # the best without the cue is to say 0
    assert error[True] < 0.1


def test_the_lines_go_from_the_centre_to_equal_angles_on_the_circle() -> None:
    x, y = LineDrawing().lines()
    assert x.shape == (7, 10, 1)
    assert y.shape == (7, 10, 2)
    assert x[:, 0, 0].tolist() == pytest.approx([-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3])
    assert not x[:, 1:].any()
    assert not y[:, 0].any()
    torch.testing.assert_close(y[6, 9], torch.tensor([0.0, 10.0]))  # the last cue: straight up
    torch.testing.assert_close(y[6, 3], torch.tensor([0.0, 10 / 3]))  # a third of the way, at the third of nine steps
    torch.testing.assert_close(y[5, 9], torch.tensor([10 * 3**0.5 / 2, 5.0]))  # 60 degrees on
    assert not y[3].any()
    torch.testing.assert_close(y[[0, 1, 2, 4, 5, 6], 9].norm(dim=1), torch.full((6,), 10.0))
    torch.testing.assert_close(y[:, 9].sum(0), torch.zeros(2), atol=1e-5, rtol=0)


def test_samples_are_lines_with_noise_after_the_cue() -> None:
    task = LineDrawing(noise=0.5)
    x, y = task.sample(500, torch.Generator().manual_seed(0))
    again, _ = task.sample(500, torch.Generator().manual_seed(0))
    assert torch.equal(x, again)
    assert x[:, 1:].std().item() == pytest.approx(0.5, rel=0.05)
    cues, lines = task.lines()
    for line, cue in enumerate(cues[:, 0, 0]):
        chosen = x[:, 0, 0] == cue
        assert 40 < chosen.sum() < 110
        assert torch.equal(y[chosen], lines[line].expand_as(y[chosen]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_it_gives_the_same_on_a_gpu(cell: str) -> None:
    x, y = sequences()
    here, there = network(cell), network(cell).cuda()
    synthetic_gradient_step(here, x, y, bptt=2, shuffle_targets=torch.Generator().manual_seed(0))
    synthetic_gradient_step(there, x.cuda(), y.cuda(), bptt=2, shuffle_targets=torch.Generator().manual_seed(0))
    torch.testing.assert_close({name: gradient.cpu() for name, gradient in gradients(there).items()}, gradients(here))
    true = true_state_gradients(there.eval(), x.cuda(), y.cuda())[1].cpu()
    torch.testing.assert_close(true, true_state_gradients(here, x, y)[1])


def test_it_refuses_what_does_not_fit() -> None:
    model, (x, y) = network(), sequences()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    refused = {
        "state_dim, hidden_dim and context_dim must be positive and n_hidden not negative, got 0, 400, None and 2": lambda: (
            GradientSynthesizer(0)
        ),
        "state must be (B, 6), got (4, 5)": lambda: GradientSynthesizer(6)(torch.ones(4, 5)),
        "context must be (4, 2), got None": lambda: GradientSynthesizer(6, context_dim=2)(torch.ones(4, 6)),
        "context must be None, got (4, 2)": lambda: GradientSynthesizer(6)(torch.ones(4, 6), torch.ones(4, 2)),
        "cell must be lstm or rnn, got 'gru'": lambda: CorticoCerebellarRNN(1, 2, 3, cell="gru"),  # type: ignore[arg-type]
        "sg_scale must not be negative, got -1": lambda: CorticoCerebellarRNN(1, 2, 3, sg_scale=-1),
        "the synthesizer must take states of 4, got one for 2": lambda: CorticoCerebellarRNN(
            1, 2, 3, synthesizer=GradientSynthesizer(2)
        ),
        "x must be (B, T, 2) with at least one step, got (4, 6)": lambda: model(x[..., 0]),
        "state must be (4, 6), got (4, 3)": lambda: model(x, torch.ones(4, 3)),
        "x must be (B, T, 2) and not empty, got (0, 6, 2)": lambda: synthetic_gradient_step(model, x[:0], y[:0]),
        "bptt must be positive, got 0": lambda: synthetic_gradient_step(model, x, y, bptt=0),
        "feedback must be rising steps between 0 and 5, got [2, 0]": lambda: synthetic_gradient_step(
            model, x, y[:, :2], feedback=[2, 0]
        ),
        "feedback must be rising steps between 0 and 5, got [6]": lambda: true_state_gradients(model, x, y[:, :1], feedback=[6]),
        "y must be (4, 2, ...), one target for each step with feedback, got (4, 6, 2)": lambda: synthetic_gradient_step(
            model, x, y, feedback=[0, 1]
        ),
        "cerebellum must be one of intact, frozen, ablated, got 'gone'": lambda: synthetic_gradient_step(
            model,
            x,
            y,
            cerebellum="gone",  # type: ignore[arg-type]
        ),
        "clip must be positive or None, got 0": lambda: DecoupledTrainer(model, optimiser, clip=0),
        "feedback_interval must be positive or None, got 0": lambda: DecoupledTrainer(model, optimiser, feedback_interval=0),
        "update must be one of sequence, window, got 'step'": lambda: DecoupledTrainer(model, optimiser, update="step"),  # type: ignore[arg-type]
        "y must be (4, 6) and more to fit x (4, 6, 2), got (4, 5, 2)": lambda: DecoupledTrainer(model, optimiser).step(
            x, y[:, :5]
        ),
        "predicted and true must have one shape, got (4, 6, 2) and (4, 5, 2)": lambda: gradient_cosine(y, y[:, :5]),
        "n_points must be odd and at least 3, since one of the lines has no length, got 6": lambda: LineDrawing(n_points=6),
        "seq_len must be at least 2, so that a line has a start and an end, got 1": lambda: LineDrawing(seq_len=1),
        "radius must be positive and noise not negative, got 0 and 0.0": lambda: LineDrawing(radius=0),
        "batch must be positive, got 0": lambda: LineDrawing().sample(0),
    }
    for message, call in refused.items():
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole sentence is compared)
            call()
        assert str(caught.value) == message
