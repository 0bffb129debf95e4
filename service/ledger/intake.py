"""Writing what the door accepts: events, their tickets and the tally, in one commit."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Sequence, Sized
from types import TracebackType
from typing import Any, Self

import psycopg2
from sqlalchemy import exc

from service import signals
from service.application import ports
from service.domain import errors, event
from service.ledger import arrays
from service.ledger import engine as engines

# Another process that has the same key in hand is waited for; if it froze, the server ends its transaction.
BEGIN = "begin; set local idle_in_transaction_session_timeout = '2s'; "

KEYS = """
insert into millrace.idempotency_keys (scope, key, fingerprint, event_id)
select * from unnest(%s::text[], %s::text[], %s::text[], %s::uuid[]) order by 1, 2
on conflict do nothing returning event_id::text
"""

KEY_OWNERS = """
select k.scope, k.key, k.fingerprint, k.event_id::text from millrace.idempotency_keys k
join unnest(%s::text[], %s::text[]) as asked (scope, key) using (scope, key)
"""

# One round trip: psycopg2 sends several statements at once and answers with the result of the last. Events may be many,
# tickets and tallies are few: for those, plain values cost less to plan than arrays.
EVENTS = f"""
insert into millrace.events
    (id, type, ticket_id, payload, run_at, expires_at, producer, request_id, traceparent, attributes)
select id, type, ticket_id, payload::jsonb, run_at, expires_at, producer, request_id, traceparent, attributes::jsonb
from unnest(%s::uuid[], %s::text[], %s::uuid[], {arrays.DOCUMENTS}, %s::timestamptz[], %s::timestamptz[],
            %s::text[], %s::text[], %s::text[], {arrays.DOCUMENTS})
     as new (id, type, ticket_id, payload, run_at, expires_at, producer, request_id, traceparent, attributes);
"""

TICKETS = "insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at) values "
TICKET = "(%s, %s, %s, %s, %s, %s::uuid[], coalesce(%s::timestamptz, now() + make_interval(secs => %s)))"

TALLIES = "insert into millrace.tallies (minute, type, word, n) values "
TALLY = "(date_trunc('minute', now()), %s, 'accepted', %s)"

# These (id, revision) among the tickets. One that a worker has changed since (cut, due again) is left alone, and so is
# one that a worker holds: it may be frozen, and nobody shall wait for it. Each is looked up by its id: while statistics
# are of a time without tickets, a join would compare each that is named with each that there is.
NAMED = """
with named as (
    select t.id from unnest(%s::uuid[], %s::int[]) as asked (id, revision)
    cross join lateral (
        select id from millrace.tickets t where t.id = asked.id and t.revision = asked.revision
        for no key update skip locked) t)
"""

# The patience doubles with every publication. What is not marked is published again.
MARK_OUT = f"""{NAMED}
update millrace.tickets t
set published_at = clock_timestamp(), publishes = least(publishes + 1, 1000),
    due_at = clock_timestamp() + least(make_interval(secs => %s) * power(2, least(publishes, 10)), interval '1 day')
where t.id = any(array(select id from named));
"""

HOLDS = "select exists (select from millrace.events where id = any(%s::uuid[]))"

NARROW = 1_000  #: events; where fewer of a type may be out, the doors take heed between two counts
COUNTED_WITHIN = 10  #: seconds for which it is believed how long what waits will take

STATE = f"""
select extract(epoch from clock_timestamp())::float8, t.held, t.paused, q.paused, t.paces, t.rooms,
       case when d.fresh then t.waits end, case when d.fresh then q.waits end
