"""Schedules as operators change them. Each change is one transaction, and holds for all clocks from its commit.

Before a schedule changes, whatever is due of it is fired in the same commit, by the plan that was in force.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy

from service.domain import chain, errors, schedules, slots
from service.ledger import agenda, audit, courses, firing, overlaps, ticks, transactions
from service.ledger import engine as engines

LOCK = f"""
select {courses.COLUMNS}, s.next_due, s.origin, s.revision, s.paused_at, s.retired_at, s.spec::text as spec,
       s.slots_since, clock_timestamp() as now
from millrace.schedules s where s.name = %s for no key update of s
"""

INSERT = """
insert into millrace.schedules (name, type, spec, origin, next_due, planned, changed_by)
values (%s, %s, %s::jsonb, 'api', %s, %s, %s)
on conflict (name) do nothing returning name
"""

EDIT = f"""
update millrace.schedules s
set type = new.type, spec = new.spec, changed_by = new.by, declared_at = now(), revision = revision + 1,
    open_since = {overlaps.SINCE.format(new="new")}
from (values (%s::text, %s::jsonb, %s::text)) as new (type, spec, by)
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

PRESENT = """
select due_at from millrace.slots
where schedule = %s and due_at >= %s and due_at < %s and (event_id is not null or outcome = 'held')
"""

LOOK_BACK = "update millrace.schedules set open_since = least(open_since, %s) where name = %s"

NOW = "select clock_timestamp()"


@dataclasses.dataclass(frozen=True, slots=True)
class Backfill:
    """What came, or would come, of a backfill."""

    dry_run: bool
    instants: int  #: of the plan in the interval, as far as they were looked at
    present: int  #: were events before
    backfilled: int  #: are events now
    more: bool  #: there are more instants than the limit
    first: datetime.datetime | None  #: of those that are events now
    last: datetime.datetime | None


