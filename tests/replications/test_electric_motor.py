"""The replication runs in smoke, says the same for the same seed, and its parts can tell right from wrong."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib import pyplot as plt

from pressrun.methods.control import Cont2QC, Drive, VectorMotorEnv
from pressrun.replicate import Evidence, judge
from pressrun.replications import electric_motor as replication


@pytest.fixture
def evidence(smoke: Callable[[str], Evidence]) -> Evidence:
    return smoke("electric_motor")


def test_the_figure_can_be_drawn_from_evidence_alone(evidence: Evidence) -> None:
    figure = replication.draw(evidence)
    assert len(figure.axes) == 4
    plt.close(figure)


def test_the_exact_claim_is_decided_by_smoke_already(evidence: Evidence) -> None:
    claim = next(claim for claim in replication.CLAIMS if claim.id == "interlocking-lowers-the-voltage")
    assert judge(claim, evidence).verdict == "matched"


@pytest.mark.parametrize("variant", replication.VARIANTS)
def test_each_drive_agrees_with_its_equations_and_not_with_those_without_back_emf(variant: str) -> None:
    drive, start, actions = replication.excited_drive(variant, 120, np.random.default_rng(4))
    simulated = replication.simulate(drive, start, actions)
    assert replication.relative_error(simulated, replication.solve(drive, start, actions, emf=1.0)) < 1e-5
    assert replication.relative_error(simulated, replication.solve(drive, start, actions, emf=0.0)) > 5e-3


def test_a_terminated_episode_counts_as_error_one_for_its_remaining_steps() -> None:
    from pressrun.methods.control import PermExDCMotor

    # Full voltage drives the current over its limit in the first step (60 V * 1e-4 s / 19 µH = 316 A).
    env = VectorMotorEnv(2, Drive(motor=PermExDCMotor(), converter=Cont2QC()), episode_steps=50)
    track = replication.follow(env, replication.constant(1.0), [1, 2])
    assert track.errors.tolist() == [1.0, 1.0]
    assert track.steps_until_violation.tolist() == [0.0, 0.0]


def test_following_measures_the_error_after_the_step_against_the_set_point_before_it() -> None:
    env = VectorMotorEnv(2, Drive(converter=Cont2QC()), episode_steps=40)
    track = replication.follow(env, replication.constant(0.0), [1, 2])
    # Without voltage the motor stands still, so the error is the mean set-point.
    assert track.errors[0] == pytest.approx(track.reference.mean())
    assert track.steps_until_violation.tolist() == [np.inf, np.inf]


@pytest.mark.parametrize("drives", [1, 8])
def test_shuffled_rewards_are_rewards_of_other_moments(drives: int) -> None:
    env = VectorMotorEnv(drives, Drive(converter=Cont2QC()))
    shuffled = replication.ShuffledRewards(VectorMotorEnv(drives, Drive(converter=Cont2QC())), np.random.default_rng(0))
    env.reset(seed=3)
    shuffled.reset(seed=3)
    action = np.full((drives, 1), 0.5)
    true, given = (np.concatenate([each.step(action)[1] for _ in range(4000 // drives)]) for each in (env, shuffled))
    assert set(given) <= set(true)
    assert (given == true).mean() < 0.02
    # The series motor speeds up slowly, so a reward looks much like the last one; one from the pool does not.
    assert np.corrcoef(true[drives:], true[:-drives])[0, 1] > 0.9
    assert np.abs(given[2000:] - true[2000:]).mean() > 3 * np.abs(np.diff(true[2000:].reshape(-1, drives), axis=0)).mean()
