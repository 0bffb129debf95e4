"""Retention: days that are older than wanted are dropped whole; what is open, dead or has ended of late is kept.

A day is first read through, in pieces and without any lock, for the events that must be kept. Then it goes in one
transaction (``millrace.remove_day``): detached, what is kept moved to the default partition, dropped. To detach is
exclusive on ``events``, so it is tried when nobody holds that table for long, and given up after 0.2 s: nobody on the
road waits for longer. Where it cannot be had, or much is kept, the day is thinned (``millrace.thin_day``), which
concerns that day alone, and goes another time.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import exc

from service.domain import ids, keeping
from service.ledger import asking, fence, sweeping, transactions
from service.ledger import engine as engines

DUTY = "retention"
HELD = 60  #: seconds that a clock has the duty for itself, renewed between steps
UNASKED = 26 * 3600  #: seconds after which it is done although nobody has asked for it
PIECE = 20_000  #: rows that are read at once
MOVED = 2_000  #: events that are moved to the default partition while others wait; with more, a day is thinned
MOST_KEPT = 100_000  #: events that are kept of a day; with more it stays as it is
LOOKS = 20  #: looks for a quiet moment
APART = 0.1  #: seconds between them; whoever holds `events` in two looks holds it for long
HALF = 2.0  #: seconds of rest at the most after a piece: as long as it took

# Nobody asks while the schedule is paused, or no worker runs. Then a day more or less does not matter, but it is done;
# unless the schedule is paused, for that is how people say that nothing is to go now.
TAKE = f"""
update millrace.duties d set held_by = %(by)s, held_until = clock_timestamp() + interval '{HELD} seconds'
where d.name = '{DUTY}' and (d.held_until is null or d.held_until < clock_timestamp() or d.held_by = %(by)s)
  and (%(now)s or {asking.ASKED}
       or d.done_at < clock_timestamp() - interval '{UNASKED} seconds' and not exists (
           select from millrace.schedules s where s.name = %(asked)s and s.paused_at is not null))
"""
HOLD = f"""
update millrace.duties set held_until = clock_timestamp() + interval '{HELD} seconds'
where name = '{DUTY}' and held_by = %s
"""
DONE = f"""
update millrace.duties set done_at = clock_timestamp(), held_by = null, held_until = null, result = %s::jsonb
where name = '{DUTY}' and held_by = %s
"""

DAYS = """
select found.day, r.thinned_at is not null
from (select to_date(right(c.relname, 8), 'YYYYMMDD') as day
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'millrace.events'::regclass and c.relname ~ '^events_[0-9]{8}$') found
left join millrace.retention r on r.day = found.day
where (found.day + 1)::timestamp at time zone 'UTC' <= %s order by 1
"""

# In the order of the key, so that a piece is read from its place on, and the planner leaves out all other days.
LOOK = f"""
select coalesce(array_agg(id::text) filter (where keep), '{{}}'), count(*), max(id::text)
from (select id, state in ('pending', 'running') or finished_at > %(cutoff)s or state = 'dead' and replayed_as is null
             and not exists (select from millrace.dead d where d.event_id = e.id and d.discarded_at is not null) as keep
      from millrace.events e where id > %(after)s::uuid and id < %(until)s::uuid order by id limit {PIECE}) piece
"""

REMOVE = "select millrace.remove_day(%s, %s::uuid[], %s)"
THIN = "select millrace.thin_day(%s, %s::uuid[], %s)"

HOLDERS = """
select virtualtransaction from pg_locks
where locktype = 'relation' and relation = 'millrace.events'::regclass and granted
  and database = (select oid from pg_database where datname = current_database())
