"""A backfill: events of planned instants in the past that became none.

The instants are listed while nothing is held, and written piece by piece. A piece keeps its schedule from being deleted
(`for key share`); clocks go on firing it meanwhile, for they write no instant that a backfill may take: only what is
accounted for already is filled.
"""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from service.domain import errors, slots
from service.domain.backfill import Backfill, Known, counted
from service.ledger import agenda, audit, courses, ending, firing, holding, ticks, transactions
from service.ledger import engine as engines

LOOKED_AT = 100_000  #: instants of the interval, at most
PIECE = 250  #: events in one transaction

ROW = f"""
select {courses.COLUMNS}, s.next_due, s.spec::text as spec, s.paused_at is not null as paused, s.retired_at,
       s.slots_since, clock_timestamp() as now
from millrace.schedules s where s.name = %s
"""

STILL = "select spec::text, clock_timestamp() from millrace.schedules where name = %s for key share"

KNOWN = """
select due_at, outcome, missed from millrace.slots where schedule = %s and due_at >= %s and due_at < %s
"""

# The first one that counts what is missing before it, and how many slots lie before that.
FOLLOWING = """
with next as (
    select due_at, outcome, missed from millrace.slots
    where schedule = %(name)s and due_at >= %(end)s and outcome <> 'run_now'
      and (outcome <> 'backfilled' or missed > 0)
    order by due_at limit 1)
select due_at, outcome, missed,
       (select count(*) from millrace.slots w where w.schedule = %(name)s and w.due_at >= %(end)s
        and w.due_at < next.due_at and w.outcome <> 'run_now')
from next
"""

LESS_MISSED = """
update millrace.slots w set missed = greatest(0, w.missed - c.n)
from unnest(%s::timestamptz[], %s::int[]) as c (due_at, n) where w.schedule = %s and w.due_at = c.due_at
"""

LOOK_BACK = "update millrace.schedules set open_since = least(open_since, %s) where name = %s"


class Filler:
    """How one process fills."""

    def __init__(self, engine: engines.Engine, writer: firing.Firing) -> None:
        self._engine = engine
        self._writer = writer

    def fill(
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

        Only what is accounted for is taken, and no further back than the history of the schedule. Raises
        ScheduleNotFound, ScheduleRetired, ScheduleChanged when it is changed meanwhile, LedgerUnavailable: what was
        written until then stays.
        """
        row = self._row(name)
        if row.paused and not dry_run and row.planned is not None and row.planned < min(until, row.now):
            row = self._end_pause(name, by)
        if row.slots_since is not None:  # What was fired before, nobody knows any more.
            since = max(since, row.slots_since + slots.TICK)
        # What is due, or waits for its jitter, is the clocks'. What a pause has left out so far, nobody else takes.
        accounted = row.now if row.planned is None or row.paused else min(row.now, row.planned)
        until = min(until, accounted)
        due = courses.understand(row)
        planned = list(itertools.islice(_between(due.course, since, until), LOOKED_AT + 1))
        end = planned[LOOKED_AT] if len(planned) > LOOKED_AT else until
        known = self._known(name, since, end)
        taken = {one.due_at for one in known if one.is_taken}
        missing = [instant for instant in planned[:LOOKED_AT] if instant not in taken]
        chosen = missing[:limit]
        if not dry_run and chosen:
            following = self._following(due, end)
            where = counted(planned[:LOOKED_AT], known, following)
            chosen = [i for piece in _pieces(chosen) for i in self._write(row, due, piece, where, by)]
        return Backfill(
            dry_run,
            min(len(planned), LOOKED_AT),
            len(taken.intersection(planned[:LOOKED_AT])),
            len(chosen),
            len(missing) > limit or len(planned) > LOOKED_AT,
            chosen[0] if chosen else None,
            chosen[-1] if chosen else None,
        )

    def _row(self, name: str) -> Any:
        with holding.transaction(self._engine) as connection:
            return _checked(connection.exec_driver_sql(ROW, (name,)).first(), name)

    def _end_pause(self, name: str, by: str | None) -> Any:
        """Account for the instants of the pause so far, as its end would."""
        with holding.transaction(self._engine) as connection:
            row = _checked(connection.exec_driver_sql(f"{ROW} for no key update", (name,)).first(), name)
            if row.paused:
                ending.skip(connection, self._writer, [row], row.now, slots.Reason.PAUSED, by=by)
            return connection.exec_driver_sql(ROW, (name,)).one()

    def _known(self, name: str, since: datetime.datetime, end: datetime.datetime) -> list[Known]:
        with transactions.begin(self._engine) as connection:
            found = connection.exec_driver_sql(KNOWN, (name, since, end)).all()
        return [Known(due_at, slots.Outcome(outcome), missed) for due_at, outcome, missed in found]

    def _following(self, due: courses.Due, end: datetime.datetime) -> Known | None:
        """The first slot from ``end`` on that counts, with as many ``missed`` as lie before ``end``."""
        with transactions.begin(self._engine) as connection:
            found = connection.exec_driver_sql(FOLLOWING, {"name": due.name, "end": end}).first()
        if found is None:
            return None
        due_at, outcome, missed, between = found
        first = due.course.next_after(end - slots.TICK)
        if first is None or due.course.next_after(due_at - slots.TICK) != due_at:
            return None  # It stands at an instant of another plan.
        if first < due_at:
            missed -= 1 + due.plan.last_due(first, due_at - slots.TICK)[1] - between
        return Known(due_at, slots.Outcome(outcome), max(0, missed))

    def _write(
        self,
        read: Any,
        due: courses.Due,
        piece: Sequence[datetime.datetime],
        where: dict[datetime.datetime, datetime.datetime],
        by: str | None,
    ) -> list[datetime.datetime]:
        """Make events of a few instants; of which it did."""
        with holding.transaction(self._engine) as connection:
            still = connection.exec_driver_sql(STILL, (due.name,)).first()
            if still is None:
                raise agenda.not_found(due.name)
            spec, now = still
            if spec != read.spec:
                raise errors.ScheduleChanged(f"the schedule {due.name!r} was changed while it was filled: ask again")
            after = due.policy.expires_after
            expires_at = None if after is None else now + datetime.timedelta(seconds=after)
            asked = [
                ticks.Asked(due.name, due.type, slots.Slot(i, now, slots.Outcome.BACKFILLED, expires_at=expires_at))
                for i in piece
            ]
            settled = self._writer.write(connection, asked, now, by=by, over=(slots.Outcome.SKIPPED,))
            done = sorted(slot.due_at for slot in settled)
            if done:
                less = Counter(where[i] for i in done if i in where)
                connection.exec_driver_sql(LESS_MISSED, (list(less), list(less.values()), due.name))
                connection.exec_driver_sql(LOOK_BACK, (done[0], due.name))
                audit.write(
                    connection, "schedule.backfilled", due.name, by, instants=len(done), first=done[0], last=done[-1]
                )
        return done


def _checked(row: Any, name: str) -> Any:
    if row is None:
        raise agenda.not_found(name)
    holding.check_not_retired(row)
    return row


def _pieces(chosen: Sequence[datetime.datetime]) -> Iterator[Sequence[datetime.datetime]]:
    for start in range(0, len(chosen), PIECE):
        yield chosen[start : start + PIECE]


def _between(course: slots.Course, since: datetime.datetime, until: datetime.datetime) -> Iterator[datetime.datetime]:
    found = course.next_after(since - slots.TICK)
    while found is not None and found < until:
        yield found
        found = course.next_after(found)
