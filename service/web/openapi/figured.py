"""The shapes of figures: the overview, and what is dead by groups."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from service.application import attention
from service.web.openapi import shapes

Rate = Annotated[float, msgspec.Meta(ge=0, description="Events per second, in this minute and the one before.")]
Due = Annotated[shapes.Count, msgspec.Meta(description="Events that are due and not with the broker.")]
Later = Annotated[shapes.Count, msgspec.Meta(description="Whose time has not come: delayed, or between attempts.")]
Out = Annotated[shapes.Count, msgspec.Meta(description="That are with the broker or with workers.")]
DueFor = Annotated[float | None, msgspec.Meta(description="Seconds for which the oldest of what is due has been so.")]
OutFor = Annotated[float | None, msgspec.Meta(description="Seconds since the oldest of what is out was published.")]
Exact = Annotated[bool, msgspec.Meta(description="Whether all were counted: each lane up to 10,000 tickets.")]


class Wanting(shapes.Shape):
    """One thing that wants attention."""

    severity: Literal["critical", "warning", "note"]
    what: attention.What
    subject: Annotated[str, msgspec.Meta(description="What it is about: a type, a queue, …")]
    title: Annotated[str, msgspec.Meta(description="Goes on from the subject.")]
    text: Annotated[str, msgspec.Meta(description="The cause, for people; times in it are in UTC.")]
    facts: Annotated[dict[str, Any], msgspec.Meta(description="What it was decided by.")]
    links: Annotated[dict[str, str], msgspec.Meta(description="`look`: where the rows are that it counts.")]


class Rated(shapes.Shape):
    """How many of one word there were."""

    per_second: Rate
    last_hour: shapes.Count


class Minute(shapes.Shape):
    """One minute."""

    minute: Annotated[shapes.Moment, msgspec.Meta(description="Its beginning.")]
    accepted: shapes.Count
    done: shapes.Count
    retry: shapes.Count
    dead: shapes.Count
    waited: Annotated[float, msgspec.Meta(description="Seconds for which the oldest ticket worked in it had been out.")]
    queue: Annotated[str | None, msgspec.Meta(description="In which that was.")]


class Flow(shapes.Shape):
    """What came and what was worked in the last hour."""

    accepted: Rated
    done: Rated
    retry: Annotated[Rated, msgspec.Meta(description="Attempts that failed, and are followed by another.")]
    dead: Rated
    minutes: Annotated[list[Minute], msgspec.Meta(description="The oldest first; the one that runs is left out.")]


class Depth(shapes.Shape):
    """How many are open, and for how long."""

    due: Due
    later: Later
    out: Out
    out_tickets: shapes.Count
    due_for: DueFor
    out_for: OutFor
    exact: Exact


class Open(Depth, kw_only=True):
    """All open events."""

    events: shapes.Count


class QueueFigures(Depth, kw_only=True):
    """What is open in a queue, in events. `GET /v1/queues` counts tickets."""

    name: str
    paused: bool


class TypeFigures(shapes.Shape):
    """How an event type fares."""

    name: str
    handled: Annotated[bool, msgspec.Meta(description="Whether there is a handler for it here.")]
    queue: str | None
    accepted: Rate
    done: Rate
    failing: Annotated[
        float | None,
        msgspec.Meta(description="Share of attempts that failed in the last minutes, where it is high."),
    ]
    open: shapes.Count
    due: Due
    later: Later
    out: Out
    window: Annotated[shapes.Count, msgspec.Meta(description="Of which so many may be; the others are held back.")]
    exact: Exact
    oldest: Annotated[float | None, msgspec.Meta(description="Seconds for which the oldest due or out has waited.")]
    run_time: Annotated[float | None, msgspec.Meta(description="Seconds that one event takes, of late.")]
    dead: Annotated[shapes.Count, msgspec.Meta(description="Open dead letters, among the latest 2,000.")]
    paused_at: shapes.Moment | None
    paused_by: str | None
    paused_because: str | None


class Living(shapes.Shape):
    """The processes that live."""

    workers: shapes.Count
    places: Annotated[shapes.Count, msgspec.Meta(description="Tickets that the workers work at once.")]
    busy: Annotated[shapes.Count, msgspec.Meta(description="Of those places.")]
    clocks: shapes.Count
    webs: shapes.Count


class Dead(shapes.Shape):
    """The dead letters that nobody has replayed or discarded."""

    open: shapes.Count
    exact: Annotated[bool, msgspec.Meta(description="Whether these are all, and not only those of the latest 10,000.")]
    strays: Annotated[shapes.Count, msgspec.Meta(description="Messages that were not ours, up to 10,000.")]


class Budget(shapes.Shape):
    """What is left of one of a type's error budgets."""

    type: str
    what: Annotated[str, msgspec.Meta(description="That was promised.")]
    left: Annotated[float, msgspec.Meta(description="Share of the budget; below 0: more was spent than there is.")]
    kept: Annotated[float, msgspec.Meta(description="Share of events of which it was kept.")]
    promised: float
    counted: Annotated[shapes.Count, msgspec.Meta(description="Of how many events, or starts, that is the share.")]


class Budgets(shapes.Shape):
    """The error budgets of types whose handlers declare an objective, the least first."""

    since: shapes.Moment
    complete: Annotated[bool, msgspec.Meta(description="That is thirty days; false: a process that began reads on.")]
    budgets: list[Budget]


class Coming(shapes.Shape):
    """A slot that comes."""

    schedule: str
    type: str
    slot: shapes.Moment
    next_due: Annotated[shapes.Moment, msgspec.Meta(description="When it will be fired, with its jitter.")]


class Overview(shapes.Shape):
    """Is it well, and what wants a person."""

    at: Annotated[shapes.Moment, msgspec.Meta(description="By the ledger's clock.")]
    sentence: Annotated[str, msgspec.Meta(description="How it is, in one sentence.")]
    attention: Annotated[list[Wanting], msgspec.Meta(description="The worst first.")]
    flow: Flow
    open: Open
    queues: Annotated[list[QueueFigures], msgspec.Meta(description="The fullest first.")]
    types: Annotated[list[TypeFigures], msgspec.Meta(description="By name.")]
    dead: Dead
    budgets: Budgets
    processes: Living
    broker: Annotated[bool | None, msgspec.Meta(description="Whether it is reachable from here; null: not known yet.")]
    coming: Annotated[list[Coming], msgspec.Meta(description="The first slot of each of the next schedules.")]


class Group(shapes.Shape):
    """Dead letters of one type, reason and error."""

    type: str
    reason: str
    error: str
    message: Annotated[str, msgspec.Meta(description="Of the latest, up to 200 characters.")]
    count: shapes.Count
    first: shapes.Moment
    last: shapes.Moment
    example: Annotated[str, msgspec.Meta(description="The id of the latest.")]
    links: shapes.Links


class Groups(shapes.Shape):
    """What is dead and was neither replayed nor discarded."""

    groups: Annotated[list[Group], msgspec.Meta(description="The largest first.")]
    open: shapes.Count
    exact: Annotated[bool, msgspec.Meta(description="Whether these are all, and not only those of the latest 10,000.")]
    grouped: Annotated[bool, msgspec.Meta(description="Whether all are in groups, and not only the latest 2,000.")]
    strays: shapes.Count
