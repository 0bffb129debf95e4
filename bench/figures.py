"""The figures of a round, medians over rounds, and ratios to a peer.

Everything here is plain data and arithmetic; it reads no clock and touches no server.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
    #: Rows per second, from the first request to the commit of the last row.
    committed_per_s: float
    #: Latencies of the answers, milliseconds; in an open loop from the instant at which the request was due.
    p50_ms: float
    p99_ms: float
    max_ms: float
    #: From the answer to the commit of the row, milliseconds; 0 where the row was there first.
    worked_p50_ms: float
    worked_p99_ms: float
    #: CPU seconds per 1,000 committed orders, by group.
    cpu: Mapping[str, float]
    #: CPU seconds of the load generator per 1,000 committed orders; no part of `cpu`.
    generator: float
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
    committed_at: Mapping[int, float],
    spent: Mapping[str, float],
    machine_spent: float,
    own_spent: float,
    memory_mb: float,
) -> Figures:
    """The figures of a round, in which at least one row was committed.

    `committed_at` are Unix times by the numbers of the orders, `spent` CPU seconds by group. Load generator and
    database tell the time by the same clock, that of the machine.
    """
    thousands = check.committed / 1000
    refused = set(load.refused)
    worked = [max(0.0, at - load.answered_at(order)) for order, at in committed_at.items() if order not in refused]
    ours = sum(spent.values()) + load.cpu_seconds + own_spent
    return Figures(
        accepted_per_s=load.accepted / load.seconds,
        committed_per_s=check.committed / (max(committed_at.values()) - load.started_at),
        p50_ms=percentile(load.latencies, 0.50) / 1000,
        p99_ms=percentile(load.latencies, 0.99) / 1000,
        max_ms=percentile(load.latencies, 1.0) / 1000,
        worked_p50_ms=percentile(worked, 0.50) * 1000,
        worked_p99_ms=percentile(worked, 0.99) * 1000,
        cpu={group: spent[group] / thousands for group in GROUPS},
        generator=load.cpu_seconds / thousands,
        memory_mb=memory_mb,
        lost=check.lost,
        wrong=check.wrong,
        refused=len(refused),
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
        worked_p50_ms=middle(lambda each: each.worked_p50_ms),
        worked_p99_ms=middle(lambda each: each.worked_p99_ms),
        cpu={group: statistics.median(each.cpu[group] for each in rounds) for group in GROUPS},
        generator=middle(lambda each: each.generator),
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
    worked: float
    cpu: float
    memory: float


def ratios(ours: Figures, peer: Figures) -> Ratios:
    """Rates: ours over the peer's. Latency, CPU and memory: the peer's over ours."""
    return Ratios(
        accepted=_over(ours.accepted_per_s, peer.accepted_per_s),
        committed=_over(ours.committed_per_s, peer.committed_per_s),
        p99=_over(peer.p99_ms, ours.p99_ms),
        worked=_over(peer.worked_p99_ms, ours.worked_p99_ms),
        cpu=_over(peer.cpu_total, ours.cpu_total),
        memory=_over(peer.memory_mb, ours.memory_mb),
    )


def _over(one: float, other: float) -> float:
    return one / other if other else 0.0
