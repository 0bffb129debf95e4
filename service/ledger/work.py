"""A worker's transaction: claim, the handler's session, outcomes, the end of the ticket, one commit.

What is written is gathered and sent in one round trip, together with the commit (``service.ledger.pipeline``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import sqlalchemy
from sqlalchemy import orm

from service.application import ports
from service.domain import errors, objective, outcome
from service.domain import ticket as tickets
from service.ledger import arrays, resumed, rows
from service.ledger import engine as engines

IDLE_BEYOND = 10.0  #: seconds after the hard limit at which the server ends a transaction that stands idle
CONFLICT = "40"  #: SQLSTATE class: deadlocks, and transactions that cannot be put in an order
LOCKED_ELSEWHERE = 10.0  #: seconds until we look again at an event that another worker holds; it may still roll back

#: The events with these ids, the least and the greatest of which tell the days to look in: see ``_named``. Of a plain
#: array the planner would look at each element, to find its partition and to guess how rare it is.
NAMED = "id = any((select %s::uuid[])::uuid[]) and id between %s and %s"

# `for no key update` and not `for update`, which would also skip rows under a mere foreign-key check. The limit on an
# idle transaction is the fence against a worker that froze: the server ends it, and with it the locks. `type || ''`
# keeps the planner away from the index on types: of a new day it knows nothing yet, takes a type to be rare, and would
# read all of its events beside the few that are named.
CLAIM = f"""
set local idle_in_transaction_session_timeout = %s;
select {rows.EVENT}
from millrace.events
where {NAMED} and type || '' = %s and ticket_id = any(%s::uuid[]) and state = 'pending'
for no key update skip locked
"""

COUNT_CRASH = """
set local idle_in_transaction_session_timeout = %s;
update millrace.events set crashes = greatest(0, crashes + %s)
where id = (select id from millrace.events
            where id = %s::uuid and type = %s and ticket_id = %s::uuid and state = 'pending'
            for no key update skip locked)
returning crashes
"""

DONE = f"""
update millrace.events set state = 'succeeded', attempt = attempt + 1, crashes = 0, finished_at = clock_timestamp()
where {NAMED} and state = 'pending'
"""

DONE_WITH_RESULT = f"""
update millrace.events e
set state = 'succeeded', attempt = attempt + 1, crashes = 0, finished_at = clock_timestamp(), result = r.result::jsonb
from unnest(%s::uuid[], {arrays.DOCUMENTS}) as r (id, result)
where e.id = r.id and e.id = any(%s::uuid[]) and state = 'pending'
"""

EXPIRED = f"""
update millrace.events set state = 'expired', finished_at = clock_timestamp()
where {NAMED} and state = 'pending'
"""

FAILED_ATTEMPT = """
insert into millrace.attempts (event_id, attempt, started_at, finished_at, worker, error, message, traceback)
values (%s::uuid, %s, clock_timestamp() - make_interval(secs => %s), clock_timestamp(), %s, %s, %s, %s)
on conflict do nothing
"""

# A new ticket with a new id: the old ticket's messages, should more of them come, do not find the event too early.
AGAIN = """
with again as (
    insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at)
    values (gen_random_uuid(), %s, %s, %s, %s, array[%s]::uuid[],
            greatest(clock_timestamp(), coalesce(%s::timestamptz, clock_timestamp() + make_interval(secs => %s))))
    returning id, due_at)
update millrace.events e
set ticket_id = again.id, run_at = again.due_at, attempt = attempt + %s, crashes = 0, error = coalesce(%s::jsonb, error)
from again where e.id = %s::uuid and state = 'pending'
"""

DEAD = """
with letter as (
    insert into millrace.dead (event_id, type, reason) values (%s::uuid, %s, %s) on conflict do nothing)
