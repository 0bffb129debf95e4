"""What the ledger can say of itself at any size: short looks, for metrics. Nothing here counts a whole table of events.

Each look is bounded: by the lanes (type, queue) that there are, by a limit, or by the minutes since the last look.
The exception is the first look at the tallies, which sums up what is there; it is made once in a clock's life.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from typing import Any, NamedTuple

from service.domain.objective import LATE
from service.ledger import engine as engines
from service.ledger import fence, scans

COUNTED = 100_000  #: tickets are counted up to here
HEADS = 8  #: tickets looked at in each lane of those that are due
OUT_HEADS = 500  #: tickets looked at in each queue of those that are out
LETTERS = 10_000  #: dead letters that are looked at in one look
CHECKED = 5_000  #: events checked for their ticket in one look
LOST = 1_000  #: events without a ticket that are remembered, and looked at again
LOWEST = "00000000-0000-0000-0000-000000000000"
BEGINNING = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

# By skip scan, as the release does it. What is paused waits because somebody wants it to.
LANES = f"""
{scans.LANES},
open_lanes as (
    select l.* from lanes l
    left join millrace.types s on s.name = l.type left join millrace.queues q on q.name = l.queue
    where s.paused_at is null and q.paused_at is null)
"""

COUNT_TICKETS = f"""
with recursive {LANES},
due as (
    select coalesce(s.out_events, 0) >= least(%(window)s, s.most_out) as held
    from open_lanes l left join millrace.types s on s.name = l.type cross join lateral (
        select from millrace.tickets t
        where t.type = l.type and t.queue = l.queue and t.published_at is null and t.due_at <= clock_timestamp()
        limit {COUNTED}) one
    limit {COUNTED})
select count(*), count(*) filter (where held) from due
"""

# The oldest of each queue, so that a queue with very many hides no other one's.
COUNT_SENT = f"""
with recursive {scans.QUEUES}
select q.queue, c.out, c.overdue from queues q cross join lateral (
    select count(*) as out, count(*) filter (where due_at <= clock_timestamp()) as overdue from (
        select t.due_at from millrace.tickets t where t.published_at is not null and t.queue = q.queue
        order by t.published_at limit {COUNTED}) oldest) c
"""

# The time in an event's id tells when it was accepted; a retry or a delay has its own instant in `run_at`. The heads of
# a lane are not its oldest for certain, for a ticket that could not be published goes to the end of the line: so some.
# What an operator had wait waits from the moment when it might go on.
# `limit 1` keeps the planner from joining all events instead of looking each one up.
OLDEST = f"""
with recursive {LANES},
{scans.QUEUES},
heads as (
    select h.* from open_lanes l cross join lateral (
        select t.queue, t.type, t.event_ids[1] as event from millrace.tickets t
        where t.type = l.type and t.queue = l.queue and t.published_at is null and t.due_at <= clock_timestamp()
        order by t.due_at limit {HEADS}) h
    union all
    select h.queue, h.type, h.event from queues q cross join lateral (
        select t.queue, t.type, t.event_ids[1] as event from millrace.tickets t
        where t.queue = q.queue and t.published_at is not null
        order by t.published_at limit {OUT_HEADS}) h)
select h.queue, h.type,
       extract(epoch from clock_timestamp() - min(greatest(e.accepted_at, e.run_at, s.resumed_at)))::float8
from heads h left join millrace.types s on s.name = h.type cross join lateral (
    select accepted_at, run_at from millrace.events where id = h.event and state = 'pending' limit 1) e
group by 1, 2
"""

# No transaction that still runs can add to a minute before this one: a tally stands in the minute in which its
# transaction began. It is asked in a statement of its own, before the tallies are read. Transactions of other roles
# cannot be seen: they have two minutes, more than the hard limit of a handler.
CLOSED = """
select date_trunc('minute', least(now() - interval '2 minutes', min(xact_start)))
from pg_stat_activity where datname = current_database()
"""
TALLIES = f"""
select type, word, minute < %(closed)s, sum(n)::bigint from millrace.tallies
where minute >= %(since)s and word <> '{LATE}' group by 1, 2, 3
"""
NEW_LETTERS = """
select type, reason, died_at < %(closed)s, count(*) from millrace.dead where died_at >= %(since)s group by 1, 2, 3
"""
# A piece of a round, oldest first: letters that were replayed are kept, and the ones that were not may lie behind any
# number of them.
UNREPLAYED = f"""
with piece as materialized (
    select event_id, reason, died_at, replayed_as is null and discarded_at is null as lies from millrace.dead
    where (died_at, event_id) > (%(at)s::timestamptz, %(id)s::uuid) order by died_at, event_id limit {LETTERS})
select reason, count(*) filter (where lies),
       extract(epoch from clock_timestamp() - min(died_at) filter (where lies))::float8,
       count(*), max(died_at), (array_agg(event_id::text order by died_at desc, event_id desc))[1]
from piece group by 1
"""

CHECK = f"""
with piece as materialized (
    select id, state, ticket_id from millrace.events where id > %(after)s::uuid order by id limit {CHECKED})
select count(*), max(id::text), array_agg(id::text) filter (
    where state in ('pending', 'running') and not exists (
        select from millrace.tickets t where t.id = piece.ticket_id and piece.id = any(t.event_ids)))
from piece
"""
STILL_LOST = """
select e.id::text from millrace.events e where e.id = any(%(ids)s::uuid[]) and e.state in ('pending', 'running')
and not exists (select from millrace.tickets t where t.id = e.ticket_id and e.id = any(t.event_ids))
"""
PARTITIONS = """
select count(*) from generate_series(1, 100) as ahead
where to_regclass('millrace.events_' || to_char((clock_timestamp() at time zone 'UTC')::date + ahead::int, 'YYYYMMDD'))
      is not null
