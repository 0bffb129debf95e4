"""The shapes of what stands behind the events: pauses, processes, queues, dead letters, strays."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from service.domain import outcome, processes
from service.web.openapi import shapes


class Pauses(shapes.Shape):
    """All of them."""

    pauses: list[shapes.Pause]


class Paused(shapes.Pause, kw_only=True):
    """It is paused; ``at``, ``by`` and ``because`` are of whoever was first."""

    paused: Literal[True]


class Resumed(shapes.Shape):
    """It goes again."""

    kind: Literal["type", "queue"]
    name: str
    paused: Literal[False]
    was_paused: bool


class Held(shapes.Shape):
    """A ticket that was being worked when its worker was noted."""

    pid: int
    type: str
    ticket: str
    events: shapes.Count
    seconds: Annotated[float, msgspec.Meta(description="Since it was begun.")]


class Process(shapes.Shape):
    """A web, a worker or a clock."""

    kind: processes.Kind
    host: str
    pid: int
    version: str
    queues: Annotated[list[str], msgspec.Meta(description="That a worker takes from.")]
    types: Annotated[list[str], msgspec.Meta(description="That it has handlers for.")]
    digest: Annotated[str, msgspec.Meta(description="Of the types: equal where the handlers are for the same ones.")]
    slots: Annotated[int | None, msgspec.Meta(description="Tickets that a worker works at once.")]
    broker: Annotated[bool | None, msgspec.Meta(description="Whether its broker is there; null: it does not say.")]
    holding: list[Held]
    started_at: shapes.Moment
    seen_at: shapes.Moment
    seen_ago: float
    alive: bool


class Fired(shapes.Shape):
    """What a clock has fired in the last hour."""

    slots: shapes.Count
    late: Annotated[float | None, msgspec.Meta(description="Seconds by which the latest of them was late.")]


class Clock(Process, kw_only=True):
    """A clock, with what it does."""

    fired: Fired


class Clocks(shapes.Shape):
    """The clocks by host; those that are gone are remembered for ten minutes."""

    processes: list[Clock]


class Processes(shapes.Shape):
    """The processes, by kind and host; those that are gone are remembered for ten minutes."""

    processes: list[Process]


class Deploy(shapes.Shape):
    """A kind of process came in another version."""

    kind: processes.Kind
    version: str
    at: shapes.Moment


class Deploys(shapes.Shape):
    """The deploys, the latest first."""

    deploys: list[Deploy]


class Queue(shapes.Shape):
    """A queue. What is counted is counted up to 10,000."""

    name: str
    due: Annotated[shapes.Count, msgspec.Meta(description="Tickets that are due and not with the broker.")]
    out: Annotated[shapes.Count, msgspec.Meta(description="Tickets that are with the broker.")]
    overdue: Annotated[shapes.Count, msgspec.Meta(description="Those of them that are looked at again.")]
    is_more: Annotated[bool, msgspec.Meta(description="There are more than were counted.")]
    oldest_waiting: Annotated[float | None, msgspec.Meta(description="Seconds; of what is not paused.")]
    paused_at: shapes.Moment | None
    paused_by: str | None
    paused_because: str | None
    workers: Annotated[shapes.Count, msgspec.Meta(description="Live workers that take from it.")]
    slots: Annotated[shapes.Count, msgspec.Meta(description="Tickets that they work at once.")]


class Queues(shapes.Shape):
    """The queues by name."""

    queues: list[Queue]


class Cancelled(shapes.Shape):
    """An event that was cancelled, or whose worker was asked to stop."""

    id: shapes.Id
    state: Literal["cancelled", "running"]
    links: shapes.Links


class CancelledMany(shapes.Shape):
    """What came of a cancel by filter; of a dry run the count."""

    dry_run: bool
    count: shapes.Count | None = None
    types: dict[str, int] | None = None
    cancelled: shapes.Count | None = None
    stopping: shapes.Count | None = None
    left: shapes.Count | None = None


CountedAt = Annotated[
    shapes.Moment | None,
    msgspec.Meta(
        description="Of a dry run: what died before it was counted. `until` of the act that means just these."
    ),
]


class Letter(shapes.Shape):
    """A dead letter."""

    id: shapes.Id
    type: str
    reason: outcome.Reason
    died_at: shapes.Moment
    attempt: int | None
    producer: str | None
    error: Any
    replay_of: str | None
    replayed_as: str | None
    replayed_by: str | None
    discarded_at: shapes.Moment | None
    discarded_by: str | None
    discarded_because: str | None
    links: shapes.Links


class Letters(shapes.Shape):
    """A page of dead letters, those that died last first."""

    dead: list[Letter]
    next_cursor: shapes.Cursor


class Replayed(shapes.Shape):
    """The new event of a replay."""

    id: shapes.Id
    type: str
    state: Literal["pending"]
    replay_of: str
    links: shapes.Links


class OfType(shapes.Shape):
    """What came of the letters of one type."""

    type: str
    replayed: shapes.Count
    unfit: Annotated[shapes.Count, msgspec.Meta(description="Left alone: the payload does not fit its handler today.")]
    unhandled: Annotated[shapes.Count, msgspec.Meta(description="Left alone: there is no handler for the type.")]
    example: str | None


class ReplayedMany(shapes.Shape):
    """What came of a replay by filter."""

    dry_run: bool
    replayed: shapes.Count
    left: Annotated[shapes.Count, msgspec.Meta(description="Letters that the filter still finds.")]
    complete: bool
    next_at: Annotated[shapes.Moment | None, msgspec.Meta(description="`starts_at` of the next turn, by the rate.")]
    types: list[OfType]
    counted_at: CountedAt = None


class Discarded(shapes.Shape):
    """A dead letter of which nothing more shall come."""

    id: shapes.Id
    state: Literal["dead"]
    discarded: Literal[True]
    links: shapes.Links


class DiscardedMany(shapes.Shape):
    """What came of a discard by filter; of a dry run the count."""

    dry_run: bool
    types: dict[str, int]
    count: shapes.Count | None = None
    discarded: shapes.Count | None = None
    left: Annotated[shapes.Count | None, msgspec.Meta(description="Letters that the filter still finds.")] = None
    counted_at: CountedAt = None


class Stray(shapes.Shape):
    """A message that was not ours."""

    id: str
    filed_at: shapes.Moment
    queue: str
    reason: str
    bytes: shapes.Count
    links: shapes.Links


class StrayItself(Stray, kw_only=True):
    """The same with what is in it."""

    properties: dict[str, Any]
    headers: Annotated[
        dict[str, Any],
        msgspec.Meta(description="Those that brokers do not write are masked, unless `reveal` says why."),
    ]
    body: Annotated[str | None, msgspec.Meta(description="base64; null unless `reveal` says why it must be seen.")]


class Strays(shapes.Shape):
    """A page of strays, the newest first."""

    strays: list[Stray]
    next_cursor: shapes.Cursor