update millrace.events
set state = 'dead', attempt = attempt + %s, finished_at = clock_timestamp(), error = coalesce(%s::jsonb, error)
where id = %s::uuid and state = 'pending'
"""

TALLIES = "insert into millrace.tallies (minute, type, word, n, queue, mark, seconds) values "
# The mark is evidence that others were passed by. A ticket's own word is believed no further than until now: it may be
# forged, and a door's clock may be a little ahead.
TALLY = "(date_trunc('minute', now()), %s, %s, %s, %s, least(%s, clock_timestamp()), %s)"
# It is no outcome, so it says nothing of a queue, nor of how far that was worked.
LATE_TALLY = f"(date_trunc('minute', now()), %s, '{objective.LATE}', %s, null, null, null)"

# A run that was lost, of a type whose handler was detached then and is atomic now. Who was asked to stop, ends here.
ADOPT = """
with lost as (
    select id, attempt, cancel_at is not null as cancelled from millrace.events
    where id = any(%s::uuid[]) and ticket_id = %s::uuid and state = 'running' and lease_until <= clock_timestamp()
    for no key update skip locked),
ended as (
    update millrace.events e set state = 'cancelled', finished_at = clock_timestamp(), lease_until = null
    from lost where e.id = lost.id and lost.cancelled and e.state = 'running' and e.attempt = lost.attempt
    returning e.type),
counted as (
    insert into millrace.tallies (minute, type, word, n)
    select date_trunc('minute', now()), type, 'cancelled', count(*) from ended group by type)
update millrace.events e set state = 'pending', attempt = e.attempt - 1, crashes = crashes + 1, lease_until = null
from lost where e.id = lost.id and not lost.cancelled and e.state = 'running' and e.attempt = lost.attempt
"""

# A ticket's row lives until none of its events is open. What is left is due at once (a cut), or a little later when
# another worker holds it. The revision tells a publisher's late mark from this.
SETTLE = """
with left_open as (
    select array_agg(id order by id) as ids from millrace.events
    where id = any(%s::uuid[]) and ticket_id = %s::uuid and state in ('pending', 'running')),
kept as (
    update millrace.tickets t
    set event_ids = l.ids, due_at = clock_timestamp() + make_interval(secs => %s), published_at = null,
        revision = revision + 1, careful = careful or %s
    from left_open l where t.id = %s::uuid and t.event_ids <@ %s::uuid[] and l.ids is not null)
delete from millrace.tickets t using left_open l where t.id = %s::uuid and t.event_ids <@ %s::uuid[] and l.ids is null
"""

# After all that was named was claimed, by these tickets. A message that names only a part of their events must not end
# the ticket of the others; so they are counted, for to compare two arrays takes the square of their length.
DROP = """
delete from millrace.tickets where id = any(%s::uuid[])
and (select sum(cardinality(event_ids)) from millrace.tickets where id = any(%s::uuid[])) = %s
"""


def _named(ids: Sequence[str]) -> tuple[str, str, str]:
    """The values of ``NAMED``: as texts, ids have the same order as in PostgreSQL."""
    return arrays.uuids(ids), min(ids), max(ids)


class HandlerSession(orm.Session):
    """The session that a handler is given. It lives inside the road's transaction and cannot end it."""

    spoiled = False  #: rolled back while the bundle's work was in it

    def rollback(self) -> None:
        """Undo what was done since the last commit of this session."""
        self.spoiled = self.spoiled or self.in_transaction()
        super().rollback()

    def close(self) -> None:
        """Give the session back. What was done in it stays: the road commits it together with the outcome."""
        if self.in_transaction() and self.is_active:
            self.commit()
        super().close()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """As for any session: an exception undoes what was not committed."""
        if kind is not None:
            self.rollback()
        self.close()


class WorkLedger:
    """The ledger as a worker sees it (``application.ports.WorkLedger``)."""

    def __init__(self, engine: engines.Engine, *, worker: str) -> None:
        self._engine = engine
        self.worker = worker  #: kept with failed attempts
        self._resumed = resumed.Resumed()

    def work(self, limits: tuple[float, float], since: float) -> Work:
        """A transaction for a ticket that was taken at ``since`` (monotonic time).

        The server ends it if it stays idle longer than a handler may run, by the hard one of the limits (seconds), and
        a handler's statement at the soft one.
        """
        return Work(self._engine, self.worker, limits=limits, since=since, pauses=self._resumed)

    def is_infrastructure(self, error: BaseException) -> bool:
        """Whether no event is to blame for this fault."""
        return engines.is_infrastructure(error)


