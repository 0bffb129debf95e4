"""Schedules that the code declares: each clock that starts brings them into the ledger, and retires those of before.

While a new version of the code is rolled out, clocks of both versions run. The last clock to start has the say: it
changes what its code declares otherwise, and retires what its apps declare no more. What nobody fires any more, because
the clocks with that version are gone, is taken over by one that knows it; but only a clock that has been there without
a gap says who is gone (``service.domain.signs``).
"""

from __future__ import annotations

import datetime
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy

from service.domain import schedules, signs
from service.ledger import courses, ending, fence, firing, overlaps, retiring, ticks
from service.ledger import engine as engines

log = logging.getLogger("millrace.clock")

BATCH = 250  #: schedules that are declared in one transaction
ABSENT_EVERY = 60.0  #: seconds between looks for schedules that no clock declares any more
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

# Of those whose plan ends, as they are after the next statement.
ENDING = f"""
select {courses.COLUMNS}, s.next_due, s.paused_at is not null as paused, false as retired
from millrace.schedules s where s.name = any(%s) order by s.name
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
insert into millrace.schedules as s (name, type, spec, app, next_due, planned, declared_at)
select *, %(now)s from unnest(%(name)s::text[], %(type)s::text[], %(spec)s::jsonb[], %(app)s::text[],
                     %(next_due)s::timestamptz[], %(planned)s::timestamptz[]) order by 1
on conflict (name) do update
set type = excluded.type, spec = excluded.spec, app = excluded.app, retired_at = null, retired_by = null,
    next_due = case when s.paused_at is null then excluded.next_due end,
    planned = case when s.paused_at is null and s.held is null then excluded.planned
                   else coalesce(excluded.planned, excluded.next_due) end,
    declared_at = excluded.declared_at, revision = s.revision + 1, changed_by = null, error = null,
    open_since = {overlaps.SINCE.format(new="excluded")}
where s.origin = 'code' and (s.spec <> excluded.spec or s.retired_at is not null)
"""

MOVE_APP = """
update millrace.schedules s set app = own.app
from unnest(%s::text[], %s::text[]) as own (name, app) where s.name = own.name and s.origin = 'code'
"""

SEEN = """
insert into millrace.clocks (name, calendar) values (%s, %s)
on conflict (name) do update set seen_at = now(), calendar = excluded.calendar
returning seen_at
"""

FORGET_CLOCKS = f"delete from millrace.clocks where seen_at < now() - interval '{FORGOTTEN}' returning calendar"

