"""Charts of the metrics of a run, over its steps, as SVG drawn on the server. Arms differ by dash and weight, not by hue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pressrun.replicate import Claim, Evidence
from pressrun.replicate.evidence import Curve
from pressrun.web.runs.axes import shown, span_of, ticks

__all__ = ["Chart", "charts_of", "numbers_of"]

LEFT, RIGHT, TOP, BOTTOM = 48.0, 548.0, 12.0, 270.0
POINTS = 240  # of a line at most: more than the drawing has pixels to tell apart
ARMS = 8  # named beside a chart; the others are drawn, thin
STYLES = ("ref", "dash", "dots", "ref thin", "dash thin", "dots thin", "thin")
MANY_POWERS = 3.0  # from this many powers of ten on, the axis is logarithmic

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """A tick: where it is, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    css: str
    path: str


@dataclass(frozen=True)
class Key:
    """An arm in the key: the class of its line, its name, its last mean value. The arm under test is `main`."""

    css: str
    arm: str
    value: str
    main: bool


@dataclass(frozen=True)
class Chart:
    """One metric. `judged` says whether a rule reads it."""

    metric: str
    unit: str
    lines: tuple[Line, ...]
    rows: tuple[Mark, ...]
    columns: tuple[Mark, ...]
    key: tuple[Key, ...]
    left_out: int
    log: bool
    label: str
    judged: bool

    @property
    def several(self) -> bool:
        """Whether seeds are drawn beside their mean."""
        return any(line.css == "main thin" for line in self.lines)

    @property
    def title(self) -> str:
        unit = "" if self.unit in ("1", "") else f", {self.unit}"
        return self.metric.replace("_", " ").capitalize() + unit


@dataclass(frozen=True)
class Number:
    """The mean of the last values of one metric in one arm, and how many seeds have one."""

    metric: str
    arm: str
    value: str
    unit: str
    seeds: int


def charts_of(evidence: Evidence, cards: Sequence[Claim]) -> list[Chart]:
    """A chart for each metric that was recorded over steps; those that a rule reads come first, in the order of the claims."""
    under_test = _under_test(cards)
    order = [metric for metric in under_test if metric in evidence.metrics]
    order += [metric for metric in evidence.metrics if metric not in under_test]
    made = (_chart(evidence, metric, under_test.get(metric, ())) for metric in order)
    return [chart for chart in made if chart]


def numbers_of(evidence: Evidence) -> list[Number]:
    """Every metric in every arm as one number."""
    found = []
    for metric, arm in sorted({(row.metric, row.arm) for row in evidence.rows()}):
        values = list(evidence.values(metric, arm).values())
        unit = evidence.metrics[metric]
        mean = _mean(values)
        found.append(
            Number(metric.replace("_", " "), arm.replace("_", " "), shown(mean), "" if unit == "1" else unit, len(values))
        )
    return found


def _under_test(cards: Sequence[Claim]) -> dict[str, tuple[str, ...]]:
    """The arms that the rules read, by metric; those that a claim is about come first."""
    found: dict[str, dict[str, None]] = {}
    for card in cards:
        for metric, arm in _leading(card):
            found.setdefault(metric, {}).setdefault(arm)
    for card in cards:
        for metric, arm in sorted(card.rule.reads() | card.control.reads()):
            found.setdefault(metric, {}).setdefault(arm)
    return {metric: tuple(arms) for metric, arms in found.items()}


def _leading(card: Claim) -> list[tuple[str, str]]:
    rules = getattr(card.rule, "rules", (card.rule,))
    return [(rule.metric, rule.arm) for rule in rules if hasattr(rule, "metric") and hasattr(rule, "arm")]


