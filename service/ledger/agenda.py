"""Schedules and their slots, as people look at them."""

from __future__ import annotations

import dataclasses
import datetime
import re
from typing import Any

from service.domain import errors
from service.ledger import engine as engines
from service.ledger import pages, transactions

CURSOR = r"[0-9]{1,17}"  #: of a history: the instant of its last slot, in microseconds since the epoch

STATE = """
case when s.retired_at is not null then 'retired' when s.paused_at is not null then 'paused'
     when s.next_due is null and s.held is null then 'finished' else 'active' end
"""

# Of the latest slots only: one that always fails must not be searched for to its beginning. One by one, each event in
# the partition of its day.
SUCCEEDED = """
left join lateral (
    select e.finished_at
    from (select due_at, event_id from millrace.slots w where w.schedule = s.name and w.event_id is not null
          order by w.due_at desc limit 50) w
    cross join lateral (select state, finished_at from millrace.events where id = w.event_id limit 1) e
    where e.state = 'succeeded' order by w.due_at desc limit 1) good on true
"""

SHOW = f"""
select s.name, s.origin, s.app, s.type, {STATE} as state, s.spec->'plan' as plan, s.spec->'policy' as policy,
       s.next_due,
       case when s.paused_at is null and s.retired_at is null
            then case when s.held is null then coalesce(s.planned, s.next_due) else s.planned end end as next_slot,
       s.held, s.error, s.runs, s.paused_at, s.paused_by, s.paused_because, s.retired_at, s.declared_at as changed_at,
       s.changed_by, s.revision, good.finished_at as last_success,
       last.due_at as last_slot, last.outcome as last_outcome, last.reason as last_reason
"""

TABLES = f"""
from millrace.schedules s
left join lateral (
    select due_at, outcome, reason from millrace.slots w where w.schedule = s.name order by due_at desc limit 1) last
    on true
{SUCCEEDED}
"""

CONDITIONS = {
    "type": "s.type = %(type)s",
    "origin": "s.origin = %(origin)s",
    "state": f"({STATE}) = %(state)s",
    "after": "s.name > %(after)s",
}

HISTORY = """
select w.due_at, w.outcome, w.reason, w.missed, w.late, w.fired_at as at, w.clock as by, w.event_id::text as event_id,
       e.state as event_state, (extract(epoch from w.due_at) * 1000000)::bigint::text as cursor
from millrace.slots w left join millrace.events e on e.id = w.event_id
where w.schedule = %(name)s
"""

PAGE = "and w.due_at < timestamptz 'epoch' + %(cursor)s::float8 * interval '1 microsecond'"

KNOWS = """
select exists (select from millrace.schedules where name = %(name)s)
    or exists (select from millrace.slots where schedule = %(name)s)
"""

NOW = "select clock_timestamp()"


@dataclasses.dataclass(frozen=True, slots=True)
class Filters:
    """Which schedules are wanted; None: any."""

    type: str | None = None
    origin: str | None = None  #: ``code`` or ``api``
    state: str | None = None  #: ``active``, ``paused``, ``finished`` or ``retired``
    after: str | None = None  #: names after this one

    def values(self) -> dict[str, str]:
        """What is given."""
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in given.items() if value is not None}


class ScheduleQueries:
    """The schedules of the ledger, to be looked at. All methods raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def find(self, name: str) -> dict[str, Any]:
        """One schedule with its payload (JSON text); raises ScheduleNotFound."""
        statement = f"{SHOW}, (s.spec->'payload')::text as payload {TABLES} where s.name = %(name)s"
        with transactions.begin(self._engine) as connection:
            row = connection.exec_driver_sql(statement, {"name": name}).mappings().first()
        if row is None:
            raise not_found(name)
        return pages.in_utc(row)

    def list(self, filters: Filters, *, limit: int) -> pages.Page:
        """Schedules by name."""
        values: dict[str, Any] = dict(filters.values())
        where = " and ".join(CONDITIONS[name] for name in values) or "true"
        statement = f"{SHOW}, s.name as cursor {TABLES} where {where} order by s.name limit %(limit)s"
        with transactions.begin(self._engine) as connection:
            rows = connection.exec_driver_sql(statement, values | {"limit": limit + 1}).mappings().all()
        return pages.cut(list(rows), limit)

    def history(self, name: str, *, limit: int, cursor: str | None = None, outcome: str | None = None) -> pages.Page:
        """The slots of a schedule, newest first, also of one that was deleted; raises ScheduleNotFound."""
        values: dict[str, Any] = {"name": name, "limit": limit + 1}
        statement = HISTORY
        if cursor is not None:
            if not re.fullmatch(CURSOR, cursor):
                raise ValueError("this is no cursor")
            statement, values["cursor"] = f"{statement} {PAGE}", cursor
        if outcome is not None:
            statement, values["outcome"] = f"{statement} and w.outcome = %(outcome)s", outcome
        with transactions.begin(self._engine) as connection:
            if not connection.exec_driver_sql(KNOWS, {"name": name}).scalar():
                raise not_found(name)
            rows = connection.exec_driver_sql(f"{statement} order by w.due_at desc limit %(limit)s", values)
            return pages.cut(list(rows.mappings().all()), limit)

    def now(self) -> datetime.datetime:
        """The ledger's time."""
        with transactions.begin(self._engine) as connection:
            found: datetime.datetime = connection.exec_driver_sql(NOW).scalar_one()
        return found.astimezone(datetime.UTC)


def not_found(name: str) -> errors.ScheduleNotFound:
    """The error for a schedule that is not there."""
    return errors.ScheduleNotFound(f"there is no schedule {name[:100]!r}")
