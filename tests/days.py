"""Days of long ago in a ledger: their partitions, and events in them."""

from __future__ import annotations

import datetime
import json
from typing import Any, Protocol

from service.domain import ids

DAY = datetime.timedelta(days=1)

INSERT = """
insert into millrace.events (id, type, state, ticket_id, payload, attempt, accepted_at, finished_at, replayed_as, error)
select id, %s, %s, ticket, %s::jsonb, 1, %s, %s, %s, '{"error": "KeyError", "message": "weight"}'
from unnest(%s::uuid[], %s::uuid[]) as n (id, ticket)
"""
TICKETS = """
insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids)
select ticket, %s, 'events', 'millrace.events', 'event.' || %s, array[id]
from unnest(%s::uuid[], %s::uuid[]) as n (id, ticket)
"""
TALLIES = "insert into millrace.tallies (minute, type, word, n) values (%s, %s, 'accepted', %s), (%s, %s, %s, %s)"
ATTEMPTS = """
insert into millrace.attempts (event_id, attempt, started_at, finished_at, worker, error, message)
select id, 1, %s, %s, 'x:1', 'KeyError', 'weight' from unnest(%s::uuid[]) as n (id)
"""
DEAD = "insert into millrace.dead select id, %s, 'attempts', %s, %s from unnest(%s::uuid[]) as n (id)"

WORDS = {"succeeded": "done", "dead": "dead", "cancelled": "cancelled", "expired": "expired"}


class Ledger(Protocol):
    """Whatever can ask a ledger."""

    def sql(self, statement: str, *values: Any) -> list[Any]: ...


def ago(days: int) -> datetime.date:
    """The day so many days ago, in UTC."""
    return datetime.datetime.now(datetime.UTC).date() - days * DAY


def make(ledger: Ledger, day: datetime.date) -> str:
    """A partition for a day; its name."""
    name = f"events_{day:%Y%m%d}"
    ledger.sql(f"create table millrace.{name} (like millrace.events including all) with (fillfactor = 50)")
    ledger.sql(
        f"alter table millrace.events attach partition millrace.{name}"
        " for values from (%s) to (%s)", ids.floor(_at(day)), ids.floor(_at(day + DAY))
    )  # fmt: skip
    return name


def fill(
    ledger: Ledger,
    day: datetime.date,
    number: int,
    state: str,
    *,
    type_name: str = "a.old",
    payload: Any = None,
    ended: datetime.date | None = None,
    replayed_as: str | None = None,
) -> list[str]:
    """So many events of that day, with all that stands beside them; they ended that day, or on ``ended``."""
    noon = _at(day) + datetime.timedelta(hours=12)
    found = [ids.uuid7(noon.timestamp() + n * 0.01) for n in range(number)]
    is_open = state in ("pending", "running")
    tickets = [ids.uuid7(noon.timestamp()) if is_open else None for _ in found]
    finished = None if is_open else _at(ended) if ended else noon + datetime.timedelta(minutes=1)
    ledger.sql(INSERT, type_name, state, json.dumps(payload), noon, finished, replayed_as, found, tickets)
    if is_open:
        ledger.sql(TICKETS, type_name, type_name, found, tickets)
    else:
        ledger.sql(ATTEMPTS, noon, noon, found)
    if state == "dead":
        ledger.sql(DEAD, type_name, finished, replayed_as, found)
    word = WORDS.get(state, "retry")
    ledger.sql(TALLIES, noon, type_name, number, noon, type_name, word, number)
    return found


def partitions(ledger: Ledger) -> set[str]:
    """The names of those that are before today."""
    rows = ledger.sql(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = 'millrace.events'::regclass and c.relname ~ '^events_[0-9]'"
    )
    return {name for (name,) in rows if name < f"events_{ago(1):%Y%m%d}"}


def _at(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)
