"""The measured part of ``docs/scale.md``: costs, what is busy first, the ladder, and how far the arithmetic is off."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import contestants, footprint, kept, ladder, profiles, simulate
from bench.figures import GROUPS
from bench.ladder import Cost
from bench.results import Measurement, Result, Section

#: Seconds for which the simulation sends.
SIMULATED = 1.0
#: Rates of the ladder that are simulated, and connections for each core of the door.
LADDER_RATES, CONNECTIONS = (1_000, 3_000), 64
#: Children of a worker, at the most: more would wait for their parent.
CHILDREN = 4
#: How the groups are named for people.
NAMES = {"web": "web", "worker": "workers and clock", "broker": "RabbitMQ", "postgres": "PostgreSQL"}


def source(folder: Path = kept.FOLDER) -> Measurement | None:
    """The kept result that has most to say."""
    return kept.newest_of(profiles.FULL.name, folder) or kept.newest_of(profiles.QUICK.name, folder)


def section(measurement: Measurement, folder: Path = kept.FOLDER) -> Iterator[str]:
    """The text, part by part."""
    found = ladder.costs(measurement)
    cores = int(measurement.machine["cores"])
    yield from _costs(found)
    yield from _first(found, cores)
    yield from _ladder(found)
    document = kept.newest_document(footprint.KIND, folder)
    if document is not None:
        yield from _weights(document)
    yield from _check(measurement, cores)


def road(section: Section, result: Result, cores: int) -> simulate.Road:
    """A column of a table as it is simulated."""
    scale = contestants.named([result.name])[0].scaled(section.scale)
    cost = ladder.cost(section, result)
    return simulate.Road(
        demands={**cost.demands, "generator": cost.generator},
        cores=cores,
        web=scale.web,
        workers=scale.workers,
        children=scale.children,
        connections=section.shape.connections,
        batch=section.shape.batch,
        seconds=SIMULATED,
    )


def planned(cost: Cost, rung: ladder.Rung, batch: int) -> simulate.Road:
    """A rung of the ladder as it is simulated: as many cores as it plans, the load generator's beside them."""
    return simulate.Road(
        demands={**cost.demands, "generator": 0.0},
        cores=rung.total,
        web=rung.cores["web"],
        workers=math.ceil(rung.cores["worker"] / CHILDREN),
        children=min(CHILDREN, rung.cores["worker"]),
        connections=CONNECTIONS * rung.cores["web"],
        batch=batch,
        seconds=SIMULATED,
    )


def _costs(found: list[Cost]) -> Iterator[str]:
    yield "## What an event costs\n"
    yield "CPU time per event in milliseconds, by group of processes; and what was committed per second meanwhile.\n"
    heads = [*(NAMES[group] for group in GROUPS), "all", "committed /s"]
    rows = [
        [cost.title, *(_ms(cost.demands[group]) for group in GROUPS), _ms(cost.total), f"{cost.measured:,.0f}"]
        for cost in found
    ]
    yield _table(["", *heads], rows)


def _first(found: list[Cost], cores: int) -> Iterator[str]:
    yield "## What is busy first\n"
    yield (
        "With one core for each group, the most expensive one is busy all the time first; with all of them on the"
        f" {cores} cores of the measurement, the cores are.\n"
    )
    rows = []
    for cost in found:
        group, rate = ladder.first_full(cost)
        bound = cost.bound(cores)
        rows.append([cost.title, NAMES[group], f"{rate:,.0f}", f"{bound:,.0f}", f"{cost.measured / bound:.0%}"])
    heads = ["", "first", "at events /s", f"all on {cores} cores, at most /s", "measured of that"]
    yield _table(heads, rows)


def _ladder(found: list[Cost]) -> Iterator[str]:
    yield "## The ladder in numbers\n"
    yield (
        f"Cores so that nothing is busy for more than {ladder.HEADROOM:.0%} of the time. A cell is planned for as much"
        f" as its PostgreSQL carries on {ladder.MACHINE} cores, and for no more than {ladder.TRUST} times what was"
        " measured.\n"
    )
    for cost in found:
        rows = []
        for rung in (ladder.rung(cost, rate) for rate in ladder.RATES):
            cells = [str(rung.cores[group]) for group in GROUPS]
            rows.append([f"{rung.rate:,}", rung.name, str(rung.cells), *cells, str(rung.total)])
        yield f"**{cost.title}**, a cell up to {ladder.per_cell(cost):,.0f} per second:\n"
        yield _table(["events /s", "where", "cells", *(NAMES[group] for group in GROUPS), "cores in all"], rows)


def _weights(document: Mapping[str, Any]) -> Iterator[str]:
    found = footprint.from_document(document)
    yield "## Disk, write-ahead log, network\n"
    yield (
        "Bytes per event, of orders of 300 bytes; the network is the sum of all hops: client, door, PostgreSQL,"
        f" RabbitMQ, worker. Beside them what one disk ({ladder.DISK_MB} MB/s) and one network ({ladder.NETWORK_MB}"
        " MB/s) carry.\n"
    )
    rows = [
        [
            one.title,
            *(f"{value:,.0f}" for value in (one.database, one.wal, one.network)),
            f"{one.commits:.3f}",
            *(f"{limit * 1e6 / value:,.0f}" for limit, value in
              ((ladder.DISK_MB, one.wal), (ladder.NETWORK_MB, one.network))),
            f"{one.database * 1_000 * 86_400 / 1e9:,.0f}",
        ]
        for one in found.weights
    ]  # fmt: skip
    heads = [
        "",
        "database",
        "log",
        "network",
        "commits",
        "disk carries /s",
        "network carries /s",
        "GB a day at 1,000 /s",
    ]
    yield _table(heads, rows)
    yield f"Taken on {found.taken_at} with `{found.command}`.\n"


def _check(measurement: Measurement, cores: int) -> Iterator[str]:
    yield "## Checked against a simulation\n"
    yield "The measured rate, what the arithmetic says at the most, and what the simulation says.\n"
    rows, worst = [], 0.0
    for each in measurement.sections:
        for result in [] if each.shape.paced else [r for r in each.results if not r.peer]:
            cost, outcome = ladder.cost(each, result), simulate.simulate(road(each, result, cores))
            off = outcome.committed_per_s / cost.measured - 1
            worst = max(worst, abs(off))
            bound = cost.bound(cores)
            said = f"{outcome.committed_per_s:,.0f} ({off:+.0%})"
            rows.append([cost.title, f"{cost.measured:,.0f}", f"{bound:,.0f} ({bound / cost.measured - 1:+.0%})", said])
    yield _table(["", "measured /s", "at the most", "simulated"], rows)
    yield f"The simulation is off by {worst:.0%} at the most; a test holds it below {simulate.ERROR:.0%}.\n"
    yield "What rungs of the ladder take at the most, simulated with the cores that they plan:\n"
    rows = []
    for each in measurement.sections:
        for result in [] if each.shape.paced else [r for r in each.results if not r.peer]:
            cost = ladder.cost(each, result)
            for rung in (ladder.rung(cost, rate) for rate in LADDER_RATES):
                taken = simulate.simulate(planned(cost, rung, each.shape.batch)).committed_per_s
                rows.append(
                    [cost.title, f"{rung.rate:,}", str(rung.total), f"{taken:,.0f}", f"{rung.rate / taken:.0%}"]
                )
    yield _table(["", "planned /s", "cores", "takes at the most /s", "so it is planned to be busy"], rows)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3f}"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |\n" for cells in rows]
    return f"| {' | '.join(heads)} |\n|---|{'---:|' * (len(heads) - 1)}\n" + "".join(lines)
