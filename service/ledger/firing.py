"""Firing: planned instants become slots, events and tickets, and their schedules advance, in one transaction.

Whoever fires holds the schedules' rows: a clock, and an operator before a change. So an instant is fired by the plan
that was in force when it was due, and no change loses or doubles one.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy

from service import plans
from service.domain import errors, ids, policies, schedules, slots, topology
from service.ledger import cancel
from service.plans import jitter

log = logging.getLogger("millrace.clock")

#: How many ticks of a type ride on one ticket at the most; the second argument is the type's measured pace, if known.
Bundle = Callable[[str, float | None], int]

POSTPONED = 60.0  #: seconds until a schedule is looked at again that cannot be understood

PACES = "select name, pace from millrace.types where name = any(%s) and pace is not null"

#: What a row says of a schedule. While a slot is held, `planned` is all there is; else it may be left to `next_due`.
COLUMNS = """
s.name, s.type, case when s.held is null then coalesce(s.planned, s.next_due) else s.planned end as planned,
s.runs, s.held, (s.spec->'plan')::text as plan, (s.spec->'policy')::text as policy
"""

OPEN = """
select s.name, e.id::text, w.due_at
from millrace.schedules s
join millrace.slots w on w.schedule = s.name and w.due_at >= s.open_since
join millrace.events e on e.id = w.event_id
where s.name = any(%s) and e.state in ('pending', 'running')
"""

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

ADVANCE = """
update millrace.schedules s
set next_due = a.next_due, planned = a.planned, held = a.held, runs = a.runs,
    open_since = coalesce(a.open_since, s.open_since)
from unnest(%(name)s::text[], %(next_due)s::timestamptz[], %(planned)s::timestamptz[], %(held)s::timestamptz[],
            %(runs)s::int[], %(open_since)s::timestamptz[]) as a (name, next_due, planned, held, runs, open_since)
where s.name = a.name and s.name = any(%(name)s)
"""

POSTPONE = """
update millrace.schedules
set planned = case when held is null then coalesce(planned, next_due) else planned end,
    next_due = clock_timestamp() + make_interval(secs => %s)
where name = any(%s)
"""


def alone(_type_name: str, _pace: float | None) -> int:
    """Each tick on a ticket of its own."""
    return 1


@dataclasses.dataclass(frozen=True, slots=True)
class Due:
    """A schedule whose row this transaction holds."""

    name: str
    type: str
    plan: schedules.Plan
    policy: policies.Policy
    standing: slots.Standing

    @property
    def course(self) -> slots.Course:
        """Its instants."""
        return slots.Course(self.name, self.plan, self.policy, jitter.jittered)


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


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A slot that is to be written."""

    schedule: str
    type: str
    slot: slots.Slot


#: A schedule, what becomes of it, and since when its slots may have open events (None: as before).
Decided = tuple[Due, slots.Decision, datetime.datetime | None]


def asked_of(decisions: Iterable[Decided], types: Mapping[str, str] | None = None) -> list[Asked]:
    """The slots that were decided on; ``types``: schedules whose events are of another type from now on."""
    renamed = types or {}
    return [Asked(d.name, renamed.get(d.name, d.type), slot) for d, decision, _ in decisions for slot in decision.slots]


