"""The rows of the result table, as text. The terminal and the page of the documentation share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import GROUPS, Figures, Measurement, Ratios, ratios

#: A share of foreign CPU above this makes a measurement doubtful.
FOREIGN_LIMIT = 0.10


@dataclass(frozen=True)
class Row:
    """One line of a table: a label, and one cell per contestant."""

    label: str
    cells: Sequence[str]
    #: A detail of the row above it, shown indented.
    detail: bool = False


@dataclass(frozen=True)
class _Line:
    label: str
    read: Callable[[Figures], str]
    detail: bool = False


def _group(group: str) -> _Line:
    return _Line(group, lambda figures: f"{figures.cpu[group]:.3f}", detail=True)


_LINES = (
    _Line("accepted /s", lambda figures: f"{figures.accepted_per_s:,.0f}"),
    _Line("committed /s", lambda figures: f"{figures.committed_per_s:,.0f}"),
    _Line("accept p50, ms", lambda figures: f"{figures.p50_ms:.1f}"),
    _Line("accept p99, ms", lambda figures: f"{figures.p99_ms:.1f}"),
    _Line("CPU s / 1,000 events", lambda figures: f"{figures.cpu_total:.3f}"),
    *(_group(group) for group in GROUPS),
    _Line("peak memory, MB", lambda figures: f"{figures.memory_mb:,.0f}"),
    _Line("refused", lambda figures: f"{figures.refused:,}"),
    _Line("lost rows", lambda figures: f"{figures.lost:,}"),
    _Line("wrong rows", lambda figures: f"{figures.wrong:,}"),
)

_RATIOS: tuple[tuple[str, Callable[[Ratios], float]], ...] = (
    ("accepted", lambda found: found.accepted),
    ("committed", lambda found: found.committed),
    ("p99", lambda found: found.p99),
    ("CPU", lambda found: found.cpu),
    ("memory", lambda found: found.memory),
)


def figure_rows(measurement: Measurement) -> list[Row]:
    """What was measured: one row per figure, one cell per measured contestant."""
    columns = [result.figures for result in measurement.measured]
    return [Row(line.label, [line.read(each) for each in columns], line.detail) for line in _LINES]


def ratio_rows(measurement: Measurement, peer_name: str) -> list[Row]:
    """How many times better each other contestant is than the peer, whose own cell is empty."""
    peer = next(each for each in measurement.measured if each.name == peer_name)
    found = [None if each is peer else ratios(each.figures, peer.figures) for each in measurement.measured]
    return [Row(label, ["" if each is None else f"{read(each):.1f}x" for each in found]) for label, read in _RATIOS]


def peer_names(measurement: Measurement) -> list[str]:
    """The peers that something was measured against."""
    return list(dict.fromkeys(peer.name for _, peer in measurement.pairs()))


def warnings(measurement: Measurement) -> list[str]:
    """What a reader must know before quoting a number; empty if all is well."""
    found = [
        f"{result.name}: {len(result.rounds)} of {measurement.rounds} rounds were measured: {result.failure}"
        for result in measurement.results
        if result.failure
    ]
    for result in measurement.measured:
        figures = result.figures
        if figures.lost or figures.wrong:
            found.append(f"{result.name}: {figures.lost} rows lost, {figures.wrong} wrong.")
        if figures.foreign > FOREIGN_LIMIT:
            found.append(
                f"{result.name}: {figures.foreign:.0%} of the busy CPU time was used by other"
                " programs; the machine was not quiet."
            )
    return found
