"""Axes of small figures that are drawn as SVG on the server: round ticks, and numbers as people write them."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["shown", "span_of", "ticks"]


def shown(value: float) -> str:
    """A number in up to four significant digits, with a true minus sign."""
    if math.isnan(value):
        return "no number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and not 1e-4 <= abs(value) < 1e6:
        digits, _, power = f"{value:.3g}".partition("e")
        return f"{digits}e{int(power)}".replace("-", "−") if power else digits.replace("-", "−")
    return f"{value:.4g}".replace("-", "−") if abs(value) < 1e4 else f"{value:,.0f}".replace("-", "−")


def span_of(values: Iterable[float]) -> tuple[float, float]:
    """The smallest and the largest finite value; a range around it where they are one, 0 to 1 where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        room = abs(low) / 2 or 0.5
        return low - room, high + room
    return low, high


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round numbers within the range, at most `most`, at steps of 1, 2, 2.5 or 5 times a power of ten."""
    width = high - low
    if not (math.isfinite(width) and width > 0):
        return []
    power = 10.0 ** math.floor(math.log10(width / most))
    for factor in (1, 2, 2.5, 5, 10, 20, 25, 50):
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [number * step for number in range(first, last + 1)]
    return []
