"""The rows of the result tables, as text. The terminal and the page of the documentation share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import GROUPS, Figures, Ratios, ratios
from bench.results import Measurement, Result, Section

#: A share of foreign CPU above this makes a measurement doubtful.
FOREIGN_LIMIT = 0.10

#: The peer that ratios are shown against, besides the best one: what most of us run, tuned.
COMMON_PEER = "p2t"


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


_RATES = (
    _Line("accepted /s", lambda figures: f"{figures.accepted_per_s:,.0f}"),
    _Line("committed /s", lambda figures: f"{figures.committed_per_s:,.0f}"),
)
_ANSWERS = (
    _Line("accept p50, ms", lambda figures: f"{figures.p50_ms:,.1f}"),
    _Line("accept p99, ms", lambda figures: f"{figures.p99_ms:,.1f}"),
)
_WORKED = (
    _Line("to commit p50, ms", lambda figures: f"{figures.worked_p50_ms:,.1f}"),
    _Line("to commit p99, ms", lambda figures: f"{figures.worked_p99_ms:,.1f}"),
)
_COSTS = (
    _Line("CPU s / 1,000 events", lambda figures: f"{figures.cpu_total:.3f}"),
    *(_group(group) for group in GROUPS),
    _Line("peak memory, MB", lambda figures: f"{figures.memory_mb:,.0f}"),
    _Line("refused", lambda figures: f"{figures.refused:,}"),
    _Line("lost rows", lambda figures: f"{figures.lost:,}"),
    _Line("wrong rows", lambda figures: f"{figures.wrong:,}"),
)

_Ratio = tuple[str, Callable[[Ratios], float]]
_RATE_RATIOS: tuple[_Ratio, ...] = (
    ("accepted", lambda found: found.accepted),
    ("committed", lambda found: found.committed),
)
_WORKED_RATIO: _Ratio = ("to commit p99", lambda found: found.worked)
_OTHER_RATIOS: tuple[_Ratio, ...] = (
    ("accept p99", lambda found: found.p99),
    ("CPU", lambda found: found.cpu),
    ("memory", lambda found: found.memory),
)


def names(section: Section) -> list[str]:
    """The head of the section's tables."""
    return [result.name for result in section.results]


def figure_rows(section: Section) -> list[Row]:
    """What was measured: one row per figure, one cell per contestant."""
    lines = (*_ANSWERS, *_WORKED, *_COSTS) if section.shape.paced else (*_RATES, *_ANSWERS, *_COSTS)
    columns = [result.figures for result in section.results]
    return [Row(line.label, [line.read(each) for each in columns], line.detail) for line in lines]


def ratio_rows(section: Section, peer: Result) -> list[Row]:
    """How many times better each of ours is than the peer; other cells are empty."""
    wanted = (_WORKED_RATIO, *_OTHER_RATIOS) if section.shape.paced else (*_RATE_RATIOS, *_OTHER_RATIOS)
    found = [None if each.peer else ratios(each.figures, peer.figures) for each in section.results]
    return [Row(label, ["" if each is None else _times(read(each)) for each in found]) for label, read in wanted]


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2f}x"


def references(section: Section) -> list[Result]:
    """The peers that ratios are shown against: the one that most of us run, tuned, and the best one."""
    best = best_peer(section)
    return [peer for peer in section.peers if peer.name == COMMON_PEER or peer is best]


def best_peer(section: Section) -> Result | None:
    """The peer that commits most; under a steady flow the one that commits soonest."""
    if not section.peers:
        return None
    if section.shape.paced:
        return min(section.peers, key=lambda peer: peer.figures.worked_p99_ms)
    return max(section.peers, key=lambda peer: peer.figures.committed_per_s)


def warnings(measurement: Measurement) -> list[str]:
    """What a reader must know before quoting a number; empty if all is well."""
    found = [
        f"{each.name}: not every round was measured: {each.failure}" for each in measurement.contestants if each.failure
    ]
    disturbed = []
    for section in measurement.sections:
        for result in section.results:
            figures = result.figures
            if figures.lost or figures.wrong:
                found.append(f"{result.name}, {section.key}: {figures.lost} rows lost, {figures.wrong} wrong.")
            if figures.foreign > FOREIGN_LIMIT:
                disturbed.append((figures.foreign, f"{result.name}, {section.key}"))
    if disturbed:
        share, where = max(disturbed)
        found.append(
            f"The machine was not quiet: in {len(disturbed)} measurements other programs used over {FOREIGN_LIMIT:.0%}"
            f" of the busy CPU time, at most {share:.0%} ({where})."
        )
    return found