class ScheduleLedger:
    """The schedules of the ledger, to be changed. All methods raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine, *, bundle: ticks.Bundle = ticks.alone) -> None:
        self._engine = engine
        self._firing = firing.Firing(by="operator", bundle=bundle)

    def create(self, schedule: schedules.Schedule, *, by: str | None) -> None:
        """A new schedule; raises ScheduleExists."""
        with transactions.begin(self._engine) as connection:
            now = connection.exec_driver_sql(NOW).scalar_one()
            next_due, planned = courses.first(schedule, now)
            values = (schedule.name, schedule.type, schedule.spec(), next_due, planned, by)
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
    ) -> None:
        """Change a schedule that was made at run time. ``change`` makes a new one of its document.

        Raises ScheduleNotFound, DeclaredInCode, ScheduleChanged when the revision is another, what ``change`` raises.
        """
        with self._held(name) as (connection, row):
            _check_own(row)
            _check_revision(row, revision)
            changed = change(json.loads(row.spec))
            if row.paused_at is None:
                self._settle(connection, row)
            else:
                self._settle_pause(connection, row, by)
            connection.exec_driver_sql(EDIT, (changed.type, changed.spec(), by, name))
            due = courses.understand(connection.exec_driver_sql(LOCK, (name,)).one())
            # From the instant up to which the old plan was settled.
            standing = dataclasses.replace(due.standing, planned=due.course.next_after(row.now))
            self._stand(connection, due, standing, row.now, paused=row.paused_at is not None)
            before, after = json.loads(row.spec), json.loads(changed.spec())
            audit.write(connection, "schedule.changed", name, by, before=before, after=after)

    def pause(self, name: str, *, by: str | None) -> None:
        """Have no instant of it fired from now on. Raises ScheduleNotFound, ScheduleRetired."""
        with self._held(name) as (connection, row):
            _check_not_retired(row)
            if row.paused_at is None:
                self._settle(connection, row)
                connection.exec_driver_sql(PAUSE, (by, chain.origin().because, name))
                audit.write(connection, "schedule.paused", name, by)

    def resume(self, name: str, *, by: str | None) -> bool:
        """Have it go on with its next instant; whether it was paused. Raises ScheduleNotFound, ScheduleRetired.

        The instants in the pause are one slot: skipped.
        """
        with self._held(name) as (connection, row):
            _check_not_retired(row)
            if row.paused_at is None:
                return False
            standing = self._settle_pause(connection, row, by)
            connection.exec_driver_sql(RESUME, (name,))
            self._stand(connection, courses.understand(row), standing, row.now)
            audit.write(connection, "schedule.resumed", name, by)
            return True

    def delete(self, name: str, *, revision: int | None, by: str | None = None) -> None:
        """Delete a schedule that was made at run time, or is retired; its slots stay.

        Raises ScheduleNotFound, DeclaredInCode, ScheduleChanged.
        """
        with self._held(name) as (connection, row):
            if row.retired_at is None:
                _check_own(row)
            _check_revision(row, revision)
            self._settle(connection, row)
            connection.exec_driver_sql(DELETE, (name,))
            audit.write(connection, "schedule.deleted", name, by, spec=json.loads(row.spec))

    def run_now(self, name: str, *, by: str | None) -> str:
        """An event at once, whatever is planned, and though it is paused; its id. Raises ScheduleNotFound."""
        with self._held(name) as (connection, row):
            _check_not_retired(row)
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
        """Make events of the planned instants in ``[since, until)`` that became none, at most ``limit``.

        Only what lies in the past is taken, and no further back than the history of the schedule. Raises
        ScheduleNotFound, ScheduleRetired.
        """
        with self._held(name) as (connection, row):
            _check_not_retired(row)
            due = courses.understand(row)
            until = min(until, row.now)
            if row.slots_since is not None:  # What was fired before, nobody knows any more.
                since = max(since, row.slots_since + slots.TICK)
            planned = list(itertools.islice(_between(due.course, since, until), _LOOKED_AT + 1))
            present = {r[0] for r in connection.exec_driver_sql(PRESENT, (name, since, until))}
            missing = [instant for instant in planned[:_LOOKED_AT] if instant not in present]
            more = len(missing) > limit or len(planned) > _LOOKED_AT
            chosen = missing[:limit]
            if chosen and not dry_run:
                expires_at = _expires(due, row.now)
                asked = [
                    ticks.Asked(name, due.type, slots.Slot(i, row.now, slots.Outcome.BACKFILLED, expires_at=expires_at))
                    for i in chosen
                ]
                over = (slots.Outcome.SKIPPED,)
                self._firing.write(connection, asked, row.now, by=by, over=over)
                connection.exec_driver_sql(LOOK_BACK, (chosen[0], name))
                audit.write(
                    connection, "schedule.backfilled", name, by, instants=len(chosen), first=chosen[0], last=chosen[-1]
                )
        return Backfill(
            dry_run,
            min(len(planned), _LOOKED_AT),
            len(present.intersection(planned)),
            len(chosen),
            more,
            chosen[0] if chosen else None,
            chosen[-1] if chosen else None,
        )

    @contextmanager
    def _held(self, name: str) -> Iterator[tuple[sqlalchemy.Connection, Any]]:
        """A transaction that holds the schedule's row; raises ScheduleNotFound."""
        try:
            with transactions.begin(self._engine) as connection:
                row = connection.exec_driver_sql(LOCK, (name,)).first()
                if row is None:
                    raise agenda.not_found(name)
                yield connection, row
        except errors.BeingWorked:
            raise errors.BeingWorked("the schedule is being fired; ask again in a moment") from None
        except errors.DeclarationError as error:  # Its zone is missing on this host, say.
            raise errors.InvalidSchedule([errors.Fault("/plan", str(error))]) from None

    def _settle(self, connection: sqlalchemy.Connection, row: Any) -> None:
        """Fire what was planned until now, before the schedule changes."""
        if row.paused_at is None and row.retired_at is None and row.planned is not None and row.planned <= row.now:
            self._firing.fire(connection, [row], row.now, hurry=True)

    def _settle_pause(self, connection: sqlalchemy.Connection, row: Any, by: str | None) -> slots.Standing:
        """Note that what was planned until now was skipped; where the schedule stands then."""
        due = courses.understand(row)
        plain = dataclasses.replace(due, policy=dataclasses.replace(due.policy, jitter=0.0))
        decision = slots.settle_pause(plain.course, due.standing, row.now)
        asked = [ticks.Asked(due.name, due.type, slot) for slot in decision.slots]
        self._firing.write(connection, asked, row.now, by=by)
        return decision.standing

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
        if due.policy.max_runs is not None and standing.runs >= due.policy.max_runs:
            standing = dataclasses.replace(standing, planned=None)
        wake_at = None if paused else slots.wake_at(due.course, standing, now)
        courses.advance(connection, [(due.name, slots.Decision((), standing, wake_at), None)])


_LOOKED_AT = 100_000  #: instants of a backfill's interval, at most


def _between(course: slots.Course, since: datetime.datetime, until: datetime.datetime) -> Iterator[datetime.datetime]:
    found = course.next_after(since - slots.TICK)
    while found is not None and found < until:
        yield found
        found = course.next_after(found)


def _expires(due: courses.Due, now: datetime.datetime) -> datetime.datetime | None:
    after = due.policy.expires_after
    return None if after is None else now + datetime.timedelta(seconds=after)


def _check_own(row: Any) -> None:
    if row.origin != "api":
        raise errors.DeclaredInCode(
            f"the schedule {row.name!r} is declared in code: change it there; pause, resume, run now and backfill are"
            " for all"
        )


def _check_not_retired(row: Any) -> None:
    if row.retired_at is not None:
        raise errors.ScheduleRetired(f"the schedule {row.name!r} is retired: no code declares it any more")


def _check_revision(row: Any, revision: int | None) -> None:
    if revision is not None and revision != row.revision:
        raise errors.ScheduleChanged(
            f"the schedule {row.name!r} was changed meanwhile: its revision is {row.revision}, not {revision}"
        )
