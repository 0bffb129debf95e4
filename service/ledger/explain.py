"""What there is to know about why an event waits, in one round trip that is short at any size."""

from __future__ import annotations

import dataclasses
from typing import Any

from service.domain import explain, ids, processes, states
from service.ledger import engine as engines
from service.ledger import pages, queries, transactions

WORKED = 20_000  #: tallies that are summed for the rate, at most

# Ahead of a ticket that is out are those of its queue that were published before it; ahead of one that is due, those of
# its lane that were due before, and what is out in its queue. Both are counted by the indexes of `tickets`, up to a
# limit. A row that a worker holds names the locking transaction in `xmax`; whether it still runs, the locks say.
RECORD = f"""
with one as (
    select e.id, e.type, e.state, e.attempt, e.run_at, e.expires_at, e.finished_at, e.lease_until, e.cancel_at,
           e.progress, e.replayed_as, e.error, e.ticket_id, e.xmax as locker
    from millrace.events e where e.id = %(id)s::uuid)
select one.id::text, one.type, one.state, one.attempt, one.run_at, one.expires_at, one.finished_at, one.lease_until,
       one.cancel_at, one.progress, one.replayed_as::text, d.reason as dead_reason,
       d.discarded_at, d.discarded_by, d.discarded_because,
       one.error->>'error' as error, (
           select max(a.finished_at) from millrace.attempts a
           where a.event_id = one.id and one.attempt > 0) as failed_at,
       t.queue, t.due_at, t.published_at, coalesce(t.publishes, 0) as publishes, coalesce(t.returns, 0) as returns,
       t.holder, t.held_since, lock.since as locked_since,
       y.paused_at as type_paused_at, y.paused_by as type_paused_by, y.paused_because as type_paused_because,
       q.paused_at as queue_paused_at, q.paused_by as queue_paused_by, q.paused_because as queue_paused_because,
       coalesce(y.out_events, 0) as out_events,
       y.most_out, coalesce(ahead.tickets, 0) as ahead_tickets, coalesce(ahead.events, 0) as ahead_events,
       coalesce(worked.rate, 0.0) as rate,
       coalesce(alive.workers, 0) as workers, coalesce(alive.knowing, 0) as knowing,
       coalesce(alive.clocks, 0) as clocks, clock_timestamp() as now
from one
left join millrace.tickets t on t.id = one.ticket_id and one.state in ('pending', 'running')
left join millrace.types y on y.name = one.type
left join millrace.queues q on q.name = t.queue
left join millrace.dead d on d.event_id = one.id and one.state = 'dead'
left join lateral (
    select coalesce(min(a.xact_start), clock_timestamp()) as since
    from pg_locks l left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'transactionid' and l.transactionid = one.locker and l.granted
    having count(*) > 0) lock on one.state = 'pending' and one.locker <> '0'::xid
left join lateral (
    select count(*) as tickets, sum(n) as events from (
        select cardinality(o.event_ids) as n from (
            (select event_ids from millrace.tickets o
             where o.queue = t.queue and o.published_at is not null
               and o.published_at < coalesce(t.published_at, 'infinity')
             order by o.published_at limit {explain.COUNTED})
            union all
            (select event_ids from millrace.tickets o
             where t.published_at is null and o.type = one.type and o.queue = t.queue
               and o.published_at is null and o.due_at < t.due_at
             order by o.due_at limit {explain.COUNTED})) o
        limit {explain.COUNTED}) counted) ahead on one.state = 'pending'
left join lateral (
    select sum(w.n) / extract(epoch from clock_timestamp() - date_trunc('minute', now()) + interval '1 minute')::float8
           as rate
    from (select n from millrace.tallies
          where minute >= date_trunc('minute', now()) - interval '1 minute' and queue = t.queue
          order by minute desc limit {WORKED}) w) worked on one.state = 'pending'
left join lateral (
    select count(*) filter (where p.kind = 'worker' and t.queue = any(p.queues)) as workers,
           count(*) filter (where p.kind = 'worker' and t.queue = any(p.queues) and one.type = any(p.types)) as knowing,
           count(*) filter (where p.kind = 'clock') as clocks
    from millrace.processes p
    where p.seen_at > clock_timestamp() - interval '{processes.LIVE} seconds') alive on true
"""


class ExplainLedger:
    """The ledger for who asks why. Raises LedgerUnavailable."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def record(self, event_id: str) -> explain.Record | None:
        """What there is to know; None if there is no such event."""
        if not queries.UUID.fullmatch(event_id):
            return None
        with transactions.begin(self._engine) as connection:
            connection.exec_driver_sql(transactions.BY_INDEX)
            row = connection.exec_driver_sql(RECORD, {"id": event_id}).mappings().first()
        return None if row is None else _record(pages.in_utc(row))


def _record(row: dict[str, Any]) -> explain.Record:
    found = row | {"state": states.State(row["state"]), "accepted_at": ids.instant(row["id"])}
    return explain.Record(**{f.name: found[f.name] for f in dataclasses.fields(explain.Record)})
