"""Slots are written: in one statement with their events, the tickets of these, and their tallies."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy

from service.domain import ids, slots, topology

#: How many ticks of a type ride on one ticket at the most; the second argument is the type's measured pace, if known.
Bundle = Callable[[str, float | None], int]

PACES = "select name, pace from millrace.types where name = any(%s) and pace is not null"

# The slot's key is the guard: an instant that has its slot becomes no event again. A held one does so once, and so does
# a skipped one that is asked for afterwards (a backfill).
FIRE = """
with asked as (
    select * from unnest(%(schedule)s::text[], %(due_at)s::timestamptz[], %(fire_at)s::timestamptz[],
        %(outcome)s::text[], %(reason)s::text[], %(missed)s::int[], %(expires_at)s::timestamptz[], %(event)s::uuid[],
        %(ticket)s::uuid[])
        as a (schedule, due_at, fire_at, outcome, reason, missed, expires_at, event_id, ticket_id)),
slot as (
    insert into millrace.slots as w (schedule, due_at, outcome, reason, event_id, fired_at, clock, missed, late)
    select schedule, due_at, outcome, reason, event_id, clock_timestamp(), %(by)s, missed,
           case when event_id is not null
                then greatest(0, extract(epoch from clock_timestamp() - fire_at)::float8) end
    from asked order by schedule, due_at
    on conflict (schedule, due_at) do update
    set outcome = excluded.outcome, reason = excluded.reason, event_id = excluded.event_id,
        fired_at = excluded.fired_at, clock = excluded.clock, late = excluded.late
    where w.event_id is null and w.outcome = any(%(over)s)
    returning w.schedule, w.due_at, w.outcome, w.reason, w.missed, w.late, w.event_id),
new as (
    select a.event_id, a.ticket_id, a.expires_at, a.schedule, a.due_at, s.type, s.spec->'payload' as payload
    from asked a join slot using (schedule, due_at) join millrace.schedules s on s.name = a.schedule
    where a.event_id is not null),
ticket as (
    insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at)
    select n.ticket_id, min(n.type), %(queue)s, min(t.exchange), min(t.key), array_agg(n.event_id order by n.event_id),
           clock_timestamp()
    from new n join unnest(%(tickets)s::uuid[], %(exchanges)s::text[], %(keys)s::text[]) as t (id, exchange, key)
        on t.id = n.ticket_id
    group by n.ticket_id),
tally as (
    insert into millrace.tallies (minute, type, word, n)
    select date_trunc('minute', now()), type, 'accepted', count(*) from new group by type),
event as (
    insert into millrace.events (id, type, ticket_id, payload, expires_at, producer, schedule, slot_at)
    select event_id, type, ticket_id, payload, expires_at, 'schedule', schedule, due_at from new)
select schedule, due_at, outcome, reason, missed, late, event_id::text from slot
"""


def alone(_type_name: str, _pace: float | None) -> int:
    """Each tick on a ticket of its own."""
    return 1


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A slot that is to be written."""

    schedule: str
    type: str
    slot: slots.Slot


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """A slot that was written."""

    schedule: str
    due_at: datetime.datetime
    outcome: slots.Outcome
    reason: slots.Reason | None
    missed: int
    late: float | None  #: seconds; None where it became no event
    event_id: str | None


class Writer:
    """How one process writes slots."""

    def __init__(self, *, by: str, bundle: Bundle = alone) -> None:
        self.by = by  #: kept with the slots
        self._bundle = bundle  #: how many ticks of a type ride on one ticket at the most

    def write(
        self,
        connection: sqlalchemy.Connection,
        asked: Sequence[Asked],
        now: datetime.datetime,
        *,
        by: str | None = None,
        over: Sequence[slots.Outcome] = (slots.Outcome.HELD,),
    ) -> list[Settled]:
        """Write slots with their events and tickets; those that were written. ``over``: outcomes that may change."""
        if not asked:
            return []
        tickets = self._tickets(connection, asked, now)
        routes = {ticket: route for ticket, route in tickets if ticket is not None}
        events = [a.slot.is_event for a in asked]
        found = connection.exec_driver_sql(
            FIRE,
            {
                "schedule": [a.schedule for a in asked],
                "due_at": [a.slot.due_at for a in asked],
                "fire_at": [a.slot.fire_at for a in asked],
                "outcome": [a.slot.outcome.value for a in asked],
                "reason": [None if a.slot.reason is None else a.slot.reason.value for a in asked],
                "missed": [a.slot.missed for a in asked],
                "expires_at": [a.slot.expires_at for a in asked],
                "event": [ids.uuid7(now.timestamp()) if event else None for event in events],
                "ticket": [ticket for ticket, _ in tickets],
                "tickets": list(routes),
                "exchanges": [exchange for exchange, _ in routes.values()],
                "keys": [key for _, key in routes.values()],
                "queue": topology.PERIODIC_QUEUE,
                "by": by or self.by,
                "over": [outcome.value for outcome in over],
            },
        )
        return [_settled(row) for row in found]

    def _tickets(
        self, connection: sqlalchemy.Connection, asked: Sequence[Asked], now: datetime.datetime
    ) -> list[tuple[str | None, tuple[str, str]]]:
        """For each slot its ticket, and that one's route: ticks of one type ride together, as its bundle allows."""
        found: list[tuple[str | None, tuple[str, str]]] = [(None, ("", ""))] * len(asked)
        by_type: dict[str, list[int]] = {}
        for number, one in enumerate(asked):
            if one.slot.is_event:
                by_type.setdefault(one.type, []).append(number)
        many = [type_name for type_name, numbers in by_type.items() if len(numbers) > 1]
        paces = dict(tuple(row) for row in connection.exec_driver_sql(PACES, (many,))) if many else {}
        for type_name, numbers in by_type.items():
            size = self._bundle(type_name, paces.get(type_name))
            for start in range(0, len(numbers), size):
                members = numbers[start : start + size]
                names = {asked[number].schedule for number in members}
                route = topology.tick_route(names.pop() if len(names) == 1 else type_name)
                ticket = ids.uuid7(now.timestamp())
                for number in members:
                    found[number] = (ticket, route)
        return found


def _settled(row: Any) -> Settled:
    reason = None if row.reason is None else slots.Reason(row.reason)
    return Settled(row.schedule, row.due_at, slots.Outcome(row.outcome), reason, row.missed, row.late, row.event_id)
