"""A chart of bars: as plain data for the drawing of a picture, and as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.results import Measurement, Section

#: Characters of the longest bar.
WIDTH = 40


@dataclass(frozen=True)
class Panel:
    """Bars of one kind, one per contestant."""

    title: str
    unit: str
    names: Sequence[str]
    values: Sequence[float]
    #: Which of them are peers.
    peers: Sequence[bool]


def panels(measurement: Measurement) -> list[Panel]:
    """Two panels per section in which there is something to compare: rates, or the times of a steady flow."""
    return [panel for section in measurement.sections if len(section.results) > 1 for panel in _panels(section)]


def _panels(section: Section) -> Iterator[Panel]:
    figures = [result.figures for result in section.results]
    names = [result.name for result in section.results]
    peers = [result.peer for result in section.results]
    title = section.shape.title
    if section.shape.paced:
        yield Panel(f"{title}: p99 of the answer", "ms", names, [each.p99_ms for each in figures], peers)
        worked = [each.worked_p99_ms for each in figures]
        yield Panel(f"{title}: p99 from answer to commit", "ms", names, worked, peers)
    else:
        yield Panel(f"{title}: accepted", "/s", names, [each.accepted_per_s for each in figures], peers)
        yield Panel(f"{title}: committed", "/s", names, [each.committed_per_s for each in figures], peers)


def text(found: Sequence[Panel]) -> str:
    """The panels as lines of text, each bar with its value."""
    return "\n".join(line for panel in found for line in (*_lines(panel), ""))


def _lines(panel: Panel) -> Iterator[str]:
    yield panel.title
    most = max(panel.values) or 1
    label = max(len(name) for name in panel.names)
    for name, value in zip(panel.names, panel.values, strict=True):
        bar = "█" * max(1, round(WIDTH * value / most)) if value else ""
        number = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        yield f"  {name:<{label}}  {bar} {number} {panel.unit}"
