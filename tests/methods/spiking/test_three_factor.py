"""Read-outs that learn: steps worked out by hand, fixed points, least squares in closed form, step against sequence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pressrun.methods.spiking import RLSReadout, ThreeFactorReadout, three_factor_update


def data(steps: int = 40, batch: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    traces = torch.rand(steps, batch, 5, dtype=torch.float64, generator=generator)
    return traces, torch.rand(steps, batch, 2, dtype=torch.float64, generator=generator)


READOUTS = {
    "three factors": lambda: ThreeFactorReadout(5, 2, lr=0.3, dtype=torch.float64),
    "least squares": lambda: RLSReadout(5, 2, forgetting=0.98, dtype=torch.float64),
}


def test_the_update_is_the_one_worked_out_by_hand() -> None:
    weight, modulator = torch.zeros(2, 3), torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    eligibility = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])
    # Row 1: (1 (1, 0, 2) + 3 (0, 1, 1)) / 2; row 2: -2 (1, 0, 2) / 2.
    expected = 0.5 * torch.tensor([[0.5, 1.5, 2.5], [-1.0, 0.0, -2.0]])
    assert torch.equal(three_factor_update(weight, eligibility, modulator, lr=0.5), expected)
    each = eligibility[:, None, :].expand(2, 2, 3)
    torch.testing.assert_close(three_factor_update(weight, each, modulator, lr=0.5), expected)


def test_a_reward_for_all_synapses_is_one_number_a_sample() -> None:
    eligibility = torch.rand(4, 2, 3)
    reward = torch.tensor([[1.0], [0.0], [0.0], [-1.0]])
    updated = three_factor_update(torch.ones(2, 3), eligibility, reward, lr=1.0)
    torch.testing.assert_close(updated, 1 + (eligibility[0] - eligibility[3]) / 4)


def test_one_step_takes_lr_of_the_error_away() -> None:
    readout = ThreeFactorReadout(2, 1, lr=0.25, eps=1e-9)
    trace, target = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0]])
    assert readout.step(trace, target).item() == 0
    assert readout(trace).item() == pytest.approx(0.25)
    assert readout.step(trace, target).item() == pytest.approx(0.25)
    assert readout(trace).item() == pytest.approx(0.25 + 0.25 * 0.75)
    # Along the trace, and nowhere else: .4375 (3, 4) / 25.
    assert readout.weight.tolist() == [pytest.approx([0.0525, 0.07])]


def test_without_the_normaliser_the_step_grows_with_the_trace() -> None:
    readout = ThreeFactorReadout(2, 1, lr=0.01, normalise=False)
    readout.step(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0]]))
    assert readout.weight.tolist() == [pytest.approx([0.06, 0.08])]


def test_what_comes_with_probability_p_is_predicted_with_height_p() -> None:
    generator = torch.Generator().manual_seed(0)
    readout = ThreeFactorReadout(4, 3, lr=0.02)
    trace, p = torch.eye(4)[:1].expand(3000, 1, 4), torch.tensor([0.2, 0.5, 0.8])
    readout.learn(trace, (torch.rand(3000, 1, 3, generator=generator) < p).float())
    assert readout(trace[0])[0].tolist() == pytest.approx(p.tolist(), abs=0.1)


@pytest.mark.parametrize("kind", READOUTS)
@pytest.mark.parametrize("gate", [1.0, 0.3, "window", "trials"])
def test_a_sequence_learns_what_its_steps_learn(kind: str, gate: float | str) -> None:
    traces, targets = data()
    window = (torch.arange(40) >= 15).double()[:, None, None]
    given = {"window": window, "trials": torch.tensor([[1.0], [0.0], [0.5]], dtype=torch.float64)}.get(str(gate), gate)
    whole, stepped = READOUTS[kind](), READOUTS[kind]()
    predicted = whole.learn(traces, targets, given)
    steps = [
        stepped.step(trace, target, given[t] if given is window else given)  # type: ignore[index]
        for t, (trace, target) in enumerate(zip(traces, targets, strict=True))
    ]
    assert torch.equal(torch.stack(steps), predicted)
    assert torch.equal(whole.weight, stepped.weight)
    assert whole.weight.abs().sum() > 0


@pytest.mark.parametrize("kind", READOUTS)
def test_a_closed_gate_leaves_everything_as_it_is(kind: str) -> None:
    readout, (traces, targets) = READOUTS[kind](), data()
    readout.learn(traces[:5], targets[:5])
    before = {name: value.clone() for name, value in readout.state_dict().items()}
    readout.learn(traces, targets, 0.0)
    readout.learn(traces, targets, torch.zeros(40, 1, 1, dtype=torch.float64))
    assert all(torch.equal(value, before[name]) for name, value in readout.state_dict().items())


def test_a_gate_of_one_readout_leaves_the_others_alone() -> None:
    readout, (traces, targets) = READOUTS["three factors"](), data()
    readout.learn(traces, targets, torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert readout.weight[0].eq(0).all()
    alone = READOUTS["three factors"]()
    alone.learn(traces, targets)
    torch.testing.assert_close(readout.weight[1], alone.weight[1])


def test_consolidation_changes_the_slow_weights_only_and_converges_on_the_mean_outcome() -> None:
    readout = ThreeFactorReadout(3, 1, dtype=torch.float64)
    readout.fast += 0.3
    traces = torch.eye(3, dtype=torch.float64)[:, None].expand(3, 4, 3)
    outcomes = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)[:, None]
    readout.consolidate(traces, outcomes.expand(3, 4, 1), lr=0.5, repeats=50)
    assert readout.fast.eq(0.3).all()
    assert readout(torch.eye(3, dtype=torch.float64)).flatten().tolist() == pytest.approx([0.75] * 3)


def test_a_replay_is_the_one_worked_out_by_hand() -> None:
    # Two trials of one step, errors 1 and 0: .5 / 2 (3, 4) / (25 + .5) from the first, nothing from the second.
    readout = ThreeFactorReadout(2, 1, eps=0.5)
    readout.consolidate(torch.tensor([[[3.0, 4.0], [1.0, 0.0]]]), torch.tensor([[[1.0], [0.0]]]), lr=0.5)
    assert readout.slow.tolist() == [pytest.approx([0.75 / 25.5, 1 / 25.5])]
    assert readout.fast.eq(0).all()


def test_the_replay_of_one_trial_moves_the_prediction_as_learning_it_does() -> None:
    traces, targets = data(batch=1)
    learned, replayed = (ThreeFactorReadout(5, 2, lr=0.3, dtype=torch.float64) for _ in range(2))
    learned.learn(traces, targets, 0.5)
    learned.learn(traces, targets, 0.5)
    replayed.consolidate(traces, targets, 0.5, lr=0.3, repeats=2)
    assert torch.equal(learned.weight, replayed.weight)


@pytest.mark.parametrize("gate", [1.0, 0.25, "each"])
def test_least_squares_is_the_ridge_regression_of_all_samples(gate: float | str) -> None:
    traces, targets = data()
    weights = (
        torch.rand(40, 3, 1, dtype=torch.float64) if gate == "each" else torch.full((40, 3, 1), float(gate), dtype=torch.float64)
    )
    readout = RLSReadout(5, 2, alpha=0.1, dtype=torch.float64)
    readout.learn(traces, targets, weights if gate == "each" else float(gate))
    rows, wanted, weight = traces.flatten(0, 1), targets.flatten(0, 1), weights.flatten(0, 1)
    gram = rows.T @ (weight * rows) + 0.1 * torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(readout.weight.T, torch.linalg.solve(gram, rows.T @ (weight * wanted)))
    torch.testing.assert_close(readout.precision, torch.linalg.inv(gram))


def test_forgetting_weighs_samples_down_by_their_age() -> None:
    traces, targets = data(batch=1)
    readout = RLSReadout(5, 2, alpha=0.1, forgetting=0.9, dtype=torch.float64)
    readout.learn(traces, targets)
    age = 0.9 ** torch.arange(39, -1, -1, dtype=torch.float64)[:, None]
    gram = traces[:, 0].T @ (age * traces[:, 0]) + 0.1 * 0.9**40 * torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(readout.weight.T, torch.linalg.solve(gram, traces[:, 0].T @ (age * targets[:, 0])))


def test_after_a_reset_least_squares_adapts_as_fast_as_it_learned() -> None:
    traces, targets = data(200, 1)
    stuck, reset = READOUTS["least squares"](), RLSReadout(5, 2, dtype=torch.float64)
    stuck = RLSReadout(5, 2, dtype=torch.float64)
    for readout in (stuck, reset):
        readout.learn(traces, 0 * targets + 1)
    reset.reset()
    for readout in (stuck, reset):
        readout.learn(traces[:30], 0 * targets[:30])
    assert reset(traces).abs().mean() < 0.3 * stuck(traces).abs().mean()


@pytest.mark.parametrize("kind", READOUTS)
def test_it_comes_back_from_its_state(kind: str) -> None:
    readout, copy, (traces, targets) = READOUTS[kind](), READOUTS[kind](), data()
    readout.learn(traces, targets)
    copy.load_state_dict(readout.state_dict())
    assert torch.equal(copy(traces), readout(traces))
    assert torch.equal(copy.learn(traces, targets), readout.learn(traces, targets))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", READOUTS)
def test_a_gpu_learns_what_the_cpu_learns(kind: str) -> None:
    there, here, (traces, targets) = READOUTS[kind]().cuda(), READOUTS[kind](), data()
    there.learn(traces.cuda(), targets.cuda())
    here.learn(traces, targets)
    torch.testing.assert_close(there.weight.cpu(), here.weight)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ThreeFactorReadout(0, 1), "a read-out needs at least 1 input and 1 output, got 0 and 1"),
        (lambda: ThreeFactorReadout(2, 1, lr=0.0), "lr must be positive, got 0.0"),
        (lambda: RLSReadout(2, 1, alpha=-1.0), "alpha must be positive, got -1.0"),
        (lambda: RLSReadout(2, 1, forgetting=1.1), "forgetting must be above 0 and at most 1, got 1.1"),
        (lambda: ThreeFactorReadout(2, 1)(torch.zeros(3)), r"traces must be \(..., 2\), got \(3,\)"),
        (lambda: ThreeFactorReadout(2, 1).step(torch.zeros(1, 3), torch.zeros(1, 1)), r"traces must be \(B, 2\), got \(1, 3\)"),
        (
            lambda: ThreeFactorReadout(2, 1).learn(torch.zeros(4, 1, 2), torch.zeros(4, 1, 3)),
            r"targets must be \(4, 1, 1\) to fit the traces, got \(4, 1, 3\)",
        ),
        (
            lambda: ThreeFactorReadout(2, 1).learn(torch.zeros(4, 1, 2), torch.zeros(4, 1, 1), torch.zeros(3, 1, 1)),
            r"gate must broadcast to \(4, 1, 1\), got \(3, 1, 1\)",
        ),
        (
            lambda: RLSReadout(2, 3).step(torch.zeros(1, 2), torch.zeros(1, 3), torch.ones(3)),
            r"the gate of recursive least squares must be one a sample, \(..., B, 1\), got \(3,\)",
        ),
        (
            lambda: three_factor_update(torch.zeros(2, 3), torch.zeros(1, 2), torch.zeros(1, 2), lr=1.0),
            r"eligibility must be \(B, 3\) or \(B, 2, 3\) to fit weight \(2, 3\), got \(1, 2\)",
        ),
        (
            lambda: three_factor_update(torch.zeros(2, 3), torch.zeros(1, 3), torch.zeros(1, 4), lr=1.0),
            r"modulator must be \(1, 2\) or \(1, 1\), got \(1, 4\)",
        ),
    ],
)
def test_it_refuses_what_does_not_fit(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()
