"""The balance of the ledger: every open event has a ticket (P8), and the tallies agree with the table."""

from __future__ import annotations

import dataclasses

import sqlalchemy

from service.ledger import engine as engines

OPEN_WITHOUT_TICKET = """
select count(*) from millrace.events e
where e.state in ('pending', 'running') and not exists (
    select from millrace.tickets t where t.id = e.ticket_id and e.id = any(t.event_ids))
"""

# What the tallies say is open: accepted, less everything that ended.
TALLIED = """
select coalesce(sum(n) filter (where word = 'accepted'), 0)
     - coalesce(sum(n) filter (where word in ('done', 'dead', 'cancelled', 'expired')), 0)
from millrace.tallies
"""

OPEN = "select count(*) from millrace.events where state in ('pending', 'running')"
STRAY_ROWS = "select count(*) from millrace.events_default"
REBUILD = "update millrace.tickets set due_at = clock_timestamp(), published_at = null, revision = revision + 1"


@dataclasses.dataclass(frozen=True, slots=True)
class Balance:
    """What was counted, in one snapshot."""

    open: int  #: open events in the table
    tallied: int  #: open events by the tallies
    without_ticket: int  #: open events that no ticket covers; must be 0
    unpartitioned: int  #: rows in the default partition; must be 0


def count(engine: engines.Engine) -> Balance:
    """Count everything in one snapshot. Reads the whole table."""
    with engine.get().connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        numbers = [
            int(connection.scalar(sqlalchemy.text(q)) or 0) for q in (OPEN, TALLIED, OPEN_WITHOUT_TICKET, STRAY_ROWS)
        ]
    return Balance(*numbers)


def rebuild(engine: engines.Engine) -> int:
    """Make every ticket due now: what to do after the broker was lost."""
    with engine.get().begin() as connection:
        return connection.execute(sqlalchemy.text(REBUILD)).rowcount
