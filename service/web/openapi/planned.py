"""The shapes of schedules: themselves, their slots, what they will do."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import msgspec

from service.domain import slots, states
from service.web.openapi import shapes


class Schedule(shapes.Shape):
    """A schedule: plan, payload, policies, and how it stands."""

    name: str
    origin: Literal["code", "api"]
    type: str
    state: Literal["active", "paused", "finished", "retired"]
    plan: dict[str, Any]
    next_due: shapes.Moment | None
    next_slot: shapes.Moment | None
    last_success: Annotated[shapes.Moment | None, msgspec.Meta(description="When its latest success ended.")]
    error: Annotated[str | None, msgspec.Meta(description="Why a clock could not fire it, until one can.")]
    runs: shapes.Count
    revision: int
    paused_at: shapes.Moment | None
    paused_by: str | None
    paused_because: str | None
    links: shapes.Links


class Schedules(shapes.Shape):
    """A page of schedules by name."""

    schedules: list[Schedule]
    next_cursor: shapes.Cursor


class Ran(shapes.Shape):
    """An event of a schedule, made at once."""

    id: shapes.Id
    schedule: str
    state: Literal["pending"]
    links: shapes.Links


class Backfilled(shapes.Shape):
    """What came of a backfill."""

    dry_run: bool
    instants: Annotated[shapes.Count, msgspec.Meta(description="Of the plan in the interval, as far as was looked.")]
    present: Annotated[shapes.Count, msgspec.Meta(description="Were events before.")]
    backfilled: Annotated[shapes.Count, msgspec.Meta(description="Are events now, or would be.")]
    more: Annotated[bool, msgspec.Meta(description="There are more instants than the limit.")]
    first: shapes.Moment | None
    last: shapes.Moment | None


class Slot(shapes.Shape):
    """A planned instant and its outcome."""

    due_at: shapes.Moment
    outcome: slots.Outcome
    reason: str | None
    missed: shapes.Count
    late: float | None
    at: shapes.Moment
    by: str
    event_id: str | None
    event_state: states.State | None
    links: shapes.Links


class Slots(shapes.Shape):
    """A page of slots, the newest first."""

    slots: list[Slot]
    next_cursor: shapes.Cursor


class Instant(shapes.Shape):
    """A coming instant."""

    utc: str
    local: str
    weekday: str
    change: Annotated[str | None, msgspec.Meta(description="What clocks of the zone do on this day.")]
    why: Annotated[str | None, msgspec.Meta(description="What daylight saving did to this instant.")]


class Preview(shapes.Shape):
    """What a plan will do."""

    plan: dict[str, Any]
    text: str
    instants: list[Instant]


class Day(shapes.Shape):
    """A day of a plan."""

    date: datetime.date
    count: shapes.Count
    change: str | None


class Year(shapes.Shape):
    """A year of a plan."""

    year: int
    tz: str
    plan: str
    total: shapes.Count
    days: list[Day]
