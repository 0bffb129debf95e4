"""What the clocks keep in order. Each duty is done by one clock at a time, and not more often than it must be."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import exc

from service.ledger import engine as engines
from service.ledger.release import unavailable

PARTITIONS_AHEAD = 15  #: days
KEYS_KEPT = "25 hours"  #: idempotency keys; the promise is 24 hours
RETURN_BASE = 10.0  #: seconds, doubling, until a ticket that came back through the dead queue goes out again

# The row's lock is the guard against doing a duty twice at once; its time, against doing it too often.
TAKE_DUTY = """
update millrace.duties set done_at = clock_timestamp()
where name = (select name from millrace.duties
              where name = %s and done_at < clock_timestamp() - make_interval(secs => %s)
              for update skip locked)
returning name
"""

COUNT_OUT = """
with counted as (
    select type, sum(cardinality(event_ids))::int as n from millrace.tickets
    where published_at is not null group by type)
insert into millrace.types (name, out_events, counted_at)
select coalesce(c.type, t.name), coalesce(c.n, 0), clock_timestamp()
from counted c full join millrace.types t on t.name = c.type
where coalesce(c.n, 0) <> coalesce(t.out_events, 0)
on conflict (name) do update set out_events = excluded.out_events, counted_at = excluded.counted_at
"""

COUNT_TICKETS = """
select count(*) filter (where published_at is null and due_at <= clock_timestamp()),
       count(*) filter (where published_at is not null),
       count(*) filter (where published_at is not null and due_at <= clock_timestamp())
from millrace.tickets
"""

FORGET_KEYS = f"""
delete from millrace.idempotency_keys where ctid = any(array(
    select ctid from millrace.idempotency_keys where created_at < now() - interval '{KEYS_KEPT}' limit 5000))
"""

# A tally is folded into one row per day, type and word after two days; the mark is of no use by then.
FOLD_TALLIES = """
with old as (
    delete from millrace.tallies
    where minute < date_trunc('day', now()) - interval '1 day'
      and (mark is not null or minute <> date_trunc('day', minute))
    returning minute, type, word, n)
insert into millrace.tallies (minute, type, word, n)
select date_trunc('day', minute), type, word, sum(n) from old group by 1, 2, 3
"""

RETURN = """
update millrace.tickets
set published_at = null, returns = least(returns + 1, 1000), revision = revision + 1, careful = careful or %(careful)s,
    due_at = clock_timestamp() + least(make_interval(secs => %(base)s) * power(2, least(returns, 10)), interval '5 min')
where id = %(ticket)s::uuid
"""

FILE_STRAY = """
insert into millrace.strays (queue, reason, properties, headers, body) values (%s, %s, %s::jsonb, %s::jsonb, %s)
"""


class Upkeep:
    """The duties, as SQL."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def make_partitions(self) -> None:
        """Partitions for the days ahead, once an hour."""
        self._duty("partitions", 3600.0, f"select millrace.make_partitions({PARTITIONS_AHEAD})")

    def count_windows(self) -> None:
        """How many published events each type has, once a second: what P6 is decided by."""
        self._duty("windows", 1.0, COUNT_OUT)

    def fold_tallies(self) -> None:
        """Old tallies become one row per day, once an hour."""
        self._duty("tallies", 3600.0, FOLD_TALLIES)

    def forget_keys(self) -> None:
        """Idempotency keys that are old enough, some at a time."""
        self._duty("keys", 60.0, FORGET_KEYS)

    def count_tickets(self) -> tuple[int, int, int]:
        """Tickets that are due, out, and overdue."""
        row = self._run(COUNT_TICKETS, ())[0]
        return row[0], row[1], row[2]

    def give_back(self, ticket: str, *, careful: bool) -> None:
        """A ticket came back through the dead queue: due again, later each time. Nothing if its row is gone."""
        self._run(RETURN, {"ticket": ticket, "careful": careful, "base": RETURN_BASE})

    def file_stray(self, queue: str, reason: str, message: Any) -> None:
        """Keep a foreign message, bytes and headers."""
        properties = dict(message.properties)
        headers = properties.pop("application_headers", None) or {}
        body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
        self._run(FILE_STRAY, (queue, reason, dump(properties), dump(headers), body))

    def _duty(self, name: str, every: float, statement: str) -> None:
        try:
            with self._engine.get().begin() as connection:
                if connection.exec_driver_sql(TAKE_DUTY, (name, every)).first() is not None:
                    connection.exec_driver_sql(statement)
        except exc.SQLAlchemyError as error:
            raise unavailable(error) from error

    def _run(self, statement: str, values: Any) -> list[Any]:
        try:
            with self._engine.get().begin() as connection:
                found = connection.exec_driver_sql(statement, values)
                return list(found.all()) if found.returns_rows else []
        except exc.SQLAlchemyError as error:
            raise unavailable(error) from error


def dump(value: Any) -> str:
    """JSON for jsonb of whatever an AMQP header may hold: what JSON or PostgreSQL do not know becomes its repr."""
    try:
        text = json.dumps(value, default=repr, skipkeys=True, allow_nan=False, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = json.dumps(repr(value))
    # Neither a lone surrogate nor a NUL can be kept.
    return text.encode("utf-8", "replace").decode().replace("\\u0000", "\\ufffd")
