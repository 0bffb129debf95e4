"""Schedules and slots: a planned instant becomes an event with its ticket, once, in one commit."""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Sequence
from typing import Any

import sqlalchemy

from service.domain import ids, schedules, topology
from service.ledger import engine as engines
from service.ledger import fence

log = logging.getLogger("millrace.clock")

ORPHANED = 60.0  #: seconds overdue after which a schedule of another version is one that nobody fires any more

# A changed plan starts anew; an unchanged one keeps its next instant, missed or not.
DECLARE = """
insert into millrace.schedules (name, type, spec, next_due) values (%s, %s, %s, %s)
on conflict (name) do update
set type = excluded.type, spec = excluded.spec, next_due = excluded.next_due, retired_at = null,
    declared_at = now()
where schedules.spec is distinct from excluded.spec or schedules.retired_at is not null
"""

# While a new version of the code is rolled out, clocks of both run, and a schedule belongs to the one that declared it
# last: only a clock that has the same plan and payload fires it.
DUE = """
select name, s.next_due, s.spec = own.spec
from millrace.schedules s join unnest(%s::text[], %s::jsonb[]) as own (name, spec) using (name)
where s.paused_at is null and s.retired_at is null
  and s.next_due <= %s - make_interval(secs => case when s.spec = own.spec then 0 else %s end)
order by s.next_due limit %s
for no key update of s skip locked
"""

ADVANCE = "update millrace.schedules set next_due = %s where name = %s"

# The slot's key is the guard: if this instant was fired before, nothing is inserted and nothing happens.
FIRE = """
with slot as (
    insert into millrace.slots (schedule, due_at, outcome, event_id, clock, missed)
    values (%(schedule)s, %(due_at)s, 'fired', %(event)s::uuid, %(clock)s, %(missed)s)
    on conflict do nothing returning event_id),
ticket as (
    insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at)
    select %(ticket)s::uuid, %(type)s, %(queue)s, %(exchange)s, %(key)s, array[event_id], clock_timestamp() from slot),
tally as (
    insert into millrace.tallies (minute, type, word, n)
    select date_trunc('minute', now()), %(type)s, 'accepted', 1 from slot)
insert into millrace.events (id, type, ticket_id, payload, producer, schedule, slot_at)
select event_id, %(type)s, %(ticket)s::uuid, %(payload)s::jsonb, 'schedule', %(schedule)s, %(due_at)s from slot
returning extract(epoch from clock_timestamp() - slot_at)::float8
"""

NEXT = """
select extract(epoch from min(s.next_due) - clock_timestamp())::float8
from millrace.schedules s join unnest(%s::text[], %s::jsonb[]) as own (name, spec) using (name, spec)
where s.paused_at is null and s.retired_at is null
"""

NOW = "select clock_timestamp()"


class SlotLedger:
    """The ledger as the clock sees it."""

    def __init__(self, engine: engines.Engine, *, clock: str) -> None:
        self._engine = engine
        self._clock = clock

    def declare(self, calendar: schedules.Calendar) -> None:
        """Bring the declared schedules into the ledger. Others stay: another version of the code may know them."""
        with fence.transaction(self._engine) as connection:
            now = connection.exec_driver_sql(NOW).scalar_one()
            for schedule in sorted(calendar, key=lambda s: s.name):
                self._declare(connection, schedule, now)

    def fire_due(self, calendar: schedules.Calendar, limit: int) -> list[tuple[str, float]]:
        """Fire what is due; (schedule, seconds late) for each slot. Time is the ledger's alone."""
        fired = []
        with fence.transaction(self._engine) as connection:
            now = connection.exec_driver_sql(NOW).scalar_one()
            due = connection.exec_driver_sql(DUE, (*_own(calendar), now, ORPHANED, limit)).all()
            for name, first, own in due:
                schedule = calendar.get(name)
                assert schedule is not None
                if not own:
                    self._adopt(connection, schedule, first)
                    continue
                due_at, missed = schedule.plan.last_due(first, now)
                late = self._fire(connection, schedule, due_at, missed, now)
                connection.exec_driver_sql(ADVANCE, (schedule.plan.next_after(due_at), name))
                if late is not None:
                    fired.append((name, late))
        return fired

    def next_in(self, calendar: schedules.Calendar) -> float | None:
        """Seconds until the next slot is due; None when there is none."""
        with fence.transaction(self._engine) as connection:
            found: float | None = connection.exec_driver_sql(NEXT, _own(calendar)).scalar_one()
        return found

    def _adopt(
        self, connection: sqlalchemy.Connection, schedule: schedules.Schedule, stopped: datetime.datetime
    ) -> None:
        """Whoever declared it is gone, as after a deploy that was taken back. Go on from the slot where it stopped."""
        log.warning(
            "The schedule %s is taken over: no clock with its plan fires it any more",
            schedule.name,
            extra={"action": "clock.adopted"},
        )
        self._declare(connection, schedule, stopped - stopped.resolution)

    def _declare(
        self, connection: sqlalchemy.Connection, schedule: schedules.Schedule, after: datetime.datetime
    ) -> None:
        first = schedule.plan.next_after(after)
        connection.exec_driver_sql(DECLARE, (schedule.name, schedule.type, schedule.spec(), first))

    def _fire(
        self,
        connection: sqlalchemy.Connection,
        schedule: schedules.Schedule,
        due_at: datetime.datetime,
        missed: int,
        now: datetime.datetime,
    ) -> float | None:
        exchange, key = topology.tick_route(schedule.name)
        values: dict[str, Any] = {
            "schedule": schedule.name,
            "due_at": due_at,
            "event": ids.uuid7(now.timestamp()),
            "ticket": ids.uuid7(now.timestamp()),
            "clock": self._clock,
            "missed": missed,
            "type": schedule.type,
            "queue": topology.PERIODIC_QUEUE,
            "exchange": exchange,
            "key": key,
            "payload": json.dumps(schedule.payload),
        }
        row: Sequence[Any] | None = connection.exec_driver_sql(FIRE, values).first()
        return None if row is None else max(0.0, float(row[0]))


def _own(calendar: schedules.Calendar) -> tuple[list[str], list[str]]:
    """The names and specs of this clock's schedules, for a join."""
    return [s.name for s in calendar], [s.spec() for s in calendar]
