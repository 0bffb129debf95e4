"""What is promised of the speed and what is aimed at, beside what a measurement has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench import rows
from bench.figures import Figures, Ratios, ratios
from bench.results import Measurement, Result, Section


@dataclass(frozen=True)
class Times:
    """How many times better Millrace is to be: than the common peer, than the best one. None: nothing is said."""

    label: str
    section: str
    contestant: str
    read: Callable[[Ratios], float]
    least: tuple[float, float | None]
    aim: tuple[float, float | None]

    def cells(self, section: Section, ours: Result) -> list[str]:
        """Promised, aimed at, measured."""
        common = self._measured(ours, section.result(rows.COMMON_PEER), self.aim[0])
        best = self._measured(ours, rows.best_peer(section), self.aim[1])
        return [_pair(*self.least), _pair(*self.aim), f"{common} ({best})"]

    def _measured(self, ours: Result, peer: Result | None, aim: float | None) -> str:
        if peer is None:
            return "?"
        ratio = self.read(ratios(ours.figures, peer.figures))
        return _reached(f"{ratio:.1f}", aim is not None and ratio >= aim)


@dataclass(frozen=True)
class Milliseconds:
    """How soon something is to be there."""

    label: str
    section: str
    contestant: str
    read: Callable[[Figures], float]
    least: float | None
    aim: float

    def cells(self, _section: Section, ours: Result) -> list[str]:
        """Promised, aimed at, measured."""
        measured = self.read(ours.figures)
        least = "" if self.least is None else f"{self.least:g} ms"
        return [least, f"{self.aim:g} ms", _reached(f"{measured:.1f} ms", measured <= self.aim)]


#: The rows of the table, in order.
AIMS: tuple[Times | Milliseconds, ...] = (
    Times("one order per request, accepted", "single", "millrace", lambda r: r.accepted, (2.5, 2), (6, 5)),
    Times("&emsp;committed, bulk handler", "single", "millrace", lambda r: r.committed, (5, 2), (10, 5)),
    Times(
        "&emsp;committed, ordinary handler", "single", "millrace-ordinary", lambda r: r.committed, (3, 1), (5, 2.5)
    ),
    Times("&emsp;CPU", "single", "millrace", lambda r: r.cpu, (5, None), (10, 4)),
    Milliseconds("&emsp;p99 of the answer", "single", "millrace", lambda f: f.p99_ms, 25, 12),
    Times("100 orders per request, accepted", "batch", "millrace", lambda r: r.accepted, (12, None), (20, 14)),
    Times("&emsp;committed, bulk handler", "batch", "millrace", lambda r: r.committed, (30, None), (45, 14)),
    Milliseconds("200 per second, answer to commit: p50", "paced", "millrace", lambda f: f.worked_p50_ms, None, 10),
    Milliseconds("&emsp;p99", "paced", "millrace", lambda f: f.worked_p99_ms, None, 30),
)  # fmt: skip


def lines(measurement: Measurement) -> Iterator[rows.Row]:
    """The rows of what was measured."""
    for each in AIMS:
        section = measurement.section(each.section)
        ours = section.result(each.contestant) if section else None
        if section and ours:
            yield rows.Row(each.label, each.cells(section, ours))


def _pair(common: float, best: float | None) -> str:
    return f"{common:g}" if best is None else f"{common:g} ({best:g})"


def _reached(text: str, is_reached: bool) -> str:
    return f"**{text}**" if is_reached else text
