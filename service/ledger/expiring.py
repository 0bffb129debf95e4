"""Ticks whose time is over end as ``expired``, though no worker comes by: there is none, or their type is paused."""

from __future__ import annotations

import sqlalchemy

from service.domain import topology
from service.ledger import cancel

PIECE = 1000  #: tickets that are looked at in one go
FIRST = "00000000-0000-0000-0000-000000000000"  #: where the search begins

# Every open event has a ticket, so ticks that wait in the ledger or on the broker are found by these in turn.
OVER = f"""
with looked as (select id, queue, event_ids from millrace.tickets where id > %(after)s::uuid order by id limit {PIECE})
select (select id::text from looked order by id desc limit 1) as last, (select count(*) from looked)::int as number,
       array(
    select e.id::text from looked l cross join unnest(l.event_ids) as one (id)
    cross join lateral (select id, state, expires_at from millrace.events where id = one.id limit 1) e
    where l.queue = '{topology.PERIODIC_QUEUE}' and e.state = 'pending' and e.expires_at <= clock_timestamp()) as over
"""


def expire(connection: sqlalchemy.Connection, after: str = FIRST) -> str:
    """End those of the next tickets after this one that nobody works at this moment; after which ticket to go on."""
    found = connection.exec_driver_sql(OVER, {"after": after}).one()
    cancel.expire_free(connection, found.over)
    return str(found.last) if found.number == PIECE else FIRST
