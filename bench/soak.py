"""A soak: a steady flow for a long time. Do memory, answers, files and connections stay as they are?"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from bench import machine, measure, run, stage, usage, work
from bench.contestant import Contestant, Scale
from bench.figures import percentile
from bench.load import Load
from bench.shapes import PLENTY, Shape, single
from bench.stage import Stage
from bench.terminal import Display

#: The share of the maximum that flows.
SHARE = 0.70
#: Seconds in which the maximum is found.
MAXIMUM_SECONDS = 5.0
#: A figure is flat while the median of its last third is at most so much above that of its first.
GROWTH = 0.10
#: Growth below this is nothing, by the figure: MB, files, connections, milliseconds.
SLACK = {"memory_mb": 5.0, "files": 3.0, "connections": 3.0, "p99_ms": 5.0}
#: How a figure is called in a sentence.
NAMES = {"memory_mb": "own memory", "files": "open files", "connections": "connections", "p99_ms": "p99 of the answer"}


@dataclass(frozen=True)
class Sample:
    """One process at one instant."""

    #: Seconds since the start of the flow.
    at: float
    #: What the process is: its group, and its number in it.
    process: str
    #: Memory that it shares with no other process: what a leak adds to.
    memory_mb: float
    files: int
    connections: int


@dataclass(frozen=True)
class Soak:
    """What a soak has seen."""

    contestant: str
    taken_at: str
    command: str
    minutes: float
    maximum_per_s: float
    rate: float
    accepted: int
    #: p99 of the answers in each span of time, milliseconds.
    every: float
    p99_ms: Sequence[float]
    samples: Sequence[Sample]
    refused: int
    lost: int
    wrong: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return dataclasses.asdict(self) | {"verdict": verdict(self)}


def from_document(document: dict[str, Any]) -> Soak:
    """Read back what :meth:`Soak.document` wrote."""
    plain = {name: value for name, value in document.items() if name != "verdict"}
    return Soak(**plain | {"samples": [Sample(**each) for each in document["samples"]]})


def soak(contestant: Contestant, minutes: float, every: float, command: str, display: Display) -> Soak:
    """Let orders flow for so many minutes, and look at every process every so many seconds."""
    taken_at = run.now()
    with (
        run.place(display, peers=contestant.peer) as here,
        stage.running(contestant, Scale(), here) as on_stage,
    ):
        display.note(f"{contestant.name}: finding the maximum")
        maximum = measure.measure(on_stage, single(MAXIMUM_SECONDS), display.step).committed_per_s
        on_stage.settle()
        on_stage.rows.clear()
        rate = SHARE * maximum
        display.note(f"{contestant.name}: {rate:,.0f} orders per second for {minutes:g} minutes")
        seconds = minutes * 60
        orders = max(PLENTY, round(2 * rate * seconds))
        running = on_stage.begin(Shape("soak", "", seconds, rate=rate, orders=orders))
        display.start_rounds(round(seconds))
        samples = list(_watch(on_stage, seconds, every, lambda at: display.reached(round(at))))
        load = running.result()
        on_stage.rows.wait_for(load.accepted, on_stage.check)
        rows = ((id_, value) for id_, value, _ in on_stage.rows.all())
        check = work.check(rows, load.prefix, load.sent, load.refused)
        return Soak(
            contestant=contestant.name,
            taken_at=taken_at,
            command=command,
            minutes=minutes,
            maximum_per_s=maximum,
            rate=rate,
            accepted=load.accepted,
            every=every,
            p99_ms=p99_by_span(load, every),
            samples=samples,
            refused=len(load.refused),
            lost=check.lost,
            wrong=check.wrong,
            machine=machine.describe(),
            versions=run.versions(here),
        )


def _watch(on_stage: Stage, seconds: float, every: float, tell: Callable[[float], None]) -> Iterator[Sample]:
    began, looks = time.monotonic(), 0
    while (at := time.monotonic() - began) < seconds:
        on_stage.check()
        tell(at)
        if at >= looks * every:
            looks += 1
            yield from look(on_stage.groups, at)
        time.sleep(0.2)


def look(groups: Mapping[str, Sequence[int]], at: float) -> Iterator[Sample]:
    """Every process of these groups now. PostgreSQL's are one, since its connections come and go with ours."""
    for group, pids in groups.items():
        processes = [process for pid in pids for process in usage.tree(pid)]
        if group == "postgres":
            yield from _sum(processes, group, at)
        else:
            for number, process in enumerate(processes, 1):
                yield from _sum([process], f"{group} {number}", at)


