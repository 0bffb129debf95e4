"""What the clocks keep in order. Each duty is done by one clock at a time, and not more often than it must be."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import Any

from service.domain import keeping
from service.domain.slots import Outcome, Reason
from service.domain.topology import PERIODIC_QUEUE
from service.ledger import agenda, asking, expiring, fence, processes, windows
from service.ledger import engine as engines

TURN = 0.5  #: seconds for the pieces of one duty, until the others have their turn
PARTITIONS_AHEAD = 15  #: days
KEYS_KEPT = "25 hours"  #: idempotency keys; the promise is 24 hours
KEYS_PIECE = 5000  #: deleted in one transaction
RETURN_BASE = 10.0  #: seconds, doubling, until a ticket that came back through the dead queue goes out again

# The row's lock is the guard against doing a duty twice at once; its time, against doing it too often. Who asks for it
# (``asking``) has it done before its time.
TAKE_DUTY = f"""
select name from millrace.duties d
where name = %(name)s and (done_at < clock_timestamp() - make_interval(secs => %(every)s) or {asking.ASKED})
for no key update skip locked
"""

DUTY_DONE = "update millrace.duties set done_at = clock_timestamp() where name = %s"

# Seconds by events, over all bundles: what company saves counts. Of this minute, once there is enough of it, so that a
# type that has become slow is soon noticed, else of the last. Whoever was not seen keeps what was known.
PACES = """
with seen as (
    select type, minute, sum(seconds) / sum(n) as pace, count(*) as bundles from millrace.tallies
    where minute >= date_trunc('minute', now()) - interval '1 minute' and seconds is not null and n > 0
    group by type, minute)
insert into millrace.types (name, pace)
select distinct on (type) type, pace from seen order by type, bundles >= 10 desc, minute desc
on conflict (name) do update set pace = excluded.pace
where types.pace is null or abs(types.pace - excluded.pace) > types.pace / 10
"""

LAST_SUCCESS = f"""
select s.name, extract(epoch from good.finished_at)::float8
from unnest(%s::text[]) as s (name) {agenda.SUCCEEDED} where good.finished_at is not null
"""

# The third-latest instant at which each was due, whatever became of it. Nobody expects a success of what is paused, or
# has come to its end.
EXPECTED = f"""
select n.name, extract(epoch from due.due_at)::float8
from unnest(%s::text[]) as n (name)
join millrace.schedules d on d.name = n.name
    and d.paused_at is null and d.retired_at is null and (d.next_due is not null or d.held is not null)
cross join lateral (
    select s.due_at from millrace.slots s
    where s.schedule = n.name and s.outcome <> '{Outcome.RUN_NOW}' and s.reason is distinct from '{Reason.PAUSED}'
    order by s.due_at desc offset 2 limit 1) due
where not exists (select from millrace.types t where t.name = d.type and t.paused_at is not null)
  and not exists (select from millrace.queues q where q.name = '{PERIODIC_QUEUE}' and q.paused_at is not null)
"""

#: Schedules that somebody made at run time, and that are neither paused nor at their end; the first ones by name.
MADE = """
select name from millrace.schedules
where origin = 'api' and paused_at is null and retired_at is null and (next_due is not null or held is not null)
order by name limit %s
"""

FORGET_KEYS = f"""
delete from millrace.idempotency_keys where ctid = any(array(
    select ctid from millrace.idempotency_keys where created_at < now() - interval '{KEYS_KEPT}' limit {KEYS_PIECE}))
"""

# After two days tallies are folded into one row per day, type and word; the mark is of no use by then. A piece is the
# oldest hour, with what was folded of its day before.
FOLD_TALLIES = """
with piece as (
    select date_trunc('hour', min(minute)) as hour, date_trunc('day', min(minute)) as day from millrace.tallies
    where minute < date_trunc('day', now()) - interval '1 day'
      and (mark is not null or minute <> date_trunc('day', minute))),
old as (
    delete from millrace.tallies t using piece p
    where t.minute = p.day or t.minute >= p.hour and t.minute < p.hour + interval '1 hour'
    returning p.day, t.type, t.word, t.n)
insert into millrace.tallies (minute, type, word, n)
select day, type, word, sum(n) from old group by 1, 2, 3
"""

RETURN = """
update millrace.tickets
set published_at = null, returns = least(returns + 1, 1000), revision = revision + 1, careful = careful or %(careful)s,
    due_at = clock_timestamp() + least(make_interval(secs => %(base)s) * power(2, least(returns, 10)), interval '5 min')
