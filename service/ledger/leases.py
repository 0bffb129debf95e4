"""A detached handler's runs: begun, renewed, taken over and ended, each in a short transaction.

A run begins with a ticket of its own, which is due when its lease ends: then the clock publishes it, and whoever gets
it takes the event over. So the event's ``ticket_id`` says whose the event is, and a message of an earlier ticket finds
nothing. Every statement about a run names its ticket and its attempt.
"""

from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import sqlalchemy
from sqlalchemy import event as sqlalchemy_events
from sqlalchemy import orm

from service.application import ports
from service.domain import errors, outcome, topology
from service.domain import ticket as tickets
from service.ledger import engine as engines
from service.ledger import rows, upkeep, work

#: Seconds that a transaction in a handler's session may stand idle before the server ends it.
IDLE = 600.0

# A process that freezes in one of these must not keep the others from what it has locked.
FENCE = "set local idle_in_transaction_session_timeout = '5s';"

FIND = f"""
select {rows.EVENT},
       ticket_id::text, state = 'running' as running, cancel_at is not null as cancelled,
       coalesce(lease_until > clock_timestamp(), false) as live,
       (select extract(epoch from clock_timestamp() - resumed_at)::float8 from millrace.types where name = events.type)
           as resumed
from millrace.events
where id = %s::uuid and type = %s and ticket_id = any(%s::uuid[]) and state in ('pending', 'running')
for no key update skip locked
"""

# The old ticket ends with its run; the new one is this run's. It is not published, and due when the lease ends.
TICKET = """
old as (delete from millrace.tickets where id = %(ticket)s::uuid),
fresh as (
    insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at, holder, held_since)
    values (%(fresh)s::uuid, %(type)s, %(queue)s, %(exchange)s, %(key)s, array[%(id)s]::uuid[],
            clock_timestamp() + make_interval(secs => %(seconds)s), %(holder)s, clock_timestamp())
    returning id, due_at)
"""

START = f"""
with {TICKET}
update millrace.events e
set state = 'running', attempt = e.attempt + 1, ticket_id = fresh.id, lease_until = fresh.due_at, progress = null
from fresh
where e.id = %(id)s::uuid and e.state = 'pending' and e.attempt = %(attempt)s - 1
      and e.ticket_id = %(ticket)s::uuid
returning e.ticket_id::text, e.crashes
"""

# A lost worker is a crash and no attempt: the number of the attempt stays.
TAKE_OVER = f"""
with {TICKET}
update millrace.events e
set state = 'running', crashes = e.crashes + 1, ticket_id = fresh.id, lease_until = fresh.due_at, progress = null
from fresh
where e.id = %(id)s::uuid and e.state = 'running' and e.attempt = %(attempt)s and e.ticket_id = %(ticket)s::uuid
returning e.ticket_id::text, e.crashes
"""

# Published again because the lease had ended, the ticket is taken back: the lease goes on.
RENEW = """
with renewed as (
    update millrace.events
    set lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
        progress = case when %(fraction)s::float8 is null then progress else jsonb_build_object(
            'fraction', %(fraction)s::float8, 'message', %(message)s::text, 'at', clock_timestamp()) end
    where id = %(id)s::uuid and state = 'running' and attempt = %(attempt)s and ticket_id = %(ticket)s::uuid
    returning lease_until, cancel_at is not null as cancelled,
              coalesce(clock_timestamp() >= cancel_at + make_interval(secs => %(grace)s), false) as overtime),
moved as (
    update millrace.tickets t set due_at = renewed.lease_until, published_at = null, revision = revision + 1
    from renewed where t.id = %(ticket)s::uuid)
select cancelled, overtime from renewed
"""

HOLD = """
select cancel_at is not null from millrace.events
where id = %(id)s::uuid and state = 'running' and attempt = %(attempt)s and ticket_id = %(ticket)s::uuid
for no key update
"""

