"""Axes and numbers: where the lines of a grid lie, and how a value is written with its unit."""

from __future__ import annotations

import math

BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
LARGE = ("", " K", " M", " G")


def ticks(low: float, high: float, unit: str, number: int = 4) -> list[float]:
    """Round values from ``low`` to ``high``, about as many as asked for."""
    if unit == "bytes":
        power = 1024.0 ** int(math.log(high, 1024)) if high >= 1 else 1.0
        return [value * power for value in ticks(low / power, high / power, "", number)]
    rough = (high - low) / number if high > low else 1.0
    if unit == "s" and 20 < rough <= 86_400:
        step: float = next(s for s in (30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400) if s >= rough)
        return [float(n * step) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    base = 10.0 ** math.floor(math.log10(rough))
    factors = (1, 2, 2.5, 5, 10) if base > 0.05 else (1, 2, 5, 10)  # What is written has two decimals.
    step = next(factor * base for factor in factors if factor * base >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """A value as people read it, in Grafana's units."""
    if not math.isfinite(value):
        return "-"
    if unit == "percentunit":
        return f"{_plain(value * 100, 2 if decimals is None else decimals)}%"
    if unit == "s":
        return _duration(value, decimals)
    if unit == "bytes":
        power = min(len(BYTES) - 1, int(math.log(abs(value), 1024))) if abs(value) >= 1 else 0
        return f"{_plain(value / 1024**power, 1)} {BYTES[power]}"
    power = min(len(LARGE) - 1, int(math.log(abs(value), 1000) + 1e-9)) if abs(value) >= 1000 else 0
    shown = _plain(value / 1000**power, 2 if decimals is None else decimals) + LARGE[power]
    after = unit.removeprefix("suffix:") if unit.startswith("suffix:") else {"reqps": " req/s"}.get(unit, "")
    return shown + after


def _duration(seconds: float, decimals: int | None) -> str:
    size = abs(seconds)
    if size == 0:
        return "0 s"
    for limit, factor, name in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s"), (7200.0, 1 / 60, "min")):
        if size < limit:
            return f"{_plain(seconds * factor, 1 if decimals is None else decimals)} {name}"
    return f"{_plain(seconds / 3600, 1)} h"


def _plain(value: float, decimals: int) -> str:
    """Without zeros that say nothing; a small value keeps two digits."""
    if value and abs(value) < 10.0**-decimals:
        return f"{value:.2g}"
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
