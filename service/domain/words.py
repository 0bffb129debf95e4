"""How figures are said to people: the same in the console, in the sentences of the API, and on the command line."""

from __future__ import annotations

import datetime

NONE = "\N{EN DASH}"  #: what is said where there is nothing to say

MINUTE, HOUR, DAY = 60, 3600, 86_400  #: seconds


def count(number: int, exact: bool = True) -> str:
    """A number of things: exact, or so many and more: nobody counts further than 10,000."""
    return f"{number:,}" if exact else f"over {number:,}"


def many(number: int, thing: str, things: str = "") -> str:
    """``1 event``, ``2 events``."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def rate(number: float) -> str:
    """A number per second."""
    if number >= 100 or number == 0:
        return f"{number:,.0f}"
    if number == int(number):
        return f"{number:.0f}"
    return f"{number:.1f}" if number >= 0.95 else f"{number:.2f}"


def percent(share: float) -> str:
    """A share, with as many digits as it takes to tell it from 0 and from 1."""
    for digits in (0, 1, 2, 3):
        text = f"{share * 100:.{digits}f}"
        if float(text) not in (0.0, 100.0):
            return f"{text} %"
    return f"{share * 100:.0f} %"


def span(seconds: float | None) -> str:
    """A length of time."""
    if seconds is None:
        return NONE
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, smaller, parts in (("day", DAY, "h", HOUR), ("h", HOUR, "min", MINUTE), ("min", MINUTE, "s", 1)):
        if whole >= size:
            number, rest = whole // size, whole % size // parts
            name = "days" if unit == "day" and number > 1 else unit
            return f"{number} {name} {rest} {smaller}" if rest else f"{number} {name}"
    return f"{whole} s"


def between(begin: datetime.datetime, end: datetime.datetime) -> str:
    """The length of time between two instants."""
    return span((end - begin).total_seconds())
