"""Planned instants anew: what was planned ahead by the rules of an old tz database may lie elsewhere by the new one.

A clock has the rules that were on its host when it started, so it looks once in its life.
"""

from __future__ import annotations

import logging

from service.domain import errors, slots
from service.ledger import courses, fence
from service.ledger import engine as engines

log = logging.getLogger("millrace.clock")

BATCH = 500  #: schedules in one transaction

# Only what lies ahead is planned anew. What is due, or is waited for with its jitter, is fired as it was planned.
AHEAD = f"""
select {courses.COLUMNS}, s.next_due, clock_timestamp() as now
from millrace.schedules s
where s.name > %(after)s and s.held is null and coalesce(s.planned, s.next_due) > clock_timestamp()
  and s.next_due is not null and (s.spec->'plan' ? 'cron' or s.spec->'plan' ? 'at') and s.spec->'plan' ? 'tz'
order by s.name limit %(limit)s
for no key update of s skip locked
"""


def replan(engine: engines.Engine) -> int:
    """Correct the next instant of every schedule with a time zone; how many were wrong."""
    corrected, after = 0, ""
    while True:
        with fence.transaction(engine) as connection:
            rows = connection.exec_driver_sql(AHEAD, {"after": after, "limit": BATCH}).all()
            found = []
            for row in rows:
                try:
                    due = courses.understand(row)
                except errors.MillraceError:
                    continue  # Who fires it tells.
                planned = due.course.next_after(row.now)
                if planned == row.planned:
                    continue
                standing = slots.Standing(planned, due.standing.runs)
                decision = slots.Decision((), standing, slots.wake_at(due.course, standing, row.now))
                found.append((row.name, decision, None))
                log.info(
                    "The schedule %s is due at another instant by this tz database", row.name,
                    extra={"action": "clock.replanned"},
                )  # fmt: skip
            courses.advance(connection, found)
        corrected += len(found)
        if len(rows) < BATCH:
            return corrected
        after = rows[-1].name
