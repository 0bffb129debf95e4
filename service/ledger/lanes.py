"""The queues, as an operator looks at them: what is due, out and overdue in each, and who takes from it.

Each queue is counted by the indexes of ``tickets``, up to a limit; what waits longest is found by the heads of lanes.
"""

from __future__ import annotations

from typing import Any

from service.domain import processes
from service.ledger import engine as engines
from service.ledger import pages, scans, transactions, watching

COUNTED = 10_000  #: tickets of each queue that are counted, of each kind

QUEUES = f"""
with recursive {scans.LANES},
{scans.QUEUES},
alive as (
    select queues, slots from millrace.processes
    where kind = 'worker' and seen_at > clock_timestamp() - interval '{processes.LIVE} seconds'),
names (name) as (
    select unnest(%(known)s::text[]) union select queue from lanes union select queue from queues
    union select name from millrace.queues where paused_at is not null union select unnest(queues) from alive)
select n.name, coalesce(d.tickets, 0) as due, coalesce(o.tickets, 0) as out, coalesce(o.over, 0) as overdue,
       coalesce(d.tickets, 0) >= {COUNTED} or coalesce(o.tickets, 0) >= {COUNTED} as is_more,
       q.paused_at, q.paused_by, q.paused_because,
       (select count(*) from alive where n.name = any(queues)) as workers,
       (select coalesce(sum(slots), 0) from alive where n.name = any(queues)) as slots
from names n
left join millrace.queues q on q.name = n.name
left join lateral (
    select count(*) as tickets from (
        select 1 from lanes l cross join lateral (
            select 1 from millrace.tickets t
            where t.type = l.type and t.queue = l.queue and t.published_at is null and t.due_at <= clock_timestamp()
            order by t.due_at limit {COUNTED}) one
        where l.queue = n.name limit {COUNTED}) counted) d on true
left join lateral (
    select count(*) as tickets, count(*) filter (where due_at <= clock_timestamp()) as over from (
        select due_at from millrace.tickets t where t.queue = n.name and t.published_at is not null
        order by t.published_at limit {COUNTED}) counted) o on true
order by 1
"""


class LaneLedger:
    """The queues of the ledger. Raises LedgerUnavailable."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine
        self._watch = watching.LedgerWatch(engine)

    def queues(self, known: frozenset[str]) -> list[dict[str, Any]]:
        """The queues that are ``known``, and those that the ledger knows of, by name."""
        with transactions.begin(self._engine) as connection:
            connection.exec_driver_sql(transactions.BY_INDEX)
            rows = connection.exec_driver_sql(QUEUES, {"known": sorted(known)}).mappings().all()
        oldest: dict[str, float] = {}
        for (queue, _), seconds in self._watch.oldest_waiting().items():
            oldest[queue] = max(seconds, oldest.get(queue, 0.0))
        return [pages.in_utc(row) | {"oldest_waiting": oldest.get(row["name"])} for row in rows]
