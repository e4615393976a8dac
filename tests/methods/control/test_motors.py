"""Motor equations against numbers worked out by hand, power balances and independent solutions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from pressrun.methods.control import (
    PMSM,
    Cont2QC,
    Cont4QC,
    ContB6,
    Drive,
    ExtExDCMotor,
    Finite4QC,
    FiniteB6,
    MultiConverter,
    PermExDCMotor,
    PolynomialLoad,
    Ratings,
    SeriesDCMotor,
    ShuntDCMotor,
)

current = st.floats(-200, 200)
speed = st.floats(-400, 400)


def test_the_series_motor_gives_the_slope_worked_out_by_hand() -> None:
    motor = SeriesDCMotor(r_a=1.0, r_e=2.0, l_a=0.5, l_e=1.5, l_e_prime=0.1)
    # (60 - (1 + 2 + 0.1 * 50) * 4) / (0.5 + 1.5) = (60 - 32) / 2 = 14; T = 0.1 * 16.
    assert motor.derivative((4.0,), (60.0,), 50.0) == (14.0,)
    assert motor.torque((4.0,)) == pytest.approx(1.6)


def test_the_permanently_excited_motor_gives_the_slope_worked_out_by_hand() -> None:
    motor = PermExDCMotor(r_a=2.0, l_a=0.5, psi_e=0.1)
    # (60 - 2 * 4 - 0.1 * 50) / 0.5 = 47 / 0.5.
    assert motor.derivative((4.0,), (60.0,), 50.0) == (94.0,)
    assert motor.torque((4.0,)) == 0.4


def test_the_externally_excited_motor_gives_the_slopes_worked_out_by_hand() -> None:
    motor = ExtExDCMotor(r_a=2.0, r_e=3.0, l_a=0.5, l_e=0.25, l_e_prime=0.1)
    # i_a: (60 - 2 * 4 - 0.1 * 50 * 2) / 0.5 = 84; i_e: (10 - 3 * 2) / 0.25 = 16; T = 0.1 * 4 * 2.
    assert motor.derivative((4.0, 2.0), (60.0, 10.0), 50.0) == (84.0, 16.0)
    assert motor.torque((4.0, 2.0)) == pytest.approx(0.8)


def test_the_shunt_motor_is_the_externally_excited_one_with_one_voltage() -> None:
    shunt, separate = ShuntDCMotor(), ExtExDCMotor(r_e=0.4)
    assert shunt.derivative((4.0, 2.0), (60.0,), 50.0) == separate.derivative((4.0, 2.0), (60.0, 60.0), 50.0)
    assert shunt.terminal_currents((4.0, 2.0)) == (6.0,)


def test_the_synchronous_motor_gives_the_slopes_worked_out_by_hand() -> None:
    motor = PMSM(p=2, r_s=1.0, l_d=0.5, l_q=0.25, psi_p=0.1)
    # With p ω = 20: d: (10 - 1 + 20 * 0.25 * 2) / 0.5 = 38; q: (10 - 2 - 20 * (0.5 * 1 + 0.1)) / 0.25 = -16.
    assert motor.derivative((1.0, 2.0, 0.3), (10.0, 10.0), 10.0) == pytest.approx((38.0, -16.0, 20.0))
    # 1.5 * 2 * (0.1 + 0.25 * 1) * 2.
    assert motor.torque((1.0, 2.0, 0.3)) == pytest.approx(2.1)


@given(i_a=current, i_e=current, u_a=st.floats(-60, 60), u_e=st.floats(-60, 60), omega=speed)
def test_a_dc_motor_turns_what_is_not_heat_or_field_into_torque(
    i_a: float, i_e: float, u_a: float, u_e: float, omega: float
) -> None:
    motor = ExtExDCMotor()
    slope_a, slope_e = motor.derivative((i_a, i_e), (u_a, u_e), omega)
    heat = motor.r_a * i_a**2 + motor.r_e * i_e**2
    field = motor.l_a * i_a * slope_a + motor.l_e * i_e * slope_e
    mechanical = motor.torque((i_a, i_e)) * omega
    assert u_a * i_a + u_e * i_e == pytest.approx(heat + field + mechanical, rel=1e-9, abs=1e-6)


@given(i_d=current, i_q=current, u_d=st.floats(-150, 150), u_q=st.floats(-150, 150), omega=speed)
def test_a_synchronous_motor_turns_what_is_not_heat_or_field_into_torque(
    i_d: float, i_q: float, u_d: float, u_q: float, omega: float
) -> None:
    motor = PMSM()
    slope_d, slope_q, _ = motor.derivative((i_d, i_q, 0.0), (u_d, u_q), omega)
    heat = motor.r_s * (i_d**2 + i_q**2)
    field = motor.l_d * i_d * slope_d + motor.l_q * i_q * slope_q
    mechanical = motor.torque((i_d, i_q, 0.0)) * omega
    # Amplitude-invariant transforms leave two thirds of the power in (d, q).
    assert 1.5 * (u_d * i_d + u_q * i_q) == pytest.approx(1.5 * (heat + field) + mechanical, rel=1e-9, abs=1e-5)


def test_the_series_motor_settles_where_voltage_and_torque_balance() -> None:
    drive = Drive(load=PolynomialLoad(a=0.01, b=0.05), solver="rk4")
    state: tuple[float, ...] | list[float] = (0.0, 0.0)
    for _ in range(60_000):
        state, _ = drive.advance(state, [0.5], [-1])
    omega, i = state
    assert (0.064 + 1.7e-3 * omega) * i == pytest.approx(30.0, rel=1e-6)
    assert 1.7e-3 * i**2 == pytest.approx(0.01 + 0.05 * omega, rel=1e-6)


def test_one_euler_step_is_the_one_worked_out_by_hand() -> None:
    drive = Drive(load=PolynomialLoad(a=0.0, b=0.05, j=1e-4), converter=Cont4QC(), tau=1e-4)
    omega, i = drive.advance((100.0, 50.0), [0.5], [-1])[0]
    # T = 1.7e-3 * 2500 = 4.25, T_L = 5: dω = 1e-4 * (-0.75 / 0.0026).
    assert omega == pytest.approx(100 - 0.75 / 26)
    # di = 1e-4 * (30 - (0.064 + 0.17) * 50) / 5.419e-3 = 1e-4 * 18.3 / 5.419e-3.
    assert i == pytest.approx(50 + 1.83 / 5.419)


def test_runge_kutta_agrees_with_an_independent_solution_and_euler_converges_to_it() -> None:
    def slope(_: float, y: np.ndarray) -> list[float]:
        omega, i = y
        load = 0.01 + 0.05 * omega if omega > 0 else 0.0
        return [(0.165 * i - load) / 0.0251, (12.0 - 16e-3 * i - 0.165 * omega) / 19e-6]

    solution = solve_ivp(slope, (0.0, 0.02), [10.0, 5.0], method="LSODA", rtol=1e-10, atol=1e-10).y[:, -1]

    def deviation(**solver: object) -> float:
        drive = Drive(motor=PermExDCMotor(), tau=1e-4, **solver)  # type: ignore[arg-type]
        state: tuple[float, ...] | list[float] = (10.0, 5.0)
        for _ in range(200):
            state, _ = drive.advance(state, [0.2], [-1])
        return float(np.max(np.abs(np.array(state) - solution) / np.abs(solution)))

    assert deviation(solver="rk4") < 1e-5
    errors = [deviation(solver="euler", substeps=n) for n in (4, 8, 16)]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.4)
    assert errors[1] / errors[2] == pytest.approx(2.0, abs=0.3)


# Trajectories that gym-electric-motor 3.0.3 computed with explicit Euler, τ = 1e-4 s (continuous) or 1e-5 s (finite), the load
# a = 0.01, b = 0.05, c = 1e-5, j = 1e-4 and the actions below: (omega, currents) after 1, 50 and 100 steps.
PEER = {
    "Cont-SeriesDc": ([[0.8]] * 60 + [[-0.2]] * 40, [[0, 0.885772283], [1.92535354, 43.0064193], [8.32013203, 39.9192468]]),
    "Cont-ShuntDc": (
        [[0.05]] * 100,
        [[0, 15.7894737, 0.0555555556], [0.631696619, 185.11027, 2.32854492], [2.40602301, 186.71839, 3.93414031]],
    ),
    "Cont-PermExDc": ([[0.2]] * 60 + [[-0.1]] * 40, [[0, 63.1578947], [17.3541791, 610.819325], [14.3661941, -524.092291]]),
    "Cont-ExtExDc": (
        [[0.1, 0.5]] * 60 + [[-0.1, 0.8]] * 40,
        [[0, 31.5789474, 0.555555556], [13.6386859, 350.434026, 25.8536727], [-11.0745997, -360.399694, 60.7335791]],
    ),
    "Cont-PMSM": (
        [[0.2, -0.1, -0.1]] * 50 + [[-0.1, 0.3, -0.2]] * 50,
        [[0, 8.10810811, 0], [0, 360.640872, 0], [-4.16281007, 86.5157143, 176.491152]],
    ),
    "Finite-PMSM": ([[4]] * 60 + [[2]] * 40, [[0, 5.40540541, 0], [0, 267.073872, 0], [-0.178268579, 206.447941, 57.5755292]]),
    "Finite-SeriesDc": ([[1]] * 60 + [[2]] * 40, [[0, 0.110721535], [0.00286995204, 5.52008775], [0.0088930739, 2.17031447]]),
}


def peer_drive(name: str) -> Drive:
    kind, motor = name.split("-")
    bridges = {
        "Cont-PMSM": ContB6(),
        "Finite-PMSM": FiniteB6(),
        "Cont-ExtExDc": MultiConverter((Cont4QC(), Cont2QC())),
        "Finite-SeriesDc": Finite4QC(),
    }
    motors = {
        "SeriesDc": SeriesDCMotor,
        "ShuntDc": ShuntDCMotor,
        "PermExDc": PermExDCMotor,
        "ExtExDc": ExtExDCMotor,
        "PMSM": PMSM,
    }
    return Drive(
        motor=motors[motor](),
        converter=bridges.get(name, Cont4QC()),
        load=PolynomialLoad(a=0.01, b=0.05, c=1e-5, j=1e-4),
        supply=300.0 if motor == "PMSM" else 60.0,
        tau=1e-4 if kind == "Cont" else 1e-5,
    )


@pytest.mark.parametrize("name", PEER)
def test_it_follows_the_trajectory_of_gym_electric_motor(name: str) -> None:
    actions, expected = PEER[name]
    drive = peer_drive(name)
    state: tuple[float, ...] | list[float] = (0.0,) * drive.state_size
    states = []
    for action in actions:
        state, _ = drive.advance(state, action, [-1] * len(action))
        states.append(list(state[: 1 + len(drive.motor.CURRENTS)]))
    np.testing.assert_allclose([states[k] for k in (0, 49, 99)], expected, rtol=1e-7, atol=1e-9)


def test_one_equation_serves_floats_and_arrays() -> None:
    motor = PMSM()
    floats = motor.derivative((10.0, -20.0, 0.5), (3.0, 4.0), 100.0)
    arrays = motor.derivative(
        (np.array([10.0, 1.0]), np.array([-20.0, 1.0]), np.array([0.5, 1.0])),
        (np.array([3.0, 1.0]), np.array([4.0, 1.0])),
        np.full(2, 100.0),
    )
    assert [float(component[0]) for component in arrays] == list(floats)


def test_the_overload_of_two_currents_is_that_of_the_larger() -> None:
    assert ExtExDCMotor().overload((-105.0, 10.0)) == 0.5
    assert PMSM().overload((240.0, -320.0, 0.0)) == 1.0


def test_it_refuses_an_inductance_of_zero() -> None:
    with pytest.raises(ValueError, match="l_a of SeriesDCMotor must be positive and finite, got 0"):
        SeriesDCMotor(l_a=0)


def test_it_refuses_a_negative_resistance() -> None:
    with pytest.raises(ValueError, match=r"r_s of PMSM must not be negative, got -0\.1"):
        PMSM(r_s=-0.1)


def test_it_refuses_a_rating_of_zero() -> None:
    with pytest.raises(ValueError, match="torque of Ratings must be positive and finite, got 0"):
        Ratings(omega=1, torque=0, current=1, voltage=1)
