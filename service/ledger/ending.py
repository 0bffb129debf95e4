"""The end of a plan: what was due of it is accounted for before its schedule changes, is retired or deleted.

By the plan that was in force, in the commit of the change. What does not fit in one transaction is left for another
turn: the change has to wait until nothing is due any more.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy

from service.domain import slots
from service.ledger import courses, firing, ticks

log = logging.getLogger("millrace.clock")

# What waited for an open event, and can wait no longer.
CLOSE_HELD = """
with closed as (
    update millrace.slots w
    set outcome = 'skipped', reason = 'ended', fired_at = clock_timestamp(), clock = %(by)s
    from millrace.schedules s
    where s.name = any(%(names)s) and w.schedule = s.name and w.due_at = s.held and w.outcome = 'held')
update millrace.schedules set planned = coalesce(planned, next_due), held = null, runs = runs - 1
where name = any(%(names)s) and held is not null
"""


def settle(
    connection: sqlalchemy.Connection,
    fires: firing.Firing,
    rows: Sequence[Any],
    now: datetime.datetime,
    *,
    by: str | None = None,
) -> list[str]:
    """Fire what is due of these schedules; where they are paused or retired, it is skipped. Those with more than fits.

    The rows are held; they have ``courses.COLUMNS``, ``next_due``, and whether they are ``paused`` and ``retired``.
    """
    awake = [r for r in rows if not r.paused and not r.retired and (r.held is not None or _is_due(r, now))]
    left = fires.fire(connection, awake, now, hurry=True).left if awake else []
    for reason, asleep in (
        (slots.Reason.ENDED, [r for r in rows if r.retired]),
        (slots.Reason.PAUSED, [r for r in rows if r.paused and not r.retired]),
    ):
        left += skip(connection, fires, asleep, now, reason, by=by)
    return left


def skip(
    connection: sqlalchemy.Connection,
    writer: ticks.Writer,
    rows: Iterable[Any],
    now: datetime.datetime,
    reason: slots.Reason,
    *,
    by: str | None = None,
) -> list[str]:
    """Note that what is due of these schedules is skipped. They sleep, with what they stand at; those with no time for.

    Of a plan that cannot be read nobody can say what was due.
    """
    end = time.monotonic() + firing.THOUGHT
    asked: list[ticks.Asked] = []
    standings: list[tuple[str, slots.Decision, datetime.datetime | None]] = []
    left: list[str] = []
    for row in rows:
        if not _is_due(row, now):
            continue
        if standings and time.monotonic() > end:
            left.append(row.name)
            continue
        try:
            due = courses.understand(row, until=now)
            decision = slots.skip_due(due.course, due.standing, now, reason)
        except Exception as error:
            log.error("The schedule %s cannot be settled: %s", row.name, error, extra={"action": "clock.not_settled"})
            continue
        asked += [ticks.Asked(due.name, due.type, slot) for slot in decision.slots]
        standings.append((row.name, dataclasses.replace(decision, wake_at=None), None))
    writer.write(connection, asked, now, by=by)
    courses.advance(connection, standings)
    return left


def close_held(connection: sqlalchemy.Connection, names: Sequence[str], *, by: str) -> None:
    """What these schedules hold is skipped: there will be nobody to fire it."""
    connection.exec_driver_sql(CLOSE_HELD, {"names": list(names), "by": by})


def _is_due(row: Any, now: datetime.datetime) -> bool:
    return row.planned is not None and row.planned <= now
