"""Firing: planned instants become slots, events and tickets, and their schedules advance, in one transaction.

Whoever fires holds the schedules' rows: a clock, and an operator before a change. So an instant is fired by the plan
that was in force when it was due, and no change loses or doubles one.

However long nobody fired, a transaction is short: it has a budget of thought and of slots, which its schedules share,
and what is left is due again at once, behind what else is due.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy

from service.domain import policies, slots
from service.ledger import cancel, courses, fence, overlaps, ticks
from service.ledger import engine as engines

log = logging.getLogger("millrace.clock")

THOUGHT = 0.3  #: seconds between two statements of a transaction, at most: a fifth of what the fence allows
SLOTS = 500  #: slots in one transaction; of each schedule that takes part at least one
PIECE = 250  #: schedules in one transaction of ``settle``

DUE_OF = f"""
select {courses.COLUMNS}, clock_timestamp() as now
from millrace.schedules s
where s.name = any(%s) and s.next_due is not null
  and case when s.held is null then coalesce(s.planned, s.next_due) else s.planned end <= clock_timestamp()
order by s.name for no key update of s
"""

# Told until it is fired again.
TELL = """
update millrace.schedules s set error = a.error
from unnest(%s::text[], %s::text[]) as a (name, error)
where s.name = a.name and s.error is distinct from a.error
"""

#: A transaction of an engine, to the end of a block.
Begin = Callable[[engines.Engine], AbstractContextManager[sqlalchemy.Connection]]


@dataclasses.dataclass(slots=True)
class Fired:
    """What came of firing."""

    settled: list[ticks.Settled] = dataclasses.field(default_factory=list)  #: the slots that were written
    left: list[str] = dataclasses.field(default_factory=list)  #: schedules of which more is due, for another turn
    failed: dict[str, str] = dataclasses.field(default_factory=dict)  #: schedules that cannot be fired here, and why


#: A schedule, what becomes of it, and since when its slots may have open events (None: as before).
Decided = tuple[courses.Due, slots.Decision, datetime.datetime | None]


class Firing(ticks.Writer):
    """How one process fires."""

    def fire(
        self, connection: sqlalchemy.Connection, rows: Sequence[Any], now: datetime.datetime, *, hurry: bool = False
    ) -> Fired:
        """Settle what is due of these schedules (``courses.COLUMNS``), and have them advance, as far as a budget goes.

        ``hurry``: what was planned is fired now, however long its jitter, for the schedule is about to change.
        """
        fired = Fired()
        decisions = self._decide(connection, rows, now, fired, hurry=hurry)
        asked = [ticks.Asked(one.name, one.type, slot) for one, decision, _ in decisions for slot in decision.slots]
        fired.settled = self.write(connection, asked, now)
        courses.advance(connection, [(one.name, d, since) for one, d, since in decisions])
        tell(connection, fired.failed)
        return fired

    def settle(
        self, engine: engines.Engine, names: Iterable[str], *, begin: Begin = fence.transaction
    ) -> list[ticks.Settled]:
        """Fire what is due of these schedules, each by the plan that its row has, until nothing is; what was written.

        In pieces, each in a transaction of its own that is over soon, so that no clock is kept waiting. Who changes a
        schedule calls it first, and in the transaction of the change has only what has become due since then to
        ``fire``. One that cannot be fired is left as it is. Raises what ``begin`` raises.
        """
        settled, waiting = [], sorted(names)
        while waiting:
            with begin(engine) as connection:
                rows = connection.exec_driver_sql(DUE_OF, (waiting[:PIECE],)).all()
                fired = self.fire(connection, rows, max(row.now for row in rows)) if rows else Fired()
            settled += fired.settled
            waiting = waiting[PIECE:] + fired.left
        return settled

    def _decide(
        self,
        connection: sqlalchemy.Connection,
        rows: Sequence[Any],
        now: datetime.datetime,
        fired: Fired,
        *,
        hurry: bool,
    ) -> list[Decided]:
        """What becomes of these schedules; what is open and must give way is cancelled, nothing else is written."""
        end = time.monotonic() + THOUGHT / 2
        due: list[courses.Due] = []
        for row in rows:
            if due and time.monotonic() > end:
                fired.left.append(row.name)
                continue
            try:
                due.append(courses.understand(row, until=now if hurry else None))
            except Exception as error:
                _fail(fired, row.name, error)
        looks = overlaps.look(
            connection,
            [
                (d.name, d.policy.overlap is policies.Overlap.CANCEL_RUNNING)
                for d in due
                if d.policy.overlap is not policies.Overlap.ALLOW
            ],
        )
        decisions: list[Decided] = []
        most, end = max(1, SLOTS // max(1, len(due))), time.monotonic() + THOUGHT
        for one in due:
            if decisions and time.monotonic() > end:
                fired.left.append(one.name)
                continue
            try:
                decision, since = _decided(one, looks.get(one.name), now, most)
            except Exception as error:
                _fail(fired, one.name, error)
                continue
            decisions.append((one, decision, since))
            if decision.wake_at is not None and decision.wake_at <= now:
                fired.left.append(one.name)
        doomed = [event_id for one, d, _ in decisions if d.cancel_open for event_id, _ in looks[one.name].open]
        if doomed:
            cancel.cancel_free(connection, doomed)
        return decisions


def tell(connection: sqlalchemy.Connection, failed: dict[str, str]) -> None:
    """Keep with each of these schedules why it cannot be fired."""
    if failed:
        connection.exec_driver_sql(TELL, (list(failed), list(failed.values())))


def _decided(
    one: courses.Due, look: overlaps.Look | None, now: datetime.datetime, most: int
) -> tuple[slots.Decision, datetime.datetime | None]:
    """What becomes of one schedule, and from where on its slots may have open events (None: as before)."""
    if look is None:
        return slots.decide(one.course, one.policy, one.standing, now, most), None
    if look.passed is not None and not look.open:
        return slots.Decision((), one.standing, now), look.passed
    standing = dataclasses.replace(one.standing, open=len(look.open))
    decision = slots.decide(one.course, one.policy, standing, now, most)
    instants = [look.since] if look.since is not None else []
    return decision, min(instants + [slot.due_at for slot in decision.slots if slot.is_event], default=None)


def _fail(fired: Fired, name: str, error: Exception) -> None:
    """One schedule's error is its own: it is told, and the others are fired."""
    fired.failed[name] = f"{type(error).__name__}: {error}"[:1000]
    log.error("The schedule %s cannot be fired: %s", name, error, extra={"action": "clock.not_understood"})