def _sum(processes: Sequence[psutil.Process], name: str, at: float) -> Iterator[Sample]:
    memory, files, connections = 0.0, 0, 0
    for process in processes:
        try:
            memory += process.memory_full_info().uss / 1e6
            files += process.num_fds()
            connections += len(process.net_connections("inet"))
        except psutil.NoSuchProcess:
            continue
    yield Sample(round(at, 1), name, round(memory, 1), files, connections)


def p99_by_span(load: Load, every: float) -> list[float]:
    """The p99 of the answers that came in each span of so many seconds, milliseconds."""
    spans: dict[int, list[float]] = {}
    for latency, answered in zip(load.latencies_us, load.answered_us, strict=True):
        if latency >= 0:
            spans.setdefault(int(answered / 1e6 / every), []).append(latency)
    return [round(percentile(spans.get(number, []), 0.99) / 1000, 2) for number in range(max(spans, default=-1) + 1)]


def grown(values: Sequence[float], slack: float) -> tuple[float, float] | None:
    """The medians of the first and the last third if the last is higher by more than chance allows; else None."""
    third = max(1, len(values) // 3)
    first, last = statistics.median(values[:third]), statistics.median(values[-third:])
    return (first, last) if last > first * (1 + GROWTH) and last - first > slack else None


def verdict(found: Soak) -> list[str]:
    """What is flat and what is not, in words. The first tenth of the time, in which caches fill, is left out."""
    start = found.minutes * 60 / 10
    series: dict[tuple[str, str], list[float]] = {}
    for sample in found.samples:
        if sample.at >= start or len(found.samples) < 10:
            for figure in ("memory_mb", "files", "connections"):
                series.setdefault((sample.process, figure), []).append(getattr(sample, figure))
    series["the door", "p99_ms"] = list(found.p99_ms[len(found.p99_ms) // 10 :])
    said = [
        f"{NAMES[figure]} of {process} grew from {growth[0]:,.1f} to {growth[1]:,.1f}"
        for (process, figure), values in series.items()
        if (growth := grown(values, SLACK[figure]))
    ]
    return said or ["memory, open files, connections and the p99 of the answer are flat"]


def lines(found: Soak) -> list[str]:
    """The result as text: each process at the first and the last look, then the verdict."""
    text = [
        f"{found.contestant}: {found.rate:,.0f} orders per second ({SHARE:.0%} of {found.maximum_per_s:,.0f}) for"
        f" {found.minutes:g} minutes, {found.accepted:,} accepted, {found.refused} refused, {found.lost} lost,"
        f" {found.wrong} wrong",
        f"p99 of the answer, ms, every {found.every:g} s: {'  '.join(f'{each:.1f}' for each in found.p99_ms)}",
        f"{'process':<14}{'own memory, MB':>18}{'files':>12}{'connections':>14}   first and last look",
    ]
    for name in dict.fromkeys(sample.process for sample in found.samples):
        mine = [sample for sample in found.samples if sample.process == name]
        first, last = mine[0], mine[-1]
        text.append(
            f"{name:<14}{first.memory_mb:>9.1f}{last.memory_mb:>9.1f}{first.files:>6}{last.files:>6}"
            f"{first.connections:>7}{last.connections:>7}"
        )
    return [*text, *(f"{sentence}." for sentence in verdict(found))]