from (select array_agg(name) filter (where paused_at is not null or out_events >= least(%s, most_out)) as held,
             array_agg(name) filter (where paused_at is not null) as paused,
             jsonb_object_agg(name, pace) filter (where pace is not null) as paces,
             jsonb_object_agg(name, most_out - out_events) filter (where most_out < {NARROW}) as rooms,
             jsonb_object_agg(name, wait) filter (where wait is not null) as waits
      from millrace.types) t,
     (select array_agg(name) filter (where paused_at is not null) as paused,
             jsonb_object_agg(name, wait) filter (where wait is not null) as waits
      from millrace.queues) q,
     (select exists (
         select from millrace.duties
         where name = 'windows' and done_at > now() - interval '{COUNTED_WITHIN} seconds') as fresh) d
"""


class LedgerClock:
    """The ledger's time without asking it each time: its answer, carried on by the monotonic clock."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def set(self, epoch: float) -> None:
        """Take over what the ledger has just said."""
        self._offset = epoch - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch by the ledger's clock; raises LedgerUnavailable if it was never asked."""
        if self._offset is None:
            raise errors.LedgerUnavailable("the ledger was not reached yet")
        return time.monotonic() + self._offset


class IntakeLedger:
    """The intake thread's way to the ledger: one connection, used by one thread.

    The connection is in autocommit, and a flush is one string of statements: PostgreSQL runs it as one transaction, in
    one round trip. Each wait for the server costs the thread its turn among all the threads of the requests.
    """

    def __init__(self, engine: engines.Engine, *, patience: float, window: int, limit: float = 6.0) -> None:
        self._engine = engine
        #: Before every statement, in its transaction. What waits longer, for a lock say, is broken off by the server.
        self.limit = f"set local statement_timeout = '{round(limit * 1000)}ms'; "
        self.patience = patience
        self.window = window
        self._connection: Any = None
        self.clock = LedgerClock()

    def open(self) -> None:
        """Connect if there is no connection; raises LedgerUnavailable."""
        if self._connection is not None:
            return
        try:
            self._connection = self._engine.get().raw_connection()
            self._connection.driver_connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute("select extract(epoch from clock_timestamp())::float8")
                self.clock.set(cursor.fetchone()[0])
            signals.connection_changed.send(None, peer="ledger", up=True)
        except (psycopg2.Error, exc.SQLAlchemyError) as error:
            self.drop()
            raise errors.LedgerUnavailable(f"the ledger cannot be reached: {_line(error)}") from error

    def drop(self) -> None:
        """Throw the connection away; after a fault nobody knows what state it is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
        signals.connection_changed.send(None, peer="ledger", up=False)

    def hang_up(self) -> None:
        """Break the connection; see the port."""
        self._engine.hang_up()

    def flush(self) -> Flush:
        """A transaction for one flush; raises LedgerUnavailable."""
        self.open()
        return Flush(self, self._connection)

    def holds(self, event_ids: Sequence[str]) -> bool:
        """Whether any of these events is stored; raises LedgerUnavailable."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(self.limit + HOLDS, (arrays.uuids(event_ids),))
                return bool(cursor.fetchone()[0])
        except psycopg2.Error as error:
            self.drop()
            raise errors.LedgerUnavailable(_line(error)) from error


