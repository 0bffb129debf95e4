"""The figures of a measurement: what one round gives, medians over rounds, ratios to a peer.

Everything here is plain data and arithmetic; it reads no clock and touches no server.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.load import Load
from bench.work import Check

#: The groups of processes whose CPU is counted, in the order of every table.
GROUPS = ("web", "worker", "broker", "postgres")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0..1) of all values do not exceed; 0 for no values."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True)
class Figures:
    """The figures of one round of a contestant, or the medians of several."""

    #: Orders accepted per second, from the first request to the last answer.
    accepted_per_s: float
    #: Rows per second, from the first request to the last row.
    committed_per_s: float
    #: Latencies of the answers, milliseconds.
    p50_ms: float
    p99_ms: float
    max_ms: float
    #: CPU seconds per 1,000 committed orders, by group.
    cpu: Mapping[str, float]
    #: Sum over web and workers of each process's peak of resident memory, MB.
    memory_mb: float
    #: Orders that were accepted and have no row.
    lost: int
    #: Rows with a wrong value.
    wrong: int
    #: Orders that were not accepted.
    refused: int
    #: Share (0..1) of the machine's busy time that was none of ours: high means a disturbed round.
    foreign: float

    @property
    def cpu_total(self) -> float:
        """CPU seconds per 1,000 committed orders, of everything."""
        return sum(self.cpu.values())


def from_round(
    load: Load,
    check: Check,
    last_at: float,
    spent: Mapping[str, float],
    machine_spent: float,
    own_spent: float,
    memory_mb: float,
) -> Figures:
    """The figures of a round. `spent` are CPU seconds by group; at least one row was committed."""
    thousands = check.committed / 1000
    ours = sum(spent.values()) + load.cpu_seconds + own_spent
    return Figures(
        accepted_per_s=load.accepted / load.seconds,
        committed_per_s=check.committed / (last_at - load.started_at),
        p50_ms=percentile(load.latencies_us, 0.50) / 1000,
        p99_ms=percentile(load.latencies_us, 0.99) / 1000,
        max_ms=percentile(load.latencies_us, 1.0) / 1000,
        cpu={group: spent[group] / thousands for group in GROUPS},
        memory_mb=memory_mb,
        lost=check.lost,
        wrong=check.wrong,
        refused=len(load.refused),
        foreign=max(0.0, 1 - ours / machine_spent) if machine_spent > 0 else 0.0,
    )


def median(rounds: Sequence[Figures]) -> Figures:
    """The medians over rounds. What must never happen (lost, wrong, refused) is summed instead."""

    def middle(read: Callable[[Figures], float]) -> float:
        return statistics.median(read(each) for each in rounds)

    return Figures(
        accepted_per_s=middle(lambda each: each.accepted_per_s),
        committed_per_s=middle(lambda each: each.committed_per_s),
        p50_ms=middle(lambda each: each.p50_ms),
        p99_ms=middle(lambda each: each.p99_ms),
        max_ms=middle(lambda each: each.max_ms),
        cpu={group: statistics.median(each.cpu[group] for each in rounds) for group in GROUPS},
        memory_mb=middle(lambda each: each.memory_mb),
        lost=sum(each.lost for each in rounds),
        wrong=sum(each.wrong for each in rounds),
        refused=sum(each.refused for each in rounds),
        foreign=middle(lambda each: each.foreign),
    )


@dataclass(frozen=True)
class Ratios:
    """How many times better one contestant is than another; below 1 it is worse."""

    accepted: float
    committed: float
    p99: float
    cpu: float
    memory: float


def ratios(ours: Figures, peer: Figures) -> Ratios:
    """Rates: ours over the peer's. Latency, CPU and memory: the peer's over ours."""
    return Ratios(
        accepted=_over(ours.accepted_per_s, peer.accepted_per_s),
        committed=_over(ours.committed_per_s, peer.committed_per_s),
        p99=_over(peer.p99_ms, ours.p99_ms),
        cpu=_over(peer.cpu_total, ours.cpu_total),
        memory=_over(peer.memory_mb, ours.memory_mb),
    )


def _over(one: float, other: float) -> float:
    return one / other if other else 0.0


@dataclass(frozen=True)
class Result:
    """One contestant's rounds."""

    name: str
    title: str
    peer: bool
    #: Its commands as they were typed, and the packages that matter with their versions.
    commands: Sequence[str]
    packages: Mapping[str, str]
    rounds: Sequence[Figures]
    #: Why rounds are missing; empty if none is.
    failure: str = ""

    @property
    def figures(self) -> Figures:
        """The medians over its rounds."""
        return median(self.rounds)


@dataclass(frozen=True)
class Measurement:
    """Everything that one run of the benchmark has found."""

    #: Local time at the start, as ``2026-11-20 20:15``.
    taken_at: str
    #: The command that repeats it.
    command: str
    events: int
    warm_up: int
    connections: int
    rounds: int
    #: What the machine is, by label.
    machine: Mapping[str, str]
    #: Versions of Python, the servers and Millrace, by label.
    versions: Mapping[str, str]
    results: Sequence[Result]

    @property
    def measured(self) -> list[Result]:
        """The contestants that finished at least one round."""
        return [result for result in self.results if result.rounds]

    @property
    def sound(self) -> bool:
        """Whether every round was run, and nothing was lost or wrong."""
        return all(
            not result.failure and result.rounds and not (result.figures.lost + result.figures.wrong)
            for result in self.results
        )

    def document(self) -> dict[str, Any]:
        """All of it as plain JSON, with medians and ratios beside the rounds they come from."""
        plain = dataclasses.asdict(self)
        for result, entry in zip(self.results, plain["results"], strict=True):
            if result.rounds:
                entry["median"] = dataclasses.asdict(result.figures)
        plain["ratios"] = {
            f"{ours.name} to {peer.name}": dataclasses.asdict(ratios(ours.figures, peer.figures))
            for ours, peer in self.pairs()
        }
        return plain

    def pairs(self) -> list[tuple[Result, Result]]:
        """Each of ours with each peer, as far as both were measured."""
        ours = [result for result in self.measured if not result.peer]
        peers = [result for result in self.measured if result.peer]
        return [(one, peer) for peer in peers for one in ours]


def from_document(document: Mapping[str, Any]) -> Measurement:
    """Read back what :meth:`Measurement.document` wrote; medians and ratios are computed again."""
    fields = {field.name for field in dataclasses.fields(Measurement)}
    results = [_result(entry) for entry in document["results"]]
    return Measurement(**{name: document[name] for name in fields - {"results"}}, results=results)


def _result(entry: Mapping[str, Any]) -> Result:
    fields = {field.name for field in dataclasses.fields(Result)}
    rounds = [Figures(**figures) for figures in entry["rounds"]]
    return Result(**{name: entry[name] for name in fields - {"rounds"}}, rounds=rounds)
