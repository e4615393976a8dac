"""Rates as the settings write them: `comment=30/1h`, thirty in an hour."""

from __future__ import annotations

import re
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured

__all__ = ["SECONDS", "Rate", "parse_rates"]

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Rate(NamedTuple):
    """At most `amount` in `seconds`."""

    amount: int
    seconds: int


def parse_rates(text: str) -> dict[str, Rate]:
    """`comment=30/1h vote=300/h` as rates by kind.

    Raises:
        ImproperlyConfigured: what does not read so.
    """
    rates = {}
    for item in text.replace(",", " ").split():
        if not (found := re.fullmatch(r"([a-z-]+)=(\d{1,9})/(\d{0,5})([smhd])", item, re.ASCII)):
            raise ImproperlyConfigured(f"a rate reads like comment=30/1h (s, m, h or d), got {item[:60]!r}.")
        kind, amount, count, unit = found.groups()
        if int(amount) == 0 or (count and int(count) == 0):
            raise ImproperlyConfigured(f"a rate needs whole numbers from 1, got {item[:60]!r}.")
        rates[kind] = Rate(int(amount), int(count or 1) * SECONDS[unit])
    return rates
