"""The rows of schedules: what they say of plan, policies and standing, and where schedules advance to."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy

from service import plans
from service.domain import policies, schedules, slots
from service.plans import jitter, rezoned

#: What a row says of a schedule. While a slot is held, `planned` is all there is; else it may be left to `next_due`.
COLUMNS = """
s.name, s.type, case when s.held is null then coalesce(s.planned, s.next_due) else s.planned end as planned,
s.runs, s.held, (s.spec->'plan')::text as plan, (s.spec->'policy')::text as policy
"""

ADVANCE = """
update millrace.schedules s
set next_due = a.next_due, planned = a.planned, held = a.held, runs = a.runs, error = null,
    open_since = coalesce(a.open_since, s.open_since)
from unnest(%(name)s::text[], %(next_due)s::timestamptz[], %(planned)s::timestamptz[], %(held)s::timestamptz[],
            %(runs)s::int[], %(open_since)s::timestamptz[]) as a (name, next_due, planned, held, runs, open_since)
where s.name = a.name and s.name = any(%(name)s)
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """A schedule whose row this transaction holds."""

    name: str
    type: str
    plan: schedules.Plan
    policy: policies.Policy
    standing: slots.Standing
    until: datetime.datetime | None = None  #: what was planned by then does not wait for its jitter

    @property
    def course(self) -> slots.Course:
        """Its instants."""
        delay = jitter.jittered if self.until is None else functools.partial(jitter.hurried, self.until)
        return slots.Course(self.name, self.plan, self.policy, delay, self._foreign())

    def _foreign(self) -> tuple[datetime.datetime, datetime.datetime] | None:
        """What is planned, and what it stands for, if another process planned it by other rules of the zone."""
        planned = self.standing.planned
        if planned is None:
            return None
        meant = rezoned.stands_for(self.plan, planned)
        return None if meant == planned else (planned, meant)


def understand(row: Any, *, until: datetime.datetime | None = None) -> Due:
    """The schedule in a row (``COLUMNS``); of what was planned ``until`` then nothing waits. Raises MillraceError."""
    standing = slots.Standing(row.planned, row.runs, row.held)
    return Due(row.name, row.type, read_plan(row.plan), read_policy(row.policy), standing, until)


@functools.lru_cache(maxsize=20_000)
def read_plan(text: str) -> schedules.Plan:
    """The plan in a row's JSON; raises DeclarationError. Many schedules have the same one, and each has it for long."""
    return plans.read(json.loads(text))


@functools.lru_cache(maxsize=20_000)
def read_policy(text: str | None) -> policies.Policy:
    """The policy in a row's JSON; raises InvalidSchedule."""
    return policies.read(json.loads(text or "{}"))


def advance(
    connection: sqlalchemy.Connection, found: Iterable[tuple[str, slots.Decision, datetime.datetime | None]]
) -> None:
    """Write where these schedules stand: (name, decision, no slot before this instant is open; None: as before)."""
    rows = []
    for name, decision, open_since in found:
        standing, wake = decision.standing, decision.wake_at
        planned = None if standing.held is None and standing.planned == wake else standing.planned
        rows.append((name, wake, planned, standing.held, standing.runs, open_since))
    if rows:
        names = ("name", "next_due", "planned", "held", "runs", "open_since")
        connection.exec_driver_sql(ADVANCE, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def first(
    schedule: schedules.Schedule, now: datetime.datetime, kept: datetime.datetime | None = None
) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    """When a schedule that begins now must be looked at first, and the planned instant if that is another one.

    ``kept``: what is planned, where it goes on with it (``goes_on``).
    """
    due = Due(schedule.name, schedule.type, schedule.plan, schedule.policy, slots.Standing(kept))
    planned = due.course.next_after(now) if kept is None else kept
    if planned is None:
        return None, None
    fire_at = due.course.fire_at(planned)
    return fire_at, None if fire_at == planned else planned


def goes_on(row: Any, spec: str, now: datetime.datetime) -> datetime.datetime | None:
    """What a schedule (``COLUMNS``) goes on with when it becomes that of ``spec``; None: with the first after ``now``.

    Where its instants stay, so does the one that is planned: by the rules of time zones that this process has, the
    first after ``now`` may be that of a day that has run.
    """
    new, policy = json.loads(spec), json.loads(row.policy or "{}")
    stays = json.loads(row.plan) == new["plan"] and all(
        policy.get(bound) == new.get("policy", {}).get(bound) for bound in ("starts_at", "ends_at")
    )
    return row.planned if stays and row.planned is not None and row.planned > now else None
