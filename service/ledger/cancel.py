"""Cancelling: an open event is withdrawn, and its ticket settled, in one commit.

Who cancels one event locks it and then its ticket, in the order of a worker. Who cancels many waits for nobody: it
takes the tickets and events that are free and leaves the others, so that it never meets anyone in a deadlock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import sqlalchemy

from service.domain import errors, states
from service.ledger import audit, queries, transactions
from service.ledger import engine as engines

TICKETS = 100  #: looked at in one transaction

LOCK = "select state, ticket_id::text from millrace.events where id = %s::uuid for no key update nowait"

STATE = "select state from millrace.events where id = %s::uuid"

# Only a pending event is withdrawn here. Out of `running` the worker that holds the lease cancels it itself.
END = """
with ended as (
    update millrace.events set state = '{state}', finished_at = clock_timestamp()
    where id = any(%s::uuid[]) and state = 'pending'
    returning type)
insert into millrace.tallies (minute, type, word, n)
select date_trunc('minute', now()), type, '{state}', count(*) from ended group by type
returning n
"""
CANCEL, EXPIRE = (END.format(state=state) for state in ("cancelled", "expired"))

ASK_TO_STOP = """
update millrace.events set cancel_at = coalesce(cancel_at, clock_timestamp())
where id = any(%s::uuid[]) and state = 'running' returning id
"""

LOCK_TICKETS = "select id from millrace.tickets where id = any(%s::uuid[]) order by id for update"

# A statement of its own after the lock: it sees what those have committed for whom the lock was waited for. The
# revision stays, for when the ticket is due has not changed.
SETTLE = """
with rest as (
    select t.id, array_agg(e.id order by e.id) filter (
        where e.ticket_id = t.id and e.state in ('pending', 'running')) as ids
    from millrace.tickets t left join millrace.events e on e.id = any(t.event_ids)
    where t.id = any(%s::uuid[]) group by t.id),
gone as (delete from millrace.tickets t using rest where t.id = rest.id and rest.ids is null)
update millrace.tickets t set event_ids = rest.ids
from rest where t.id = rest.id and rest.ids is not null and rest.ids <> t.event_ids
"""

TAKE_TICKETS = """
select id::text, event_ids::text[] from millrace.tickets
where id > %(after)s::uuid and (%(type)s::text is null or type = %(type)s)
order by id limit %(limit)s for update skip locked
"""

FREE_TICKETS = """
select t.id::text from millrace.tickets t
where t.id in (select ticket_id from millrace.events where id = any(%s::uuid[]))
order by t.id for update skip locked
"""

FREE_EVENTS = """
select id::text, state from millrace.events
where id = any(%s::uuid[]) and (state = 'running' or state = 'pending' and ticket_id = any(%s::uuid[]))
order by id for no key update skip locked
"""

# One that was asked to stop is not asked again.
LEFT = "(e.state = 'pending' or e.state = 'running' and e.cancel_at is null)"


@dataclasses.dataclass(frozen=True, slots=True)
class Cancelled:
    """What came of a cancel."""

    cancelled: int = 0  #: ended at once
    stopping: int = 0  #: running; their workers were asked to stop
    left: int = 0  #: still open and not asked: being worked, or more than the limit


class CancelLedger:
    """The ledger for who cancels."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def cancel(self, event_id: str, *, by: str | None = None) -> states.State:
        """Cancel an event; its state afterwards: cancelled, or running and asked to stop.

        Raises EventNotFound, AlreadyEnded, and BeingWorked when a worker has it in a transaction.
        """
        if not queries.UUID.fullmatch(event_id):
            raise errors.EventNotFound(f"there is no event {event_id[:100]!r}")
        try:
            with transactions.begin(self._engine) as connection:
                return _cancel_one(connection, event_id, by)
        except errors.BeingWorked:
            # A detached handler's row is locked for the moment of a renewal only: that one is waited for.
            if self._state(event_id) is states.State.RUNNING and self._ask_to_stop(event_id, by):
                return states.State.RUNNING
            raise

    def count(self, filters: queries.Filters) -> dict[str, int]:
        """How many open events there are to cancel, by type."""
        where, values = _where(filters)
        statement = f"""
            select e.type, count(*) from millrace.events e
            where {LEFT} and {queries.OPEN} {where} group by 1 order by 1"""
        with transactions.begin(self._engine) as connection:
            return {row[0]: row[1] for row in connection.exec_driver_sql(statement, values | {"type": filters.type})}

    def cancel_all(self, filters: queries.Filters, *, limit: int, by: str | None = None) -> Cancelled:
        """Cancel up to ``limit`` open events. What somebody holds is left alone."""
        cancelled = stopping = 0
        after: str | None = "00000000-0000-0000-0000-000000000000"
        while after is not None and (room := limit - cancelled - stopping) > 0:
            with transactions.begin(self._engine) as connection:
                after, ended, asked = _cancel_some(connection, filters, after, room)
                if ended or asked:
                    audit.write(
                        connection, "events.cancelled", filters.type, by,
                        filters=filters.values(), cancelled=ended, asked_to_stop=asked,
                    )  # fmt: skip
            cancelled, stopping = cancelled + ended, stopping + asked
        return Cancelled(cancelled, stopping, sum(self.count(filters).values()))

    def _state(self, event_id: str) -> states.State | None:
        with transactions.begin(self._engine) as connection:
            found: str | None = connection.exec_driver_sql(STATE, (event_id,)).scalar()
        return None if found is None else states.State(found)

    def _ask_to_stop(self, event_id: str, by: str | None) -> bool:
        with transactions.begin(self._engine) as connection:
            if connection.exec_driver_sql(ASK_TO_STOP, ([event_id],)).rowcount != 1:
                return False
            audit.write(connection, "event.asked_to_stop", event_id, by)
            return True


