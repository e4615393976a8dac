"""The Gymnasium contract, and that one drive and many are the same drives."""

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from pressrun.methods.control import (
    PMSM,
    Cont2QC,
    Cont4QC,
    ContB6,
    Drive,
    ElectricMotorEnv,
    ExtExDCMotor,
    Finite2QC,
    Finite4QC,
    FiniteB6,
    MultiConverter,
    PermExDCMotor,
    ShuntDCMotor,
    StepReference,
    VectorMotorEnv,
    WeightedTrackingReward,
    WienerReference,
)

DRIVES = {
    "series": Drive(),
    "series_finite": Drive(converter=Finite4QC(interlocking_time=2e-6), tau=1e-5),
    "series_interlocked": Drive(converter=Cont2QC(interlocking_time=2e-6), solver="rk4"),
    "shunt": Drive(motor=ShuntDCMotor(), converter=Cont2QC()),
    "shunt_finite": Drive(motor=ShuntDCMotor(), converter=Finite2QC(), tau=1e-5),
    "permex": Drive(motor=PermExDCMotor(), solver="rk4"),
    "permex_finite": Drive(motor=PermExDCMotor(), converter=Finite4QC(), tau=1e-5),
    "extex": Drive(motor=ExtExDCMotor(), converter=MultiConverter((Cont4QC(), Cont2QC()))),
    "extex_finite": Drive(motor=ExtExDCMotor(), converter=MultiConverter((Finite4QC(), Finite2QC())), tau=1e-5),
    "pmsm": Drive(motor=PMSM(), converter=ContB6(), supply=300.0),
    "pmsm_finite": Drive(motor=PMSM(), converter=FiniteB6(interlocking_time=2e-6), supply=300.0, tau=1e-5),
}