class Firing:
    """How one process fires."""

    def __init__(self, *, by: str, bundle: Bundle = alone) -> None:
        self.by = by  #: kept with the slots
        self._bundle = bundle  #: how many ticks of a type ride on one ticket at the most

    def fire(
        self, connection: sqlalchemy.Connection, rows: Iterable[Any], now: datetime.datetime, *, hurry: bool = False
    ) -> list[Settled]:
        """Settle what is due of these schedules (``COLUMNS``), and have them advance.

        ``hurry``: whatever was planned is fired now, without its jitter, for the schedule is about to change.
        """
        decisions = self.decide(connection, rows, now, hurry=hurry)
        settled = self.write(connection, asked_of(decisions), now)
        advance(connection, [(one.name, d, since) for one, d, since in decisions])
        return settled

    def decide(
        self, connection: sqlalchemy.Connection, rows: Iterable[Any], now: datetime.datetime, *, hurry: bool = False
    ) -> list[Decided]:
        """What becomes of these schedules; what is open and must give way is cancelled, nothing else is written."""
        due = self._understood(connection, rows)
        if hurry:
            due = [dataclasses.replace(d, policy=dataclasses.replace(d.policy, jitter=0.0)) for d in due]
        still_open = self._open(connection, due)
        decisions: list[Decided] = []
        for one in due:
            standing = dataclasses.replace(one.standing, open=len(still_open.get(one.name, ())))
            decision = slots.decide(one.course, one.policy, standing, now)
            decisions.append((one, decision, _open_since(one, decision, still_open.get(one.name, ()))))
        doomed = [i for one, d, _ in decisions if d.cancel_open for i, _ in still_open[one.name]]
        if doomed:
            cancel.cancel_free(connection, doomed)
        return decisions

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

    def _understood(self, connection: sqlalchemy.Connection, rows: Iterable[Any]) -> list[Due]:
        """The schedules in these rows. What nobody can read, because of a zone that is gone say, stops no other."""
        found, strange = [], []
        for row in rows:
            try:
                found.append(understand(row))
            except errors.MillraceError as error:
                strange.append(row.name)
                log.error(
                    "The schedule %s cannot be fired: %s", row.name, error, extra={"action": "clock.not_understood"}
                )
        if strange:
            connection.exec_driver_sql(POSTPONE, (POSTPONED, strange))
        return found

    def _open(
        self, connection: sqlalchemy.Connection, due: Sequence[Due]
    ) -> dict[str, list[tuple[str, datetime.datetime]]]:
        """The open events (id, instant) of those schedules that must not overlap."""
        names = [d.name for d in due if d.policy.overlap is not policies.Overlap.ALLOW]
        found: dict[str, list[tuple[str, datetime.datetime]]] = {}
        if names:
            for name, event_id, due_at in connection.exec_driver_sql(OPEN, (names,)):
                found.setdefault(name, []).append((event_id, due_at))
        return found


def understand(row: Any) -> Due:
    """The schedule in a row (``COLUMNS``); raises MillraceError."""
    return Due(
        row.name,
        row.type,
        read_plan(row.plan),
        read_policy(row.policy),
        slots.Standing(row.planned, row.runs, row.held),
    )


@functools.lru_cache(maxsize=20_000)
def read_plan(text: str) -> schedules.Plan:
    """The plan in a row's JSON; raises DeclarationError. Many schedules have the same one, and each has it for long."""
    return plans.read(json.loads(text))


@functools.lru_cache(maxsize=20_000)
def read_policy(text: str | None) -> policies.Policy:
    """The policy in a row's JSON; raises InvalidSchedule."""
    return policies.read(json.loads(text or "{}"))


def advance(
    connection: sqlalchemy.Connection, found: Iterable[tuple[str, slots.Decision, datetime.datetime | None]]
) -> None:
    """Write where these schedules stand: (name, decision, no slot before this instant is open; None: as before)."""
    rows = []
    for name, decision, open_since in found:
        standing, wake = decision.standing, decision.wake_at
        planned = None if standing.held is None and standing.planned == wake else standing.planned
        rows.append((name, wake, planned, standing.held, standing.runs, open_since))
    if rows:
        names = ("name", "next_due", "planned", "held", "runs", "open_since")
        connection.exec_driver_sql(ADVANCE, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def first(
    schedule: schedules.Schedule, now: datetime.datetime
) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    """When a schedule that begins now must be looked at first, and the planned instant if that is another one."""
    course = slots.Course(schedule.name, schedule.plan, schedule.policy, jitter.jittered)
    planned = course.next_after(now)
    if planned is None:
        return None, None
    fire_at = course.fire_at(planned)
    return fire_at, None if fire_at == planned else planned


def _open_since(
    one: Due, decision: slots.Decision, still_open: Iterable[tuple[str, datetime.datetime]]
) -> datetime.datetime | None:
    """From where on this schedule's slots may have open events; None: unknown, or as before."""
    if one.policy.overlap is policies.Overlap.ALLOW:
        return None
    instants = [due_at for _, due_at in still_open] + [slot.due_at for slot in decision.slots]
    if one.standing.held is not None:
        instants.append(one.standing.held)
    return min(instants, default=None)


def _settled(row: Any) -> Settled:
    reason = None if row.reason is None else slots.Reason(row.reason)
    return Settled(row.schedule, row.due_at, slots.Outcome(row.outcome), reason, row.missed, row.late, row.event_id)
