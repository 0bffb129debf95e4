"""Schedules that the code declares: each clock that starts brings them into the ledger, and retires those of before.

While a new version of the code is rolled out, clocks of both versions run. The last clock to start has the say: it
changes what its code declares otherwise, and retires what its apps declare no more. What nobody fires any more, because
the clocks with that version are gone, is taken over by one that knows it.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy

from service.domain import schedules
from service.ledger import engine as engines
from service.ledger import fence, firing

log = logging.getLogger("millrace.clock")

BATCH = 500  #: schedules that are declared in one transaction
GONE = 60.0  #: seconds without a sign of life after which a clock counts as gone
FORGOTTEN = "1 day"  #: after which nobody remembers a clock that is gone

REGISTER = """
insert into millrace.calendars (calendar, schedule, digest)
select %s, name, md5(spec::text) from unnest(%s::text[], %s::jsonb[]) as own (name, spec)
on conflict (calendar, schedule) do update set digest = excluded.digest where calendars.digest <> excluded.digest
"""

REGISTERED = "select exists (select from millrace.calendars where calendar = %s)"

# The rows that must change, in one order for all clocks. `for no key update` waits for who fires one of them.
CHANGED = f"""
select {firing.COLUMNS}, s.next_due, s.digest = md5(own.spec::text) as same, s.origin, s.app,
       s.paused_at is not null as paused, s.retired_at is not null as retired, clock_timestamp() as now
from millrace.schedules s join unnest(%s::text[], %s::jsonb[], %s::text[]) as own (name, spec, app) on own.name = s.name
where s.digest <> md5(own.spec::text) or s.retired_at is not null or s.app is distinct from own.app
order by s.name
for no key update of s
"""

KNOWN = "select name from millrace.schedules where name = any(%s)"

# A changed one begins anew; the instant that waits for an open event to end goes on waiting. Of its slots only those of
# the last day are asked for open events.
DECLARE = """
insert into millrace.schedules (name, type, spec, app, next_due, planned, open_since)
select *, now() - interval '1 day' from unnest(%(name)s::text[], %(type)s::text[], %(spec)s::jsonb[], %(app)s::text[],
                     %(next_due)s::timestamptz[], %(planned)s::timestamptz[]) order by 1
on conflict (name) do update
set type = excluded.type, spec = excluded.spec, app = excluded.app, retired_at = null, retired_by = null,
    next_due = case when schedules.paused_at is not null then null
                    when schedules.held is not null then clock_timestamp() else excluded.next_due end,
    planned = case when schedules.paused_at is null and schedules.held is null then excluded.planned
                   else coalesce(excluded.planned, excluded.next_due) end,
    declared_at = now(), revision = schedules.revision + 1, changed_by = null,
    open_since = greatest(schedules.open_since, now() - interval '1 day')
where schedules.origin = 'code' and (schedules.spec <> excluded.spec or schedules.retired_at is not null)
"""

MOVE_APP = """
update millrace.schedules s set app = own.app
from unnest(%s::text[], %s::text[]) as own (name, app) where s.name = own.name and s.origin = 'code'
"""

RAN = """
update millrace.schedules s set runs = own.runs
from unnest(%s::text[], %s::int[]) as own (name, runs) where s.name = own.name
"""

RETIRE = """
update millrace.schedules s
set retired_at = clock_timestamp(), retired_by = %(calendar)s, next_due = null, planned = null, held = null,
    revision = revision + 1
where s.name in (
    select name from millrace.schedules
    where origin = 'code' and retired_at is null and app = any(%(apps)s) and name <> all(%(names)s)
    order by name for no key update)
returning s.name
"""

SEEN = """
insert into millrace.clocks (name, calendar) values (%s, %s)
on conflict (name) do update set seen_at = now(), calendar = excluded.calendar
"""

FORGET_CLOCKS = f"delete from millrace.clocks where seen_at < now() - interval '{FORGOTTEN}' returning calendar"

FORGET_CALENDARS = """
delete from millrace.calendars c
where c.calendar = any(%s) and not exists (select from millrace.clocks k where k.calendar = c.calendar)
"""

# Retired by a version of the code that is gone: the clocks that still declare it go on with it.
RETIRED_BY_NOBODY = """
select s.name from millrace.schedules s join millrace.calendars c on c.calendar = %s and c.schedule = s.name
where s.retired_at < now() - make_interval(secs => %s) and not exists (
    select from millrace.clocks k
    where k.calendar = s.retired_by and k.seen_at > now() - make_interval(secs => %s))
