"""Transforms, load, converters and what holds a drive together."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.methods.control import (
    PMSM,
    Cont1QC,
    Cont2QC,
    Cont4QC,
    ContB6,
    Drive,
    ExtExDCMotor,
    Finite1QC,
    Finite2QC,
    Finite4QC,
    FiniteB6,
    MultiConverter,
    PermExDCMotor,
    PolynomialLoad,
    ShuntDCMotor,
    clarke,
    inverse_clarke,
    inverse_park,
    park,
)

number = st.floats(-1e3, 1e3)


@given(alpha=number, beta=number, epsilon=st.floats(-20, 20))
def test_park_and_clarke_are_undone_by_their_inverses(alpha: float, beta: float, epsilon: float) -> None:
    assert inverse_park(park((alpha, beta), epsilon), epsilon) == pytest.approx((alpha, beta), abs=1e-9)
    assert clarke(inverse_clarke((alpha, beta))) == pytest.approx((alpha, beta), abs=1e-9)


def test_a_three_phase_cosine_of_amplitude_5_is_a_constant_of_length_5_in_the_rotor_frame() -> None:
    angle = np.linspace(0, 6, 13)
    phases = [5 * np.cos(angle - shift) for shift in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
    d, q = park(clarke(phases), angle)
    np.testing.assert_allclose(d, 5.0)
    np.testing.assert_allclose(q, 0.0, atol=1e-12)


def test_clarke_refuses_two_phases() -> None:
    with pytest.raises(ValueError, match="abc must have 3 components, got 2"):
        clarke((1.0, 2.0))


def test_the_load_is_the_polynomial_worked_out_by_hand() -> None:
    load = PolynomialLoad(a=0.5, b=0.1, c=0.01, j=0.0)
    # 0.5 + 0.1 * 10 + 0.01 * 100, with the sign of the speed.
    assert load.torque(10.0, 0.1) == pytest.approx(2.5)
    assert load.torque(-10.0, 0.1) == pytest.approx(-2.5)
    assert load.torque(np.array([10.0, -10.0]), 0.1).tolist() == pytest.approx([2.5, -2.5])


def test_the_constant_load_is_a_line_near_standstill() -> None:
    load = PolynomialLoad(a=0.5, b=0.0, c=0.0, tau_d=1e-3)
    # It is reached at a τ_d / J = 0.005 rad/s; at a tenth of that the load is a tenth.
    assert load.torque(0.0005, 0.1) == pytest.approx(0.05)
    assert load.torque(0.0051, 0.1) == 0.5
    assert load.torque(0.0, 0.1) == 0.0


def test_it_refuses_negative_friction() -> None:
    with pytest.raises(ValueError, match="b of PolynomialLoad must not be negative, got -1"):
        PolynomialLoad(b=-1)


@pytest.mark.parametrize(
    ("converter", "duty", "current", "voltage"),
    [
        (Cont1QC(), 0.3, 5.0, 0.3),
        (Cont1QC(), 0.3, -5.0, 1.0),
        (Cont1QC(), -0.3, 5.0, 0.0),
        (Cont2QC(), 0.3, -5.0, 0.3),
        (Cont2QC(), 1.3, 5.0, 1.0),
        (Cont2QC(interlocking_time=1e-5), 0.3, 5.0, 0.2),
        (Cont2QC(interlocking_time=1e-5), 0.3, -5.0, 0.4),
        (Cont2QC(interlocking_time=1e-5), 0.3, 0.0, 0.3),
        (Cont2QC(interlocking_time=1e-5), 0.05, 5.0, 0.0),
        (Cont4QC(), -0.3, 5.0, -0.3),
        (Cont4QC(), -1.3, 5.0, -1.0),
        (Cont4QC(interlocking_time=1e-5), -0.3, 5.0, -0.4),
    ],
)
def test_a_continuous_converter_averages(converter: Cont2QC, duty: float, current: float, voltage: float) -> None:
    assert converter.convert((duty,), (current,), 0.0, 1e-4, (-1,)) == (pytest.approx(voltage),)
    arrays = converter.convert((np.array([duty]),), (np.array([current]),), 0.0, 1e-4, (np.array([-1]),))
    assert arrays[0].tolist() == [pytest.approx(voltage)]


@pytest.mark.parametrize(
    ("converter", "action", "current", "voltage"),
    [
        (Finite1QC(), 0, 1.0, 0.0),
        (Finite1QC(), 1, 1.0, 1.0),
        (Finite1QC(), 0, -1.0, 1.0),
        (Finite2QC(), 0, 1.0, 0.0),
        (Finite2QC(), 0, -1.0, 1.0),
        (Finite2QC(), 1, -1.0, 1.0),
        (Finite2QC(), 2, -1.0, 0.0),
        (Finite4QC(), 0, 1.0, 0.0),
        (Finite4QC(), 1, 1.0, 1.0),
        (Finite4QC(), 2, 1.0, -1.0),
        (Finite4QC(), 3, -1.0, 0.0),
    ],
)
def test_a_finite_converter_follows_its_truth_table(converter: Finite2QC, action: int, current: float, voltage: float) -> None:
    assert converter.convert((action,), (current,), 0.0, 1e-5, (-1,)) == (voltage,)
    arrays = converter.convert((np.array([action]),), (np.array([current]),), 0.0, 1e-5, (np.array([-1]),))
    assert arrays[0].tolist() == [voltage]


def test_the_bits_of_a_b6_action_are_the_upper_switches_of_its_legs() -> None:
    currents = (1.0, 1.0, 1.0)
    voltages = [FiniteB6().convert((action,), currents, 0.0, 1e-5, (-1,)) for action in range(8)]
    legs = [tuple((bits >> k & 1) - 0.5 for k in (2, 1, 0)) for bits in range(8)]
    assert voltages == legs


@pytest.mark.parametrize(
    ("previous", "action", "current", "during", "after"),
    [
        (2, 1, 5.0, 0.0, 1.0),  # lower to upper: the current goes on through the lower diode
        (2, 1, -5.0, 1.0, 1.0),  # through the upper one
        (1, 2, -5.0, 1.0, 0.0),
        (1, 1, -5.0, 1.0, 1.0),  # nothing switches
        (0, 1, 5.0, 1.0, 1.0),  # nothing was on
        (-1, 1, 5.0, 1.0, 1.0),  # the first action of an episode
    ],
)
def test_a_leg_that_changes_its_switch_is_off_for_the_interlocking_time(
    previous: int, action: int, current: float, during: float, after: float
) -> None:
    converter = Finite2QC(interlocking_time=2e-6)
    assert converter.convert((action,), (current,), 0.0, 1e-5, (previous,)) == (during,)
    assert converter.convert((action,), (current,), 2e-6, 1e-5, (previous,)) == (after,)


def test_interlocking_holds_up_only_the_leg_that_changes() -> None:
    converter = Finite4QC(interlocking_time=2e-6)
    # From 0 (both upper switches) to 1: the second leg goes from upper to lower; its own current is negative, so the
    # diode keeps it at the supply and the bridge at 0.
    assert converter.convert((1,), (5.0,), 0.0, 1e-5, (0,)) == (0.0,)
    assert converter.convert((1,), (5.0,), 2e-6, 1e-5, (0,)) == (1.0,)


def test_a_step_with_interlocking_returns_the_mean_voltage_of_its_two_parts() -> None:
    drive = Drive(converter=Finite2QC(interlocking_time=2e-6), tau=1e-5)
    # 0 V for 2 µs and 60 V for 8 µs.
    assert drive.advance((0.0, 5.0), [1], [2])[1] == [pytest.approx(48.0)]
    assert drive.advance((0.0, 5.0), [1], [1])[1] == [pytest.approx(60.0)]


def test_a_switched_converter_loses_what_the_averaged_one_says() -> None:
    averaged = Drive(converter=Cont2QC(interlocking_time=5e-6), tau=1e-4)
    switched = Drive(converter=Finite2QC(interlocking_time=5e-6), tau=1e-5)
    assert averaged.advance((0.0, 50.0), [0.6], [-1])[1] == [pytest.approx(0.6 * 60 - 3.0)]
    state: tuple[float, ...] | list[float] = (0.0, 50.0)
    total = 0.0
    for previous, action in zip([2, *[1] * 6, *[2] * 3], [*[1] * 6, *[2] * 4], strict=True):
        state, voltages = switched.advance(state, [action], [previous])
        total += voltages[0] / 10
    assert total == pytest.approx(33.0)


def test_converters_side_by_side_have_one_component_each() -> None:
    pair = MultiConverter((Cont4QC(), Cont1QC()))
    assert pair.action_space.shape == (2,)
    assert pair.convert((-0.5, 0.5), (1.0, 1.0), 0.0, 1e-4, (-1, -1)) == (-0.5, 0.5)
    assert MultiConverter((Finite4QC(), Finite2QC())).action_space.contains(np.array([3, 2]))


@pytest.mark.parametrize(
    ("drive", "name", "lowest"),
    [
        (Drive(), "omega", 0.0),
        (Drive(), "i", -1.0),
        (Drive(converter=Cont1QC()), "i", 0.0),
        (Drive(converter=Cont2QC()), "u", 0.0),
        (Drive(motor=PermExDCMotor()), "omega", -1.0),
        (Drive(motor=PermExDCMotor(), converter=Cont2QC()), "omega", 0.0),
        (Drive(motor=ShuntDCMotor()), "i_e", -1.0),
        (Drive(motor=ExtExDCMotor(), converter=MultiConverter((Cont4QC(), Cont1QC()))), "i_e", 0.0),
        (Drive(motor=PMSM(), converter=ContB6()), "i_sq", -1.0),
    ],
)
def test_a_quantity_is_two_sided_if_the_drive_can_make_it_negative(drive: Drive, name: str, lowest: float) -> None:
    assert drive.lowest(name) == lowest


def test_a_drive_refuses_a_converter_with_too_few_outputs() -> None:
    with pytest.raises(ValueError, match=r"PMSM has 3 terminal\(s\), but Cont4QC has 1 output\(s\)"):
        Drive(motor=PMSM())


def test_a_drive_refuses_an_interlocking_time_longer_than_a_step() -> None:
    with pytest.raises(ValueError, match=r"the interlocking time must be shorter than a step of 0\.0001 s, got 0\.001 s"):
        Drive(converter=Cont2QC(interlocking_time=1e-3))


def test_a_drive_refuses_a_state_of_another_motor() -> None:
    with pytest.raises(ValueError, match=r"the drive has 2 state and 1 action component\(s\), got 3 and 1"):
        Drive().advance((0.0, 0.0, 0.0), [0.5], [-1])


def test_a_drive_refuses_an_unknown_solver() -> None:
    with pytest.raises(ValueError, match="solver must be 'euler' or 'rk4', got 'magic'"):
        Drive(solver="magic")  # type: ignore[arg-type]


def test_a_drive_refuses_a_quantity_that_its_motor_has_not() -> None:
    with pytest.raises(ValueError, match="SeriesDCMotor has no quantity 'i_a'"):
        Drive().lowest("i_a")


def test_it_refuses_converters_of_both_kinds_side_by_side() -> None:
    with pytest.raises(ValueError, match="MultiConverter needs parts that are all continuous or all finite, got both kinds"):
        MultiConverter((Cont4QC(), Finite2QC()))


def test_it_refuses_a_negative_interlocking_time() -> None:
    with pytest.raises(ValueError, match=r"interlocking_time must not be negative, got -1e-06 s"):
        Cont2QC(interlocking_time=-1e-6)
