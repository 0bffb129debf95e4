"""A small model of cost: what the next doubling of processes will give, from the points measured so far.

It rests on the operational laws of Denning and Buzen ("The Operational Analysis of Queueing Network Models", 1978):
throughput times demand is utilization, and no server is busier than all the time. The demand of a group is its CPU
time per event. With the same connections, each process more makes flushes and bundles of its own, and those of all of
them become smaller: so a demand grows with each process by as much as it did from one point to the next. What shrank
stays as it is, for nothing becomes cheaper by that. The rate is the least of four bounds: the multiplied processes,
each as busy as before; the other processes, busy all the time; the cores of the machine, as busy as they were seen at
most; and the gain of the step before, because gains diminish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.figures import GROUPS
from bench.results import Measurement, Section

#: No process or machine is counted on to be busier than this share of the time.
BUSIEST = 0.95
#: From this share on the machine counts as full, and is not counted on to become fuller.
FULL = 0.80


@dataclass(frozen=True)
class Point:
    """One measured number of processes."""

    #: Processes of the group that is multiplied.
    number: int
    #: The group that is multiplied, and how many processes each group of Python processes has.
    group: str
    processes: Mapping[str, int]
    #: Events per second, up to the last commit.
    rate: float
    #: CPU seconds per event: of each group, and of the load generator, which shares the cores.
    demands: Mapping[str, float]
    generator: float

    @property
    def demand(self) -> float:
        """CPU seconds per event, of everything but the load generator."""
        return sum(self.demands.values())

    def busy(self, cores: int) -> float:
        """The share of the machine that is in use."""
        return self.rate * (self.demand + self.generator) / cores


@dataclass(frozen=True)
class Prediction:
    """What the model says of a point."""

    number: int
    rate: float
    #: CPU seconds per event.
    demand: float
    #: What keeps the rate from being higher, in words.
    limit: str


def predict(points: Sequence[Point], number: int, cores: int) -> Prediction:
    """Foresee the rate with `number` processes from one or more points with fewer."""
    last = points[-1]
    before = points[-2] if len(points) > 1 else last
    steps = (number - last.number) / max(1, last.number - before.number)  # So many times what was added before.
    demands = {group: last.demands[group] + steps * _growth(before, last, group) for group in last.demands}
    total = sum(demands.values()) + last.generator
    group = last.group
    each_busy = last.rate * last.demands[group] / last.processes[group]
    bounds = {f"the {group} processes": number * each_busy / demands[group]}
    for other, processes in last.processes.items():
        if other != group:
            bounds[f"the {other} processes"] = processes * BUSIEST / demands[other]
    most_busy = max(point.busy(cores) for point in points)
    bounds["the cores of the machine"] = cores * (most_busy if most_busy >= FULL else BUSIEST) / total
    if len(points) > 1:
        bounds["what the step before gained"] = last.rate * last.rate / before.rate
    limit = min(bounds, key=lambda name: bounds[name])
    return Prediction(number, bounds[limit], sum(demands.values()), limit)


def _growth(before: Point, last: Point, group: str) -> float:
    return max(0.0, last.demands[group] - before.demands[group])


def points(measurement: Measurement, prefix: str, group: str) -> list[Point]:
    """The points of one axis: the sections whose keys begin with the prefix, by number."""
    found = [_point(section, group) for section in measurement.sections if section.key.startswith(f"{prefix}-")]
    return sorted(found, key=lambda point: point.number)


def _point(section: Section, group: str) -> Point:
    figures = section.results[0].figures
    scale = section.scale
    processes = {"web": scale.web, "worker": scale.workers * scale.children}
    return Point(
        number=processes[group],
        group=group,
        processes=processes,
        rate=figures.committed_per_s,
        demands={name: figures.cpu[name] / 1000 for name in GROUPS},
        generator=figures.generator / 1000,
    )
