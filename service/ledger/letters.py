"""Dead letters: finding them, and replaying each of them once."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy

from service.application import ports
from service.domain import errors, ids
from service.ledger import audit, pages, queries, transactions
from service.ledger import engine as engines

LIST = f"""
select d.event_id::text as id, d.type, d.reason, d.died_at, e.attempt, e.producer, e.error,
       e.replay_of::text, d.replayed_as::text, d.replayed_by, d.discarded_at, d.discarded_by, d.discarded_because,
       {pages.cursor_of("d.died_at", "d.event_id")}
from millrace.dead d left join millrace.events e on e.id = d.event_id
"""

COUNT = "select d.type, count(*) from millrace.dead d"

CONDITIONS = {
    "type": "d.type = %(type)s",
    "reason": "d.reason = %(reason)s",
    "since": "d.died_at >= %(since)s",
    "until": "d.died_at < %(until)s",
    "replayed": "(d.replayed_as is not null) = %(replayed)s",
    "discarded": "(d.discarded_at is not null) = %(discarded)s",
    "cursor": pages.below("d.died_at", "d.event_id"),
}

# The lock on the letter's row is what two operators meet at: the second waits, and then reads whose replay it is.
TAKE_ONE = """
select d.event_id::text, e.type, e.payload, d.reason, e.schedule, e.state, d.replayed_as::text, d.replayed_by
from millrace.events e left join millrace.dead d on d.event_id = e.id where e.id = %(id)s::uuid
"""

LOCK_ONE = "select from millrace.dead where event_id = %(id)s::uuid for no key update"

# Of many, those that another operator has in hand are left to them.
TAKE_SOME = """
select d.event_id::text, e.type, e.payload, d.reason, e.schedule
from millrace.dead d join millrace.events e on e.id = d.event_id
where e.state = 'dead' and d.replayed_as is null and d.event_id > %(after)s::uuid
"""

# Both marks are set once, and only what set them goes on.
REPLAY = """
with asked as (
    select * from unnest(%(old)s::uuid[], %(new)s::uuid[], %(ticket)s::uuid[], %(payload)s::jsonb[], %(wait)s::float8[])
        as a (old_id, new_id, ticket_id, edited, wait)),
letter as (
    update millrace.dead d set replayed_as = a.new_id, replayed_by = %(by)s
    from asked a where d.event_id = a.old_id and d.event_id = any(%(old)s::uuid[]) and d.replayed_as is null
    returning d.event_id),
old as (
    update millrace.events e set replayed_as = a.new_id
    from asked a, letter l
    where e.id = a.old_id and l.event_id = e.id and e.id = any(%(old)s::uuid[])
      and e.state = 'dead' and e.replayed_as is null
    returning e.id, e.type, a.new_id, a.ticket_id, coalesce(a.edited, e.payload) as payload, a.wait,
              e.producer, e.traceparent, e.attributes, e.schedule, e.slot_at),
ticket as (
    insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at, careful)
    select t.id, t.type, t.queue, t.exchange, t.key, array_agg(o.new_id order by o.new_id),
           clock_timestamp() + make_interval(secs => min(o.wait)), t.careful
    from unnest(%(tickets)s::uuid[], %(types)s::text[], %(queues)s::text[], %(exchanges)s::text[], %(keys)s::text[],
                %(careful)s::boolean[]) as t (id, type, queue, exchange, key, careful)
    join old o on o.ticket_id = t.id
    group by t.id, t.type, t.queue, t.exchange, t.key, t.careful),
tally as (
    insert into millrace.tallies (minute, type, word, n)
    select date_trunc('minute', now()), type, 'accepted', count(*) from old group by type)
insert into millrace.events (id, type, ticket_id, payload, run_at, producer, request_id, traceparent, attributes,
                             schedule, slot_at, replay_of)
select new_id, type, ticket_id, payload,
       case when wait > 0 then clock_timestamp() + make_interval(secs => wait) end,
       producer, %(request)s, traceparent, attributes, schedule, slot_at, id