@pytest.mark.parametrize("name", DRIVES)
def test_every_drive_passes_gymnasiums_checker(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # An observation may exceed its limit on the step that ends the episode, so its space has no bounds.
        warnings.filterwarnings("ignore", message=".*A Box observation space m..imum value is .*infinity.*")
        warnings.filterwarnings("ignore", message=".*not within the range.*|.*spec.*")
        check_env(ElectricMotorEnv(DRIVES[name]), skip_render_check=True)


@pytest.mark.parametrize("name", DRIVES)
def test_a_row_of_many_drives_is_the_drive_of_its_seed(name: str) -> None:
    drive, steps = DRIVES[name], 400
    many = VectorMotorEnv(3, drive, episode_steps=150)
    many.action_space.seed(5)
    actions = [many.action_space.sample() for _ in range(steps // 10) for _ in range(10)]
    singles = [ElectricMotorEnv(drive, episode_steps=150) for _ in range(3)]
    observations, _ = many.reset(seed=7)
    for k, single in enumerate(singles):
        np.testing.assert_array_equal(single.reset(seed=7 + k)[0], observations[k])
    ends = 0
    for action in actions:
        observations, rewards, terminated, truncated, info = many.step(action)
        for k, single in enumerate(singles):
            observation, reward, *flags, _ = single.step(action[k])
            assert flags == [terminated[k], truncated[k]]
            assert reward == pytest.approx(rewards[k], rel=1e-9)
            if any(flags):
                ends += 1
                np.testing.assert_allclose(info["final_obs"][k], observation, rtol=1e-9, atol=1e-12)
                assert info["_final_obs"][k]
                observation, _ = single.reset()
            np.testing.assert_allclose(observations[k], observation, rtol=1e-9, atol=1e-12)
    assert ends >= 6


def test_an_observation_is_normalised_and_named() -> None:
    env = ElectricMotorEnv(references=[WienerReference("omega"), StepReference("i")])
    assert env.observation_names == ("omega", "torque", "i", "u", "omega_reference", "i_reference", "omega_error", "i_error")
    env.reset(seed=0)
    for _ in range(50):
        observation, *_ = env.step(np.array([0.5]))
    omega, i = env.state
    expected = [omega / 400, 1.7e-3 * i**2 / 38, i / 210, 0.5]
    assert observation[:4].tolist() == pytest.approx(expected)
    assert observation[6] == pytest.approx(observation[4] - observation[0])
    assert observation[7] == pytest.approx(observation[5] - observation[2])


def test_the_reward_compares_the_state_after_a_step_with_the_set_point_shown_before_it() -> None:
    env = ElectricMotorEnv(references=[WienerReference(sigma=(0.1, 0.1))])
    observation, _ = env.reset(seed=1)
    for _ in range(30):
        shown = observation[4]
        observation, reward, *_ = env.step(np.array([1.0]))
        assert reward == pytest.approx(-abs(shown - observation[0]))
        assert observation[4] != shown


def test_the_references_stay_between_standstill_and_the_nominal_speed_by_its_limit() -> None:
    env = VectorMotorEnv(50)
    observations, _ = env.reset(seed=0)
    assert observations[:, 4].min() >= 0.0
    assert 0.6 < observations[:, 4].max() <= 0.75


def test_too_much_current_terminates_with_the_violation_reward() -> None:
    env = ElectricMotorEnv(Drive(motor=PermExDCMotor()), reward=WeightedTrackingReward(gamma=0.95))
    env.reset(seed=0)
    # 60 V over 16 mΩ and 19 µH: after one step 60 * 1e-4 / 19e-6 = 316 A, above the 210 A of the limit.
    _, reward, terminated, truncated, _ = env.step(np.array([1.0]))
    assert (terminated, truncated) == (True, False)
    assert reward == pytest.approx(-20.0)
    with pytest.raises(RuntimeError, match="reset the environment before a step, and after an episode has been terminated"):
        env.step(np.array([1.0]))


def test_the_end_of_the_time_truncates_and_does_not_terminate() -> None:
    env = ElectricMotorEnv(episode_steps=3)
    env.reset(seed=0)
    flags = [env.step(np.array([0.1]))[2:4] for _ in range(3)]
    assert flags == [(False, False), (False, False), (False, True)]


def test_an_episode_without_an_end_goes_on() -> None:
    env = ElectricMotorEnv(episode_steps=None)
    env.reset(seed=0)
    assert not any(env.step(np.array([0.1]))[3] for _ in range(50))


def test_one_seed_gives_one_trajectory_and_the_next_reset_another() -> None:
    env = ElectricMotorEnv()
    first, again, after = env.reset(seed=3)[0], env.reset(seed=3)[0], env.reset()[0]
    assert first.tolist() == again.tolist()
    assert first.tolist() != after.tolist()


def test_interlocking_is_forgotten_when_an_episode_begins() -> None:
    env = ElectricMotorEnv(Drive(converter=Finite2QC(interlocking_time=5e-6), tau=1e-5))
    env.reset(seed=0)
    env.step(2)
    lost = env.step(1)[0][3]
    env.reset(seed=0)
    whole = env.step(1)[0][3]
    assert (lost, whole) == (pytest.approx(0.5), 1.0)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0.1, 0.2], r"an action must have 1 component\(s\), got 2"),
        ([float("nan")], r"an action must be a number, got \[nan\]"),
    ],
)
def test_one_drive_refuses_an_action_that_does_not_fit(action: list[float], message: str) -> None:
    env = ElectricMotorEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_a_finite_drive_refuses_a_switching_state_that_it_has_not() -> None:
    env = ElectricMotorEnv(DRIVES["series_finite"])
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"an action must be an element of Discrete\(4\), got 4"):
        env.step(4)


def test_many_drives_refuse_actions_of_another_shape() -> None:
    env = VectorMotorEnv(4)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must be \(4, 1\), got \(4,\)"):
        env.step(np.zeros(4))
    with pytest.raises(ValueError, match="actions must be numbers, got NaN"):
        env.step(np.full((4, 1), np.nan))


def test_many_drives_need_as_many_seeds() -> None:
    with pytest.raises(ValueError, match="4 drives need as many seeds, got 2"):
        VectorMotorEnv(4).reset(seed=[1, 2])


def test_it_refuses_a_step_before_a_reset() -> None:
    with pytest.raises(RuntimeError, match="reset the environment before a step"):
        VectorMotorEnv(4).step(np.zeros((4, 1)))
    with pytest.raises(RuntimeError, match="reset the environment before asking for its state"):
        _ = ElectricMotorEnv().state


def test_it_refuses_a_reference_for_a_state_that_the_drive_has_not() -> None:
    with pytest.raises(ValueError, match=r"references must name states among omega, torque, i, got \['i_a'\]"):
        ElectricMotorEnv(references=[WienerReference("i_a")])


def test_it_refuses_no_steps_and_no_drives() -> None:
    with pytest.raises(ValueError, match="episode_steps must be at least 1, got 0"):
        ElectricMotorEnv(episode_steps=0)
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        VectorMotorEnv(0)
