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
from service.ledger import courses, fence, firing, overlaps, ticks
from service.ledger import engine as engines

log = logging.getLogger("millrace.clock")

BATCH = 250  #: schedules that are declared in one transaction
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
select {courses.COLUMNS}, s.next_due, s.digest = md5(own.spec::text) as same, s.origin, s.app,
       s.paused_at is not null as paused, s.retired_at is not null as retired, clock_timestamp() as now
from millrace.schedules s join unnest(%s::text[], %s::jsonb[], %s::text[]) as own (name, spec, app) on own.name = s.name
where s.digest <> md5(own.spec::text) or s.retired_at is not null or s.app is distinct from own.app
order by s.name
for no key update of s
"""

KNOWN = "select name from millrace.schedules where name = any(%s)"

# What is due of a plan that ends becomes events of the new type, with its payload: perhaps nobody works the old one.
RENAME = """
update millrace.schedules s
set type = own.spec->>'type',
    spec = s.spec || jsonb_build_object('type', own.spec->'type', 'payload', own.spec->'payload')
from unnest(%s::text[], %s::jsonb[]) as own (name, spec)
where s.name = own.name and s.name = any(%s) and s.type <> own.spec->>'type'
"""

# A changed one begins anew; the instant that waits for an open event to end goes on waiting.
DECLARE = f"""
insert into millrace.schedules as s (name, type, spec, app, next_due, planned)
select * from unnest(%(name)s::text[], %(type)s::text[], %(spec)s::jsonb[], %(app)s::text[],
                     %(next_due)s::timestamptz[], %(planned)s::timestamptz[]) order by 1
on conflict (name) do update
set type = excluded.type, spec = excluded.spec, app = excluded.app, retired_at = null, retired_by = null,
    next_due = case when s.paused_at is null then excluded.next_due end,
    planned = case when s.paused_at is null and s.held is null then excluded.planned
                   else coalesce(excluded.planned, excluded.next_due) end,
    declared_at = now(), revision = s.revision + 1, changed_by = null, error = null,
    open_since = {overlaps.SINCE.format(new="excluded")}
where s.origin = 'code' and (s.spec <> excluded.spec or s.retired_at is not null)
"""

MOVE_APP = """
update millrace.schedules s set app = own.app
from unnest(%s::text[], %s::text[]) as own (name, app) where s.name = own.name and s.origin = 'code'
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
        bundle: ticks.Bundle = ticks.alone,
    ) -> None:
        self._engine = engine
        self._apps = sorted(apps)  #: whose schedules are all in the calendar
        self._schedules = sorted(calendar, key=lambda s: s.name)
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
        waiting = [s for s in self._schedules if wanted is None or s.name in wanted]
        while waiting:
            with fence.transaction(self._engine) as connection:
                left = self._declare(connection, waiting[:BATCH])
            waiting = waiting[BATCH:] + left
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

    def _declare(
        self, connection: sqlalchemy.Connection, chosen: Sequence[schedules.Schedule]
    ) -> list[schedules.Schedule]:
        """Declare these; those are returned of which more was due than fits in one transaction."""
        names, specs = _columns(chosen)
        connection.exec_driver_sql(SEEN, (self._clock, self.calendar))
        rows = connection.exec_driver_sql(CHANGED, (names, specs, [s.app for s in chosen])).all()
        now: datetime.datetime = connection.exec_driver_sql(NOW).scalar_one()
        known = {row[0] for row in connection.exec_driver_sql(KNOWN, (names,))}
        left = self._settle(connection, rows, names, specs, now)
        different = {row.name for row in rows if not row.same or row.retired} - left
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
        unplanned = self._write(connection, [s for s in chosen if s.name not in known or s.name in different], now)
        sound = [s for s in chosen if s.name not in unplanned]
        connection.exec_driver_sql(REGISTER, (self.calendar, *_columns(sound)))
        firing.tell(connection, unplanned)
        return [s for s in chosen if s.name in left]

    def _settle(
        self,
        connection: sqlalchemy.Connection,
        rows: Sequence[Any],
        names: Sequence[str],
        specs: Sequence[str],
        now: datetime.datetime,
    ) -> set[str]:
        """Fire what is due of the plans that end now, for each instant is accounted for by the plan that had it.

        As far as a budget goes; the schedules of which more is due.
        """
        ending = [r.name for r in rows if r.origin == "code" and not (r.same or r.paused or r.retired)]
        if not ending:
            return set()
        connection.exec_driver_sql(RENAME, (list(names), list(specs), ending))
        due = connection.exec_driver_sql(firing.DUE_OF, (ending,)).all()
        return set(self._firing.fire(connection, due, now, hurry=True).left)

    def _write(
        self, connection: sqlalchemy.Connection, chosen: Sequence[schedules.Schedule], now: datetime.datetime
    ) -> dict[str, str]:
        """Write what begins now. What cannot be planned is told, and left as it is: these, and why."""
        columns: dict[str, list[Any]] = {n: [] for n in ("name", "type", "spec", "app", "next_due", "planned")}
        unplanned = {}
        for schedule in chosen:
            try:
                next_due, planned = courses.first(schedule, now)
            except Exception as error:
                unplanned[schedule.name] = f"{type(error).__name__}: {error}"
                log.error("The schedule %s is left out: %s", schedule.name, error, extra={"action": "clock.left_out"})
                continue
            row = (schedule.name, schedule.type, schedule.spec(), schedule.app, next_due, planned)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
        if columns["name"]:
            connection.exec_driver_sql(DECLARE, columns)
        return unplanned

    def _retire(self) -> None:
        values = {"calendar": self.calendar, "apps": self._apps, "names": self.names}
        with fence.transaction(self._engine) as connection:
            for (name,) in connection.exec_driver_sql(RETIRE, values).all():
                log.info(
                    "The schedule %s is retired: the code declares it no more", name, extra={"action": "clock.retired"}
                )


def _columns(chosen: Sequence[schedules.Schedule]) -> tuple[list[str], list[str]]:
    return [s.name for s in chosen], [s.spec() for s in chosen]
