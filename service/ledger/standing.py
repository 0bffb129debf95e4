"""What stands in the ledger and is still to be worked: by type, counted up to a bound, with a few payloads to try.

Every look is bounded, so that ten million rows cost what ten thousand do: types are found by skip scan, tickets are
counted up to ``COUNTED`` in each lane, payloads are taken from both ends of the line.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from service.ledger import engine as engines
from service.ledger import fence, scans

COUNTED = 10_000  #: rows are counted up to here, for each type and place
LINE = 1_000  #: tickets at both ends of each queue whose types are looked at, of those that are out
LIMITS = "set local statement_timeout = '30s'"

# Not yet published: new, delayed, to be tried again, held back. By type and queue, as the index has them.
WAITING = f"""
with recursive {scans.LANES},
heads as (
    select l.type, l.queue, e.ids[1] as id from lanes l cross join lateral (
        (select event_ids from millrace.tickets t
         where t.type = l.type and t.queue = l.queue and t.published_at is null order by due_at limit %(sample)s)
        union all
        (select event_ids from millrace.tickets t
         where t.type = l.type and t.queue = l.queue and t.published_at is null order by due_at desc limit %(sample)s)
        ) e (ids))
select l.type, sum(c.n)::bigint, bool_or(c.tickets = {COUNTED}),
       array(select distinct h.id::text from heads h where h.type = l.type limit 2 * %(sample)s)
from lanes l cross join lateral (
    select count(*) as tickets, coalesce(sum(size), 0) as n from (
        select cardinality(event_ids) as size from millrace.tickets t
        where t.type = l.type and t.queue = l.queue and t.published_at is null limit {COUNTED}) lane) c
group by l.type
"""

# Published and not worked. No index has their types: both ends of each queue are looked at, and the clock's own count
# (`types.out_events`) names every type that has any, and how many.
OUT = f"""
with recursive {scans.QUEUES},
ends as materialized (
    select distinct e.id, e.type, e.event_ids from queues q cross join lateral (
        (select id, type, event_ids from millrace.tickets t where t.published_at is not null and t.queue = q.queue
         order by t.published_at limit {LINE})
        union all
        (select id, type, event_ids from millrace.tickets t where t.published_at is not null and t.queue = q.queue
         order by t.published_at desc limit {LINE})) e),
seen as (select type, sum(cardinality(event_ids))::bigint as n from ends group by type),
counted as (select name as type, out_events::bigint as n from millrace.types where out_events > 0)
select type, greatest(coalesce(s.n, 0), coalesce(c.n, 0)), coalesce(c.n, 0) < coalesce(s.n, 0) and
       (select count(*) from ends) >= {LINE},
       array(select e.event_ids[1]::text from ends e where e.type = type.type limit 2 * %(sample)s)
from (select type from seen union select type from counted) type
left join seen s using (type) left join counted c using (type)
"""

# Dead letters that nobody has replayed or discarded. What died because it did not fit is known not to fit.
DEAD = f"""
with recursive types (type) as (
    (select type from millrace.dead order by type limit 1)
    union all
    select next.type from types cross join lateral (
        select d.type from millrace.dead d where d.type > types.type order by d.type limit 1) next)
select t.type, c.n, c.looked = {COUNTED}, c.ids[:2 * %(sample)s]
from types t cross join lateral (
    select count(*) filter (where open) as n, count(*) as looked,
           array_agg(event_id::text order by died_at desc) filter (where open) as ids
    from (select event_id, died_at, replayed_as is null and discarded_at is null and reason <> 'invalid' as open
          from millrace.dead d where d.type = t.type order by died_at desc limit {COUNTED}) latest) c
where c.n > 0
"""

SCHEDULED = """
select type, name, spec->'payload' from millrace.schedules where retired_at is null and next_due is not null
order by type, name
"""

# One partition each: an id names its day.
PAYLOADS = "select id::text, payload from millrace.events where id = any(%(ids)s::uuid[])"


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """Events of one type in one place."""

    place: str  #: waiting, published, dead, scheduled
    type: str
    count: int  #: events; schedules, of what is scheduled
    more: bool  #: the count ended at a bound: there are more
    samples: tuple[tuple[str, Any], ...]  #: (event's id or schedule's name, payload)


class StandingLedger:
    """The looks, as SQL. All raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def look(self, sample: int) -> list[Standing]:
        """Everything that is still to be worked, with about ``sample`` payloads from each end of each line."""
        found = []
        for place, statement in (("waiting", WAITING), ("published", OUT), ("dead", DEAD)):
            with fence.transaction(self._engine) as connection:
                connection.exec_driver_sql(LIMITS)
                rows = connection.exec_driver_sql(statement, {"sample": sample}).all()
                ids = [one for row in rows for one in row[3] or ()]
                payloads = dict(tuple(row) for row in connection.exec_driver_sql(PAYLOADS, {"ids": ids}))
            for type_name, count, more, sampled in rows:
                tried = tuple((one, payloads[one]) for one in sampled or () if one in payloads)
                found.append(Standing(place, type_name, count, more, tried))
        return found + self._scheduled()

    def _scheduled(self) -> list[Standing]:
        with fence.transaction(self._engine) as connection:
            rows = connection.exec_driver_sql(SCHEDULED).all()
        types = dict.fromkeys(row[0] for row in rows)
        by_type = {t: tuple((name, payload) for type_name, name, payload in rows if type_name == t) for t in types}
        return [Standing("scheduled", t, len(some), False, some) for t, some in by_type.items()]
