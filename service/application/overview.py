"""The figures of the first page, whoever looks: the console, a program over HTTP, the command line."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from service.application import attention
from service.domain import budgets, figures, handlers, topology
from service.domain.processes import Kind

WORDS = ("accepted", "done", "retry", "dead")  #: that are told of each minute
FEW = 5  #: failed attempts that say nothing of a type yet
LATELY = 6  #: minutes by which a type is said to fail


@dataclasses.dataclass(frozen=True, slots=True)
class Looked:
    """What was read of the ledger, and of what stands around it."""

    flow: figures.Flow
    depth: figures.Depth
    letters: figures.Letters
    processes: list[dict[str, Any]]  #: as they note themselves
    clocks: list[dict[str, Any]]  #: those that ever ticked, with the seconds for which each is ``silent``
    tzs: list[dict[str, Any]]  #: the time zones of schedules
    spent: Mapping[tuple[str, str], int]  #: (type, word) → how many, as far back as ``spent_since``
    spent_since: datetime.datetime
    spent_complete: bool  #: whether that is thirty days
    coming: list[dict[str, Any]]  #: the slots that come next
    broker: bool | None  #: whether it is there, seen from here; None: it was not asked for yet


@dataclasses.dataclass(frozen=True, slots=True)
class QueueFigures:
    """What is open in a queue, in events."""

    name: str
    due: int  #: that are due and not with the broker
    later: int  #: whose time has not come
    out: int  #: that are with the broker or with workers
    out_tickets: int
    due_for: float | None  #: seconds for which the first of those that are due has been so
    out_for: float | None  #: seconds since the first of those that are out was published
    exact: bool  #: whether these are all, and not only those up to the limit
    paused: bool


@dataclasses.dataclass(frozen=True, slots=True)
class TypeFigures:
    """How a type fares."""

    name: str
    handled: bool  #: whether there is a handler for it here
    queue: str | None
    accepted: float  #: events per second, of late
    done: float  #: likewise
    failing: float | None  #: share of failed attempts in the last minutes, where it is high
    open: int
    due: int
    later: int
    out: int  #: that are with the broker or with workers
    window: int  #: of which so many may be
    exact: bool
    oldest: float | None  #: seconds for which the first of what is due or out has waited
    run_time: float | None  #: seconds that an event takes
    dead: int  #: open dead letters, of the latest
    paused_at: datetime.datetime | None
    paused_by: str | None
    paused_because: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Hands:
    """The processes that live."""

    workers: int
    places: int  #: of workers: tickets that they work at once
    busy: int  #: of those
    clocks: int
    webs: int


@dataclasses.dataclass(frozen=True, slots=True)
class Overview:
    """The figures."""

    looked: Looked
    sentence: str
    items: list[attention.Item]
    hands: Hands
    queues: list[QueueFigures]
    types: list[TypeFigures]
    budgets: list[budgets.Budget]


def make(looked: Looked, registry: handlers.Registry, *, window: int, clock: attention.Clock) -> Overview:
    """The figures, of what was read."""
    flow, depth = looked.flow, looked.depth
    items = attention.look(
        flow, depth, looked.letters,
        window=window, clocks=looked.clocks, tzs=looked.tzs, broker=looked.broker, clock=clock,
    )  # fmt: skip
    return Overview(
        looked=looked,
        sentence=attention.sentence(flow, depth, items),
        items=items,
        hands=hands(looked.processes),
        queues=by_queue(depth, registry.queues()),
        types=by_type(flow, depth, looked.letters, registry, window),
        budgets=budgets.reckon(registry, looked.spent),
    )


def hands(processes: Iterable[Mapping[str, Any]]) -> Hands:
    """Of the processes that live: how many they are, the workers' places, and how many of those are busy."""
    living = [one for one in processes if one["alive"]]
    workers = [one for one in living if one["kind"] == Kind.WORKER]
    return Hands(
        workers=len(workers),
        places=sum(one["slots"] or 0 for one in workers),
        busy=sum(len(one["holding"]) for one in workers),
        clocks=sum(one["kind"] == Kind.CLOCK for one in living),
        webs=sum(one["kind"] == Kind.WEB for one in living),
    )


def by_queue(depth: figures.Depth, known: Iterable[str]) -> list[QueueFigures]:
    """Each queue with what is open in it, the fullest first: those that are ``known``, and those that lanes name."""
    lanes: dict[str, list[figures.Lane]] = {
        name: [] for name in (topology.EVENTS_QUEUE, topology.PERIODIC_QUEUE, *known, *depth.queues)
    }
    for lane in depth.lanes:
        lanes.setdefault(lane.queue, []).append(lane)
    found = [
        QueueFigures(
            name=name,
            due=sum(lane.due for lane in here),
            later=sum(lane.later for lane in here),
            out=sum(lane.out for lane in here),
            out_tickets=sum(lane.out_tickets for lane in here),
            due_for=max((lane.due_for or 0.0 for lane in here if lane.due), default=None),
            out_for=max((lane.out_for or 0.0 for lane in here if lane.out), default=None),
            exact=all(lane.exact for lane in here),
            paused=name in depth.queues,
        )
        for name, here in lanes.items()
    ]
    return sorted(found, key=lambda row: (-(row.out + row.due), row.name))


def by_type(
    flow: figures.Flow, depth: figures.Depth, letters: figures.Letters, registry: handlers.Registry, window: int
) -> list[TypeFigures]:
    """Each type that is known here, or of which something was counted in the last hour or is open; by name."""
    lanes: dict[str, list[figures.Lane]] = {handler.type: [] for handler in registry}
    lanes |= {name: [] for name in flow.types()}
    for lane in depth.lanes:
        lanes.setdefault(lane.type, []).append(lane)
    dead: dict[str, int] = {}
    for group in letters.groups:
        dead[group.type] = dead.get(group.type, 0) + group.count
    found = []
    for name, here in sorted(lanes.items()):
        known = depth.types.get(name, {})
        handler = registry.get(name) if name in registry else None
        waits = [seconds for lane in here for seconds in (lane.due_for, lane.out_for) if seconds is not None]
        found.append(
            TypeFigures(
                name=name,
                handled=handler is not None,
                queue=None if handler is None else handler.queue,
                accepted=flow.rate("accepted", type=name),
                done=flow.rate("done", type=name),
                failing=failing(flow, name),
                open=sum(lane.open for lane in here),
                due=sum(lane.due for lane in here),
                later=sum(lane.later for lane in here),
                out=known.get("out_events") or 0,
                window=window,
                exact=all(lane.exact for lane in here),
                oldest=max(waits, default=None),
                run_time=known.get("pace"),
                dead=dead.get(name, 0),
                paused_at=known.get("paused_at"),
                paused_by=known.get("paused_by"),
                paused_because=known.get("paused_because"),
            )
        )
    return found


def failing(flow: figures.Flow, type_name: str, few: int = FEW) -> float | None:
    """The share of attempts of a type that failed in the last minutes, where there were some and that is much."""
    failed = flow.recent(LATELY, "retry", "dead", type=type_name)
    done = flow.recent(LATELY, "done", type=type_name)
    return failed / (failed + done) if failed >= few and failed >= attention.FAILING * (failed + done) else None
