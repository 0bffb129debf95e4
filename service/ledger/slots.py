"""Schedules and slots: a planned instant becomes an event with its ticket, once, in one commit."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import exc

from service.domain import ids, schedules, topology
from service.ledger import engine as engines
from service.ledger.release import unavailable

DECLARED = "select name, spec, next_due from millrace.schedules where retired_at is null"

# A changed plan starts anew from now; an unchanged one keeps its next instant, missed or not.
DECLARE = """
insert into millrace.schedules (name, type, spec, next_due) values (%s, %s, %s, %s)
on conflict (name) do update
set type = excluded.type, spec = excluded.spec, next_due = excluded.next_due, retired_at = null,
    declared_at = now()
where schedules.spec is distinct from excluded.spec or schedules.retired_at is not null
"""

DUE = """
select name, next_due from millrace.schedules
where next_due <= clock_timestamp() and paused_at is null and retired_at is null and name = any(%s)
order by next_due limit %s
for no key update skip locked
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
select extract(epoch from min(next_due) - clock_timestamp())::float8 from millrace.schedules
where paused_at is null and retired_at is null and name = any(%s)
"""


class SlotLedger:
    """The ledger as the clock sees it."""

    def __init__(self, engine: engines.Engine, *, clock: str) -> None:
        self._engine = engine
        self._clock = clock

    def declare(self, calendar: schedules.Calendar) -> None:
        """Bring the declared schedules into the ledger. Others stay: another version of the code may know them."""
        with self._transaction() as connection:
            now = connection.exec_driver_sql("select clock_timestamp()").scalar_one()
            known = {row[0]: row[1] for row in connection.exec_driver_sql(DECLARED)}
            for schedule in sorted(calendar, key=lambda s: s.name):
                if known.get(schedule.name) != json.loads(schedule.spec()):
                    first = schedule.plan.next_after(now)
                    connection.exec_driver_sql(DECLARE, (schedule.name, schedule.type, schedule.spec(), first))

    def fire_due(self, calendar: schedules.Calendar, limit: int) -> list[tuple[str, float]]:
        """Fire what is due; (schedule, seconds late) for each slot. Time is the ledger's alone."""
        names = [s.name for s in calendar]
        fired = []
        with self._transaction() as connection:
            now = connection.exec_driver_sql("select clock_timestamp()").scalar_one()
            for name, first in connection.exec_driver_sql(DUE, (names, limit)).all():
                schedule = calendar.get(name)
                assert schedule is not None
                due_at, missed = schedules.last_due(schedule.plan, first, now)
                late = self._fire(connection, schedule, due_at, missed, now)
                connection.exec_driver_sql(ADVANCE, (schedule.plan.next_after(due_at), name))
                if late is not None:
                    fired.append((name, late))
        return fired

    def next_in(self, calendar: schedules.Calendar) -> float | None:
        """Seconds until the next slot is due; None when there is none."""
        with self._transaction() as connection:
            found: float | None = connection.exec_driver_sql(NEXT, ([s.name for s in calendar],)).scalar_one()
        return found

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

    @contextmanager
    def _transaction(self) -> Iterator[sqlalchemy.Connection]:
        try:
            with self._engine.get().begin() as connection:
                yield connection
        except exc.SQLAlchemyError as error:
            raise unavailable(error) from error
