"""What the ledger keeps of the past, and whether retention keeps up: for metrics and `millrace doctor`."""

from __future__ import annotations

import math

from service.domain.keeping import Kept
from service.ledger import engine as engines
from service.ledger import fence, watching

GRACE = 1  #: days that a day may stay beyond its time: it goes once a day

# A day that was thinned holds no more than what is kept.
LOOK = f"""
with days as (
    select d.day from (
        select to_date(right(c.relname, 8), 'YYYYMMDD') as day
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'millrace.events'::regclass and c.relname ~ '^events_[0-9]{{8}}$') d
    where not exists (select from millrace.retention r where r.day = d.day and r.thinned_at is not null))
select (select min(day) from days),
       (select count(*) from days where (day + 1 + {GRACE})::timestamp at time zone 'UTC'
            <= clock_timestamp() - make_interval(secs => %(keep)s)),
       (select done_at from millrace.duties where name = 'retention'),
       count(*) filter (where r.day is null), count(*) filter (where r.day is not null)
from (select millrace.day_of(id) as day from millrace.events_default limit {watching.COUNTED}) e
left join millrace.retention r on r.day = e.day and r.removed_at is not null
"""

CENTURY = 100 * 365 * 86_400.0  #: seconds; what the ledger is asked instead of for ever


def look(engine: engines.Engine, keep: float) -> Kept:
    """Look. ``keep``: seconds, math.inf for ever. What is counted is so up to ``watching.COUNTED``.

    Raises LedgerUnavailable.
    """
    with fence.transaction(engine) as connection:
        values = {"keep": CENTURY if math.isinf(keep) else keep}
        return Kept(*connection.exec_driver_sql(LOOK, values).one())