class Flush:
    """One transaction of the intake."""

    def __init__(self, ledger: IntakeLedger, connection: Any) -> None:
        self._ledger = ledger
        self._cursor = connection.cursor()
        self._begun = False  # An explicit transaction, which idempotency keys need.
        self._storing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and self._begun:
                self._cursor.execute("rollback")
            self._cursor.close()
        except psycopg2.Error:
            self._ledger.drop()
        if error is None:
            return
        if engines.is_data_fault(error):
            raise ports.FlushRefused(_line(error)) from error
        if engines.sqlstate(error) == engines.QUERY_CANCELED:
            raise errors.LedgerUnavailable("the ledger takes too long") from error
        if isinstance(error, psycopg2.Error):
            self._ledger.drop()
            raise ports.FlushFailed(_line(error), in_doubt=self._storing) from error

    def claim_keys(self, rows: Sequence[ports.Row]) -> dict[str, ports.Owner]:
        """Take the idempotency keys of these events. What is returned lost: event id → who owns its key."""
        keyed = sorted((r for r in rows if r.event.key), key=lambda r: (r.event.scope, r.event.key or ""))
        if not keyed:
            return {}
        if not self._begun:
            self._cursor.execute(BEGIN + self._ledger.limit)
            self._begun = True
        scopes, keys = [r.event.scope for r in keyed], [r.event.key for r in keyed]
        self._cursor.execute(KEYS, (scopes, keys, [r.event.fingerprint or "" for r in keyed], [r.id for r in keyed]))
        won = {row[0] for row in self._cursor.fetchall()}
        lost = [r for r in keyed if r.id not in won]
        if not lost:
            return {}
        # A second statement sees what the other transaction committed, for which the insert has waited.
        self._cursor.execute(KEY_OWNERS, ([r.event.scope for r in lost], [r.event.key for r in lost]))
        owners = {(row[0], row[1]): ports.Owner(row[3], row[2]) for row in self._cursor.fetchall()}
        found = {r.id: owners[r.event.scope, r.event.key] for r in lost if (r.event.scope, r.event.key) in owners}
        # An old key may be forgotten in between; then it is free.
        return found | self.claim_keys([r for r in lost if r.id not in found])

    def store(
        self, rows: Sequence[ports.Row], tickets: Sequence[ports.NewTicket], confirmed: Sequence[tuple[str, int]]
    ) -> ports.Held:
        """Write events, tickets and tally, mark out what the broker has confirmed, and commit.

        Returns whose tickets must wait in the ledger, and what is known of the others.
        """
        statement: str = STATE
        values: list[Any] = [self._ledger.window]
        if confirmed:
            statement = MARK_OUT + statement
            values = [[c[0] for c in confirmed], [c[1] for c in confirmed], self._ledger.patience, *values]
        if rows:
            counts = Counter(r.event.type for r in rows)
            new = [_ticket(t) for t in tickets]
            statement = f"{EVENTS}{_several(TICKETS, TICKET, new)}{_several(TALLIES, TALLY, counts.items())}{statement}"
            values = [*_columns(rows), *itertools.chain(*new), *itertools.chain(*counts.items()), *values]
        self._storing = True
        self._cursor.execute(self._ledger.limit + statement, values)
        epoch, *names, paces, rooms, of_types, of_queues = self._cursor.fetchone()
        if self._begun:
            self._cursor.execute("commit")
        self._ledger.clock.set(epoch)
        types, paused, queues = (frozenset(found or ()) for found in names)
        waits = ports.Waits(of_types or {}, of_queues or {})
        return ports.Held(types, paused, queues, paces or {}, rooms or {}, waits)


def _columns(rows: Sequence[ports.Row]) -> list[Any]:
    """The arrays of ``EVENTS``."""
    events: list[event.NewEvent] = [r.event for r in rows]
    return [
        arrays.uuids(r.id for r in rows),
        arrays.texts(e.type for e in events),
        arrays.uuids(r.ticket for r in rows),
        arrays.documents(e.payload for e in events),
        _given([e.run_at for e in events]),
        _given([e.expires_at for e in events]),
        arrays.texts(e.producer for e in events),
        arrays.texts(e.request_id for e in events),
        arrays.texts(_given([e.traceparent for e in events])),
        arrays.documents(_given([e.attributes for e in events])),
    ]


def _given(values: list[Any]) -> list[Any]:
    """The same; empty if nobody has given any, for ``unnest`` fills the shorter arrays up."""
    return values if any(value is not None for value in values) else []


def _ticket(new: ports.NewTicket) -> tuple[Any, ...]:
    """The values of ``TICKET``."""
    t = new.ticket
    return (t.id, t.type, t.queue, t.exchange, t.routing_key, arrays.uuids(t.event_ids), new.due_at, new.head_start)


def _several(statement: str, row: str, rows: Sized) -> str:
    return f"{statement}{','.join([row] * len(rows))};"


def _line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
