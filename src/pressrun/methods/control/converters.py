"""Power-electronic converters: an action becomes a voltage, in units of the supply voltage.

Continuous converters average over a step: u = clip(duty - sgn(i) t_il / τ, low, high). Finite ones switch half-bridges
("legs"); a leg is off (0), has its upper switch on (1) or its lower one (2). With an interlocking time t_il, a leg that
changes from one switch to the other has both off for t_il, and then its voltage follows from the free-wheeling diodes:
the supply's if the current is negative, else 0 (arXiv:1910.09434, converter models).

Actions, currents and voltages are tuples of components, each a number (one drive) or an array (many drives).
"""

# ruff: noqa: ARG002 - all converters share one signature, of which each uses its part

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray

from pressrun.methods.control._elementwise import Value, clip, sign

# A switching state of one drive, or of many.
Switch: TypeAlias = "int | NDArray[np.int64]"

__all__ = [
    "Cont1QC",
    "Cont2QC",
    "Cont4QC",
    "ContB6",
    "Converter",
    "Finite1QC",
    "Finite2QC",
    "Finite4QC",
    "FiniteB6",
    "MultiConverter",
]


class Converter(Protocol):
    """What a drive needs of a converter."""

    @property
    def action_space(self) -> Space[Any]:
        """What an action may be."""
        ...

    @property
    def finite(self) -> bool:
        """Whether actions are switching states rather than duty cycles."""
        ...

    @property
    def outputs(self) -> int:
        """Terminals that it feeds."""
        ...

    @property
    def lowest_voltages(self) -> tuple[float, ...]:
        """For each output 0.0 or -1.0: whether its voltage can be negative."""
        ...

    @property
    def lowest_currents(self) -> tuple[float, ...]:
        """For each output 0.0 or -1.0: whether its current can be negative."""
        ...

    @property
    def interlocking_time(self) -> float:
        """Seconds for which both switches of a leg are off at a change."""
        ...

    def convert(
        self, action: Sequence[Any], i: Sequence[Value], t: float, tau: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """Voltages in units of the supply's, from `t` seconds after the action was set.

        Args:
            action: one component for each number in the action space.
            i: the currents in A that the converter carries, one for each output.
            t: seconds since the step began.
            tau: length of the step in s.
            previous: the action of the step before (-1 for none); only finite converters look at it.
        """
        ...


def _unit_box(low: float, size: int) -> Box:
    return Box(low, 1.0, shape=(size,), dtype=np.float64)


@dataclass(frozen=True)
class Cont1QC:
    """One switch: the duty cycle in [0, 1] gives u >= 0, and the diode lets i >= 0 only. One switch has nothing to interlock."""

    finite: ClassVar = False
    outputs: ClassVar = 1
    lowest_voltages: ClassVar = (0.0,)
    lowest_currents: ClassVar = (0.0,)
    interlocking_time: ClassVar = 0.0

    @property
    def action_space(self) -> Space[Any]:
        """What an action may be."""
        return _unit_box(0.0, 1)

    def convert(
        self, action: Sequence[Any], i: Sequence[Value], t: float, tau: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """Voltages by the supply's; arguments as for `Converter.convert`."""
        duty = clip(action[0], 0.0, 1.0)
        negative = i[0] < 0.0
        return (duty + (1.0 - duty) * negative,)


@dataclass(frozen=True)
class Cont2QC:
    """One leg: the duty cycle in [0, 1] gives 0 <= u <= 1; the current may have either sign.

    Args:
        interlocking_time: t_il in s, during which both switches are off at each change; costs t_il / τ of the supply voltage.
    """

    interlocking_time: float = 0.0

    finite: ClassVar = False
    outputs: ClassVar = 1
    lowest_voltages: ClassVar = (0.0,)
    lowest_currents: ClassVar = (-1.0,)

    def __post_init__(self) -> None:
        _check_interlocking(self.interlocking_time)

    @property
    def action_space(self) -> Space[Any]:
        """What an action may be."""
        return _unit_box(0.0, 1)

    def convert(
        self, action: Sequence[Any], i: Sequence[Value], t: float, tau: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """Voltages by the supply's; arguments as for `Converter.convert`."""
        return (_averaged(action[0], i[0], self.interlocking_time / tau, 0.0),)


@dataclass(frozen=True)
class Cont4QC:
    """A full bridge: an action in [-1, 1] is the mean voltage; the current may have either sign.

    The interlocking time t_il costs t_il / τ of the supply voltage, as in arXiv:1910.09434; a bridge whose two legs switch in
    opposition at every edge would lose twice that.
    """

    interlocking_time: float = 0.0

    finite: ClassVar = False
    outputs: ClassVar = 1
    lowest_voltages: ClassVar = (-1.0,)
    lowest_currents: ClassVar = (-1.0,)

    def __post_init__(self) -> None:
        _check_interlocking(self.interlocking_time)

    @property
    def action_space(self) -> Space[Any]:
        """What an action may be."""
        return _unit_box(-1.0, 1)

    def convert(
        self, action: Sequence[Any], i: Sequence[Value], t: float, tau: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """Voltages by the supply's; arguments as for `Converter.convert`."""
        return (_averaged(action[0], i[0], self.interlocking_time / tau, -1.0),)


@dataclass(frozen=True)
class ContB6:
    """Three legs: actions in [-1, 1] give phase voltages in [-0.5, 0.5] of the supply's; each leg has its own interlocking loss."""

    interlocking_time: float = 0.0

    finite: ClassVar = False
    outputs: ClassVar = 3
    lowest_voltages: ClassVar = (-1.0, -1.0, -1.0)
    lowest_currents: ClassVar = (-1.0, -1.0, -1.0)

    def __post_init__(self) -> None:
        _check_interlocking(self.interlocking_time)

    @property
    def action_space(self) -> Space[Any]:
        """What an action may be."""
        return _unit_box(-1.0, 3)

    def convert(
        self, action: Sequence[Any], i: Sequence[Value], t: float, tau: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """Voltages by the supply's; arguments as for `Converter.convert`."""
        loss = self.interlocking_time / tau
        return tuple(_averaged(0.5 * (duty + 1.0), current, loss, 0.0) - 0.5 for duty, current in zip(action, i, strict=True))


@dataclass(frozen=True)
class Finite1QC:
    """One switch: action 0 off, 1 on; u is 0 or 1, and 1 while the current is negative (the diode conducts)."""

    finite: ClassVar = True
    outputs: ClassVar = 1
    lowest_voltages: ClassVar = (0.0,)
    lowest_currents: ClassVar = (0.0,)
    interlocking_time: ClassVar = 0.0

    @property
    def action_space(self) -> Space[Any]:
        """What an action may be."""
        return Discrete(2)

    def convert(
        self, action: Sequence[Any], i: Sequence[Value], t: float, tau: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """Voltages by the supply's; arguments as for `Converter.convert`."""
        return (1.0 * ((action[0] == 1) | (i[0] < 0.0)),)


@dataclass(frozen=True)
class Finite2QC:
    """One leg: action 0 both switches off (free-wheeling), 1 upper on, 2 lower on; u is 0 or 1.

    Args:
        interlocking_time: t_il in s with both off when the leg changes from one switch to the other.
    """

    interlocking_time: float = 0.0

    finite: ClassVar = True
    outputs: ClassVar = 1
    lowest_voltages: ClassVar = (0.0,)
    lowest_currents: ClassVar = (-1.0,)

    def __post_init__(self) -> None:
        _check_interlocking(self.interlocking_time)

    @property
    def action_space(self) -> Space[Any]:
        """What an action may be."""
        return Discrete(3)

    def convert(
        self, action: Sequence[Any], i: Sequence[Value], t: float, tau: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """Voltages by the supply's; arguments as for `Converter.convert`."""
        before = (previous[0] >= 0) * previous[0]
        return (_leg(action[0], before, i[0], t < self.interlocking_time),)


@dataclass(frozen=True)
class Finite4QC:
    """Two legs: actions 0 and 3 give 0, 1 gives +1, 2 gives -1. Arguments as for `Finite2QC`."""

    interlocking_time: float = 0.0

    finite: ClassVar = True
    outputs: ClassVar = 1
    lowest_voltages: ClassVar = (-1.0,)
    lowest_currents: ClassVar = (-1.0,)

    def __post_init__(self) -> None:
        _check_interlocking(self.interlocking_time)

    @property
    def action_space(self) -> Space[Any]:
        """What an action may be."""
        return Discrete(4)

    def convert(
        self, action: Sequence[Any], i: Sequence[Value], t: float, tau: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """Voltages by the supply's; arguments as for `Converter.convert`."""
        blanked = t < self.interlocking_time
        now, before = self._legs(action[0]), self._legs(previous[0])
        return (_leg(now[0], before[0], i[0], blanked) - _leg(now[1], before[1], -i[0], blanked),)

    @staticmethod
    def _legs(action: Switch) -> tuple[Any, Any]:
        """States of the two legs; both off for the action -1, which stands for none."""
        known = action >= 0
        return known * (1 + (action >> 1)), known * (1 + (action & 1))


@dataclass(frozen=True)
class FiniteB6:
    """Three legs: the bits of an action 0..7 set the upper switches of phases a (4), b (2) and c (1); phase voltages ±0.5.

    Arguments as for `Finite2QC`.
    """

    interlocking_time: float = 0.0

    finite: ClassVar = True
    outputs: ClassVar = 3
    lowest_voltages: ClassVar = (-1.0, -1.0, -1.0)
    lowest_currents: ClassVar = (-1.0, -1.0, -1.0)

    def __post_init__(self) -> None:
        _check_interlocking(self.interlocking_time)

    @property
    def action_space(self) -> Space[Any]:
        """What an action may be."""
        return Discrete(8)

    def convert(
        self, action: Sequence[Any], i: Sequence[Value], t: float, tau: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """Voltages by the supply's; arguments as for `Converter.convert`."""
        blanked = t < self.interlocking_time
        known = previous[0] >= 0
        return tuple(
            _leg(2 - (action[0] >> bit & 1), known * (2 - (previous[0] >> bit & 1)), current, blanked) - 0.5
            for bit, current in zip((2, 1, 0), i, strict=True)
        )


@dataclass(frozen=True)
class MultiConverter:
    """Converters side by side, one for each supply of a motor, such as (armature, excitation).

    Args:
        parts: converters of one output each, all continuous or all finite.

    Raises:
        ValueError: if a part has several outputs, or continuous and finite parts are mixed.
    """

    parts: tuple[Converter, ...]

    def __post_init__(self) -> None:
        if not self.parts or any(part.outputs != 1 for part in self.parts):
            raise ValueError("MultiConverter needs at least one part, each with one output")
        if len({part.finite for part in self.parts}) > 1:
            raise ValueError("MultiConverter needs parts that are all continuous or all finite, got both kinds")
        times = {part.interlocking_time for part in self.parts if part.interlocking_time}
        if self.finite and len(times) > 1:
            raise ValueError(f"finite parts must share one interlocking time, got {sorted(times)} s")

    @property
    def finite(self) -> bool:
        return self.parts[0].finite

    @property
    def outputs(self) -> int:
        return len(self.parts)

    @property
    def lowest_voltages(self) -> tuple[float, ...]:
        return tuple(part.lowest_voltages[0] for part in self.parts)

    @property
    def lowest_currents(self) -> tuple[float, ...]:
        return tuple(part.lowest_currents[0] for part in self.parts)

    @property
    def interlocking_time(self) -> float:
        return max(part.interlocking_time for part in self.parts)

    @property
    def action_space(self) -> Space[Any]:
        """What an action may be."""
        spaces = [part.action_space for part in self.parts]
        if self.finite:
            return MultiDiscrete([space.n for space in spaces if isinstance(space, Discrete)])
        return Box(np.array(self.lowest_voltages), np.ones(self.outputs), dtype=np.float64)

    def convert(
        self, action: Sequence[Any], i: Sequence[Value], t: float, tau: float, previous: Sequence[Any]
    ) -> Sequence[Value]:
        """Voltages by the supply's; arguments as for `Converter.convert`."""
        return tuple(
            part.convert((act,), (current,), t, tau, (before,))[0]
            for part, act, current, before in zip(self.parts, action, i, previous, strict=True)
        )


def _check_interlocking(seconds: float) -> None:
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"interlocking_time must not be negative, got {seconds} s")


def _averaged(duty: Value, current: Value, loss: float, low: float) -> Value:
    """Mean voltage over a step: the duty less the interlocking loss, which always opposes the current."""
    if loss:
        return clip(clip(duty, low, 1.0) - loss * sign(current), low, 1.0)
    return clip(duty, low, 1.0)


def _leg(state: Switch, before: Switch, current: Value, blanked: bool) -> Value:
    """Voltage (0 or 1) of a leg; with `blanked`, a leg that has just changed its switch counts as off."""
    if blanked:
        state = state * (1 - ((before != state) & (before != 0)))
    conducting: Any = (state == 1) | ((state == 0) & (current < 0.0))
    voltage: Value = 1.0 * conducting
    return voltage