where id = %(ticket)s::uuid
returning id
"""

FILE_STRAY = """
insert into millrace.strays (queue, reason, properties, headers, body) values (%s, %s, %s::jsonb, %s::jsonb, %s)
"""


class Upkeep:
    """The duties, as SQL."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine
        self._expired = expiring.FIRST  # The last ticket that was looked through for ticks whose time is over.

    def make_partitions(self) -> None:
        """Partitions for the days ahead, once an hour."""
        self._duty("partitions", 3600.0, f"select millrace.make_partitions({PARTITIONS_AHEAD})")

    def count_windows(self) -> None:
        """How many published events each type has, and how long they take, once a second: what P6 is decided by."""
        self._duty("windows", 1.0, windows.COUNT_OUT)

    def measure_paces(self) -> None:
        """How long each type's events take, every two seconds: what bundles are sized by."""
        self._duty("paces", 2.0, PACES)

    def fold_tallies(self) -> None:
        """Old tallies become one row per day, once an hour, until none is left."""
        self._duty("tallies", 3600.0, FOLD_TALLIES, full=1)

    def forget_keys(self) -> None:
        """Idempotency keys that are old enough, once a minute, until none is left."""
        self._duty("keys", 60.0, FORGET_KEYS, full=KEYS_PIECE)

    def forget_processes(self) -> None:
        """Processes that have gone a while ago, once a minute."""
        self._duty("processes", 60.0, processes.FORGET)

    def last_success(self, schedules: Sequence[str]) -> dict[str, float]:
        """When the latest event of each of these schedules succeeded, in seconds since the epoch, where one did."""
        return dict(tuple(row) for row in self._run(LAST_SUCCESS, (list(schedules),)))

    def expected(self, schedules: Sequence[str]) -> dict[str, float]:
        """Since when each of these schedules should have succeeded, in seconds since the epoch, where one should."""
        return dict(tuple(row) for row in self._run(EXPECTED, (list(schedules),)))

    def made(self, limit: int) -> list[str]:
        """Schedules that were made at run time and go on, by name."""
        return [row[0] for row in self._run(MADE, (limit,))]

    def expire_ticks(self) -> None:
        """Ticks that nobody has worked in time, of some tickets each second."""
        with fence.transaction(self._engine) as connection:
            values = {"name": "expiry", "every": 1.0, "asked": ""}
            if connection.exec_driver_sql(TAKE_DUTY, values).first() is not None:
                self._expired = expiring.expire(connection, self._expired)
                connection.exec_driver_sql(DUTY_DONE, ("expiry",))

    def answers(self) -> None:
        """Raises LedgerUnavailable while it does not."""
        self._run("select 1", {})

    def give_back(self, ticket: str, *, careful: bool) -> bool:
        """A ticket came back through the dead queue: due again, later each time. Whether there is its row."""
        return bool(self._run(RETURN, {"ticket": ticket, "careful": careful, "base": RETURN_BASE}))

    def file_stray(self, queue: str, reason: str, message: Any) -> None:
        """Keep a foreign message, bytes and headers."""
        properties = dict(message.properties)
        headers = properties.pop("application_headers", None) or {}
        body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
        self._run(FILE_STRAY, (queue, reason, dump(properties), dump(headers), body))

    def _duty(self, name: str, every: float, statement: str, *, full: float = math.inf) -> None:
        """Do it if its time has come and no other clock is at it.

        A piece is a transaction. After one of ``full`` rows there is more to do: at once, and after the turn's end in
        the next round.
        """
        end = time.monotonic() + TURN
        values = {"name": name, "every": every, "asked": keeping.TYPES.get(name, "")}
        while time.monotonic() < end:
            with fence.transaction(self._engine) as connection:
                if connection.exec_driver_sql(TAKE_DUTY, values).first() is None:
                    return
                if connection.exec_driver_sql(statement).rowcount < full:
                    connection.exec_driver_sql(DUTY_DONE, (name,))
                    return

    def _run(self, statement: str, values: Any) -> list[Any]:
        with fence.transaction(self._engine) as connection:
            found = connection.exec_driver_sql(statement, values)
            return list(found.all()) if found.returns_rows else []


def dump(value: Any) -> str:
    """JSON for jsonb of whatever an AMQP header may hold: what JSON or PostgreSQL do not know becomes its repr."""
    try:
        text = json.dumps(_named(value), default=repr, allow_nan=False, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = json.dumps(repr(value))
    # Neither a lone surrogate nor a NUL can be kept.
    return text.encode("utf-8", "replace").decode().replace("\\u0000", "\\ufffd")


def _named(value: Any) -> Any:
    """The same with names that JSON knows: AMQP's may be any bytes."""
    if isinstance(value, dict):
        return {name if isinstance(name, str) else repr(name): _named(one) for name, one in value.items()}
    return [_named(one) for one in value] if isinstance(value, list) else value
