"""From the measured cost of an event to the servers that a rate needs: plain arithmetic, for ``docs/scale.md``.

The utilization law of Denning and Buzen: cores that are busy = events per second x CPU seconds per event. Divided by
the share of the time that they are to be busy at the most, that is the number of cores to have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.figures import GROUPS
from bench.results import Measurement, Result, Section

#: The share of the time that anything is planned to be busy: beyond it, waiting grows faster than the rate.
HEADROOM = 0.6
#: Cores of the largest machine that is planned with.
MACHINE = 16
#: No cell is planned for more events per second than so many times what was measured: arithmetic knows no locks.
TRUST = 10
#: Rates that the ladder is computed for, events per second.
RATES = (100, 1_000, 3_000, 10_000, 30_000, 100_000)
#: Megabytes per second that one disk is planned to write, and one network to carry: half of SATA's and of 10 Gb/s.
DISK_MB, NETWORK_MB = 250, 600


@dataclass(frozen=True)
class Cost:
    """What an event costs in one way of sending and working it."""

    #: How it is named in tables.
    title: str
    #: CPU seconds per event, by group.
    demands: Mapping[str, float]
    #: CPU seconds of the load generator, which is no part of the road.
    generator: float
    #: Events per second that were measured.
    measured: float

    @property
    def total(self) -> float:
        """CPU seconds per event of the whole road."""
        return sum(self.demands.values())

    def bound(self, cores: int) -> float:
        """Events per second with which so many cores are busy all the time, the load generator's work included."""
        return cores / (self.total + self.generator)


@dataclass(frozen=True)
class Rung:
    """What a rate needs."""

    rate: int
    cells: int
    #: Cores of each cell, by group.
    cores: Mapping[str, int]
    #: Where it stands on the ladder.
    name: str

    @property
    def total(self) -> int:
        """Cores of all cells."""
        return self.cells * sum(self.cores.values())


def costs(measurement: Measurement) -> list[Cost]:
    """The costs of ours, one for each contestant and shape that is not paced."""
    return [
        cost(section, result)
        for section in measurement.sections
        if not section.shape.paced
        for result in section.results
        if not result.peer
    ]


def cost(section: Section, result: Result) -> Cost:
    """What an event costs in one column of one table."""
    found = result.figures
    return Cost(
        title=f"{result.name}, {_short(section)}",
        demands={group: found.cpu[group] / 1000 for group in GROUPS},
        generator=found.generator / 1000,
        measured=found.committed_per_s,
    )


def first_full(cost: Cost) -> tuple[str, float]:
    """The group that is busy all the time first when each has one core, and the rate at which it is."""
    group = max(GROUPS, key=lambda name: cost.demands[name])
    return group, 1 / cost.demands[group]


def rung(cost: Cost, rate: int) -> Rung:
    """What this many events per second need."""
    cells = max(1, math.ceil(rate / per_cell(cost)))
    share = rate / cells
    cores = {group: max(1, math.ceil(share * cost.demands[group] / HEADROOM - 1e-9)) for group in GROUPS}
    return Rung(rate, cells, cores, _name(cells, cores))


def per_cell(cost: Cost) -> float:
    """Events per second that one cell is planned for: its PostgreSQL on the largest machine, and no more than trust."""
    return min(MACHINE * HEADROOM / cost.demands["postgres"], TRUST * cost.measured)


def _name(cells: int, cores: Mapping[str, int]) -> str:
    if cells > 1:
        return "cells"
    if sum(cores.values()) <= MACHINE // 2:
        return "one machine"
    if max(cores["web"], cores["worker"]) <= MACHINE // 2 and cores["broker"] == 1:
        return "separate servers"
    return "a cluster, workers per queue" if cores["postgres"] <= MACHINE // 2 else "PostgreSQL tuned and partitioned"


def _short(section: Section) -> str:
    size = section.shape.batch
    return "one per request" if size == 1 else f"{size} per request"
