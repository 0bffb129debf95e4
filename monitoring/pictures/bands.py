"""Pictures of states over time, and of how something is spread: bars and cells as SVG."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from html import escape

from monitoring.grafana.model import GREY, Panel
from monitoring.pictures import scale
from monitoring.pictures.graph import INK, Line, Time

LEFT, BOTTOM = 170, 22
#: From few to many: Turbo, without its darkest and its reddest end.
HEAT = ("#3b2f80", "#4662d7", "#36a9f9", "#1ae4b6", "#72fe5e", "#c8ef34", "#fbb938", "#f56918")


def states(panel: Panel, lines: Sequence[Line], time: Time, width: int, height: int) -> str:
    """A bar for each series, coloured by its state."""
    shown = {value: (word, colour) for value, word, colour in panel.words}
    tall = min(30.0, (height - BOTTOM) / max(1, len(lines)))
    parts = []
    for row, line in enumerate(lines):
        y = row * tall
        parts.append(f'<text x="{LEFT - 8}" y="{y + tall / 2 + 4:.1f}" class="y">{escape(line.name)}</text>')
        for begin, end, value in _runs(line, time):
            word, colour = shown.get(f"{value:g}", ("", GREY))
            x, wide = _x(begin, time, width), _x(end, time, width) - _x(begin, time, width)
            parts.append(
                f'<rect x="{x:.1f}" y="{y + 2:.1f}" width="{max(1.0, wide):.1f}" height="{tall - 4:.1f}"'
                f' fill="{colour}" fill-opacity="0.75" rx="2"/>'
            )
            if wide > 60:
                parts.append(f'<text x="{x + 6:.1f}" y="{y + tall / 2 + 4:.1f}" class="in">{escape(word)}</text>')
    return _svg(parts + _clock(time, width, height, LEFT), width, height)


def heat(lines: Sequence[Line], time: Time, unit: str, width: int, height: int) -> str:
    """A column for each moment, a row for each bucket; ``lines`` are named by their upper bounds, cumulative."""
    bounds = sorted({float(line.name) for line in lines if line.name != "+Inf"})
    cells = _cells(lines, bounds)
    used = [row for row, column in cells if column]
    low, high = (min(used), max(used)) if used else (0, len(bounds))
    low, high = max(0, low - 1), min(len(bounds), high + 1)
    rows, left = high - low + 1, 62
    tall = (height - BOTTOM) / rows
    most = max((n for _, column in cells for n in column.values()), default=1.0) or 1.0
    columns = sorted({at for _, column in cells for at in column})
    step = (columns[1] - columns[0]) if len(columns) > 1 else time.step
    parts = []
    for row, column in cells:
        if not low <= row <= high:
            continue
        y = height - BOTTOM - (row - low + 1) * tall
        name = f"≤ {scale.written(bounds[row], unit)}" if row < len(bounds) else "more"
        parts.append(f'<text x="{left - 6}" y="{y + tall / 2 + 4:.1f}" class="y">{name}</text>')
        for at, n in column.items():
            x = left + (at - time.begin) / (time.end - time.begin) * (width - left - 10)
            wide = min(step, time.end - at) / (time.end - time.begin) * (width - left - 10)
            colour = HEAT[min(len(HEAT) - 1, int((n / most) ** 0.5 * len(HEAT)))]
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide + 0.3:.1f}" height="{tall - 1:.1f}" fill="{colour}"/>'
            )
    return _svg(parts + _clock(time, width, height, left), width, height)


def _cells(lines: Sequence[Line], bounds: Sequence[float]) -> list[tuple[int, dict[float, float]]]:
    """Of each bucket: its number, and how many fell into it at which moment."""
    ordered = sorted(lines, key=lambda line: math.inf if line.name == "+Inf" else float(line.name))
    before: dict[float, float] = {}
    found = []
    for row, line in enumerate(ordered):
        now = {at: value for at, value in line.points if math.isfinite(value)}
        own = {at: value - before.get(at, 0.0) for at, value in now.items()}
        found.append((row, {at: n for at, n in own.items() if n > 0.01}))
        before = now
    return found


def _runs(line: Line, time: Time) -> list[tuple[float, float, float]]:
    """Begin, end and value of each stretch of equal values."""
    found: list[tuple[float, float, float]] = []
    for at, value in line.points:
        if not math.isfinite(value):
            continue
        if found and found[-1][2] == value and at - found[-1][1] <= time.step * 1.5:
            found[-1] = (found[-1][0], at + time.step, value)
        else:
            found.append((at, at + time.step, value))
    return [(begin, min(end, time.end), value) for begin, end, value in found]


def _x(at: float, time: Time, width: int) -> float:
    return LEFT + (at - time.begin) / (time.end - time.begin) * (width - LEFT - 10)


def _clock(time: Time, width: int, height: int, left: int) -> list[str]:
    step = next(s for s in (60, 120, 300, 600, 1800, 3600, 86400) if (time.end - time.begin) / s <= width / 90)
    found, at = [], math.ceil(time.begin / step) * step
    while at <= time.end:
        x = left + (at - time.begin) / (time.end - time.begin) * (width - left - 10)
        clock = datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%H:%M")
        if x < width - 26:
            found.append(f'<text x="{x:.1f}" y="{height - 6}" class="x" fill="{INK}">{clock}</text>')
        at += step
    return found


def _svg(parts: Sequence[str], width: int, height: int) -> str:
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'