"""

NOW = "select clock_timestamp()"


class Declarations:
    """What the code of one clock declares, and that the clock lives."""

    def __init__(
        self,
        engine: engines.Engine,
        calendar: schedules.Calendar,
        *,
        clock: str,
        apps: Iterable[str] = (),
        bundle: firing.Bundle = firing.alone,
    ) -> None:
        self._engine = engine
        self._apps = sorted(apps)  #: whose schedules are all in the calendar
        self._schedules = sorted(calendar, key=lambda s: s.name)
        self._types = {s.name: s.type for s in self._schedules}
        self._clock = clock
        self._firing = firing.Firing(by=clock, bundle=bundle)
        self.calendar = calendar.digest()  #: by which the clocks of one version know each other

    @property
    def names(self) -> list[str]:
        """Of the schedules, in order."""
        return [s.name for s in self._schedules]

    def declare(self, names: Iterable[str] | None = None) -> None:
        """Bring the schedules, or those of these names, into the ledger; without names, retire what is not among them.

        Once in a clock's life without names: the clocks of an old version, which run on for a while when a new one is
        rolled out, must not undo what it declares.
        """
        wanted = None if names is None else set(names)
        chosen = [s for s in self._schedules if wanted is None or s.name in wanted]
        for start in range(0, len(chosen), BATCH):
            with fence.transaction(self._engine) as connection:
                self._declare(connection, chosen[start : start + BATCH])
        if wanted is None:
            self._retire()

    def take_over(self, names: Iterable[str]) -> None:
        """Whoever declared these is gone, as after a deploy that was taken back: go on with what this code says."""
        names = sorted(names)
        for name in names:
            log.warning(
                "The schedule %s is taken over: no clock with its plan fires it any more",
                name,
                extra={"action": "clock.adopted"},
            )
        if names:
            self.declare(names)

    def live(self) -> None:
        """Give a sign of life, and take over what was retired by a version of the code that is gone."""
        with fence.transaction(self._engine) as connection:
            connection.exec_driver_sql(SEEN, (self._clock, self.calendar))
            if gone := [row[0] for row in connection.exec_driver_sql(FORGET_CLOCKS)]:
                connection.exec_driver_sql(FORGET_CALENDARS, (gone,))
            if not connection.exec_driver_sql(REGISTERED, (self.calendar,)).scalar():  # It was frozen for a day.
                connection.exec_driver_sql(REGISTER, (self.calendar, *_columns(self._schedules)))
            found = connection.exec_driver_sql(RETIRED_BY_NOBODY, (self.calendar, GONE, GONE)).all()
        self.take_over(row[0] for row in found)

    def _declare(self, connection: sqlalchemy.Connection, chosen: Sequence[schedules.Schedule]) -> None:
        names, specs = _columns(chosen)
        connection.exec_driver_sql(SEEN, (self._clock, self.calendar))
        connection.exec_driver_sql(REGISTER, (self.calendar, names, specs))
        apps = [s.app for s in chosen]
        rows = connection.exec_driver_sql(CHANGED, (names, specs, apps)).all()
        now: datetime.datetime = connection.exec_driver_sql(NOW).scalar_one()
        known = {row[0] for row in connection.exec_driver_sql(KNOWN, (names,))}
        renamed = self._settle(connection, rows, now)
        different = {row.name for row in rows if not row.same or row.retired}
        moved = [s for s in chosen if s.name in known and s.name not in different]
        if any(row.same and not row.retired for row in rows):
            connection.exec_driver_sql(MOVE_APP, ([s.name for s in moved], [s.app for s in moved]))
        for row in rows:
            if row.origin != "code":
                log.error(
                    "The schedule %s is left out: one of this name was made at run time (delete that one, or give this"
                    " one another name=)",
                    row.name,
                    extra={"action": "clock.left_out"},
                )
        self._write(connection, [s for s in chosen if s.name not in known or s.name in different], now)
        self._settle_renamed(connection, renamed, now)

    def _settle(
        self, connection: sqlalchemy.Connection, rows: Sequence[Any], now: datetime.datetime
    ) -> list[firing.Decided]:
        """What is due of the plans that end now is fired, for each instant is accounted for by the plan that had it.

        What is due of those with another type from now on is returned: perhaps nobody works the old one any more.
        """
        ending = [r for r in rows if r.origin == "code" and not (r.same or r.paused or r.retired)]
        self._firing.fire(connection, [r for r in ending if self._types[r.name] == r.type], now, hurry=True)
        renamed = [r for r in ending if self._types[r.name] != r.type]
        return self._firing.decide(connection, renamed, now, hurry=True)

    def _settle_renamed(
        self, connection: sqlalchemy.Connection, renamed: Sequence[firing.Decided], now: datetime.datetime
    ) -> None:
        """Their instants become events of the new type, with its payload: the schedule says so by now."""
        self._firing.write(connection, firing.asked_of(renamed, self._types), now)
        if renamed:
            runs = [decision.standing.runs for _, decision, _ in renamed]
            connection.exec_driver_sql(RAN, ([due.name for due, _, _ in renamed], runs))

    def _write(
        self, connection: sqlalchemy.Connection, chosen: Sequence[schedules.Schedule], now: datetime.datetime
    ) -> None:
        columns: dict[str, list[Any]] = {n: [] for n in ("name", "type", "spec", "app", "next_due", "planned")}
        for schedule in chosen:
            next_due, planned = firing.first(schedule, now)
            row = (schedule.name, schedule.type, schedule.spec(), schedule.app, next_due, planned)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
        if chosen:
            connection.exec_driver_sql(DECLARE, columns)

    def _retire(self) -> None:
        values = {"calendar": self.calendar, "apps": self._apps, "names": self.names}
        with fence.transaction(self._engine) as connection:
            for (name,) in connection.exec_driver_sql(RETIRE, values).all():
                log.info(
                    "The schedule %s is retired: the code declares it no more", name, extra={"action": "clock.retired"}
                )


def _columns(chosen: Sequence[schedules.Schedule]) -> tuple[list[str], list[str]]:
    return [s.name for s in chosen], [s.spec() for s in chosen]
