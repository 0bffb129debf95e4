"""Drawings as SVG paths, made on the server: they are there at first paint, in print, and without any script."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

SPARK = (96.0, 24.0)  #: width and height of a small line
WIDE = (720.0, 160.0)  #: of a chart
STEPS = (1, 2, 5)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line, and the ground under it."""

    line: str
    area: str


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """The numbers beside a chart."""

    top: float
    labels: tuple[float, ...]  #: from the top down to nought


def spark(values: Sequence[float]) -> Line:
    """A small line without numbers, from nought to the largest value."""
    return line(values, max(values, default=0), SPARK, head=2.6)


def line(values: Sequence[float], top: float, size: tuple[float, float] = WIDE, head: float = 0.0) -> Line:
    """Values as a line in a box of this size; ``head``: room above the largest."""
    width, height = size
    step = width / max(1, len(values) - 1)
    points = [
        f"{number * step:.4g} {height - (height - head) * (value / top if top else 0):.4g}"
        for number, value in enumerate(values)
    ]
    path = " ".join(points)
    return Line(f"M{path}", f"M{path} {width:g} {height:g} 0 {height:g}Z")


def bars(values: Sequence[float], size: tuple[float, float] = WIDE) -> list[str]:
    """Values as bars, a third of the height at the most: few beside many are still seen."""
    width, height = size
    step, most = width / max(1, len(values) - 1), max(values, default=0)
    found = []
    for number, value in enumerate(values):
        if value:
            tall = max(3.0, height / 3 * value / most)
            found.append(f"M{number * step - 2:.4g} {height:g}v-{tall:.4g}h4v{tall:.4g}z")
    return found


def scale(most: float, parts: int = 3) -> Scale:
    """Round numbers for an axis that reaches ``most``."""
    if most <= 0:
        return Scale(1.0, (1.0, 0.0))
    rough = most / parts
    size = 10.0 ** math.floor(math.log10(rough))
    step = next((s * size for s in STEPS if s * size >= rough), 10 * size)
    number = math.ceil(most / step)
    return Scale(number * step, tuple(step * n for n in range(number, -1, -1)))