SUCCEEDED = """
update millrace.events
set state = 'succeeded', crashes = 0, finished_at = clock_timestamp(), lease_until = null, result = %(result)s::jsonb,
    progress = case when %(fraction)s::float8 is null then progress else jsonb_build_object(
        'fraction', %(fraction)s::float8, 'message', %(message)s::text, 'at', clock_timestamp()) end
where id = %(id)s::uuid and state = 'running' and attempt = %(attempt)s and ticket_id = %(ticket)s::uuid
"""

CANCELLED = """
update millrace.events
set state = 'cancelled', finished_at = clock_timestamp(), lease_until = null
where id = %(id)s::uuid and state = 'running' and attempt = %(attempt)s and ticket_id = %(ticket)s::uuid
"""

EXPIRED = """
update millrace.events set state = 'expired', finished_at = clock_timestamp()
where id = %(id)s::uuid and state = 'pending' and ticket_id = %(ticket)s::uuid
"""

DEAD = """
with letter as (
    insert into millrace.dead (event_id, type, reason) values (%(id)s::uuid, %(type)s, %(reason)s)
    on conflict do nothing)
update millrace.events
set state = 'dead', attempt = attempt - %(unused)s, finished_at = clock_timestamp(), lease_until = null,
    error = coalesce(%(error)s::jsonb, error)
where id = %(id)s::uuid and state = 'running' and attempt = %(attempt)s and ticket_id = %(ticket)s::uuid
"""

# `unused`: 1 when the run has used up no attempt. `kept`: 1 when it has proved nothing about crashes.
AGAIN = """
with old as (delete from millrace.tickets where id = %(ticket)s::uuid),
fresh as (
    insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at)
    values (gen_random_uuid(), %(type)s, %(queue)s, %(exchange)s, %(key)s, array[%(id)s]::uuid[],
            greatest(clock_timestamp(),
                     coalesce(%(until)s::timestamptz, clock_timestamp() + make_interval(secs => %(delay)s))))
    returning id, due_at)
update millrace.events e
set state = 'pending', attempt = e.attempt - %(unused)s, crashes = e.crashes * %(kept)s, ticket_id = fresh.id,
    run_at = fresh.due_at, lease_until = null, error = coalesce(%(error)s::jsonb, error)
from fresh
where e.id = %(id)s::uuid and e.state = 'running' and e.attempt = %(attempt)s and e.ticket_id = %(ticket)s::uuid
"""

# Each event gets a ticket of its own; the old ticket is settled after it. What another holds is not waited for. The
# type is asked as in ``work.CLAIM``.
MOVE = """
with mine as (
    select id, gen_random_uuid() as fresh from millrace.events
    where id = any(%(ids)s::uuid[]) and type || '' = %(type)s and ticket_id = %(ticket)s::uuid and state = 'pending'
    for no key update skip locked),
fresh as (
    insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at)
    select fresh, %(type)s, %(queue)s, %(exchange)s, %(key)s, array[id], clock_timestamp() from mine)
update millrace.events e set ticket_id = mine.fresh from mine where e.id = mine.id and e.state = 'pending'
"""

DROP = "delete from millrace.tickets where id = %(ticket)s::uuid"

# Due when the lease of who runs it ends, and not before the one who holds the row has had time to say what came of it.
SETTLE = """
with left_open as (
    select array_agg(id order by id) as ids,
           greatest(max(lease_until), clock_timestamp() + make_interval(secs => %(wait)s)) as due_at
    from millrace.events
    where id = any(%(ids)s::uuid[]) and ticket_id = %(ticket)s::uuid and state in ('pending', 'running')),
kept as (
    update millrace.tickets t
    set event_ids = l.ids, due_at = l.due_at, published_at = null, revision = revision + 1
    from left_open l where t.id = %(ticket)s::uuid and t.event_ids <@ %(ids)s::uuid[] and l.ids is not null)
delete from millrace.tickets t using left_open l
where t.id = %(ticket)s::uuid and t.event_ids <@ %(ids)s::uuid[] and l.ids is null
"""


