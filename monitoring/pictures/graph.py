"""A graph as SVG: lines or areas over time, with limits and marks."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Sequence
from html import escape

from monitoring.grafana.model import COLOURS, Limit
from monitoring.pictures import scale

#: Grafana's classic palette, in its order.
PALETTE = (
    "#7EB26D", "#EAB839", "#6ED0E0", "#EF843C", "#E24D42", "#1F78C1", "#BA43A9", "#705DA0", "#508642", "#CCA300",
)  # fmt: skip
GRID, INK, MARK = "#2c3235", "#9fa7b3", "#6b7280"
LEFT, TOP, BOTTOM = 62, 8, 22  #: pixels for the axes


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One series."""

    name: str
    points: tuple[tuple[float, float], ...]  #: time, value; NaN where there is none
    colour: str

    @property
    def values(self) -> list[float]:
        """Those that are there."""
        return [value for _, value in self.points if math.isfinite(value)]


@dataclasses.dataclass(frozen=True, slots=True)
class Time:
    """What is looked at."""

    begin: float  #: seconds since the epoch
    end: float
    step: float  #: seconds between points
    starts: tuple[float, ...] = ()  #: when processes started


def colour(name: str, place: int) -> str:
    """What a series is drawn in: its word's own colour, or the palette's next."""
    return COLOURS.get(name, PALETTE[place % len(PALETTE)])


def draw(
    lines: Sequence[Line], time: Time, unit: str, width: int, height: int, *,
    limits: Sequence[Limit] = (), stacked: bool = False, top: float | None = None, empty: str = "",
) -> str:  # fmt: skip
    """The SVG; ``empty``: what is said where there is no line."""
    shown = _stack(lines, time) if stacked else [(line, [0.0] * len(line.points)) for line in lines]
    highest = max((v for line, _ in shown for v in line.values), default=0.0)
    near = [limit.value for limit in limits if highest and limit.value <= highest * 1.6]
    ceiling = max([highest * 1.08, *(value * 1.05 for value in near)]) or 1.0
    ceiling = min(ceiling, top) if top is not None and highest <= top else ceiling
    place = _Place(time, ceiling, width, height)
    parts = [*_grid(place, unit), *_marks(place)]
    for line, below in reversed(shown) if stacked else shown:
        parts += _area(place, line, below, 0.55 if stacked else 0.08)
        parts.append(f'<path d="{place.path(line.points)}" fill="none" stroke="{line.colour}" stroke-width="1.6"/>')
    parts += [_limit(place, limit) for limit in limits if limit.value <= ceiling]
    if not any(line.values for line in lines):
        parts.append(f'<text x="{width / 2}" y="{height / 2}" class="none">{escape(empty or "nothing")}</text>')
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'


class _Place:
    """From time and value to pixels."""

    def __init__(self, time: Time, ceiling: float, width: int, height: int) -> None:
        self.time, self.ceiling, self.width, self.height = time, ceiling, width, height

    def x(self, at: float) -> float:
        """Where an instant lies."""
        return LEFT + (at - self.time.begin) / (self.time.end - self.time.begin) * (self.width - LEFT - 10)

    def y(self, value: float) -> float:
        """Where a value lies."""
        share = max(0.0, min(1.05, value / self.ceiling))
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        """A line with gaps where nothing is known."""
        found, before = [], -math.inf
        for at, value in points:
            if math.isfinite(value):
                found.append(f"{'M' if at - before > self.time.step * 3 else 'L'}{self.x(at):.1f},{self.y(value):.1f}")
                before = at
        return "".join(found)


def _stack(lines: Sequence[Line], time: Time) -> list[tuple[Line, list[float]]]:
    """Each line on those before it; what is not known counts as nothing."""
    moments = sorted({at for line in lines for at, _ in line.points})
    total = dict.fromkeys(moments, 0.0)
    found = []
    for line in lines:
        own = {at: value for at, value in line.points if math.isfinite(value)}
        below = [total[at] for at in moments]
        for at in moments:
            total[at] += own.get(at, 0.0)
        found.append((dataclasses.replace(line, points=tuple((at, total[at]) for at in moments)), below))
    return found


def _grid(place: _Place, unit: str) -> list[str]:
    parts = []
    unit = "short" if unit.startswith("suffix:") or unit == "reqps" else unit  # The legend has it, the axis no room.
    for value in scale.ticks(0.0, place.ceiling, unit):
        y = place.y(value)
        parts.append(f'<line x1="{LEFT}" x2="{place.width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="y">{escape(scale.written(value, unit))}</text>')
    span = place.time.end - place.time.begin
    step = next(s for s in (15, 30, 60, 120, 300, 600, 1800, 3600, 86400) if span / s <= max(2, place.width / 110))
    at = math.ceil(place.time.begin / step) * step
    while at <= place.time.end:
        x = place.x(at)
        clock = datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%H:%M" if step >= 60 else "%H:%M:%S")
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{place.height - BOTTOM}" stroke="{GRID}"/>')
        if x < place.width - 26:  # Else it would be cut off.
            parts.append(f'<text x="{x:.1f}" y="{place.height - 6}" class="x">{clock}</text>')
        at += step
    return parts


def _marks(place: _Place) -> list[str]:
    found = []
    for at in place.time.starts:
        if place.time.begin < at < place.time.end:
            x, floor = place.x(at), place.height - BOTTOM
            found.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{floor}" stroke="{MARK}" stroke-dasharray="2 3"/>'
                f'<path d="M{x - 4:.1f},{floor + 1}h8l-4,-6z" fill="{MARK}"/>'
            )
    return found


def _area(place: _Place, line: Line, below: Sequence[float], strength: float) -> list[str]:
    stretches: list[list[tuple[float, float, float]]] = [[]]
    for (at, value), low in zip(line.points, below, strict=True):
        if not math.isfinite(value):
            continue
        if stretches[-1] and at - stretches[-1][-1][0] > place.time.step * 3:
            stretches.append([])
        stretches[-1].append((at, value, low))
    found = []
    for known in stretches:
        there = "".join(f"L{place.x(at):.1f},{place.y(value):.1f}" for at, value, _ in known)
        back = "".join(f"L{place.x(at):.1f},{place.y(low):.1f}" for at, _, low in reversed(known))
        found.append(f'<path d="M{there[1:]}{back}Z" fill="{line.colour}" fill-opacity="{strength}"/>')
    return found if stretches[0] else []


def _limit(place: _Place, limit: Limit) -> str:
    y = place.y(limit.value)
    return (
        f'<line x1="{LEFT}" x2="{place.width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="{limit.colour}"'
        ' stroke-width="1.2" stroke-dasharray="6 4" stroke-opacity="0.8"/>'
    )
