"""How runs are told of, in words: durations, sizes, tallies of verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pressrun.web.runs.models import VERDICTS

__all__ = ["lasting", "size", "tally"]


def lasting(seconds: float | None) -> str:
    """8 s, 1 min 40 s, 2 h 5 min; "" for what is not known."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def size(octets: int | None) -> str:
    """0.6 GB, 120 MB."""
    if octets is None:
        return ""
    if octets >= 10**8:
        return f"{octets / 2**30:.1f} GB".replace(".0 GB", " GB")
    return f"{octets / 2**20:.1f} MB" if octets >= 10**6 else f"{max(1, round(octets / 2**10))} kB"


def tally(words: Iterable[str]) -> str:
    """ "2 matched, 1 partly matched, 1 void", always in this order."""
    counted = Counter(words)
    return ", ".join(f"{counted[word]} {word}" for word in VERDICTS if counted[word])
