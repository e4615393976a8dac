"""Equations of the DC motor family and of the permanent-magnet synchronous motor.

Traue, Book, Kirchgässner and Wallscheid, arXiv:1910.09434, section on the motor models; SI units throughout (A, V, rad/s, Nm).

A motor's state is a tuple of components, each a float (one motor) or an array (many motors of one kind): `(i,)` for the
series and the permanently excited motor, `(i_a, i_e)` for the shunt and the externally excited one, `(i_sd, i_sq, epsilon)`
for the synchronous motor. `omega` is the mechanical speed. Default parameters are those of the gym-electric-motor package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar, Protocol

from pressrun.methods.control._checks import require_not_negative, require_positive
from pressrun.methods.control._elementwise import Value, larger, length
from pressrun.methods.control.transforms import clarke, inverse_clarke, inverse_park, park

__all__ = ["PMSM", "ExtExDCMotor", "Motor", "PermExDCMotor", "Ratings", "SeriesDCMotor", "ShuntDCMotor"]


@dataclass(frozen=True)
class Ratings:
    """Magnitudes that a motor bears: omega in rad/s, torque in Nm, current in A, voltage in V (of the phase, for three phases)."""

    omega: float
    torque: float
    current: float
    voltage: float

    def __post_init__(self) -> None:
        require_positive(self, *(rating.name for rating in fields(self)))


class Motor(Protocol):
    """What a drive needs of a motor."""

    CURRENTS: ClassVar[tuple[str, ...]]
    VOLTAGES: ClassVar[tuple[str, ...]]
    HAS_ANGLE: ClassVar[bool]
    TERMINALS: ClassVar[int]
    ONE_WAY: ClassVar[frozenset[str]]

    @property
    def j_rotor(self) -> float: ...
    @property
    def nominal(self) -> Ratings: ...
    @property
    def limits(self) -> Ratings: ...
    def derivative(self, state: Sequence[Value], u: Sequence[Value], omega: Value) -> tuple[Value, ...]: ...
    def torque(self, state: Sequence[Value]) -> Value: ...
    def terminal_currents(self, state: Sequence[Value]) -> Sequence[Value]: ...
    def winding_voltages(self, u: Sequence[Value], state: Sequence[Value]) -> Sequence[Value]: ...
    def overload(self, state: Sequence[Value]) -> Value: ...


DC_NOMINAL = Ratings(omega=300.0, torque=16.0, current=97.0, voltage=60.0)
DC_LIMITS = Ratings(omega=400.0, torque=38.0, current=210.0, voltage=60.0)


@dataclass(frozen=True)
class SeriesDCMotor:
    """Armature and excitation in series, one current i: di/dt = (u - (r_a + r_e + l_e' ω) i) / (l_a + l_e), T = l_e' i².

    Args:
        r_a, r_e: resistances in Ω of armature and excitation.
        l_a, l_e: inductances in H of armature and excitation.
        l_e_prime: effective excitation inductance in H.
        j_rotor: inertia of the rotor in kg m².
        nominal, limits: what it bears for long, and at all.

    Raises:
        ValueError: if a resistance is negative or another parameter not positive.
    """

    CURRENTS: ClassVar[tuple[str, ...]] = ("i",)
    VOLTAGES: ClassVar[tuple[str, ...]] = ("u",)
    HAS_ANGLE: ClassVar = False
    TERMINALS: ClassVar = 1
    # The torque goes with i², so the motor turns one way only.
    ONE_WAY: ClassVar[frozenset[str]] = frozenset({"omega", "torque"})

    r_a: float = 16e-3
    r_e: float = 48e-3
    l_a: float = 19e-6
    l_e: float = 5.4e-3
    l_e_prime: float = 1.7e-3
    j_rotor: float = 0.0025
    nominal: Ratings = DC_NOMINAL
    limits: Ratings = DC_LIMITS

    def __post_init__(self) -> None:
        require_positive(self, "l_a", "l_e", "l_e_prime", "j_rotor")
        require_not_negative(self, "r_a", "r_e")

    def derivative(self, state: Sequence[Value], u: Sequence[Value], omega: Value) -> tuple[Value, ...]:
        """(di/dt,) in A/s for u = (voltage over the whole circuit,)."""
        return ((u[0] - (self.l_e_prime * omega + (self.r_a + self.r_e)) * state[0]) / (self.l_a + self.l_e),)

    def torque(self, state: Sequence[Value]) -> Value:
        """Air-gap torque in Nm."""
        return self.l_e_prime * state[0] * state[0]

    def terminal_currents(self, state: Sequence[Value]) -> Sequence[Value]:
        """The current that the converter carries, (i,)."""
        return state

    def winding_voltages(self, u: Sequence[Value], state: Sequence[Value]) -> Sequence[Value]:  # noqa: ARG002
        """The converter's voltage is the winding's."""
        return u

    def overload(self, state: Sequence[Value]) -> Value:
        """|i| by its limit; above 1 the limit is violated."""
        return abs(state[0]) / self.limits.current


@dataclass(frozen=True)
class PermExDCMotor:
    """Excited by a permanent magnet of flux ψ_e: di/dt = (u - r_a i - ψ_e ω) / l_a, T = ψ_e i.

    Args:
        r_a: armature resistance in Ω.
        l_a: armature inductance in H; l_a / r_a is about 1.2 ms here, so explicit Euler needs steps well below that.
        psi_e: flux in Vs.
        j_rotor: inertia of the rotor in kg m².
        nominal, limits: what it bears for long, and at all.

    Raises:
        ValueError: if the resistance is negative or another parameter not positive.
    """

    CURRENTS: ClassVar[tuple[str, ...]] = ("i",)
    VOLTAGES: ClassVar[tuple[str, ...]] = ("u",)
    HAS_ANGLE: ClassVar = False
    TERMINALS: ClassVar = 1
    ONE_WAY: ClassVar[frozenset[str]] = frozenset()

    r_a: float = 16e-3
    l_a: float = 19e-6
    psi_e: float = 0.165
    j_rotor: float = 0.025
    nominal: Ratings = DC_NOMINAL
    limits: Ratings = DC_LIMITS

    def __post_init__(self) -> None:
        require_positive(self, "l_a", "psi_e", "j_rotor")
        require_not_negative(self, "r_a")

    def derivative(self, state: Sequence[Value], u: Sequence[Value], omega: Value) -> tuple[Value, ...]:
        """(di/dt,) in A/s for u = (armature voltage,)."""
        return ((u[0] - self.r_a * state[0] - self.psi_e * omega) / self.l_a,)

    def torque(self, state: Sequence[Value]) -> Value:
        """Air-gap torque in Nm."""
        return self.psi_e * state[0]

    def terminal_currents(self, state: Sequence[Value]) -> Sequence[Value]:
        """The current that the converter carries, (i,)."""
        return state

    def winding_voltages(self, u: Sequence[Value], state: Sequence[Value]) -> Sequence[Value]:  # noqa: ARG002
        """The converter's voltage is the winding's."""
        return u

    def overload(self, state: Sequence[Value]) -> Value:
        """|i| by its limit; above 1 the limit is violated."""
        return abs(state[0]) / self.limits.current


@dataclass(frozen=True)
class ExtExDCMotor:
    """Armature and excitation each with a supply of its own.

    di_a/dt = (u_a - r_a i_a - l_e' ω i_e) / l_a, di_e/dt = (u_e - r_e i_e) / l_e, T = l_e' i_a i_e.

    Args:
        r_a, r_e: resistances in Ω of armature and excitation.
        l_a, l_e: inductances in H of armature and excitation.
        l_e_prime: effective excitation inductance in H.
        j_rotor: inertia of the rotor in kg m².
        nominal, limits: what it bears for long, and at all; the current stands for each of the two.

    Raises:
        ValueError: if a resistance is negative or another parameter not positive.
    """

    CURRENTS: ClassVar[tuple[str, ...]] = ("i_a", "i_e")
    VOLTAGES: ClassVar[tuple[str, ...]] = ("u_a", "u_e")
    HAS_ANGLE: ClassVar = False
    TERMINALS: ClassVar[int] = 2
    ONE_WAY: ClassVar[frozenset[str]] = frozenset()

    r_a: float = 16e-3
    r_e: float = 16e-2
    l_a: float = 19e-6
    l_e: float = 5.4e-3
    l_e_prime: float = 1.7e-3
    j_rotor: float = 0.0025
    nominal: Ratings = DC_NOMINAL
    limits: Ratings = DC_LIMITS

    def __post_init__(self) -> None:
        require_positive(self, "l_a", "l_e", "l_e_prime", "j_rotor")
        require_not_negative(self, "r_a", "r_e")

    def derivative(self, state: Sequence[Value], u: Sequence[Value], omega: Value) -> tuple[Value, ...]:
        """(di_a/dt, di_e/dt) in A/s for u = (u_a, u_e)."""
        i_a, i_e = state
        return (u[0] - self.r_a * i_a - self.l_e_prime * omega * i_e) / self.l_a, (u[1] - self.r_e * i_e) / self.l_e

    def torque(self, state: Sequence[Value]) -> Value:
        """Air-gap torque in Nm."""
        return self.l_e_prime * state[0] * state[1]

    def terminal_currents(self, state: Sequence[Value]) -> Sequence[Value]:
        """The currents that the two converters carry, (i_a, i_e)."""
        return state

    def winding_voltages(self, u: Sequence[Value], state: Sequence[Value]) -> Sequence[Value]:  # noqa: ARG002
        """The converters' voltages are the windings'."""
        return u

    def overload(self, state: Sequence[Value]) -> Value:
        """The larger of |i_a| and |i_e| by the limit; above 1 the limit is violated."""
        return larger(abs(state[0]), abs(state[1])) / self.limits.current


@dataclass(frozen=True)
class ShuntDCMotor(ExtExDCMotor):
    """Armature and excitation in parallel at one supply: the externally excited motor with u_a = u_e = u.

    The converter carries i_a + i_e. Arguments and errors as for `ExtExDCMotor`; the excitation has more resistance.
    """

    VOLTAGES: ClassVar[tuple[str, ...]] = ("u",)
    TERMINALS: ClassVar[int] = 1
    # Reversing the supply reverses both currents and so leaves the direction of the torque.
    ONE_WAY: ClassVar[frozenset[str]] = frozenset({"omega"})

    r_e: float = 4e-1

    def derivative(self, state: Sequence[Value], u: Sequence[Value], omega: Value) -> tuple[Value, ...]:
        """(di_a/dt, di_e/dt) in A/s for u = (common voltage,)."""
        return super().derivative(state, (u[0], u[0]), omega)

    def terminal_currents(self, state: Sequence[Value]) -> Sequence[Value]:
        """The current that the converter carries, (i_a + i_e,)."""
        return (state[0] + state[1],)


# 3,000 and 4,000 revolutions a minute, half of 300 V, and the most torque that each current can give.
PMSM_NOMINAL = Ratings(omega=314.1592653589793, torque=160.6, current=240.0, voltage=150.0)
PMSM_LIMITS = Ratings(omega=418.8790204786391, torque=385.6, current=400.0, voltage=150.0)


@dataclass(frozen=True)
class PMSM:
    """Permanent-magnet synchronous motor in the rotor frame, with p pole pairs and the electrical angle ε.

    l_d di_d/dt = u_d - r_s i_d + p ω l_q i_q, l_q di_q/dt = u_q - r_s i_q - p ω (l_d i_d + ψ_p), dε/dt = p ω,
    T = 1.5 p (ψ_p + (l_d - l_q) i_d) i_q.

    Args:
        p: pole pairs.
        r_s: stator resistance in Ω.
        l_d, l_q: inductances in H along and across the magnet.
        psi_p: flux of the magnet in Vs.
        j_rotor: inertia of the rotor in kg m².
        nominal, limits: what it bears for long, and at all; the current is the length of (i_d, i_q).

    Raises:
        ValueError: if the resistance is negative or another parameter not positive.
    """

    CURRENTS: ClassVar[tuple[str, ...]] = ("i_sd", "i_sq")
    VOLTAGES: ClassVar[tuple[str, ...]] = ("u_sd", "u_sq")
    HAS_ANGLE: ClassVar = True
    TERMINALS: ClassVar = 3
    ONE_WAY: ClassVar[frozenset[str]] = frozenset()

    p: int = 3
    r_s: float = 18e-3
    l_d: float = 0.37e-3
    l_q: float = 1.2e-3
    psi_p: float = 66e-3
    j_rotor: float = 0.03883
    nominal: Ratings = field(default=PMSM_NOMINAL)
    limits: Ratings = field(default=PMSM_LIMITS)

    def __post_init__(self) -> None:
        require_positive(self, "p", "l_d", "l_q", "psi_p", "j_rotor")
        require_not_negative(self, "r_s")

    def derivative(self, state: Sequence[Value], u: Sequence[Value], omega: Value) -> tuple[Value, ...]:
        """(di_sd/dt, di_sq/dt, dε/dt) in A/s and rad/s for u = (u_sd, u_sq)."""
        i_d, i_q = state[0], state[1]
        electrical = self.p * omega
        return (
            (u[0] - self.r_s * i_d + electrical * self.l_q * i_q) / self.l_d,
            (u[1] - self.r_s * i_q - electrical * (self.l_d * i_d + self.psi_p)) / self.l_q,
            electrical,
        )

    def torque(self, state: Sequence[Value]) -> Value:
        """Air-gap torque in Nm."""
        return 1.5 * self.p * (self.psi_p + (self.l_d - self.l_q) * state[0]) * state[1]

    def terminal_currents(self, state: Sequence[Value]) -> Sequence[Value]:
        """The phase currents that the bridge carries, (i_a, i_b, i_c)."""
        return inverse_clarke(inverse_park(state[:2], state[2]))

    def winding_voltages(self, u: Sequence[Value], state: Sequence[Value]) -> Sequence[Value]:
        """(u_sd, u_sq) from three phase voltages at the angle of `state`."""
        return park(clarke(u), state[2])

    def overload(self, state: Sequence[Value]) -> Value:
        """The length of (i_sd, i_sq) by the limit; above 1 the limit is violated."""
        return length(state[0], state[1]) / self.limits.current
