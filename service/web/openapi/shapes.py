"""The shapes of what the API answers. They are written in its document, and what is answered is checked against them.

A member may be added to an answer at any time; a client reads over what it does not know.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from service.domain import explain, states
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
    reason: Annotated[
        Literal["scheduled", "queued", "paused", "held back"], msgspec.Meta(description="Why it does not run yet.")
    ]
    accepted_at: Moment
    expected_at: Annotated[
        Moment | None, msgspec.Meta(description="When it should start, about; null: nobody can say.")
    ]
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
    discarded_at: Annotated[Moment | None, msgspec.Meta(description="Of a dead one: since when nobody waits for more.")]
    links: Links


class Attempt(Shape):
    """A failed attempt."""

    number: int
    started_at: Moment
    finished_at: Moment
    worker: str
    error: str
    message: str
    traceback: Annotated[
        str | None, msgspec.Meta(description="Of the event itself, to who may read events; null: it left none.")
    ] = None


class Event(Summary, kw_only=True):
    """An event with all that is known of it."""

    payload: Any
    result: Annotated[Any, msgspec.Meta(description="What its handler returned.")]
    error: Annotated[Any, msgspec.Meta(description="Of the last failed attempt.")]
    progress: Annotated[Any, msgspec.Meta(description="What a detached handler told last.")]
    attributes: Annotated[Any, msgspec.Meta(description="Of a CloudEvent.")]
    traceparent: str | None
    attempts: list[Attempt]


class Found(Shape):
    """How many there are."""

    number: Annotated[Count | None, msgspec.Meta(description="Up to 10,000; null: to count them would take too long.")]
    exact: bool


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
    found: Annotated[Found | None, msgspec.Meta(description="With `count`: how many there are, on whatever page.")]


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
    """What is paused, since when, by whom and why."""

    kind: Literal["type", "queue"]
    name: str
    at: Moment
    by: str | None
    because: str | None


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