FORGET_CALENDARS = """
delete from millrace.calendars c
where c.calendar = any(%s) and not exists (select from millrace.clocks k where k.calendar = c.calendar)
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
        handles: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._engine = engine
        self._apps = sorted(apps)  #: whose schedules are all in the calendar
        self._handles = handles  #: whether events of a type are worked by the apps of this clock
        self._schedules = sorted(calendar, key=lambda s: s.name)
        self._clock = clock
        self._firing = firing.Firing(by=clock, bundle=bundle)
        self.signs = signs.Signs()  #: of life
        self._looked = -math.inf  # For what no clock declares any more, by time.monotonic().
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
            retiring.retire(
                self._engine, self._firing, apps=self._apps, names=self.names, by=self.calendar, handles=self._handles
            )

    def take_over(self, names: Iterable[str]) -> None:
        """Go on with these: who declared them is gone, as after a deploy that was taken back, if we may say so."""
        if names := sorted(names):
            with fence.transaction(self._engine) as connection:
                now = connection.exec_driver_sql(NOW).scalar_one()
            if self.signs.may_judge(now):
                self._go_on(names)

    def _go_on(self, names: Sequence[str]) -> None:
        for name in names:
            log.warning(
                "The schedule %s is taken over: no clock with its plan fires it any more",
                name,
                extra={"action": "clock.adopted"},
            )
        if names:
            self.declare(names)

    def live(self) -> None:
        """Give a sign of life, and see to what was retired, or is declared, by nobody who lives."""
        with fence.transaction(self._engine) as connection:
            now = connection.exec_driver_sql(SEEN, (self._clock, self.calendar)).scalar_one()
            self.signs.give(now)
            if gone := [row[0] for row in connection.exec_driver_sql(FORGET_CLOCKS)]:
                connection.exec_driver_sql(FORGET_CALENDARS, (gone,))
            if not connection.exec_driver_sql(REGISTERED, (self.calendar,)).scalar():  # It was frozen for a day.
                connection.exec_driver_sql(REGISTER, (self.calendar, *_columns(self._schedules)))
            found = retiring.wrongly(connection, self.calendar, judge=self.signs.may_judge(now))
        self._go_on(found)
        if self.signs.may_judge(now) and time.monotonic() - self._looked > ABSENT_EVERY:
            retiring.retire_absent(self._engine)
            self._looked = time.monotonic()

    def _declare(
        self, connection: sqlalchemy.Connection, chosen: Sequence[schedules.Schedule]
    ) -> list[schedules.Schedule]:
        """Declare these; those are returned of which more was due than fits in one transaction."""
        names, specs = _columns(chosen)
        connection.exec_driver_sql(SEEN, (self._clock, self.calendar))
        retiring.revive(connection, names)
        rows = connection.exec_driver_sql(CHANGED, (names, specs, [s.app for s in chosen])).all()
        now: datetime.datetime = connection.exec_driver_sql(NOW).scalar_one()
        known = {row[0] for row in connection.exec_driver_sql(KNOWN, (names,))}
        left, kept = self._settle(connection, rows, names, specs, now)
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
        new = [s for s in chosen if s.name not in known or s.name in different]
        unplanned = self._write(connection, new, now, kept)
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
    ) -> tuple[set[str], dict[str, datetime.datetime]]:
        """Account for what is due of the plans that end now, each instant by the plan that had it.

        As far as a budget goes; the schedules of which more is due, and what those go on with whose instants stay.
        """
        changed = [r.name for r in rows if r.origin == "code" and not (r.same or r.retired)]
        if not changed:
            return set(), {}
        connection.exec_driver_sql(RENAME, (list(names), list(specs), changed))
        due = connection.exec_driver_sql(ENDING, (changed,)).all()
        left = set(ending.settle(connection, self._firing, due, now))
        new = dict(zip(names, specs, strict=True))
        settled = connection.exec_driver_sql(ENDING, (changed,)).all()
        found = {row.name: courses.goes_on(row, new[row.name], now) for row in settled}
        return left, {name: planned for name, planned in found.items() if planned is not None}

    def _write(
        self,
        connection: sqlalchemy.Connection,
        chosen: Sequence[schedules.Schedule],
        now: datetime.datetime,
        kept: Mapping[str, datetime.datetime],
    ) -> dict[str, str]:
        """Write what begins now. What cannot be planned is told, and left as it is: these, and why.

        ``kept``: what is planned, of those that go on with it.
        """
        columns: dict[str, list[Any]] = {n: [] for n in ("name", "type", "spec", "app", "next_due", "planned")}
        unplanned = {}
        for schedule in chosen:
            try:
                next_due, planned = courses.first(schedule, now, kept.get(schedule.name))
            except Exception as error:
                unplanned[schedule.name] = f"{type(error).__name__}: {error}"
                log.error("The schedule %s is left out: %s", schedule.name, error, extra={"action": "clock.left_out"})
                continue
            row = (schedule.name, schedule.type, schedule.spec(), schedule.app, next_due, planned)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
        if columns["name"]:
            connection.exec_driver_sql(DECLARE, columns | {"now": now})
        return unplanned


def _columns(chosen: Sequence[schedules.Schedule]) -> tuple[list[str], list[str]]:
    return [s.name for s in chosen], [s.spec() for s in chosen]
