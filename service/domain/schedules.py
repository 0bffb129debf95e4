"""A schedule: an event type and the instants at which it is due."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Iterator
from typing import Any, Protocol

from service.domain import errors

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_.-]{0,99}")


class Plan(Protocol):
    """When a schedule is due. Time is an argument; no plan asks a clock."""

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """The first due instant later than ``moment``, in UTC; None when there is none."""

    def spec(self) -> dict[str, Any]:
        """The plan as JSON, to tell whether it changed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as declared in code."""

    name: str
    type: str  #: of the event that each slot becomes
    plan: Plan
    payload: dict[str, Any] = dataclasses.field(default_factory=dict)

    def spec(self) -> str:
        """Everything that decides what is fired when, as stable JSON."""
        return json.dumps({"type": self.type, "plan": self.plan.spec(), "payload": self.payload}, sort_keys=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """A planned instant that has come."""

    schedule: Schedule
    due_at: datetime.datetime
    next_due: datetime.datetime | None  #: the one after it


class Calendar:
    """The schedules of this process, by name."""

    def __init__(self) -> None:
        self._schedules: dict[str, Schedule] = {}

    def add(self, schedule: Schedule) -> None:
        """Take a schedule in; raises DeclarationError for a bad or doubled name."""
        if not NAME_PATTERN.fullmatch(schedule.name):
            raise errors.DeclarationError(
                f"{schedule.name!r} is no name for a schedule: lower case letters, digits and . _ - are wanted,"
                " at most 100"
            )
        known = self._schedules.get(schedule.name)
        if known is not None and known.spec() != schedule.spec():
            raise errors.DeclarationError(f"two schedules are named {schedule.name}: give one of them name=")
        self._schedules[schedule.name] = schedule

    def get(self, name: str) -> Schedule | None:
        """The schedule of that name, or None."""
        return self._schedules.get(name)

    def __iter__(self) -> Iterator[Schedule]:
        return iter(self._schedules.values())

    def __len__(self) -> int:
        return len(self._schedules)


def last_due(plan: Plan, first: datetime.datetime, now: datetime.datetime) -> tuple[datetime.datetime, int]:
    """The latest due instant in ``[first, now]``, and how many before it were missed. ``first`` is due itself."""
    missed = 0
    while (later := plan.next_after(first)) is not None and later <= now:
        first, missed = later, missed + 1
    return first, missed
