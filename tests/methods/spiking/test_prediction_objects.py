"""The task and the angles: bumps by hand, frequencies, changes, angles of known subspaces."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import subspace_angles

from pressrun.methods.spiking import PredictionObjectTask, TaskChange, event_targets, principal_angles


def test_a_target_is_a_bump_at_the_time_of_the_event_that_happened() -> None:
    targets = event_targets(torch.tensor([0, 1, -1]), torch.tensor([10.0, 20.0]), 31, sigma=5.0)
    assert targets.shape == (31, 3, 2)
    assert targets[10, 0, 0] == 1
    assert targets[15, 0, 0].item() == pytest.approx(math.exp(-0.5))
    assert targets[20, 1, 1] == 1
    assert targets[:, 0, 1].eq(0).all()
    assert targets[:, 1, 0].eq(0).all()
    assert targets[:, 2].eq(0).all()
    # Steps of half a millisecond: 10 ms is step 20.
    assert event_targets(torch.tensor([0]), torch.tensor([10.0]), 31, dt=0.5)[:, 0, 0].argmax() == 20


def test_events_happen_as_often_as_their_probabilities_say() -> None:
    task = PredictionObjectTask((10.0, 20.0), (0.2, 0.5))
    outcomes = task.draw(4000, 5, generator=torch.Generator().manual_seed(0)).outcomes
    shares = [(outcomes == event).double().mean().item() for event in (0, 1, -1)]
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.03)


def test_a_change_holds_from_its_trial_on() -> None:
    task = PredictionObjectTask((10.0, 20.0), (1.0, 0.0), changes=(TaskChange(3, (15.0, 20.0), (0.0, 1.0)),))
    trials = task.draw(5, 30)
    assert trials.outcomes.tolist() == [0, 0, 0, 1, 1]
    assert trials.latencies.tolist() == [[10, 20]] * 3 + [[15, 20]] * 2
    assert trials.targets[:, :3, 0].argmax(0).tolist() == [10] * 3
    assert trials.targets[:, 3:, 1].argmax(0).tolist() == [20] * 2


def test_the_same_generator_gives_the_same_trials() -> None:
    task = PredictionObjectTask((10.0,), (0.5,))
    draws = [task.draw(50, 20, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*draws, strict=True))


def test_angles_of_known_subspaces() -> None:
    x, y, z = torch.eye(3, dtype=torch.float64)
    assert principal_angles(x[None], y[None]).tolist() == [pytest.approx(math.pi / 2)]
    assert principal_angles(x[None], (x + y)[None]).tolist() == [pytest.approx(math.pi / 4)]
    # The planes xy and xz share x and are otherwise at right angles.
    assert principal_angles(torch.stack([x, y]), torch.stack([x, z])).tolist() == pytest.approx([0, math.pi / 2])
    # Far below what an arc cosine can tell from zero.
    assert principal_angles(x[None], (x + 1e-9 * y)[None]).tolist() == [pytest.approx(1e-9, rel=1e-6)]


def test_angles_do_not_depend_on_the_basis_and_are_those_of_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(k, 9, dtype=torch.float64, generator=generator) for k in (2, 4))
    b[0] = a[0] + a[1]
    expected = sorted(subspace_angles(a.T.numpy(), b.T.numpy()).tolist())
    mixed = torch.tensor([[2.0, 1.0], [1.0, -3.0]], dtype=torch.float64) @ a
    for first, second in ((a, b), (b, a), (mixed, b)):
        assert principal_angles(first, second).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PredictionObjectTask((1.0,), (1.0,), sigma=0.0), "sigma must be positive, got 0.0"),
        (
            lambda: PredictionObjectTask((1.0, 2.0), (1.0,)),
            r"every phase needs as many latencies as probabilities as events, got \(1.0, 2.0\) and \(1.0,\)",
        ),
        (
            lambda: PredictionObjectTask((1.0, 2.0), (0.8, 0.3)),
            r"probabilities must be at least 0 and sum to at most 1, got \(0.8, 0.3\)",
        ),
        (
            lambda: PredictionObjectTask((1.0,), (1.0,), changes=(TaskChange(0, (1.0,), (1.0,)),)),
            r"changes must come one after the other, from trial 1 on, got trials \[0\]",
        ),
        (
            lambda: principal_angles(torch.ones(1, 3), torch.ones(1, 4)),
            r"a and b must be \(k, features\) and \(l, features\), got \(1, 3\) and \(1, 4\)",
        ),
        (
            lambda: principal_angles(torch.ones(2, 3), torch.ones(1, 3)),
            "rows must be independent to span a subspace of 2 dimensions in 3",
        ),
    ],
)
def test_it_refuses_what_does_not_fit(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()
