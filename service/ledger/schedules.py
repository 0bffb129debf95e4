"""Schedules as operators change them. Each change is one transaction, and holds for all clocks from its commit.

Before a schedule changes, whatever is due of it is fired in the same commit, by the plan that was in force. Where that
is more than a short transaction can do, it is fired before, piece by piece.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy

from service.domain import chain, errors, schedules, slots
from service.domain.backfill import Backfill
from service.ledger import agenda, audit, courses, ending, firing, holding, overlaps, ticks, transactions
from service.ledger import engine as engines
from service.ledger.backfill import Filler

LOCK = f"""
select {courses.COLUMNS}, s.next_due, s.origin, s.revision, s.spec::text as spec, s.paused_at is not null as paused,
       s.retired_at is not null as retired, s.retired_at, clock_timestamp() as now
from millrace.schedules s where s.name = %s for no key update of s
"""

INSERT = """
insert into millrace.schedules (name, type, spec, origin, next_due, planned, changed_by, declared_at)
values (%s, %s, %s::jsonb, 'api', %s, %s, %s, %s)
on conflict (name) do nothing returning name
"""

EDIT = f"""
update millrace.schedules s
set type = new.type, spec = new.spec, changed_by = new.by, declared_at = new.at, revision = revision + 1,
    open_since = {overlaps.SINCE.format(new="new")}
from (values (%s::text, %s::jsonb, %s::text, %s::timestamptz)) as new (type, spec, by, at)
where s.name = %s
"""

PAUSE = """
update millrace.schedules
set paused_at = clock_timestamp(), paused_by = %s, paused_because = %s, revision = revision + 1,
    planned = case when held is null then coalesce(planned, next_due) else planned end, next_due = null
