"""The figures that people watch, at any size: the last hour by minutes, what is open by lanes, what is dead by groups.

Nothing here counts a whole table. Each look is bounded by the lanes (type, queue) that there are and by a limit; what
many ask at once is kept for a moment.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from service.application.turn import Turn
from service.domain import figures
from service.ledger import engine as engines
from service.ledger import pages, transactions, watching

MINUTES = 60  #: of the past that are shown
KEPT = 1.0  #: seconds for which figures are not asked for again
LETTERS_KEPT = 4.0  #: likewise, of dead letters
FIRED_KEPT = 10.0  #: likewise, of what clocks have fired
ZONES_KEPT = 60.0  #: likewise, of time zones
GROUPED = 2_000  #: dead letters that are grouped, the latest

Found = TypeVar("Found")

# The mark of a worked ticket is when it was published: so old tickets were when their turn came.
TALLIES = """
select minute, type, word, queue, sum(n)::bigint as n, extract(epoch from max(minute - mark))::float8 as waited
from millrace.tallies where minute >= %(since)s group by 1, 2, 3, 4
"""
NOW = "select clock_timestamp()"

# Lane by lane on the index of what is due, so that no lane is counted further than the limit.
WAITING = f"""
with recursive {watching.LANES}
select l.type, l.queue, c.due_tickets, c.due_events, c.later_tickets, c.later_events, c.next_due,
       extract(epoch from clock_timestamp() - c.first_due)::float8 as waited
from lanes l cross join lateral (
    select count(*) filter (where due) as due_tickets, coalesce(sum(n) filter (where due), 0)::bigint as due_events,
           count(*) filter (where not due) as later_tickets,
           coalesce(sum(n) filter (where not due), 0)::bigint as later_events,
           min(due_at) filter (where due) as first_due, min(due_at) filter (where not due) as next_due
    from (select t.due_at, cardinality(t.event_ids) as n, t.due_at <= clock_timestamp() as due
          from millrace.tickets t
          where t.type = l.type and t.queue = l.queue and t.published_at is null
          order by t.due_at limit {figures.EXACT}) one) c
"""

OUT = f"""
with recursive queues (queue) as (
    (select queue from millrace.tickets where published_at is not null order by queue limit 1)
    union all
    select next.queue from queues cross join lateral (
        select t.queue from millrace.tickets t where t.published_at is not null and t.queue > queues.queue
        order by t.queue limit 1) next)
select one.type, q.queue, count(*) as tickets, sum(one.n)::bigint as events,
       extract(epoch from clock_timestamp() - min(one.published_at))::float8 as waited
from queues q cross join lateral (
    select t.type, t.published_at, cardinality(t.event_ids) as n from millrace.tickets t
    where t.queue = q.queue and t.published_at is not null order by t.published_at limit {figures.EXACT}) one
group by 1, 2
"""

TYPES = "select name, out_events, counted_at, pace, paused_at, paused_by, paused_because from millrace.types"
QUEUES = "select name, paused_at, paused_by, paused_because from millrace.queues where paused_at is not null"

# `limit 1` keeps the planner from joining all events instead of looking each one up.
LETTERS = f"""
select d.type, d.reason, d.event_id::text as id, d.died_at,
       coalesce(e.error->>'error', '') as error, left(coalesce(e.error->>'message', ''), 200) as message
from (select * from millrace.dead order by died_at desc, event_id desc limit {GROUPED}) d
left join lateral (select v.error from millrace.events v where v.id = d.event_id limit 1) e on true
where d.replayed_as is null and d.discarded_at is null
"""

BESIDE = f"""
select (select count(*) from (select from millrace.strays limit {figures.EXACT}) s) as strays,
       count(*) as looked_at, count(*) filter (where replayed_as is null and discarded_at is null) as open
from (select replayed_as, discarded_at from millrace.dead
      order by died_at desc, event_id desc limit {figures.EXACT}) latest
"""

CLOCKS = """
select name, started_at, seen_at, extract(epoch from clock_timestamp() - seen_at)::float8 as silent
from millrace.clocks order by name
"""

# Slots are found by their schedule, so those of the last hour are looked for schedule by schedule.
SLOTS = f"""
select clock, count(*) as slots, max(late) as late
from (
    select w.clock, w.late from millrace.schedules s cross join lateral (
        select clock, late from millrace.slots w
        where w.schedule = s.name and w.due_at > now() - interval '1 hour' and w.event_id is not null
        order by w.due_at desc limit 1000) w
    limit {figures.EXACT}) found
