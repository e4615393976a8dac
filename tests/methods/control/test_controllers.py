"""The cascaded PI controller and two-point control."""

import numpy as np
import pytest

from pressrun.methods.control import (
    PMSM,
    CascadedPI,
    Cont2QC,
    ContB6,
    Drive,
    ElectricMotorEnv,
    Finite2QC,
    PermExDCMotor,
    PolynomialLoad,
    StepReference,
    VectorMotorEnv,
    WienerReference,
    bang_bang,
)

LIGHT = PolynomialLoad(a=0.01, b=0.01)
SLOW_STEP = StepReference(frequency=(1.0, 1.0), episode=(2000, 2000))


def series() -> VectorMotorEnv:
    return VectorMotorEnv(4, Drive(converter=Cont2QC()), [SLOW_STEP])


def test_the_first_action_is_the_one_worked_out_by_hand() -> None:
    env = ElectricMotorEnv(Drive(converter=Cont2QC()))
    action = CascadedPI(env)(np.array([0.5, 0.0, 0.2, 0.0, 0.5001, 0.0001]))
    # t_n = 1.6e-3 s; speed loop: k_p = 0.0026 * 400 / (4 * 1.6e-3 * 38) = 4.2763, T* = 4.2763e-4 * 38 = 0.01625 Nm,
    # i* = √(0.01625 / 1.7e-3) = 3.0917 A, against 42 A: error -0.18528. Current loop: k_p = 5.419e-3 * 210 / (4e-4 * 60)
    # = 47.416, so -8.785; the EMF 1.7e-3 * 200 * 42 / 60 = 0.238 does not lift it above 0.
    assert action.tolist() == [0.0]
    # At rest with no current and an error of 0.1 the speed loop asks for the nominal current: full voltage.
    assert CascadedPI(env)(np.array([0.0, 0.0, 0.0, 0.0, 0.1, 0.1])).tolist() == [1.0]


def test_the_current_loop_adds_proportional_part_and_back_emf() -> None:
    env = ElectricMotorEnv(Drive(converter=Cont2QC()))
    # 97 A is nominal; 96 A flow at 100 rad/s, and the speed error is large: 47.41625 * 1 / 210 + 1.7e-3 * 100 * 96 / 60.
    action = CascadedPI(env)(np.array([0.25, 0.0, 96 / 210, 0.0, 0.75, 0.5]))
    assert action.tolist() == [pytest.approx(0.4978, abs=2e-4)]


def test_an_integral_rests_while_its_output_is_clipped() -> None:
    env = ElectricMotorEnv(Drive(converter=Cont2QC()))
    far, near = np.array([0.0, 0.0, 0.0, 0.0, 0.7, 0.7]), np.array([0.25, 0.0, 96 / 210, 0.0, 0.75, 0.5])
    wound, fresh = CascadedPI(env), CascadedPI(env)
    for _ in range(100):
        wound(far)
    assert wound(near).tolist() == fresh(near).tolist()


def test_it_forgets_its_integrals_on_reset() -> None:
    env = ElectricMotorEnv(Drive(converter=Cont2QC()))
    near = np.array([0.25, 0.0, 96 / 210, 0.0, 0.75, 0.5])
    controller = CascadedPI(env)
    first = controller(near)
    assert controller(near).tolist() != first.tolist()
    controller.reset()
    assert controller(near).tolist() == first.tolist()


@pytest.mark.parametrize("motor", ["series", "permex"])
def test_it_reaches_a_constant_speed_and_keeps_it(motor: str) -> None:
    drive = Drive(converter=Cont2QC()) if motor == "series" else Drive(motor=PermExDCMotor(), load=LIGHT, solver="rk4")
    env = VectorMotorEnv(4, drive, [WienerReference(sigma=(1e-9, 1e-9))])
    controller = CascadedPI(env)
    observations, _ = env.reset(seed=0)
    for _ in range(6000):
        observations, _, terminated, *_ = env.step(controller(observations))
        assert not terminated.any()
    errors = observations[:, env.observation_names.index("omega_error")]
    assert np.abs(errors).max() < 1e-3


def test_it_keeps_to_the_nominal_current() -> None:
    env = series()
    controller = CascadedPI(env)
    observations, _ = env.reset(seed=1)
    peak = 0.0
    for _ in range(1500):
        observations, *_ = env.step(controller(observations))
        peak = max(peak, observations[:, 2].max() * 210)
    assert 90 < peak < 1.05 * 97


def test_it_adds_the_voltage_that_interlocking_costs() -> None:
    env = ElectricMotorEnv(Drive(converter=Cont2QC()))
    observation = np.array([0.25, 0.0, 96 / 210, 0.0, 0.75, 0.5])
    plain, corrected = CascadedPI(env)(observation), CascadedPI(env, interlocking_time=5e-6)(observation)
    assert corrected - plain == pytest.approx(0.05)


def test_two_point_control_switches_on_below_the_reference_and_the_nominal_current() -> None:
    act = bang_bang(series())
    rows = np.array([[0.2, 0, 0.1, 0, 0.3, 0.1], [0.4, 0, 0.1, 0, 0.3, -0.1], [0.2, 0, 0.5, 0, 0.3, 0.1]])
    assert act(rows).tolist() == [[1.0], [0.0], [0.0]]


def test_the_controllers_refuse_a_synchronous_motor() -> None:
    env = ElectricMotorEnv(Drive(motor=PMSM(), converter=ContB6(), supply=300.0))
    with pytest.raises(ValueError, match="the controller needs a series or permanently excited DC motor, got PMSM"):
        CascadedPI(env)


def test_the_controllers_refuse_a_finite_converter() -> None:
    env = ElectricMotorEnv(Drive(converter=Finite2QC(), tau=1e-5))
    with pytest.raises(ValueError, match="the controller needs a continuous converter, got Finite2QC"):
        bang_bang(env)


def test_the_controllers_refuse_an_environment_without_a_speed_reference() -> None:
    with pytest.raises(ValueError, match="the controller needs an environment with a reference for omega"):
        CascadedPI(ElectricMotorEnv(references=[WienerReference("i")]))


def test_it_refuses_a_damping_of_one() -> None:
    with pytest.raises(ValueError, match="a must be above 1, got 1"):
        CascadedPI(ElectricMotorEnv(), a=1)