class DetachedSession(orm.Session):
    """The session that a detached handler is given: transactions of its own, which it commits as it likes."""

    lost = False  #: the ledger went away under it
    until = math.inf  #: monotonic time until which its statements may run
    used_at = 0.0  #: monotonic time of its last statement
    line: Callable[[], None] | None = None  #: breaks the connection of its last transaction; None: it was broken

    def hang_up(self) -> None:
        """End what it waits for in an error, from another thread: nothing more is to be done in it."""
        line, self.line = self.line, None  # Once: when its transaction is over, the connection may be another's.
        if line is not None:
            self.lost = True
            line()

    def close(self) -> None:
        """End the transaction, and give its connection back. What is gone with a lost connection need not be undone."""
        try:
            super().close()
        except Exception as error:
            if not engines.is_infrastructure(error):
                raise
        self.line = None

    def is_infrastructure(self, error: BaseException) -> bool:
        """Whether a handler is not to blame for an error that it raised."""
        return self.lost or (engines.sqlstate(error) is not None and engines.is_infrastructure(error))

    def is_overtime(self, error: BaseException) -> bool:
        """Whether a statement was ended because the soft limit had passed."""
        return time.monotonic() >= self.until and engines.sqlstate(error) == engines.QUERY_CANCELED


class LeaseLedger:
    """The ledger as a detached handler's worker sees it (``application.ports.LeaseLedger``).

    It has an engine of its own, for the handler's session may keep the only connection of ``handlers`` for hours.
    """

    def __init__(
        self, engine: engines.Engine, handlers: engines.Engine, *, worker: str, lease: float, grace: float
    ) -> None:
        self._engine = engine
        self._handlers = handlers
        self._worker = worker
        self._lease = lease
        self._grace = grace

    def work(self, session: Any = None) -> LeaseWork:
        """A transaction; in a handler's session it takes along what was not committed there yet."""
        return LeaseWork(self._engine, self._worker, self._lease, session)

    def session(self, until: float, spare: float) -> DetachedSession:
        """A session for one run, whose statements end at ``until`` (monotonic time), or ``spare`` seconds later."""
        # An engine that shares the pool and has listeners of its own.
        bind = self._handlers.get().execution_options()
        session = DetachedSession(bind=bind, expire_on_commit=False)
        session.until = until

        def begin(connection: sqlalchemy.Connection) -> None:
            driver: Any = connection.connection
            driver.limit(until, spare)
            session.used_at = time.monotonic()
            session.line = functools.partial(self._handlers.hang_up, connection.connection.driver_connection)
            connection.exec_driver_sql(f"set local idle_in_transaction_session_timeout = '{round(IDLE * 1000)}ms'")

        def used(*_: Any) -> None:
            session.used_at = time.monotonic()

        def failed(context: Any) -> None:
            # The server hangs up on a transaction that was left open; the driver does not tell that from a server that
            # went away. For the former its handler is to blame.
            left_open = time.monotonic() - session.used_at >= IDLE
            session.lost = session.lost or context.connection is None or (context.is_disconnect and not left_open)

        for name, listener in {"begin": begin, "after_cursor_execute": used, "handle_error": failed}.items():
            sqlalchemy_events.listen(bind, name, listener)
        return session

    def renew(self, run: ports.Run, progress: ports.Progress | None) -> ports.Renewal | None:
        """The lease begins anew; None when another has the event, or it has ended. Waits for no handler."""
        values = _names(run) | _shown(progress) | {"lease": self._lease, "grace": self._grace}
        with self._engine.get().begin() as connection:
            row = connection.exec_driver_sql(FENCE + RENEW, values).first()
        return None if row is None else ports.Renewal(row.cancelled, row.overtime)

    def return_ticket(self, delivery: tickets.Delivery) -> None:
        """The ticket of a run that could not begin is due again, as if it had come back through the queue ``dead``."""
        values = {"ticket": delivery.ticket, "careful": False, "base": upkeep.RETURN_BASE}
        with self._engine.get().begin() as connection:
            connection.exec_driver_sql(FENCE + upkeep.RETURN, values)

    def is_infrastructure(self, error: BaseException) -> bool:
        """Whether no event is to blame for this fault of our own statements."""
        return engines.is_infrastructure(error)