from old
"""

NOW = "select extract(epoch from clock_timestamp())::float8"


@dataclasses.dataclass(frozen=True, slots=True)
class Filters:
    """Which dead letters are wanted; None: any."""

    type: str | None = None
    reason: str | None = None
    since: datetime.datetime | None = None  #: died at this instant or later
    until: datetime.datetime | None = None  #: died before this instant
    replayed: bool | None = None
    discarded: bool | None = None

    def where(self) -> tuple[list[str], dict[str, Any]]:
        """Conditions and their values."""
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values = {name: value for name, value in given.items() if value is not None}
        return [CONDITIONS[name] for name in values], values


class LetterLedger:
    """The dead letters of the ledger (``application.ports.LetterLedger``)."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def list(self, filters: Filters, *, limit: int, cursor: str | None = None) -> pages.Page:
        """Dead letters, those that died last first."""
        conditions, values = filters.where()
        if cursor is not None:
            conditions.append(CONDITIONS["cursor"])
            values |= pages.values(cursor)
        statement = f"{LIST} {_where(conditions)} order by d.died_at desc, d.event_id desc limit %(limit)s"
        with transactions.begin(self._engine) as connection:
            rows = connection.exec_driver_sql(statement, values | {"limit": limit + 1}).mappings().all()
        page = pages.cut(list(rows), limit)
        return dataclasses.replace(page, rows=[row | {"accepted_at": ids.instant(row["id"])} for row in page.rows])

    def count(self, filters: Filters) -> dict[str, int]:
        """How many there are, by type."""
        conditions, values = filters.where()
        with transactions.begin(self._engine) as connection:
            rows = connection.exec_driver_sql(f"{COUNT} {_where(conditions)} group by 1 order by 1", values)
            return {row[0]: row[1] for row in rows}

    @contextmanager
    def replay(self) -> Iterator[Replaying]:
        """A transaction in which letters are taken and replayed."""
        with transactions.begin(self._engine) as connection:
            yield Replaying(connection)


class Replaying:
    """One transaction of a replay (``application.ports.Replaying``)."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def now(self) -> float:
        """The ledger's time, in seconds since the epoch."""
        return float(self._connection.exec_driver_sql(NOW).scalar_one())

    def take(self, event_id: str) -> ports.Letter:
        """Lock one letter. Raises EventNotFound, NotDead, AlreadyReplayed."""
        if not queries.UUID.fullmatch(event_id):
            raise errors.EventNotFound(f"there is no event {event_id[:100]!r}")
        self._connection.exec_driver_sql(LOCK_ONE, {"id": event_id})
        row = self._connection.exec_driver_sql(TAKE_ONE, {"id": event_id}).first()
        if row is None:
            raise errors.EventNotFound(f"there is no event {event_id!r}")
        if row[0] is None:
            raise errors.NotDead(row[5])
        if row[6] is not None:
            raise errors.AlreadyReplayed(row[6], row[7])
        return ports.Letter(*row[:5])

    def take_some(self, filters: Filters, after: str, limit: int, *, lock: bool) -> list[ports.Letter]:
        """The next letters that were not replayed, by id; locked, or only looked at."""
        conditions, values = filters.where()
        more = "".join(f" and {condition}" for condition in conditions)
        how = "for no key update of d skip locked" if lock else ""
        statement = f"{TAKE_SOME} {more} order by d.event_id limit %(limit)s {how}"
        rows = self._connection.exec_driver_sql(statement, values | {"after": after, "limit": limit})
        return [ports.Letter(*row) for row in rows]

    def write(self, replays: Sequence[ports.Replay], *, by: str | None, request_id: str | None) -> None:
        """Write the new events with their tickets, and point the old ones to them."""
        tickets = {r.ticket.id: r.ticket for r in replays}.values()
        found = self._connection.exec_driver_sql(
            REPLAY,
            {
                "by": by,
                "request": request_id,
                "old": [r.letter.id for r in replays],
                "new": [r.new_id for r in replays],
                "ticket": [r.ticket.id for r in replays],
                "payload": [r.payload for r in replays],
                "wait": [r.wait for r in replays],
                "tickets": [t.id for t in tickets],
                "types": [t.type for t in tickets],
                "queues": [t.queue for t in tickets],
                "exchanges": [t.exchange for t in tickets],
                "keys": [t.routing_key for t in tickets],
                "careful": [t.careful for t in tickets],
            },
        )
        # Each letter was locked and not replayed: what was promised to the caller is what was written.
        assert found.rowcount == len(replays)
        first, last = replays[0].letter, replays[-1].letter
        if first is last:
            edited = replays[0].payload is not None
            audit.write(
                self._connection, "letter.replayed", first.id, by,
                type=first.type, replayed_as=replays[0].new_id, edited=edited,
            )  # fmt: skip
        else:
            types = dict(Counter(r.letter.type for r in replays))
            audit.write(self._connection, "letters.replayed", None, by, types=types, first=first.id, last=last.id)


def _where(conditions: Sequence[str]) -> str:
    return f"where {' and '.join(conditions)}" if conditions else ""
