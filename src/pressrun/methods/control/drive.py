"""An electric drive: supply, converter, motor and load, advanced one control step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from operator import add, mul
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Discrete

from pressrun.methods.control._elementwise import Value
from pressrun.methods.control.converters import Cont4QC, Converter
from pressrun.methods.control.loads import PolynomialLoad
from pressrun.methods.control.motors import Motor, Ratings, SeriesDCMotor

__all__ = ["Drive"]


@dataclass(frozen=True)
class Drive:
    """Ideal voltage supply → converter → motor → load (arXiv:1910.09434, figure of the drive model).

    The state is the tuple (omega, *motor state), each component a float (one drive) or an array (many drives).
    J dω/dt = T - T_L with J = j_rotor + j_load. The default is the speed-controlled series DC motor.

    Args:
        motor: one of the room's motors.
        converter: one of the room's converters, with as many outputs as the motor has terminals.
        load: what turns with the shaft.
        supply: supply voltage in V.
        tau: length of a control step in s; 1e-4 suits continuous control, 1e-5 finite control.
        solver: "euler", or "rk4" for the classical Runge-Kutta method of fourth order.
        substeps: equal solver steps in one control step.

    Raises:
        ValueError: if the outputs do not fit the motor, a time or voltage is not positive, or the interlocking time does
            not fit into a step.
    """

    motor: Motor = field(default_factory=SeriesDCMotor)
    converter: Converter = field(default_factory=Cont4QC)
    load: PolynomialLoad = field(default_factory=PolynomialLoad)
    supply: float = 60.0
    tau: float = 1e-4
    solver: Literal["euler", "rk4"] = "euler"
    substeps: int = 1

    def __post_init__(self) -> None:
        if self.converter.outputs != self.motor.TERMINALS:
            raise ValueError(
                f"{type(self.motor).__name__} has {self.motor.TERMINALS} terminal(s), "
                f"but {type(self.converter).__name__} has {self.converter.outputs} output(s)"
            )
        for name in ("supply", "tau"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if self.solver not in ("euler", "rk4"):
            raise ValueError(f"solver must be 'euler' or 'rk4', got {self.solver!r}")
        if self.substeps < 1:
            raise ValueError(f"substeps must be at least 1, got {self.substeps}")
        if self.converter.interlocking_time >= self.tau:
            raise ValueError(
                f"the interlocking time must be shorter than a step of {self.tau} s, got {self.converter.interlocking_time} s"
            )

    @cached_property
    def inertia(self) -> float:
        """Rotor and load together, in kg m²."""
        return self.motor.j_rotor + self.load.j

    @cached_property
    def state_size(self) -> int:
        """Components of a state: omega, the currents, and the angle of a synchronous motor."""
        return 1 + len(self.motor.CURRENTS) + self.motor.HAS_ANGLE

    @cached_property
    def action_size(self) -> int:
        """Components of an action."""
        space = self.converter.action_space
        return 1 if isinstance(space, Discrete) else int(np.prod(space.shape or (1,)))

    @cached_property
    def segments(self) -> tuple[tuple[float, float], ...]:
        """(start, duration) in s of the parts of a step over which the voltage is constant."""
        blanking = self.converter.interlocking_time
        if self.converter.finite and blanking > 0:
            return (0.0, blanking), (blanking, self.tau - blanking)
        return ((0.0, self.tau),)

    def limit(self, name: str) -> float:
        """The value that the quantity `name` is divided by; the unit of the quantity."""
        return _rating(self.motor.limits, name)

    def nominal(self, name: str) -> float:
        """What the quantity `name` may have for long; the unit of the quantity."""
        return _rating(self.motor.nominal, name)

    def lowest(self, name: str) -> float:
        """The lowest normalised value of the quantity `name`: 0 if the drive cannot make it negative, else -1."""
        if name in self.motor.ONE_WAY:
            return 0.0
        if name == "omega":
            return min(self.converter.lowest_voltages)
        if name == "torque":
            return min(self.converter.lowest_currents)
        group, bounds = (
            (self.motor.CURRENTS, self.converter.lowest_currents)
            if name in self.motor.CURRENTS
            else (self.motor.VOLTAGES, self.converter.lowest_voltages)
        )
        if name not in group:
            raise ValueError(f"{type(self.motor).__name__} has no quantity {name!r}")
        # A shunt motor has two currents behind one converter, a synchronous motor two behind three legs.
        return bounds[min(group.index(name), len(bounds) - 1)]

    def advance(
        self, state: Sequence[Value], action: Sequence[Any], previous: Sequence[Any]
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        """One control step of `tau` seconds.

        Args:
            state: (omega in rad/s, currents in A, angle in rad), each a float or an array.
            action: the components of the action; continuous ones are clipped to their range.
            previous: the components of the action before, -1 for none (only interlocking looks at it).

        Returns:
            The state after the step and the mean winding voltages in V during it.

        Raises:
            ValueError: if state or action do not have the drive's components.
        """
        if len(state) != self.state_size or len(action) != self.action_size:
            raise ValueError(
                f"the drive has {self.state_size} state and {self.action_size} action component(s), "
                f"got {len(state)} and {len(action)}"
            )
        if len(self.segments) == 1:
            voltages = self._winding_voltages(state, action, 0.0, previous)
            return self._integrate(state, voltages, self.tau), voltages
        mean: list[Any] = [0.0] * len(self.motor.VOLTAGES)
        for start, duration in self.segments:
            voltages = self._winding_voltages(state, action, start, previous)
            state = self._integrate(state, voltages, duration)
            mean = [total + duration / self.tau * u for total, u in zip(mean, voltages, strict=True)]
        return state, mean

    def derivative(self, state: Sequence[Value], voltages: Sequence[Value]) -> tuple[Value, ...]:
        """Time derivative of the state for given winding voltages in V."""
        motor = self.motor
        inertia = self.inertia
        omega = state[0]
        electrical = state[1:]
        acceleration = (motor.torque(electrical) - self.load.torque(omega, inertia)) / inertia
        return (acceleration,) + motor.derivative(electrical, voltages, omega)  # noqa: RUF005 - unpacking loses the type

    def _winding_voltages(
        self, state: Sequence[Value], action: Sequence[Any], t: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """The converter's voltages for the currents at the start of a segment, seen by the windings, in V.

        A synchronous motor's are turned into the rotor frame once a segment and held there.
        """
        motor, supply = self.motor, self.supply
        electrical = state[1:]
        relative = self.converter.convert(action, motor.terminal_currents(electrical), t, self.tau, previous)
        return motor.winding_voltages([u * supply for u in relative], electrical)

    def _integrate(self, state: Sequence[Value], voltages: Sequence[Value], seconds: float) -> Sequence[Value]:
        """The state after `seconds` at constant winding voltages."""
        if self.solver == "rk4":
            for _ in range(self.substeps):
                state = _rk4_step(self, state, voltages, seconds / self.substeps)
            return state
        h = seconds / self.substeps
        for _ in range(self.substeps):
            state = list(map(add, state, map(mul, self.derivative(state, voltages), repeat(h))))
        return state


def _rk4_step(drive: Drive, state: Sequence[Value], voltages: Sequence[Value], h: float) -> list[Value]:
    k1 = drive.derivative(state, voltages)
    k2 = drive.derivative([x + 0.5 * h * k for x, k in zip(state, k1, strict=True)], voltages)
    k3 = drive.derivative([x + 0.5 * h * k for x, k in zip(state, k2, strict=True)], voltages)
    k4 = drive.derivative([x + h * k for x, k in zip(state, k3, strict=True)], voltages)
    slopes = zip(state, k1, k2, k3, k4, strict=True)
    return [x + h / 6.0 * (a + 2.0 * b + 2.0 * c + d) for x, a, b, c, d in slopes]


def _rating(ratings: Ratings, name: str) -> float:
    quantity = {"o": "omega", "t": "torque", "i": "current", "u": "voltage"}.get(name[:1], "")
    if not quantity:
        raise ValueError(f"no quantity is called {name!r}; omega, torque, currents (i…) and voltages (u…) are")
    return float(getattr(ratings, quantity))