class Work:
    """One transaction of a worker (``application.ports.Work``)."""

    def __init__(
        self,
        engine: engines.Engine,
        worker: str,
        *,
        limits: tuple[float, float],
        since: float,
        pauses: resumed.Resumed,
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._pauses = pauses
        soft, hard = limits
        self._idle_limit = f"{round((hard + IDLE_BEYOND) * 1000)}ms"
        self._until, self._spare = since + soft, (hard - soft) / 2
        self._connection: sqlalchemy.Connection | None = None
        self._session: HandlerSession | None = None
        self._shared = False
        self._complete = False  # Whether one claim locked every event of the ticket.
        self._statements: list[str] = []
        self._values: list[Any] = []

    def __enter__(self) -> Self:
        self._connection = self._engine.get().connect()
        self._connection.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lost, connection, self._connection = self.lost, self._connection, None
        assert connection is not None
        try:
            if error is not None:
                connection.rollback()
        finally:
            connection.close()
            if lost and isinstance(error, Exception):
                # Whatever a handler made of it, this was the reason.
                raise errors.LedgerUnavailable("the connection was lost in the middle of the work") from error

    @property
    def lost(self) -> bool:
        """Whether the connection is gone, and with it the transaction."""
        connection = self._connection
        if connection is None or connection.invalidated:
            return True
        driver: Any = connection.connection.driver_connection
        return bool(driver.closed)

    def is_infrastructure(self, error: BaseException) -> bool:
        """Whether a handler is not to blame for an error that it raised.

        An error without a code is: it comes from a server of its own, for our connection stands.
        """
        return self.lost or (engines.sqlstate(error) is not None and engines.is_infrastructure(error))

    def is_conflict(self, error: BaseException) -> bool:
        """Whether another transaction stood in the way: tried again at once, it may well succeed."""
        return (engines.sqlstate(error) or "").startswith(CONFLICT)

    def is_overtime(self, error: BaseException) -> bool:
        """Whether a statement was ended because the soft limit had passed."""
        return time.monotonic() >= self._until and engines.sqlstate(error) == engines.QUERY_CANCELED

    def claim(self, delivery: tickets.Delivery, ids: Sequence[str]) -> list[ports.Claimed]:
        """Lock the open events among ``ids``. Others' locks are skipped, never waited for."""
        asked = (self._idle_limit, *_named(ids), delivery.type, delivery.tickets)
        found: Sequence[Any] = self._run(CLAIM, asked).all()
        self._complete = len(found) == len(delivery.event_ids)
        read = [(rows.read(row), *row[rows.FIELDS :]) for row in found]
        at = time.monotonic()
        waits = self._pauses.waited(self._run, delivery.type, [waited for _, _, waited, _ in read])
        claimed = [
            ports.Claimed(one, age, waited, expired, at)
            for (one, age, _, expired), waited in zip(read, waits, strict=True)
        ]
        return sorted(claimed, key=lambda c: c.event.id)

    def count_crash(self, delivery: tickets.Delivery, event_id: str, number: int) -> int | None:
        """``1``: a crash more, as if the coming run had failed already; ``-1``: it had not. How many there are now.

        None if the event is not to be had.
        """
        row = self._run(COUNT_CRASH, (self._idle_limit, number, event_id, delivery.type, delivery.ticket)).first()
        return None if row is None else int(row[0])

    def session(self, *, shared: bool) -> HandlerSession:
        """The handler's session; ``shared`` by a whole bundle."""
        if self._session is None:
            assert self._connection is not None
            driver: Any = self._connection.connection
            driver.limit(self._until, self._spare)
            self._shared = shared
            self._session = HandlerSession(
                bind=self._connection, join_transaction_mode="create_savepoint", expire_on_commit=False
            )
        return self._session

    def close_session(self) -> None:
        """Send the last of the handlers' own work, if they have asked for a session; what follows has no time limit.

        Raises PoisonedSession when one handler of a bundle has undone the work of the others.
        """
        if self._session is None:
            return
        if self._shared and self._session.spoiled:
            raise errors.PoisonedSession()
        self._session.commit()  # Flushes, and releases the savepoint; the transaction stays ours.
        self._session.close()
        assert self._connection is not None
        driver: Any = self._connection.connection
        driver.unlimit()

    def finish(
        self,
        delivery: tickets.Delivery,
        outcomes: Sequence[outcome.Outcome],
        attempts: ports.Attempts,
        ran: float | None,
        late: int = 0,
    ) -> None:
        """Write what came of the events, and count it.

        ``ran``: seconds that the handler took for all of them; ``late``: how many were begun later than was promised.
        """
        # Each look at a member of an enum costs, and a bundle may have hundreds of outcomes.
        by_word: dict[outcome.Word, list[outcome.Outcome]] = {}
        for o in outcomes:
            by_word.setdefault(o.word, []).append(o)
        done = by_word.get(outcome.Word.DONE, [])
        self._finish_done([o.event_id for o in done if o.result is None], [o for o in done if o.result is not None])
        if expired := by_word.get(outcome.Word.EXPIRED):
            self._add(EXPIRED, *_named([o.event_id for o in expired]))
        for word in (outcome.Word.RETRY, outcome.Word.DEAD, outcome.Word.SNOOZED):
            for o in by_word.get(word, ()):
                self._finish_failed(o, attempts[o.event_id])
        if by_word:
            rows: list[Any] = []
            # The seconds are those of all that ran, and stand once. What expired took none of them.
            timed = next((word for word in by_word if word is not outcome.Word.EXPIRED), None)
            for word, those in by_word.items():
                seconds = ran if word is timed else None
                rows += [delivery.type, word.value, len(those), delivery.queue, delivery.at, seconds]
            written = [TALLY] * len(by_word)
            if late:
                written.append(LATE_TALLY)
                rows += [delivery.type, late]
            self._add(TALLIES + ",".join(written), *rows)

    def settle(self, delivery: tickets.Delivery, rest: Sequence[str] = ()) -> None:
        """End the ticket, or keep it for what is still open: ``rest`` at once, what others hold a little later."""
        if self._complete and not rest:
            self._add(DROP, delivery.tickets, delivery.tickets, len(delivery.event_ids))
            return
        for part in delivery.parts:
            wait = 0.0 if set(rest).intersection(part.event_ids) else LOCKED_ELSEWHERE
            found = (arrays.uuids(part.event_ids), part.ticket)
            self._add(ADOPT, *found)
            self._add(SETTLE, *found, wait, part.careful, *found[::-1], *found[::-1])

    def commit(self) -> None:
        """Send what was gathered, and commit it with the handler's work."""
        assert self._connection is not None
        if self._statements:
            driver: Any = self._connection.connection
            with driver.cursor() as cursor:
                driver.wait(cursor.mogrify(";".join(self._statements), self._values).decode())
        self._connection.commit()

    def _finish_done(self, plain: list[str], with_result: list[outcome.Outcome]) -> None:
        if plain:
            self._add(DONE, *_named(plain))
        if with_result:
            found = arrays.uuids(o.event_id for o in with_result)
            self._add(DONE_WITH_RESULT, found, arrays.documents(json.dumps(o.result) for o in with_result), found)

    def _finish_failed(self, o: outcome.Outcome, attempt: ports.Attempt) -> None:
        used = 0 if o.word is outcome.Word.SNOOZED or o.reason == outcome.Reason.WORKER_LOST else 1
        error = None
        if o.failure is not None:
            error = json.dumps({"error": o.failure.error, "message": o.failure.message})
        if o.failure is not None and o.word is not outcome.Word.SNOOZED:
            self._add(
                FAILED_ATTEMPT, o.event_id, attempt.event.attempt, attempt.seconds, self._worker,
                o.failure.error, o.failure.message, o.failure.traceback,
            )  # fmt: skip
        if o.word is outcome.Word.DEAD:
            self._add(DEAD, o.event_id, attempt.event.type, o.reason, used, error, o.event_id)
        else:
            self._add(
                AGAIN, attempt.event.type, attempt.queue, attempt.exchange, attempt.routing_key, o.event_id,
                o.until, o.delay or 0.0, used, error, o.event_id,
            )  # fmt: skip

    def _add(self, statement: str, *values: Any) -> None:
        self._statements.append(statement)
        self._values.extend(values)

    def _run(self, statement: str, values: tuple[Any, ...]) -> sqlalchemy.CursorResult[Any]:
        assert self._connection is not None
        return self._connection.exec_driver_sql(statement, values)