class LeaseWork:
    """One short transaction about an event of a detached handler (``application.ports.LeaseWork``)."""

    def __init__(self, engine: engines.Engine, worker: str, lease: float, session: orm.Session | None) -> None:
        self._engine = engine
        self._worker = worker
        self._lease = lease
        self._session = session
        self._connection: sqlalchemy.Connection | None = None

    def __enter__(self) -> Self:
        if self._session is not None:
            self._session.flush()
            self._connection = self._session.connection()
            driver: Any = self._connection.connection
            driver.unlimit()
        else:
            self._connection = self._engine.get().connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        if self._session is not None:
            self._session.close()
        elif connection is not None:
            connection.close()  # Rolls back what was not committed.

    def find(self, delivery: tickets.Delivery) -> ports.Found | None:
        """Lock the ticket's only event, if it is open and nobody else holds its row."""
        begun = list(delivery.begun.values())
        row = self._run(FENCE + FIND, (delivery.event_ids[0], delivery.type, [delivery.ticket, *begun])).first()
        if row is None:
            return None
        waited = row.waited if row.resumed is None else min(row.waited, row.resumed)  # See `service.ledger.resumed`.
        run = ports.Run(rows.read(row), row.ticket_id, row.age, waited)
        ours = row.running and run.ticket in begun
        return ports.Found(run, row.running, row.running and row.live, ours, row.cancelled, row.expired)

    def settle(self, delivery: tickets.Delivery) -> None:
        """Keep the ticket for what is open: due when its lease ends, or a little later. Else end it."""
        self._run(SETTLE, {"ids": list(delivery.event_ids), "ticket": delivery.ticket, "wait": work.LOCKED_ELSEWHERE})

    def move(self, delivery: tickets.Delivery, queue: str) -> None:
        """Tickets of their own for the pending events, due now in ``queue``."""
        found = {"ids": list(delivery.event_ids), "type": delivery.type, "ticket": delivery.ticket}
        self._run(FENCE + MOVE, found | _route(delivery.type, queue))
        self.settle(delivery)

    def expire(self, delivery: tickets.Delivery, run: ports.Run) -> None:
        """A pending event is too late."""
        self._run(EXPIRED, _names(run))
        self._run(DROP, _names(run))
        self._tally(delivery, outcome.Word.EXPIRED)

    def start(self, run: ports.Run, queue: str, ticket: str) -> ports.Run:
        """Pending becomes running; ``ticket``: the id of the run's own."""
        return self._begin(START, run, queue, ticket)

    def take_over(self, run: ports.Run, queue: str, ticket: str) -> ports.Run:
        """A run that was lost becomes another, and is counted as a crash."""
        return self._begin(TAKE_OVER, run, queue, ticket)

    def go_on(self, run: ports.Run) -> ports.Run:
        """A run that stands as it was begun; its lease begins anew."""
        self._run(RENEW, _names(run) | _shown(None) | {"lease": self._lease, "grace": 0.0})
        return run

    def end(
        self, delivery: tickets.Delivery, run: ports.Run, result: outcome.Outcome, attempt: ports.Attempt,
        progress: ports.Progress | None = None, late: bool = False,
    ) -> outcome.Word:  # fmt: skip
        """Write what came of a run; the word that was written. Raises LeaseLost when it is not ours any more.

        ``late``: it was begun later than its type promises.
        """
        word = result.word
        if self._hold(run) and word in (outcome.Word.RETRY, outcome.Word.SNOOZED):
            word = outcome.Word.CANCELLED  # Nobody wants it to be tried again.
        found = _names(run) | _route(run.event.type, attempt.queue)
        unused = word is outcome.Word.SNOOZED or result.reason == outcome.Reason.WORKER_LOST
        found |= {"unused": int(unused), "kept": 0, "error": self._keep_failure(run, result, attempt)}
        if word in (outcome.Word.RETRY, outcome.Word.SNOOZED):
            self._run(AGAIN, found | {"until": result.until, "delay": result.delay or 0.0})
        else:
            self._run(DROP, found)
        if word is outcome.Word.DONE:
            answer = None if result.result is None else json.dumps(result.result)
            self._run(SUCCEEDED, found | _shown(progress) | {"result": answer})
        elif word is outcome.Word.CANCELLED:
            self._run(CANCELLED, found)
        elif word is outcome.Word.DEAD:
            self._run(DEAD, found | {"reason": result.reason})
        self._tally(delivery, word)
        if late:
            self._run(work.TALLIES + work.LATE_TALLY, (delivery.type, 1))
        return word

    def give_back(self, delivery: tickets.Delivery, run: ports.Run, queue: str, delay: float) -> outcome.Word:
        """Running becomes pending again, as if the run had not begun: SKIPPED. Raises LeaseLost.

        CANCELLED if somebody has asked it to stop: it would begin anew otherwise.
        """
        if self._hold(run):
            self._run(DROP, _names(run))
            self._run(CANCELLED, _names(run))
            self._tally(delivery, outcome.Word.CANCELLED)
            return outcome.Word.CANCELLED
        more = {"until": None, "delay": delay, "unused": 1, "kept": 1, "error": None}
        self._run(AGAIN, _names(run) | _route(run.event.type, queue) | more)
        return outcome.Word.SKIPPED

    def commit(self) -> None:
        """Commit, with what the handler had not committed yet."""
        assert self._connection is not None
        (self._session or self._connection).commit()

    def _begin(self, statement: str, run: ports.Run, queue: str, ticket: str) -> ports.Run:
        values = _names(run) | _route(run.event.type, queue)
        values |= {"fresh": ticket, "seconds": self._lease, "holder": self._worker}
        begun = self._run(statement, values).one()
        return ports.Run(run.event._replace(crashes=begun.crashes), begun.ticket_id, run.age, run.waited)

    def _hold(self, run: ports.Run) -> bool:
        """Lock the run's row; whether somebody asked it to stop. Raises LeaseLost."""
        row = self._run(FENCE + HOLD, _names(run)).first()
        if row is None:
            raise errors.LeaseLost()
        return bool(row[0])

    def _keep_failure(self, run: ports.Run, result: outcome.Outcome, attempt: ports.Attempt) -> str | None:
        failure = result.failure
        if failure is None:
            return None
        values = (
            run.event.id, run.event.attempt, attempt.seconds, self._worker,
            failure.error, failure.message, failure.traceback,
        )  # fmt: skip
        self._run(work.FAILED_ATTEMPT, values)
        return json.dumps({"error": failure.error, "message": failure.message})

    def _tally(self, delivery: tickets.Delivery, word: outcome.Word) -> None:
        self._run(work.TALLIES + work.TALLY, (delivery.type, word.value, 1, delivery.queue, delivery.at, None))

    def _run(self, statement: str, values: Any) -> sqlalchemy.CursorResult[Any]:
        assert self._connection is not None
        return self._connection.exec_driver_sql(statement, values)


def _names(run: ports.Run) -> dict[str, Any]:
    """What every statement about a run names."""
    return {"id": run.event.id, "attempt": run.event.attempt, "ticket": run.ticket}


def _route(type_name: str, queue: str) -> dict[str, Any]:
    """Its own queue, for a tick too: long work has no place in the queue of ticks."""
    exchange, key = topology.event_route(type_name, queue)
    return {"type": type_name, "queue": queue, "exchange": exchange, "key": key}


def _shown(progress: ports.Progress | None) -> dict[str, Any]:
    if progress is None:
        return {"fraction": None, "message": None}
    return {"fraction": progress.fraction, "message": progress.message}