"""


class Tickets(NamedTuple):
    """Numbers of tickets, each up to ``COUNTED``."""

    due: int  #: and not published
    out: int  #: with the broker or a worker
    overdue: dict[str, int]  #: of those that are out: their patience has ended; by queue, where there are any
    held: int  #: of those that are due: the window of their type is full


@dataclasses.dataclass(frozen=True, slots=True)
class Letters:
    """What was read of dead letters."""

    new: dict[tuple[str, str], int]  #: (type, reason) → how many came since the last look
    unreplayed: dict[str, int]  #: reason → how many nobody has replayed or discarded
    oldest: dict[str, float]  #: reason → seconds for which the oldest of those has lain


class _Since:
    """Sums of an insert-only table whose rows stand at the time at which their transaction began.

    What lies before the instant that no running transaction can reach is summed once and kept.
    """

    def __init__(self, statement: str, since: datetime.datetime) -> None:
        self._statement = statement
        self._since = since
        self._kept: Counter[tuple[str, str]] = Counter()

    def read(self, connection: Any) -> Counter[tuple[str, str]]:
        closed = connection.exec_driver_sql(CLOSED).scalar_one()
        # Each statement sees what was committed before it began, so this one all that was closed for the one above.
        rows = connection.exec_driver_sql(self._statement, {"since": self._since, "closed": closed}).all()
        found = Counter(self._kept)
        for one, other, is_closed, n in rows:
            found[one, other] += n
            if is_closed:
                self._kept[one, other] += n
        self._since = max(self._since, closed)
        return found


class _Lying:
    """The dead letters that nobody has dealt with, counted piece by piece in rounds through all dead letters."""

    def __init__(self) -> None:
        self._found: tuple[dict[str, int], dict[str, float]] | None = None  # In the last whole round.
        self._begin()

    def _begin(self) -> None:
        self._last = BEGINNING, LOWEST  # (when it died, its id) of the last one that was counted.
        self._counts: Counter[str] = Counter()
        self._oldest: dict[str, float] = {}

    def read(self, connection: Any) -> tuple[dict[str, int], dict[str, float]]:
        """(reason → how many, reason → seconds of the oldest) of the last whole round; before it, of what was seen."""
        rows = connection.exec_driver_sql(UNREPLAYED, dict(zip(("at", "id"), self._last, strict=True))).all()
        for reason, lie, age, _, at, event in rows:
            self._last = max(self._last, (at, event))
            if lie:
                self._counts[reason] += lie
                self._oldest[reason] = max(self._oldest.get(reason, 0.0), age)
        found = dict(self._counts), dict(self._oldest)
        if sum(row[3] for row in rows) < LETTERS:
            self._found = found
            self._begin()
        return self._found or found


class LedgerWatch:
    """The looks, as SQL. Each is short, in a transaction of its own. All raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine, *, window: int = 20_000) -> None:
        self._engine = engine
        self._window = window  #: of a type: how many of its events may be out
        self._tallies = _Since(TALLIES, BEGINNING)
        self._letters: _Since | None = None
        self._lettered: Counter[tuple[str, str]] = Counter()
        self._lying = _Lying()
        self._after = LOWEST
        self._lost: set[str] = set()  # Events without a ticket.

    def count_tickets(self) -> Tickets:
        """The tickets, without those that are paused."""
        [(due, held)] = self._rows(COUNT_TICKETS, {"window": self._window})
        sent = self._rows(COUNT_SENT)
        overdue = {queue: over for queue, _, over in sent if over}
        return Tickets(due, min(COUNTED, sum(out for _, out, _ in sent)), overdue, held)

    def oldest_waiting(self) -> dict[tuple[str, str], float]:
        """(queue, type) → seconds that the longest-waiting event has waited since it was due."""
        return {(queue, type_name): max(0.0, seconds) for queue, type_name, seconds in self._rows(OLDEST)}

    def read_tallies(self) -> dict[tuple[str, str], int]:
        """(type, word) → how many, since the ledger's beginning."""
        with fence.transaction(self._engine) as connection:
            return dict(self._tallies.read(connection))

    def read_letters(self) -> Letters:
        """Dead letters that are new since the last look (the first look finds none new), and those that lie there."""
        with fence.transaction(self._engine) as connection:
            if self._letters is None:
                self._letters = _Since(NEW_LETTERS, connection.exec_driver_sql(CLOSED).scalar_one())
                self._lettered = self._letters.read(connection)
            found = self._letters.read(connection)
            counts, oldest = self._lying.read(connection)
        new, self._lettered = found - self._lettered, found
        return Letters(dict(new), counts, oldest)

    def check_tickets(self) -> tuple[int, int]:
        """Go on with the round through all events: (open ones without a ticket, events checked in this look).

        The first number is of all that were found so far and are still lost, up to ``LOST``.
        """
        checked, last, lost = self._rows(CHECK, {"after": self._after})[0]
        if self._lost:
            self._lost = {row[0] for row in self._rows(STILL_LOST, {"ids": sorted(self._lost)})}
        self._lost.update((lost or ())[: LOST - len(self._lost)])
        self._after = last if checked == CHECKED else LOWEST
        return len(self._lost), checked

    def partitions_ahead(self) -> int:
        """For how many of the days after today there is a partition."""
        return int(self._rows(PARTITIONS)[0][0])

    def _rows(self, statement: str, values: Any = None) -> list[Any]:
        with fence.transaction(self._engine) as connection:
            return list(connection.exec_driver_sql(statement, values or ()).all())
