"""Lengths of time as people write them: seconds, or text like ``90s``, ``5m``, ``2h``, ``1d``."""

from __future__ import annotations

import re

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  #: seconds
MOST = 1e15  #: seconds
TEXT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([smhd]?)")


def seconds(value: object) -> float:
    """The seconds in a number or a text; raises ValueError that says what is wanted."""
    if isinstance(value, str) and (found := TEXT.fullmatch(value.strip())):
        value = float(found[1]) * UNITS[found[2] or "s"]
    # A whole number may be too large for a double; ``nan`` compares with nothing.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST:
        raise ValueError(f"{value!r} is no length of time: seconds are wanted, or text like 30s, 5m, 2h, 1d")
    return float(value)


def text(value: float) -> str:
    """Seconds for people: in the largest unit that leaves no rest."""
    for unit, size in sorted(UNITS.items(), key=lambda one: -one[1]):
        if value and value % size == 0:
            return f"{value / size:.0f}{unit}"
    return f"{value:g}s"