where name = %s
"""

RESUME = """
update millrace.schedules set paused_at = null, paused_by = null, paused_because = null, revision = revision + 1
where name = %s
"""

DELETE = "delete from millrace.schedules where name = %s"

NOW = "select clock_timestamp()"


class ScheduleLedger:
    """The schedules of the ledger, to be changed. All methods raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine, *, bundle: ticks.Bundle = ticks.alone) -> None:
        self._engine = engine
        self._firing = firing.Firing(by="operator", bundle=bundle)
        self._filler = Filler(engine, self._firing)

    def create(self, schedule: schedules.Schedule, *, by: str | None) -> None:
        """A new schedule; raises ScheduleExists."""
        with transactions.begin(self._engine) as connection:
            now = connection.exec_driver_sql(NOW).scalar_one()
            next_due, planned = courses.first(schedule, now)
            values = (schedule.name, schedule.type, schedule.spec(), next_due, planned, by, now)
            if connection.exec_driver_sql(INSERT, values).first() is None:
                raise errors.ScheduleExists(f"there is a schedule {schedule.name!r} already")
            audit.write(connection, "schedule.created", schedule.name, by, spec=json.loads(schedule.spec()))

    def edit(
        self,
        name: str,
        change: Callable[[dict[str, Any]], schedules.Schedule],
        *,
        revision: int | None,
        by: str | None,
    ) -> int:
        """Change a schedule that was made at run time; its new revision. ``change`` makes a new one of its document.

        Raises ScheduleNotFound, DeclaredInCode, ScheduleChanged when the revision is another, what ``change`` raises.
        """

        def check(row: Any) -> None:
            _check_own(row)
            _check_revision(row, revision)

        with self._settled(name, check, by) as (connection, row):
            changed = change(json.loads(row.spec))
            settled = connection.exec_driver_sql(LOCK, (name,)).one()
            connection.exec_driver_sql(EDIT, (changed.type, changed.spec(), by, row.now, name))
            due = courses.understand(connection.exec_driver_sql(LOCK, (name,)).one())
            # From the instant up to which the old plan was settled.
            kept = courses.goes_on(settled, changed.spec(), row.now)
            standing = dataclasses.replace(due.standing, planned=kept or due.course.next_after(row.now))
            self._stand(connection, due, standing, row.now, paused=row.paused)
            before, after = json.loads(row.spec), json.loads(changed.spec())
            audit.write(connection, "schedule.changed", name, by, before=before, after=after)
        return int(row.revision) + 1

    def pause(self, name: str, *, by: str | None) -> None:
        """Have no instant of it fired from now on. Raises ScheduleNotFound, ScheduleRetired."""
        with self._settled(name, holding.check_not_retired, by, pauses=False) as (connection, row):
            if not row.paused:
                connection.exec_driver_sql(PAUSE, (by, chain.origin().because, name))
                audit.write(connection, "schedule.paused", name, by)

    def resume(self, name: str, *, by: str | None) -> bool:
        """Have it go on with its next instant; whether it was paused. Raises ScheduleNotFound, ScheduleRetired.

        The instants in the pause are one slot: skipped.
        """
        with self._held(name) as (connection, row):
            holding.check_not_retired(row)
            if not row.paused:
                return False
            ending.skip(connection, self._firing, [row], row.now, slots.Reason.PAUSED, by=by)
            connection.exec_driver_sql(RESUME, (name,))
            due = courses.understand(connection.exec_driver_sql(LOCK, (name,)).one())
            self._stand(connection, due, due.standing, row.now)
            audit.write(connection, "schedule.resumed", name, by)
            return True

    def delete(self, name: str, *, revision: int | None, by: str | None = None) -> None:
        """Delete a schedule that was made at run time, or is retired; its slots stay.

        Raises ScheduleNotFound, DeclaredInCode, ScheduleChanged.
        """

        def check(row: Any) -> None:
            if not row.retired:
                _check_own(row)
            _check_revision(row, revision)

        with self._settled(name, check, by) as (connection, row):
            ending.close_held(connection, [name], by=by or self._firing.by)
            connection.exec_driver_sql(DELETE, (name,))
            audit.write(connection, "schedule.deleted", name, by, spec=json.loads(row.spec))

    def run_now(self, name: str, *, by: str | None) -> str:
        """An event at once, whatever is planned, and though it is paused; its id. Raises ScheduleNotFound."""
        with self._held(name) as (connection, row):
            holding.check_not_retired(row)
            due = courses.understand(row)
            slot = slots.Slot(row.now, row.now, slots.Outcome.RUN_NOW, expires_at=_expires(due, row.now))
            while True:
                settled = self._firing.write(connection, [ticks.Asked(name, due.type, slot)], row.now, by=by)
                if settled:
                    found = settled[0].event_id
                    assert found is not None
                    audit.write(connection, "schedule.run", name, by, event_id=found)
                    return found
                slot = dataclasses.replace(slot, due_at=slot.due_at + slots.TICK)  # A planned instant is just this one.

    def backfill(
        self,
        name: str,
        since: datetime.datetime,
        until: datetime.datetime,
        *,
        limit: int,
        dry_run: bool,
        by: str | None,
    ) -> Backfill:
        """Make events of the planned instants in ``[since, until)`` that became none; see ``Filler.fill``."""
        return self._filler.fill(name, since, until, limit=limit, dry_run=dry_run, by=by)

    @contextmanager
    def _held(self, name: str) -> Iterator[tuple[sqlalchemy.Connection, Any]]:
        """A transaction that holds the schedule's row; raises ScheduleNotFound."""
        with holding.transaction(self._engine) as connection:
            row = connection.exec_driver_sql(LOCK, (name,)).first()
            if row is None:
                raise agenda.not_found(name)
            yield connection, row

    @contextmanager
    def _settled(
        self, name: str, check: Callable[[Any], None], by: str | None, *, pauses: bool = True
    ) -> Iterator[tuple[sqlalchemy.Connection, Any]]:
        """The same, and what was due at the row's ``now`` is accounted for; of a pause too, or not (``pauses``).

        ``check`` raises what is against the change; then nothing is done.
        """
        while True:
            with self._held(name) as (connection, row):
                check(row)
                ending_now = [row] if pauses or not row.paused else []
                if not ending.settle(connection, self._firing, ending_now, row.now, by=by):
                    yield connection, row
                    return
            self._firing.settle(self._engine, [name], begin=holding.transaction)

    def _stand(
        self,
        connection: sqlalchemy.Connection,
        due: courses.Due,
        standing: slots.Standing,
        now: datetime.datetime,
        *,
        paused: bool = False,
    ) -> None:
        """Write where a schedule stands after a change."""
        if due.policy.max_runs is not None and standing.held is None and standing.runs >= due.policy.max_runs:
            standing = dataclasses.replace(standing, planned=None)
        wake_at = None if paused else slots.wake_at(due.course, standing, now)
        courses.advance(connection, [(due.name, slots.Decision((), standing, wake_at), None)])


def _expires(due: courses.Due, now: datetime.datetime) -> datetime.datetime | None:
    after = due.policy.expires_after
    return None if after is None else now + datetime.timedelta(seconds=after)


def _check_own(row: Any) -> None:
    if row.origin != "api":
        raise errors.DeclaredInCode(
            f"the schedule {row.name!r} is declared in code: change it there; pause, resume, run now and backfill are"
            " for all"
        )


def _check_revision(row: Any, revision: int | None) -> None:
    if revision is not None and revision != row.revision:
        raise errors.ScheduleChanged(
            f"the schedule {row.name!r} was changed meanwhile: its revision is {row.revision}, not {revision}"
        )
