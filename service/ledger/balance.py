"""The balance of the ledger: every open event has a ticket (P8), and the tallies agree with the table."""

from __future__ import annotations

import dataclasses

import sqlalchemy

from service.ledger import engine as engines

NAMED = 5  #: events without a ticket that are named

WITHOUT_TICKET = """
from millrace.events e
where e.state in ('pending', 'running') and not exists (
    select from millrace.tickets t where t.id = e.ticket_id and e.id = any(t.event_ids))
"""

OPEN_WITHOUT_TICKET = f"select count(*) {WITHOUT_TICKET}"
NAMES_WITHOUT_TICKET = f"select e.id::text {WITHOUT_TICKET} order by e.id limit {NAMED}"

# What the tallies say is open, accepted less everything that ended, beside what the table says.
BY_TYPE = """
with told as (
    select type, sum(case when word = 'accepted' then n
                          when word in ('done', 'dead', 'cancelled', 'expired') then -n else 0 end) as n
    from millrace.tallies group by type),
found as (
    select type, count(*) as n from millrace.events where state in ('pending', 'running') group by type)
select coalesce(found.type, told.type), coalesce(found.n, 0), coalesce(told.n, 0)
from found full join told on told.type = found.type order by 1
"""

# What retention has kept of days that are gone has its place in the default partition; anything else has none.
STRAY_ROWS = """
select count(*) filter (where r.day is null), count(*) filter (where r.day is not null)
from (select millrace.day_of(id) as day from millrace.events_default) e
left join millrace.retention r on r.day = e.day and r.removed_at is not null
"""
# What was never published is not lost, and due when it is due. In pieces, and past what a worker has locked: it lives,
# or its patience ends. What the clocks publish meanwhile is not lost either.
REBUILD = """
with lost as (
    select id from millrace.tickets where published_at <= %s limit 5000 for no key update skip locked)
update millrace.tickets t set due_at = clock_timestamp(), published_at = null, revision = revision + 1
from lost where t.id = lost.id
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Balance:
    """What was counted, in one snapshot."""

    open: int  #: open events in the table
    tallied: int  #: open events by the tallies
    without_ticket: int  #: open events that no ticket covers; must be 0
    unpartitioned: int  #: rows in the default partition that retention has not put there; must be 0
    kept: int  #: rows that it has: of days that are gone
    differing: tuple[Difference, ...] = ()  #: the types of which table and tallies say different things
    lost: tuple[str, ...] = ()  #: the first events without a ticket


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """A type whose tallies do not agree with the table."""

    type: str
    open: int  #: in the table
    tallied: int  #: by the tallies


def count(engine: engines.Engine) -> Balance:
    """Count everything in one snapshot. Reads the whole table."""
    with engine.get().connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        types = [Difference(row[0], int(row[1]), int(row[2])) for row in connection.execute(sqlalchemy.text(BY_TYPE))]
        without = int(connection.scalar(sqlalchemy.text(OPEN_WITHOUT_TICKET)) or 0)
        lost = connection.scalars(sqlalchemy.text(NAMES_WITHOUT_TICKET)).all() if without else ()
        unpartitioned, kept = connection.execute(sqlalchemy.text(STRAY_ROWS)).one()
    return Balance(
        open=sum(t.open for t in types),
        tallied=sum(t.tallied for t in types),
        without_ticket=without,
        unpartitioned=unpartitioned,
        kept=kept,
        differing=tuple(t for t in types if t.open != t.tallied),
        lost=tuple(lost),
    )


def rebuild(engine: engines.Engine) -> int:
    """Make every ticket due now that is with the broker: what to do after that was lost. How many there were."""
    found, more = 0, -1
    with engine.get().connect() as connection:
        begun = connection.exec_driver_sql("select clock_timestamp()").scalar()
        while more:
            more = connection.exec_driver_sql(REBUILD, (begun,)).rowcount
            connection.commit()
            found += more
    return found
