"""What stands beside events that are gone: their attempts and letters, the history of schedules, strays.

All of it goes in pieces, each a transaction of its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from service.ledger import engine as engines
from service.ledger import fence

PIECE = 5_000  #: rows that are deleted in one transaction
SCHEDULES = 200  #: schedules whose history is looked at in one transaction
LATEST = 100  #: slots of each schedule that stay, however old they are

UNSWEPT = "select day from millrace.retention where swept_at is null order by day"
SWEPT = "update millrace.retention set swept_at = clock_timestamp() where day = %(day)s"

# Kept events are in the same table as all others, and keep what stands beside them.
GONE = """
not exists (select from millrace.events e where e.id = one.event_id
            and e.id >= millrace.day_floor(%(day)s) and e.id < millrace.day_floor(%(day)s + 1))
"""
ATTEMPTS = f"""
delete from millrace.attempts where (event_id, attempt) in (
    select event_id, attempt from millrace.attempts one
    where event_id >= millrace.day_floor(%(day)s) and event_id < millrace.day_floor(%(day)s + 1) and {GONE}
    limit {PIECE})
"""
LETTERS = f"""
delete from millrace.dead where event_id in (
    select event_id from millrace.dead one
    where event_id >= millrace.day_floor(%(day)s) and event_id < millrace.day_floor(%(day)s + 1) and {GONE}
    limit {PIECE})
"""

# What was kept while it was open or dead, and has been over for long enough since then.
ENDED = f"""
with piece as (
    select id from millrace.events_default e
    where state not in ('pending', 'running')
      and (state <> 'dead' or replayed_as is not null
           or exists (select from millrace.dead d where d.event_id = e.id and d.discarded_at is not null))
      and finished_at <= %(cutoff)s and id < millrace.day_floor((%(cutoff)s at time zone 'UTC')::date)
    limit {PIECE}),
attempt as (delete from millrace.attempts a using piece where a.event_id = piece.id),
letter as (delete from millrace.dead d using piece where d.event_id = piece.id)
delete from millrace.events_default e using piece where e.id = piece.id
"""

# Strays are found by no index; there are few.
STRAYS = f"""
delete from millrace.strays where id = any(array(
    select id from millrace.strays where filed_at <= %(cutoff)s limit {PIECE}))
"""

# Schedule by schedule, by their names in the slots themselves: one that was deleted has a history, too.
NAMES = f"""
with recursive names (name) as (
    (select schedule from millrace.slots where schedule > %(after)s order by schedule limit 1)
    union all
    select next.schedule from names cross join lateral (
        select schedule from millrace.slots where schedule > names.name order by schedule limit 1) next)
select name from names limit {SCHEDULES}
"""

# A slot that waits, or whose event is open, is needed to tell whether the next one would overlap.
SLOTS = f"""
with latest as (
    select n.name, s.since from unnest(%(names)s::text[]) as n (name) cross join lateral (
        select due_at as since from millrace.slots s where s.schedule = n.name
        order by due_at desc offset {LATEST - 1} limit 1) s),
piece as (
    select s.schedule, s.due_at from latest l cross join lateral (
        select schedule, due_at from millrace.slots s
        where s.schedule = l.name and s.due_at < l.since and s.due_at <= %(cutoff)s and s.outcome <> 'held'
          and not exists (
            select from millrace.events e where e.id = s.event_id and e.state in ('pending', 'running'))
        order by s.due_at limit {PIECE}) s
    limit {PIECE}),
gone as (
    delete from millrace.slots s using piece p where s.schedule = p.schedule and s.due_at = p.due_at
    returning s.schedule, s.due_at),
noted as (
    update millrace.schedules s set slots_since = greatest(s.slots_since, g.last)
    from (select schedule, max(due_at) as last from gone group by 1) g where s.name = g.schedule)
select count(*) from gone
"""


def sweep(engine: engines.Engine, cutoff: datetime.datetime, *, between: Callable[[], None]) -> dict[str, int]:
    """Delete what is older than ``cutoff``; how many rows of each table. ``between``: called after each piece."""
    found = {"attempts": 0, "dead": 0}
    for (day,) in _rows(engine, UNSWEPT):
        found["attempts"] += _all(engine, ATTEMPTS, {"day": day}, between)
        found["dead"] += _all(engine, LETTERS, {"day": day}, between)
        _count(engine, SWEPT, {"day": day})
    found["events_default"] = _all(engine, ENDED, {"cutoff": cutoff}, between)
    found["strays"] = _all(engine, STRAYS, {"cutoff": cutoff}, between)
    found["slots"] = _slots(engine, cutoff, between)
    return found


def _slots(engine: engines.Engine, cutoff: datetime.datetime, between: Callable[[], None]) -> int:
    found, after = 0, ""
    while True:
        names = [row[0] for row in _rows(engine, NAMES, {"after": after})]
        if not names:
            return found
        gone = PIECE
        while gone == PIECE:
            [(gone,)] = _rows(engine, SLOTS, {"names": names, "cutoff": cutoff})
            found += gone
            between()
        after = names[-1]


def _all(engine: engines.Engine, statement: str, values: dict[str, Any], between: Callable[[], None]) -> int:
    found, gone = 0, PIECE
    while gone >= PIECE:
        gone = _count(engine, statement, values)
        found += gone
        between()
    return found


def _rows(engine: engines.Engine, statement: str, values: Any = None) -> list[Any]:
    with fence.transaction(engine) as connection:
        return list(connection.exec_driver_sql(statement, values or ()).all())


def _count(engine: engines.Engine, statement: str, values: Any) -> int:
    with fence.transaction(engine) as connection:
        return connection.exec_driver_sql(statement, values).rowcount