def _cancel_one(connection: sqlalchemy.Connection, event_id: str, by: str | None) -> states.State:
    found = connection.exec_driver_sql(LOCK, (event_id,)).first()
    if found is None:
        raise errors.EventNotFound(f"there is no event {event_id!r}")
    state, ticket = states.State(found[0]), found[1]
    if state not in states.OPEN:
        raise errors.AlreadyEnded(state)
    if state is states.State.RUNNING:
        connection.exec_driver_sql(ASK_TO_STOP, ([event_id],))
        audit.write(connection, "event.asked_to_stop", event_id, by)
        return state
    connection.exec_driver_sql(CANCEL, ([event_id],))
    if ticket is not None:
        connection.exec_driver_sql(LOCK_TICKETS, ([ticket],))
        connection.exec_driver_sql(SETTLE, ([ticket],))
    audit.write(connection, "event.cancelled", event_id, by)
    return states.State.CANCELLED


def _cancel_some(
    connection: sqlalchemy.Connection, filters: queries.Filters, after: str, room: int
) -> tuple[str | None, int, int]:
    """Cancel events of the next tickets; (the last of these tickets, how many were cancelled, and asked to stop)."""
    values = {"after": after, "type": filters.type, "limit": TICKETS}
    tickets: Sequence[Any] = connection.exec_driver_sql(TAKE_TICKETS, values).all()
    if not tickets:
        return None, 0, 0
    where, values = _where(filters)
    statement = f"""
        select e.id::text, e.state from millrace.events e
        where e.id = any(%(ids)s::uuid[]) and {LEFT} {where}
        order by e.id limit %(room)s for no key update skip locked"""
    ids = [event_id for ticket in tickets for event_id in ticket[1]]
    found = connection.exec_driver_sql(statement, values | {"ids": ids, "room": room}).all()
    cancelled, asked = _withdraw(connection, found, [ticket[0] for ticket in tickets])
    return tickets[-1][0], cancelled, asked


def cancel_free(connection: sqlalchemy.Connection, event_ids: Sequence[str]) -> None:
    """Cancel those of these open events that nobody holds at this moment; running ones are asked to stop."""
    tickets: Sequence[Any] = connection.exec_driver_sql(FREE_TICKETS, (list(event_ids),)).all()
    held = [row[0] for row in tickets]
    found = connection.exec_driver_sql(FREE_EVENTS, (list(event_ids), held)).all()
    _withdraw(connection, found, held)


def _withdraw(connection: sqlalchemy.Connection, found: Sequence[Any], tickets: list[str]) -> tuple[int, int]:
    """End what is pending of these locked events (id, state), and settle its tickets; ask what is running to stop.

    How many there were of each.
    """
    pending = [row[0] for row in found if row[1] == states.State.PENDING]
    running = [row[0] for row in found if row[1] == states.State.RUNNING]
    if running:
        connection.exec_driver_sql(ASK_TO_STOP, (running,))
    if pending:
        connection.exec_driver_sql(CANCEL, (pending,))
        connection.exec_driver_sql(SETTLE, (tickets,))
    return len(pending), len(running)


def expire_free(connection: sqlalchemy.Connection, event_ids: Sequence[str]) -> set[str]:
    """End those of these pending events, whose time is over, that nobody holds at this moment; which these are."""
    if not event_ids:
        return set()
    tickets: Sequence[Any] = connection.exec_driver_sql(FREE_TICKETS, (list(event_ids),)).all()
    held = [row[0] for row in tickets]
    found = connection.exec_driver_sql(FREE_EVENTS, (list(event_ids), held)).all()
    pending = [row[0] for row in found if row[1] == states.State.PENDING]
    if pending:
        connection.exec_driver_sql(EXPIRE, (pending,))
        connection.exec_driver_sql(SETTLE, (held,))
    return set(pending)


def _where(filters: queries.Filters) -> tuple[str, dict[str, Any]]:
    values = filters.values()
    return "".join(f" and {queries.CONDITIONS[name]}" for name in values), dict(values)
