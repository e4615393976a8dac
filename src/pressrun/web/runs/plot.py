"""The dot plot of a claim: where each seed lies, against the threshold, with the control below. Geometry only; a template draws it.

All lengths are in the units of the viewBox, 340 by 96. The axis is made for the seeds and the threshold; what lies off it is an
arrow with its value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pressrun.replicate import Claim, Judgement, Rule
from pressrun.replicate.rules import All
from pressrun.web.runs.axes import shown, span_of, ticks
from pressrun.web.runs.models import css

__all__ = ["Plot", "plot_of", "plots_of"]

LEFT, RIGHT = 62.0, 330.0
SEEDS_AT, CONTROL_AT = 34.0, 61.0
SEED_SHIFTS = (-5.0, 4.0, 0.0, -3.0, 5.0)  # up and down, so that seeds side by side are told apart
CONTROL_SHIFTS = (-3.0, 2.0, 0.0, -2.0, 3.0)
CONTROL_REACH = 1.5  # how much wider the control may make the axis before it becomes an arrow
CHARACTER = 5.6  # about the width of one, at 11 px


@dataclass(frozen=True)
class Dot:
    x: float
    y: float


@dataclass(frozen=True)
class Text:
    x: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Arrow:
    """A value off the axis: the path of the arrow, and the value beside it."""

    path: str
    label: Text


@dataclass(frozen=True)
class Bar:
    left: float
    right: float

    @property
    def width(self) -> float:
        return round(self.right - self.left, 1)


@dataclass(frozen=True)
class Arm:
    """The dots of one arm: the seeds under the rule, or those of the control."""

    dots: tuple[Dot, ...]
    arrows: tuple[Arrow, ...]
    bar: Bar | None
    mean: float | None


@dataclass(frozen=True)
class Plot:
    """Everything that is drawn. `label` says the same in a sentence."""

    css: str
    label: str
    passing: Bar
    thresholds: tuple[float, ...]
    threshold_text: Text
    name: str
    seeds: Arm
    control: Arm | None
    ticks: tuple[Text, ...]
    estimate: str = ""
    beside: str = ""
    """What stands behind the estimate: its interval, or why there is none."""
    control_text: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float

    def x(self, value: float) -> float:
        return round(LEFT + (value - self.low) / (self.high - self.low) * (RIGHT - LEFT), 1)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def clipped(self, value: float) -> float:
        return self.x(min(max(value, self.low), self.high))


def plots_of(card: Claim, rule: Judgement, control: Judgement, verdict: str) -> list[Plot]:
    """One plot; of a claim with several rules, one for each, with its sentence and the control that belongs to it."""
    if not rule.parts or not isinstance(card.rule, All):
        return [plot_of(rule, control, verdict, card.control_is)]
    parts = list(_flat(card.rule, rule))
    controls = list(_flat(card.control, control))
    drawn = []
    for number, (part, judgement) in enumerate(parts):
        if len(controls) == len(parts):
            beside: Judgement | None = controls[number][1]
        else:
            beside = next(
                (found for other, found in controls if type(other) is type(part) and _metrics(other) == _metrics(part)), None
            )
        drawn.append(plot_of(judgement, beside, judgement.verdict, card.control_is, sentence=part.sentence()))
    return drawn


def _flat(rule: Rule, judgement: Judgement) -> Iterator[tuple[Rule, Judgement]]:
    if isinstance(rule, All) and judgement.parts:
        for each, part in zip(rule.rules, judgement.parts, strict=False):
            yield from _flat(each, part)
    else:
        yield rule, judgement


def _metrics(rule: Rule) -> set[str]:
    return {metric for metric, _ in rule.reads()}


def plot_of(rule: Judgement, control: Judgement | None, verdict: str, control_is: str = "", sentence: str = "") -> Plot:
    """The plot of one judgement, with that of its control where both are on one scale."""
    told = control
    if control is not None and (control.accept_low, control.accept_high, control.unit) != (
        rule.accept_low,
        rule.accept_high,
        rule.unit,
    ):
        control = None
    axis = _axis(rule, control)
    ends = [end for end in (rule.accept_low, rule.accept_high) if math.isfinite(end)]
    return Plot(
        css=css(verdict),
        label=_label(rule, control, verdict, control_is),
        passing=Bar(axis.clipped(rule.accept_low), axis.clipped(rule.accept_high)),
        thresholds=tuple(axis.x(end) for end in ends),
        threshold_text=_fitted(sum(axis.x(end) for end in ends) / len(ends) if ends else LEFT, f"threshold {_accepted(rule)}"),
        name=_counted(rule),
        seeds=_arm(rule, axis, SEEDS_AT, SEED_SHIFTS),
        control=_arm(control, axis, CONTROL_AT, CONTROL_SHIFTS) if control else None,
        ticks=tuple(Text(axis.x(tick), shown(tick)) for tick in ticks(axis.low, axis.high)),
        estimate=_value(rule) if rule.estimate is not None else "no result",
        beside=_beside(rule),
        control_text=_control_text(told, control_is),
        sentence=sentence,
    )


def _axis(rule: Judgement, control: Judgement | None) -> _Axis:
    """A range that holds the seeds, the interval and the thresholds, and the control where that does not squeeze them."""
    core = [*rule.per_seed.values(), *_numbers(rule.low, rule.high, rule.estimate), rule.accept_low, rule.accept_high]
    beside = list(control.per_seed.values()) if control else []
    if len({value for value in core if math.isfinite(value)}) < 2:
        core += beside  # one value has no scale of its own
    low, high = span_of(core)
    wide = span_of([low, high, *beside])
    if wide[1] - wide[0] <= (1 + CONTROL_REACH) * (high - low):
        low, high = wide
    room = (high - low) * 0.12
    # A threshold at the edge would hide the side that counts.
    left = 2 * room if low in (rule.accept_low, rule.accept_high) else room
    right = 2 * room if high in (rule.accept_low, rule.accept_high) else room
    return _Axis(low - left, high + right)


def _numbers(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]


def _arm(judged: Judgement, axis: _Axis, y: float, shifts: tuple[float, ...]) -> Arm:
    dots, off = [], []
    for number, (_, value) in enumerate(sorted(judged.per_seed.items())):
        if axis.holds(value):
            dots.append(Dot(axis.x(value), y + shifts[number % len(shifts)]))
        elif not math.isnan(value):
            off.append(value)
    bar = None
    if judged.low is not None and judged.high is not None and judged.high >= axis.low and judged.low <= axis.high:
        bar = Bar(axis.clipped(judged.low), axis.clipped(judged.high))
    mean = axis.x(judged.estimate) if judged.estimate is not None and axis.holds(judged.estimate) else None
    return Arm(tuple(dots), tuple(_arrows(off, axis, y)), bar, mean)


def _arrows(off: Iterable[float], axis: _Axis, y: float) -> Iterator[Arrow]:
    """One arrow for each side that has values off the axis, with their mean."""
    below, above = [value for value in off if value < axis.low], [value for value in off if value > axis.high]
    top = y - 5
    if below:
        yield Arrow(f"M71 {top:g}v10l-8-5z", Text(77.0, _mean(below), "start"))
    if above:
        yield Arrow(f"M321 {top:g}v10l8-5z", Text(315.0, _mean(above), "end"))


def _mean(values: list[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < len(values):
        return "∞" if max(values, key=abs) > 0 else "−∞"
    return shown(math.fsum(value / len(finite) for value in finite))


def _fitted(x: float, text: str) -> Text:
    """A text in the middle of `x`, moved so far that it stays inside the drawing."""
    half = len(text) * CHARACTER / 2
    return Text(round(min(max(x, half), 340 - half), 1), text)


def _accepted(rule: Judgement) -> str:
    low, high = rule.accept_low, rule.accept_high
    if math.isfinite(low) and math.isfinite(high):
        return f"{shown(low)} to {shown(high)}"
    return f"≥ {shown(low)}" if math.isfinite(low) else f"≤ {shown(high)}"


def _in_words(rule: Judgement) -> str:
    low, high = rule.accept_low, rule.accept_high
    if math.isfinite(low) and math.isfinite(high):
        return f"from {shown(low)} to {shown(high)}"
    return f"at least {shown(low)}" if math.isfinite(low) else f"at most {shown(high)}"


def _value(rule: Judgement) -> str:
    unit = "" if rule.unit in ("1", "") else f" {rule.unit}"
    return shown(rule.estimate) + unit if rule.estimate is not None else "no result"


def _beside(rule: Judgement) -> str:
    if rule.low is not None and rule.high is not None:
        trials = "" if rule.n == len(rule.per_seed) else f", {rule.n:,} trials"
        return ", ".join(filter(None, (f"95 % interval {shown(rule.low)} to {shown(rule.high)}{trials}", rule.note)))
    return ", ".join(filter(None, ("exact" if rule.kind == "exact" else "", rule.note)))


def _control_text(control: Judgement | None, control_is: str) -> str:
    if control is None:
        return ""
    note = f", {control.note}" if control.note and control.low is None and control.kind != "exact" else ""
    return f"Control{', ' + control_is if control_is else ''}: {_value(control)}{note}"


def _counted(rule: Judgement) -> str:
    seeds = len(rule.per_seed)
    return f"{seeds} seed" if seeds == 1 else f"{seeds} seeds"


def _label(rule: Judgement, control: Judgement | None, verdict: str, control_is: str) -> str:
    parts = [f"{verdict}: estimate {shown(rule.estimate)}" if rule.estimate is not None else f"{verdict}: no result"]
    if rule.low is not None and rule.high is not None:
        parts.append(f"interval {shown(rule.low)} to {shown(rule.high)}")
    elif rule.kind != "interval":
        parts.append("exact" if rule.kind == "exact" else "the same in all seeds")
    parts.append(f"threshold {_in_words(rule)}")
    if control is not None:
        value = "no result" if control.estimate is None else shown(control.estimate)
        parts.append(f"control{', ' + control_is if control_is else ''}: {value}")
    return ", ".join(parts)
