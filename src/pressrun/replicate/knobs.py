"""Knobs: the fields of a replication's `Config`, with default, bounds, unit and help. They become flags and a web form."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args, get_type_hints

from pressrun.replicate.verdicts import JSON

__all__ = [
    "Knob",
    "KnobError",
    "Value",
    "changed",
    "check_config",
    "knob",
    "knob_from_json",
    "knobs_of",
    "make_config",
    "settings",
]

Value = bool | int | float | str
Kind = Literal["bool", "int", "float", "str"]

T = TypeVar("T", bool, int, float, str)
C = TypeVar("C")

WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class KnobError(ValueError):
    """A knob that is declared wrongly, or set to what it does not take."""


@dataclass(frozen=True)
class Knob:
    """One field of a `Config`, as it is shown and checked without importing the replication."""

    name: str
    kind: Kind
    default: Value
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    help: str = ""

    def takes(self) -> str:
        """What it takes, such as "a whole number from 1 to 1000"."""
        if self.kind == "bool":
            return "true or false"
        if self.kind == "str":
            return f"one of {', '.join(self.choices)}"
        noun = "a whole number" if self.kind == "int" else "a number"
        low, high = (None if end is None else f"{end:.15g}" for end in (self.low, self.high))
        if low is not None and high is not None:
            return f"{noun} from {low} to {high}"
        if low is not None:
            return f"{noun} of {low} or more"
        return f"{noun} of {high} or less" if high is not None else noun

    def check(self, value: object) -> Value:
        """The value, in the knob's type. Raises KnobError, in one sentence, if the knob does not take it."""
        fits = {
            "bool": isinstance(value, bool),
            "str": value in self.choices,
            "int": isinstance(value, int) and not isinstance(value, bool),
            "float": isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value),
        }[self.kind]
        if fits and self.kind in ("int", "float"):
            number = cast(float, value)
            fits = (self.low is None or number >= self.low) and (self.high is None or number <= self.high)
        if not fits:
            raise KnobError(f"{self.name} must be {self.takes()}, got {str(value)!r:.80}")
        return float(cast(float, value)) if self.kind == "float" else cast(Value, value)

    def parse(self, text: str) -> Value:
        """The value that a text stands for, from a command line or a form. Raises KnobError if the knob does not take it."""
        stripped = text.strip()
        value: object = stripped
        if self.kind == "bool":
            value = WORDS.get(stripped.lower(), stripped)
        elif self.kind == "int" and re.fullmatch(r"[+-]?[0-9]{1,18}", stripped):
            value = int(stripped)
        elif self.kind == "float" and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", stripped):
            value = float(stripped)
        return self.check(value)

    def to_json(self) -> JSON:
        return dataclasses.asdict(self) | {"choices": list(self.choices)}


def knob(
    default: T,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
    unit: str = "",
    help: str,
) -> T:
    """A field of a `Config`: int, float or bool, or a str that is one of `choices`.

    Args:
        default: the value of the field where a preset names none.
        low: the smallest value it takes, for numbers.
        high: the largest.
        choices: the words it takes, for a str.
        unit: unit of the number, such as "ms"; empty for none.
        help: what it is, in a few words.
    """
    about = {"low": low, "high": high, "choices": tuple(choices or ()), "unit": unit, "help": help}
    return dataclasses.field(default=default, metadata={"knob": about})


def knobs_of(config: type) -> tuple[Knob, ...]:
    """The knobs of a `Config` class, in the order of its fields.

    Raises:
        KnobError: if it is no frozen dataclass, a field is not made by `knob`, or a default does not fit.
    """
    if not dataclasses.is_dataclass(config) or not cast(Any, config).__dataclass_params__.frozen:
        raise KnobError(f"{config.__name__} must be a frozen dataclass")
    hints = get_type_hints(config)
    return tuple(_declared(each, hints[each.name]) for each in dataclasses.fields(config))


def settings(knobs: Sequence[Knob], preset: Mapping[str, Value], overrides: Mapping[str, str]) -> dict[str, Value]:
    """The values of all knobs: those of the preset, with the overrides, given as text, in their place.

    Raises:
        KnobError: if an override names no knob or does not fit.
    """
    by_name = {each.name: each for each in knobs}
    for name in overrides:
        if name not in by_name:
            raise KnobError(f"there is no knob {name!r:.80}; knobs are {', '.join(by_name) or 'none'}")
    return {
        name: each.parse(overrides[name]) if name in overrides else each.check(preset.get(name, each.default))
        for name, each in by_name.items()
    }


def make_config(config: type[C], preset: C | None, overrides: Mapping[str, str]) -> C:
    """A config: the preset's (or the defaults', for None) with the overrides, given as text. Raises as `settings` does."""
    values = {} if preset is None else dataclasses.asdict(cast(Any, preset))
    return config(**settings(knobs_of(config), values, overrides))


def check_config(config: object) -> dict[str, Value]:
    """The values of a config by name. Raises KnobError if one does not fit its knob."""
    return {each.name: each.check(getattr(config, each.name)) for each in knobs_of(type(config))}


def changed(preset: Mapping[str, Value], values: Mapping[str, Value]) -> dict[str, Value]:
    """The knobs whose value is not the preset's."""
    return {name: value for name, value in values.items() if name not in preset or preset[name] != value}


def knob_from_json(given: Mapping[str, object]) -> Knob:
    """The knob that `to_json` made. Raises KnobError if `given` is none."""
    try:
        fields = dict(given)
        return Knob(choices=tuple(cast(list[str], fields.pop("choices", ()))), **cast(dict[str, Any], fields))
    except TypeError as error:
        raise KnobError(f"a knob cannot be made of {given!s:.120}: {error}") from None


def _declared(given: dataclasses.Field[Any], hint: object) -> Knob:
    about = given.metadata.get("knob")
    if about is None:
        raise KnobError(f"{given.name} must be made by knob(...)")
    kind = getattr(hint, "__name__", str(hint))
    if kind not in get_args(Kind):
        raise KnobError(f"{given.name} must be an int, float, bool or str, got {kind}")
    declared = Knob(given.name, cast(Kind, kind), cast(Value, given.default), **about)
    if (kind == "str") != bool(declared.choices):
        raise KnobError(f"{given.name} needs choices" if kind == "str" else f"{given.name} is no str and takes no choices")
    if kind in ("bool", "str") and (declared.low is not None or declared.high is not None):
        raise KnobError(f"{given.name} is a {kind} and takes no bounds")
    return dataclasses.replace(declared, default=declared.check(given.default))
