"""Planned instants anew: what was planned ahead by the rules of an old tz database may lie elsewhere by the new one.

A clock has the rules that were on its host when it started, so it looks once in its life. From the last instant that is
accounted for on, the schedule goes on by the rules of today: what they put into the past meanwhile is due, and what was
fired by the old ones is not fired again, at whatever instant they have it.
"""

from __future__ import annotations

import datetime
import logging
from typing import Any

from service.domain import errors, slots
from service.ledger import courses, fence
from service.ledger import engine as engines
from service.plans import At, rezoned

log = logging.getLogger("millrace.clock")

BATCH = 500  #: schedules that are looked at in one go
LONG_AGO = datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC)

# What sleeps, in a pause say, was planned by the old rules, too.
PLANNED = f"""
select {courses.COLUMNS}, s.next_due, s.declared_at, s.slots_since, last.due_at as fired, clock_timestamp() as now
from millrace.schedules s left join lateral (
    select due_at from millrace.slots w
    where w.schedule = s.name and w.due_at > s.declared_at and w.outcome <> 'run_now'
    order by due_at desc limit 1) last on true
where coalesce(s.planned, s.next_due) is not null
  and (s.spec->'plan' ? 'cron' or s.spec->'plan' ? 'at') and s.spec->'plan' ? 'tz'
"""

LOOK = f"{PLANNED} and s.name > %s order by s.name limit %s"

# Whoever holds one is waited for: what it wrote by old rules must not be passed by.
LOCK = f"{PLANNED} and s.name = any(%s) order by s.name for no key update of s"


def replan(engine: engines.Engine) -> int:
    """Correct the next instant of every schedule with a time zone; how many were wrong."""
    corrected, after = 0, ""
    while True:
        with fence.transaction(engine) as connection:
            rows = connection.exec_driver_sql(LOOK, (after, BATCH)).all()
        if wrong := [row.name for row in rows if _corrected(row) is not None]:
            corrected += _correct(engine, wrong)
        if len(rows) < BATCH:
            return corrected
        after = rows[-1].name


def _correct(engine: engines.Engine, names: list[str]) -> int:
    with fence.transaction(engine) as connection:
        found = []
        for row in connection.exec_driver_sql(LOCK, (names,)).all():
            decision = _corrected(row)
            if decision is not None:
                found.append((row.name, decision, None))
                log.info(
                    "The schedule %s is due at another instant by this tz database", row.name,
                    extra={"action": "clock.replanned"},
                )  # fmt: skip
        courses.advance(connection, found)
    return len(found)


def _corrected(row: Any) -> slots.Decision | None:
    """Where a schedule stands by the rules of today; None: where it stands. Who fires it tells what cannot be read."""
    if row.planned is None:
        return None
    try:
        due = courses.understand(row)
        planned = due.course.next_after(_accounted(due, row))
        if planned == row.planned:
            return None
        standing = slots.Standing(planned, due.standing.runs, due.standing.held)
        wake_at = None if row.next_due is None else slots.wake_at(due.course, standing, row.now)
    except (errors.MillraceError, OverflowError):
        return None
    return slots.Decision((), standing, wake_at)


def _accounted(due: courses.Due, row: Any) -> datetime.datetime:
    """The instant up to which a schedule is accounted for, by the rules of today."""
    if isinstance(due.plan, At):
        return LONG_AGO  # It is planned, so it was not fired.
    since: list[datetime.datetime] = [row.declared_at]
    if row.slots_since is not None:
        since.append(row.slots_since)
    if row.fired is not None:
        since.append(rezoned.meant(due.plan, row.fired, row.planned))
    return max(since)
