"""A schedule: an event type and the instants at which it is due."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, Protocol

from service.domain import errors, policies

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_.-]{0,99}")
SECOND = datetime.timedelta(seconds=1)


class Next(Protocol):
    """Whoever can say what comes next."""

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """The first due instant later than ``moment``, in UTC; None when there is none."""


class Plan(Next, Protocol):
    """When a schedule is due. Time is an argument; no plan asks a clock."""

    def last_due(self, first: datetime.datetime, now: datetime.datetime) -> tuple[datetime.datetime, int]:
        """The latest due instant in ``[first, now]``, and how many before it were missed. ``first`` is due itself."""

    def between(self, start: datetime.datetime, end: datetime.datetime) -> Iterator[datetime.datetime]:
        """The due instants in ``[start, end)``, one after the other."""

    def spec(self) -> dict[str, Any]:
        """The plan as JSON, to tell whether it changed."""

    def describe(self) -> str:
        """The plan in one line for people."""


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as declared in code."""

    name: str
    type: str  #: of the event that each slot becomes
    plan: Plan
    payload: dict[str, Any] = dataclasses.field(default_factory=dict)
    policy: policies.Policy = dataclasses.field(default_factory=policies.Policy)
    app: str | None = None  #: the app that declares it

    def spec(self) -> str:
        """Everything that decides what is fired when, as stable JSON."""
        document = {"type": self.type, "plan": self.plan.spec(), "payload": self.payload}
        if policy := self.policy.spec():
            document["policy"] = policy
        return json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False)


class Calendar:
    """The schedules of this process, by name."""

    def __init__(self) -> None:
        self._schedules: dict[str, Schedule] = {}

    def add(self, schedule: Schedule) -> None:
        """Take a schedule in; raises DeclarationError for a bad or doubled name, or for a payload that is no JSON."""
        check_name(schedule.name)
        check_payload(schedule)
        known = self._schedules.get(schedule.name)
        if known is not None and known.spec() != schedule.spec():
            raise errors.DeclarationError(f"two schedules are named {schedule.name}: give one of them name=")
        self._schedules[schedule.name] = schedule

    def get(self, name: str) -> Schedule | None:
        """The schedule of that name, or None."""
        return self._schedules.get(name)

    def digest(self) -> str:
        """What tells this calendar from that of another version of the code."""
        specs = sorted(f"{s.name} {s.app} {s.spec()}" for s in self)
        return hashlib.md5("\n".join(specs).encode(), usedforsecurity=False).hexdigest()

    def __iter__(self) -> Iterator[Schedule]:
        return iter(self._schedules.values())

    def __len__(self) -> int:
        return len(self._schedules)


def latest(plan: Next, first: datetime.datetime, now: datetime.datetime) -> datetime.datetime:
    """The latest due instant in ``[first, now]``, where ``first`` is one: found in a few dozen steps."""
    back, late = SECOND, now
    while (start := now - back) > first:  # Ever further back from the end: mostly it is near.
        found = plan.next_after(start)
        if found is not None and found <= now:
            first = found
            break
        back, late = back * 4, start
    while (later := plan.next_after(first)) is not None and later <= now:
        # It lies in (first, late]: halve that until nothing comes after ``first``.
        middle = first + (late - first) / 2
        found = plan.next_after(middle)
        if found is not None and found <= now:
            first = found
        else:
            first, late = later, middle
    return first


def check_name(name: str) -> None:
    """Raises DeclarationError for what cannot be the name of a schedule."""
    if not NAME_PATTERN.fullmatch(name):
        raise errors.DeclarationError(
            f"{name[:200]!r} is no name for a schedule: lower case letters, digits and . _ - are wanted, at most 100",
            field="name",
        )


def check_payload(schedule: Schedule) -> None:
    """Raises DeclarationError for a payload that the ledger cannot keep as it is."""
    payload: object = schedule.payload
    fault = ""
    try:
        text = schedule.spec()
        text.encode()
        if not isinstance(payload, dict):
            fault = f"it is a {type(payload).__name__}"
        elif "\\u0000" in text.replace("\\\\", ""):  # An escaped backslash before ``u0000`` makes it no NUL.
            fault = "it has a NUL in it"
    except UnicodeEncodeError:
        fault = "it has half of a surrogate pair in it"
    except (TypeError, ValueError, RecursionError) as error:
        fault = str(error)
    if fault:
        raise errors.DeclarationError(
            f"the payload of the schedule {schedule.name} cannot be kept: {fault}. A dict is wanted, of strings,"
            " finite numbers, True, False, None, and lists and dicts of these (an instant as text: .isoformat())"
        )
