"""The shapes of what the API answers. They are written in its document, and what is answered is checked against them.

A member may be added to an answer at any time; a client reads over what it does not know.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from service.domain import explain, outcome, processes, slots, states
from service.web import search

Moment = datetime.datetime
Id = Annotated[str, msgspec.Meta(description="A UUID of version 7: the time in it is when the event was accepted.")]
Links = Annotated[dict[str, str], msgspec.Meta(description="Where this is, and its kin.")]
Cursor = Annotated[str | None, msgspec.Meta(description="To be given as `cursor` for the next page; null on the last.")]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Shape(msgspec.Struct, omit_defaults=True):
    """Something that is answered."""


class Accepted(Shape):
    """An event that is stored, durably."""

    id: Id
    type: str
    state: Literal["pending"]
    accepted_at: Moment
    links: Links


class Summary(Shape):
    """An event, without its contents."""

    id: Id
    type: str
    state: states.State
    reason: Annotated[
        str | None,
        msgspec.Meta(
            description="Of a pending one: scheduled, queued, retrying, paused, held back. Of a dead one: why."
        ),
    ]
    attempt: Annotated[Count, msgspec.Meta(description="Attempts that were used up.")]
    accepted_at: Moment
    run_at: Annotated[Moment | None, msgspec.Meta(description="Not before; a retry sets it too.")]
    expires_at: Moment | None
    finished_at: Moment | None
    producer: str | None
    request_id: str | None
    schedule: Annotated[str | None, msgspec.Meta(description="Whose tick it is.")]
    slot_at: Annotated[Moment | None, msgspec.Meta(description="The tick's planned instant.")]
    replay_of: str | None
    replayed_as: str | None
    links: Links


class Attempt(Shape):
    """A failed attempt."""

    number: int
    started_at: Moment
    finished_at: Moment
    worker: str
    error: str
    message: str


class Event(Summary, kw_only=True):
    """An event with all that is known of it."""

    payload: Any
    result: Annotated[Any, msgspec.Meta(description="What its handler returned.")]
    error: Annotated[Any, msgspec.Meta(description="Of the last failed attempt.")]
    progress: Annotated[Any, msgspec.Meta(description="What a detached handler told last.")]
    attributes: Annotated[Any, msgspec.Meta(description="Of a CloudEvent.")]
    traceparent: str | None
    attempts: list[Attempt]


class Events(Shape):
    """A page of events, the newest first."""

    events: list[Summary]
    next_cursor: Annotated[str | None, msgspec.Meta(description="Leads to older events; null on the last page.")]
    previous_cursor: Annotated[
        str | None, msgspec.Meta(description="Leads to newer events, those that come later too; null on an empty page.")
    ]
    searched_until: Annotated[
        Moment | None,
        msgspec.Meta(
            description="The time was up: what was accepted beyond this was not looked at. `next_cursor` goes on."
        ),
    ]


class Explanation(Shape):
    """Why an event is not running, and when it is expected."""

    id: Id
    type: str
    state: states.State
    reason: explain.Why
    sentence: Annotated[str, msgspec.Meta(description="The same for people.")]
    expected_at: Annotated[Moment | None, msgspec.Meta(description="When it is expected to run; null: nobody can say.")]
    facts: Annotated[dict[str, Any], msgspec.Meta(description="What it was decided by.")]
    links: Links


class Item(Shape):
    """What came of one event among many."""

    index: Count
    status: int
    id: str | None = None
    type: str | None = None
    problem: dict[str, Any] | None = None


class Many(Shape):
    """What came of many events, in their order."""

    accepted: Count
    refused: Count
    items: list[Item]


class Pause(Shape):
    """What is paused, since when and by whom."""

    kind: Literal["type", "queue"]
    name: str
    at: Moment
    by: str | None


class Pauses(Shape):
    """All of them."""

    pauses: list[Pause]


class Paused(Pause, kw_only=True):
    """It is paused; ``at`` and ``by`` are of whoever was first."""

    paused: Literal[True]


class Resumed(Shape):
    """It goes again."""

    kind: Literal["type", "queue"]
    name: str
    paused: Literal[False]
    was_paused: bool


class Type(Shape):
    """An event type, and what its handler asks for."""

    name: str
    doc: str
    queue: str
    bundle: Annotated[int | str, msgspec.Meta(description='Events that ride on one ticket at the most, or "auto".')]
    bulk: bool
    detached: bool
    attempts: int
    payload: Annotated[dict[str, Any] | None, msgspec.Meta(description="JSON Schema of its payload; null: any JSON.")]
    paused: bool
    pauses: list[Pause]


class Types(Shape):
    """The event types that can be posted."""

    types: list[Type]


class Held(Shape):
    """A ticket that was being worked when its worker was noted."""

    pid: int
    type: str
    ticket: str
    events: Count
    seconds: Annotated[float, msgspec.Meta(description="Since it was begun.")]


class Process(Shape):
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
    started_at: Moment
    seen_at: Moment
    seen_ago: float
    alive: bool


class Processes(Shape):
    """The processes, by kind and host; those that are gone are remembered for ten minutes."""

    processes: list[Process]


class Queue(Shape):
    """A queue. What is counted is counted up to 10,000."""

    name: str
    due: Annotated[Count, msgspec.Meta(description="Tickets that are due and not with the broker.")]
    out: Annotated[Count, msgspec.Meta(description="Tickets that are with the broker.")]
    overdue: Annotated[Count, msgspec.Meta(description="Those of them that are looked at again.")]
    is_more: Annotated[bool, msgspec.Meta(description="There are more than were counted.")]
    oldest_waiting: Annotated[float | None, msgspec.Meta(description="Seconds; of what is not paused.")]
    paused_at: Moment | None
    paused_by: str | None
    workers: Annotated[Count, msgspec.Meta(description="Live workers that take from it.")]
    slots: Annotated[Count, msgspec.Meta(description="Tickets that they work at once.")]


class Queues(Shape):
    """The queues by name."""

    queues: list[Queue]


class Cancelled(Shape):
    """An event that was cancelled, or whose worker was asked to stop."""

    id: Id
    state: Literal["cancelled", "running"]
    links: Links


class CancelledMany(Shape):
    """What came of a cancel by filter; of a dry run the count."""

    dry_run: bool
    count: Count | None = None
    types: dict[str, int] | None = None
    cancelled: Count | None = None
    stopping: Count | None = None
    left: Count | None = None


class Letter(Shape):
    """A dead letter."""

    id: Id
    type: str
    reason: outcome.Reason
    died_at: Moment
    attempt: int | None
    producer: str | None
    error: Any
    replay_of: str | None
    replayed_as: str | None
    replayed_by: str | None
    links: Links


class Letters(Shape):
    """A page of dead letters, those that died last first."""

    dead: list[Letter]
    next_cursor: Cursor


class Replayed(Shape):
    """The new event of a replay."""

    id: Id
    type: str
    state: Literal["pending"]
    replay_of: str
    links: Links


class OfType(Shape):
    """What came of the letters of one type."""

    type: str
    replayed: Count
    unfit: Annotated[Count, msgspec.Meta(description="Left alone: the payload does not fit its handler today.")]
    unhandled: Annotated[Count, msgspec.Meta(description="Left alone: there is no handler for the type.")]
    example: str | None


class ReplayedMany(Shape):
    """What came of a replay by filter."""

    dry_run: bool
    replayed: Count
    left: Annotated[Count, msgspec.Meta(description="Letters that the filter still finds.")]
    complete: bool
    types: list[OfType]


class Stray(Shape):
    """A message that was not ours."""

    id: str
    filed_at: Moment
    queue: str
    reason: str
    bytes: Count
    links: Links


class StrayItself(Stray, kw_only=True):
    """The same with what is in it."""

    properties: dict[str, Any]
    headers: dict[str, Any]
    body: Annotated[str, msgspec.Meta(description="base64")]


class Strays(Shape):
    """A page of strays, the newest first."""

    strays: list[Stray]
    next_cursor: Cursor


class Schedule(Shape):
    """A schedule: plan, payload, policies, and how it stands."""

    name: str
    origin: Literal["code", "api"]
    type: str
    state: Literal["active", "paused", "finished", "retired"]
    plan: dict[str, Any]
    next_due: Moment | None
    next_slot: Moment | None
    runs: Count
    revision: int
    links: Links


class Schedules(Shape):
    """A page of schedules by name."""

    schedules: list[Schedule]
    next_cursor: Cursor


class Ran(Shape):
    """An event of a schedule, made at once."""

    id: Id
    schedule: str
    state: Literal["pending"]
    links: Links


class Backfilled(Shape):
    """What came of a backfill."""

    dry_run: bool
    instants: Annotated[Count, msgspec.Meta(description="Of the plan in the interval, as far as they were looked at.")]
    present: Annotated[Count, msgspec.Meta(description="Were events before.")]
    backfilled: Annotated[Count, msgspec.Meta(description="Are events now, or would be.")]
    more: Annotated[bool, msgspec.Meta(description="There are more instants than the limit.")]
    first: Moment | None
    last: Moment | None


class Slot(Shape):
    """A planned instant and its outcome."""

    due_at: Moment
    outcome: slots.Outcome
    reason: str | None
    missed: Count
    late: float | None
    at: Moment
    by: str
    event_id: str | None
    event_state: states.State | None
    links: Links


class Slots(Shape):
    """A page of slots, the newest first."""

    slots: list[Slot]
    next_cursor: Cursor


class Instant(Shape):
    """A coming instant."""

    utc: str
    local: str
    weekday: str
    change: Annotated[str | None, msgspec.Meta(description="What clocks of the zone do on this day.")]
    why: Annotated[str | None, msgspec.Meta(description="What daylight saving did to this instant.")]


class Preview(Shape):
    """What a plan will do."""

    plan: dict[str, Any]
    text: str
    instants: list[Instant]


class Day(Shape):
    """A day of a plan."""

    date: datetime.date
    count: Count
    change: str | None


class Year(Shape):
    """A year of a plan."""

    year: int
    tz: str
    plan: str
    total: Count
    days: list[Day]


class Health(Shape):
    """It answers."""

    status: str


class Ready(Shape):
    """It can take events."""

    status: str
    checks: dict[str, str]


class Fault(Shape):
    """One thing that is wrong: with a part of the body, a parameter, or an attribute of a CloudEvent."""

    detail: str
    pointer: Annotated[str | None, msgspec.Meta(description="JSON pointer (RFC 6901) into the body.")] = None
    parameter: str | None = None
    attribute: str | None = None


class Problem(Shape):
    """What went wrong (RFC 9457)."""

    type: Annotated[str, msgspec.Meta(description="/problems/…, or about:blank for one that its status explains.")]
    title: str
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: str
    instance: Annotated[str, msgspec.Meta(description="The id of the request.")]
    errors: list[Fault] | None = None


class Times(msgspec.Struct, frozen=True):
    """When an event is to be worked."""

    run_at: search.Moment | None = None
    delay: Annotated[float, msgspec.Meta(ge=0)] | None = None
    expires_at: search.Moment | None = None

    EXPECTED: ClassVar[dict[str, str]] = {
        "run_at": "The instant before which it is not worked.",
        "delay": "The same in seconds from now.",
        "expires_at": "The instant after which it is not worked any more.",
    }


class TimesOfMany(Times, frozen=True, kw_only=True):
    """The same for many, and whether they are stored all or none."""

    atomic: Literal["0", "1", "false", "true"] | None = None

    EXPECTED: ClassVar[dict[str, str]] = Times.EXPECTED | {"atomic": "1: all in one commit, or none."}


class ScheduleDocument(msgspec.Struct, omit_defaults=True):
    """A schedule as it is made. docs/schedules.md names its policies, which stand beside these members."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.-]{0,99}$")]
    type: str
    plan: dict[str, Any]
    payload: Any = None


class Edited(msgspec.Struct, forbid_unknown_fields=True):
    """Another payload for a replay."""

    payload: Any