group by 1
"""

COMING = """
select name, type, next_due, coalesce(planned, next_due) as slot from millrace.schedules
where next_due is not null and paused_at is null and retired_at is null order by next_due limit %(limit)s
"""

# Of how many schedules a zone's clocks decide.
ZONES = """
select spec->'plan'->>'tz' as tz, count(*) as schedules, min(name) as example from millrace.schedules
where next_due is not null and spec->'plan' ? 'cron' group by 1
"""

HAS_EVENTS = "select exists (select from millrace.events)"


class _Kept(Generic[Found]):
    """One answer for all who ask within a moment."""

    def __init__(self, ask: Callable[[], Found], seconds: float = KEPT) -> None:
        self._ask = ask
        self._seconds = seconds
        self._turn = Turn()
        self._until = 0.0
        self._found: Found | None = None

    def get(self) -> Found:
        with self._turn:  # Who comes while it is asked for waits for that answer.
            if self._found is None or time.monotonic() >= self._until:
                self._found = self._ask()
                self._until = time.monotonic() + self._seconds
            return self._found

    def drop(self) -> None:
        """Ask anew next time: something was just changed."""
        self._until = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Minute:
    """What was read of one minute."""

    counts: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    waits: dict[str, float] = dataclasses.field(default_factory=dict)


class Figures:
    """The figures. All methods raise LedgerUnavailable, and SearchTooSlow when the ledger is too busy to tell."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine
        self._closed: dict[datetime.datetime, _Minute] = {}
        self._flow = _Kept(self._ask_flow)
        self._depth = _Kept(self._ask_depth)
        self._letters = _Kept(self._ask_letters, LETTERS_KEPT)
        self._open_letters = _Kept(self._ask_open_letters, LETTERS_KEPT)
        self._fired = _Kept(lambda: self._rows(SLOTS), FIRED_KEPT)
        self._zones = _Kept(lambda: self._rows(ZONES), ZONES_KEPT)

    def flow(self) -> figures.Flow:
        """The last hour by minutes. Only minutes that something may still be added to are read again."""
        return self._flow.get()

    def depth(self) -> figures.Depth:
        """What is open."""
        return self._depth.get()

    def letters(self) -> figures.Letters:
        """What is dead, and was neither replayed nor discarded."""
        return self._letters.get()

    def open_letters(self) -> figures.Letters:
        """The same without its groups, for which a thousand events are looked at: every page has the number."""
        return self._open_letters.get()

    def forget(self) -> None:
        """Have the next look be a fresh one, after something was changed by who looks."""
        for kept in (self._depth, self._letters, self._open_letters):
            kept.drop()

    def clocks(self) -> list[dict[str, Any]]:
        """The clocks, with the seconds for which each has been ``silent``."""
        return self._rows(CLOCKS)

    def fired(self) -> dict[str, dict[str, Any]]:
        """By clock, how many ``slots`` it fired in the last hour and how ``late`` the latest was; of up to 10,000."""
        return {row["clock"]: row for row in self._fired.get()}

    def coming(self, limit: int) -> list[dict[str, Any]]:
        """The slots that come next, the first one of each schedule."""
        return self._rows(COMING, {"limit": limit})

    def zones(self) -> list[dict[str, Any]]:
        """The time zones of cron schedules: tz, how many schedules, and the name of one."""
        return self._zones.get()

    def has_events(self) -> bool:
        """Whether there is any event at all."""
        return bool(self._rows(HAS_EVENTS)[0]["exists"])

    def _ask_flow(self) -> figures.Flow:
        with transactions.begin(self._engine) as connection:
            now = connection.exec_driver_sql(NOW).scalar_one().astimezone(datetime.UTC)
            closed = connection.exec_driver_sql(watching.CLOSED).scalar_one().astimezone(datetime.UTC)
            last = now.replace(second=0, microsecond=0)
            minutes = tuple(last - datetime.timedelta(minutes=n) for n in range(MINUTES, -1, -1))
            kept = {minute: found for minute, found in self._closed.items() if minute in minutes}
            since = next((minute for minute in minutes if minute not in kept), last)
            rows = connection.exec_driver_sql(TALLIES, {"since": since}).all()
        found = {m: _Minute() for m in minutes} | kept
        for at, type_name, word, queue, n, waited in rows:
            minute = at.astimezone(datetime.UTC)
            if minute in found and minute not in kept:
                found[minute].counts[type_name, word] += n
                if queue is not None and waited is not None:
                    found[minute].waits[queue] = max(waited, found[minute].waits.get(queue, 0.0))
        self._closed = {minute: one for minute, one in found.items() if minute < closed}
        counts = {minute: one.counts for minute, one in found.items()}
        return figures.Flow(now, minutes, counts, {minute: one.waits for minute, one in found.items()})

    def _ask_depth(self) -> figures.Depth:
        with transactions.begin(self._engine) as connection:
            waiting = connection.exec_driver_sql(WAITING).mappings().all()
            out = connection.exec_driver_sql(OUT).mappings().all()
            types = connection.exec_driver_sql(TYPES).mappings().all()
            queues = connection.exec_driver_sql(QUEUES).mappings().all()
        lanes = {
            (row["type"], row["queue"]): figures.Lane(
                row["type"], row["queue"], row["due_events"], row["due_tickets"], row["later_events"],
                row["later_tickets"], due_for=row["waited"], next_due=row["next_due"],
            )
            for row in waiting
        }  # fmt: skip
        for row in out:
            key = (row["type"], row["queue"])
            lanes[key] = dataclasses.replace(
                lanes.get(key, figures.Lane(*key)), out=row["events"], out_tickets=row["tickets"], out_for=row["waited"]
            )
        return figures.Depth(
            tuple(lanes[key] for key in sorted(lanes)),
            {row["name"]: pages.in_utc(row) for row in types},
            {row["name"]: pages.in_utc(row) for row in queues},
        )

    def _ask_letters(self) -> figures.Letters:
        rows = self._rows(LETTERS)
        groups: dict[tuple[str, str, str], figures.Group] = {}
        for row in rows:  # The latest first.
            key = (row["type"], row["reason"], row["error"])
            if key in groups:
                groups[key].count += 1
                groups[key].first = row["died_at"]
            else:
                groups[key] = figures.Group(*key, row["message"], 1, row["died_at"], row["died_at"], row["id"])
        found = sorted(groups.values(), key=lambda group: (-group.count, group.type, group.reason, group.error))
        return dataclasses.replace(self._ask_open_letters(), groups=tuple(found))

    def _ask_open_letters(self) -> figures.Letters:
        row = self._rows(BESIDE)[0]
        return figures.Letters((), row["open"], row["looked_at"] < figures.EXACT, row["strays"])

    def _rows(self, statement: str, values: Any = None) -> list[dict[str, Any]]:
        with transactions.begin(self._engine) as connection:
            return [pages.in_utc(row) for row in connection.exec_driver_sql(statement, values or ()).mappings()]