def _chart(evidence: Evidence, metric: str, read: Sequence[str]) -> Chart | None:
    curves = _curves(evidence, metric)
    if not curves:
        return None
    arms = [arm for arm in read if arm in curves] + [arm for arm in curves if arm not in read]
    low, high = span_of(
        step for of_arm in curves.values() for curve in of_arm.values() for step in (curve.step[0], curve.step[-1])
    )
    values = np.concatenate([curve.value for of_arm in curves.values() for curve in of_arm.values()])
    scale = _Scale.of(values)
    lines: list[Line] = []
    key: list[Key] = []
    for number, arm in enumerate(arms):
        css = "main" if number == 0 else STYLES[min(number - 1, len(STYLES) - 1)]
        mean = _mean_curve(curves[arm])
        if number == 0 and len(curves[arm]) > 1:
            lines += [Line("main thin", _path(curve, low, high, scale)) for curve in curves[arm].values()]
        lines.append(Line(css, _path(mean, low, high, scale)))
        if number < ARMS:
            last = _mean([float(curve.value[-1]) for curve in curves[arm].values()])
            key.append(Key(css, arm.replace("_", " "), shown(last), number == 0))
    ends = ", ".join(f"{each.arm} {each.value}" for each in key)
    return Chart(
        metric=metric,
        unit=evidence.metrics[metric],
        lines=tuple(line for line in reversed(lines) if line.path),  # the arm under test on top
        rows=tuple(Mark(scale.y(value), shown(value)) for value in scale.ticks()),
        columns=tuple(Mark(_x(value, low, high), f"{value:,.0f}") for value in ticks(low, high, 5) if value == round(value)),
        key=tuple(key),
        left_out=len(arms) - len(key),
        log=scale.log,
        label=f"{metric.replace('_', ' ')} by step, last values: {ends}",
        judged=bool(read),
    )


def _curves(evidence: Evidence, metric: str) -> dict[str, dict[int, Curve]]:
    """The curves of a metric, by arm and seed; without arms where it has no steps, or one step only."""
    found: dict[str, dict[int, Curve]] = {}
    for arm in evidence.arms:
        try:
            curves = evidence.curves(metric, arm)
        except ValueError:
            continue
        found[arm] = curves
    longest = max((len(curve.step) for of_arm in found.values() for curve in of_arm.values()), default=0)
    return found if longest > 1 else {}


def _mean_curve(curves: Mapping[int, Curve]) -> Curve:
    """The mean at each step, over the seeds that have come that far."""
    steps = np.unique(np.concatenate([curve.step for curve in curves.values()]))
    total, count = np.zeros(len(steps)), np.zeros(len(steps))
    for curve in curves.values():
        at = np.searchsorted(steps, curve.step)
        with np.errstate(invalid="ignore", over="ignore"):
            total[at] += curve.value
        count[at] += 1
    # Where seeds drop out, a mean over fewer would jump: the line ends where the last of most seeds ends.
    enough = count >= max(1, np.median(count))
    return Curve(steps[enough], total[enough] / count[enough])


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, values: Array) -> _Scale:
        finite = values[np.isfinite(values)]
        positive = len(finite) > 0 and bool((finite > 0).all())
        log = positive and float(np.log10(finite.max() / finite.min())) > MANY_POWERS
        low, high = span_of(np.log10(finite) if log else finite)
        room = (high - low) * 0.04
        return cls(low - room, high + room, log)

    def y(self, value: float) -> float:
        at = math.log10(value) if self.log else value
        return round(BOTTOM - (at - self.low) / (self.high - self.low) * (BOTTOM - TOP), 1)

    def ticks(self) -> list[float]:
        found = ticks(self.low, self.high)
        return [10.0**power for power in found if power == round(power)] if self.log else found


def _x(step: float, low: float, high: float) -> float:
    return round(LEFT + (step - low) / (high - low) * (RIGHT - LEFT), 1)


def _path(curve: Curve, low: float, high: float, scale: _Scale) -> str:
    """The line through the finite points, at most `POINTS` of them, broken where a value is none."""
    keep = (
        np.unique(np.linspace(0, len(curve.step) - 1, POINTS).astype(int)) if len(curve.step) > POINTS else range(len(curve.step))
    )
    parts, pen = [], "M"
    for index in keep:
        value = float(curve.value[index])
        if math.isfinite(value) and (value > 0 or not scale.log):
            parts.append(f"{pen}{_x(float(curve.step[index]), low, high):g} {scale.y(value):g}")
            pen = "L"
        else:
            pen = "M"
    return "".join(parts) if len(parts) > 1 else ""


def _mean(values: Sequence[float]) -> float:
    """The mean; NaN of none, and of infinities of both signs."""
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.mean(values)) if values else math.nan