"""

CUTOFF = "select clock_timestamp() - make_interval(secs => %s)"


@dataclasses.dataclass(frozen=True, slots=True)
class Day:
    """What became of a day, or would."""

    day: datetime.date
    events: int  #: that it had
    kept: int  #: of them
    word: str  #: removed; thinned: its partition is there, but small; waits: it is in use; whole: too much is kept


@dataclasses.dataclass(slots=True)
class Report:
    """What became of all that is older than wanted."""

    #: What has ended before this instant need not be kept; None: all is kept for ever.
    cutoff: datetime.datetime | None
    days: list[Day] = dataclasses.field(default_factory=list)
    swept: dict[str, int] = dataclasses.field(default_factory=dict)  #: rows of other tables, by table

    def document(self) -> dict[str, Any]:
        """As JSON."""
        days = [dataclasses.asdict(day) | {"day": day.day.isoformat()} for day in self.days]
        cutoff = self.cutoff and self.cutoff.astimezone(datetime.UTC).isoformat()
        return {"cutoff": cutoff, "days": days, "swept": self.swept}


class Retention:
    """Whoever clears the ledger of what is over. All methods raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine, *, keep: float, by: str) -> None:
        self._engine = engine
        self._keep = keep  #: seconds; math.inf: for ever
        self._values = {"by": by, "asked": keeping.RETENTION}

    def run_once(self) -> Report | None:
        """Clear, if somebody has asked for it or it was not done for long, and no other clock is at it."""
        if not self.take(now=False):
            return None
        report = self.clear()
        self.done(report)
        return report

    def take(self, *, now: bool) -> bool:
        """Take the duty; whether nobody else has it, and (or ``now``) its time has come."""
        with fence.transaction(self._engine) as connection:
            return connection.exec_driver_sql(TAKE, self._values | {"now": now}).rowcount == 1

    def done(self, report: Report) -> None:
        """Give the duty back, and say what came of it."""
        with fence.transaction(self._engine) as connection:
            connection.exec_driver_sql(DONE, (json.dumps(report.document()), self._values["by"]))

    def clear(self, *, dry_run: bool = False, tell: Callable[[Day], None] = lambda day: None) -> Report:
        """Remove what is over; ``dry_run`` only looks at the days. ``tell`` is called after each."""
        if math.isinf(self._keep):
            return Report(None)
        with fence.transaction(self._engine) as connection:
            cutoff = connection.exec_driver_sql(CUTOFF, (self._keep,)).scalar_one()
            days = connection.exec_driver_sql(DAYS, (cutoff,)).all()
        report = Report(cutoff)
        for day, thinned in days:
            report.days.append(self._day(day, thinned, cutoff, dry_run=dry_run))
            tell(report.days[-1])
        if not dry_run:
            report.swept = sweeping.sweep(self._engine, cutoff, between=self._hold)
        return report

    def _day(self, day: datetime.date, thinned: bool, cutoff: datetime.datetime, *, dry_run: bool) -> Day:
        kept, seen = self._look(day, cutoff)
        if len(kept) > MOST_KEPT:
            return Day(day, seen, len(kept), "whole")
        few = len(kept) <= MOVED
        if dry_run:
            return Day(day, seen, len(kept), "removed" if few else "thinned")
        if few and self._is_quiet() and self._try(REMOVE, day, kept, seen):
            return Day(day, seen, len(kept), "removed")
        if (thinned and seen == len(kept)) or self._try(THIN, day, kept, seen):
            return Day(day, seen, len(kept), "thinned")
        return Day(day, seen, len(kept), "waits")

    def _look(self, day: datetime.date, cutoff: datetime.datetime) -> tuple[list[str], int]:
        """The events to be kept, and how many there are at all."""
        kept: list[str] = []
        seen = 0
        for more, rows in self._pieces(day, cutoff):
            kept += more
            seen += rows
        return kept, seen

    def _pieces(self, day: datetime.date, cutoff: datetime.datetime) -> Iterator[tuple[list[str], int]]:
        begin = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
        after, until = ids.floor(begin), ids.floor(begin + datetime.timedelta(days=1))
        while True:
            began = time.monotonic()
            with fence.transaction(self._engine) as connection:
                values = {"cutoff": cutoff, "after": after, "until": until}
                kept, rows, last = connection.exec_driver_sql(LOOK, values).one()
            yield kept, rows
            if rows < PIECE:
                return
            after = last
            time.sleep(min(HALF, time.monotonic() - began))
            self._hold()

    def _is_quiet(self) -> bool:
        """Whether there is a moment in which nobody holds `events` for long.

        To ask for an exclusive lock beside somebody who does would have everybody wait in vain.
        """
        before = self._holders()
        for _ in range(LOOKS):
            time.sleep(APART)
            now = self._holders()
            if not before & now:
                return True
            before = now
        return False

    def _holders(self) -> set[str]:
        with fence.transaction(self._engine) as connection:
            return {row[0] for row in connection.exec_driver_sql(HOLDERS)}

    def _try(self, statement: str, day: datetime.date, kept: list[str], seen: int) -> bool:
        """Do it, or leave it when the lock cannot be had at once."""
        self._hold()
        try:
            with fence.transaction(self._engine) as connection:
                connection.exec_driver_sql(statement, (day, kept, seen))
        except exc.DBAPIError as error:
            if engines.sqlstate(error) != transactions.LOCK_NOT_AVAILABLE:
                raise
            return False
        return True

    def _hold(self) -> None:
        """Keep the duty, if it was taken."""
        with fence.transaction(self._engine) as connection:
            connection.exec_driver_sql(HOLD, (self._values["by"],))
