"""What the ledger remembers of one event beside its row: its ticket, and the tracebacks of its failed attempts."""

from __future__ import annotations

from typing import Any

from service.ledger import engine as engines
from service.ledger import pages, queries, transactions

TICKET = """
select t.id::text, t.queue, t.exchange, t.routing_key, t.due_at, t.published_at, t.publishes, t.careful,
       cardinality(t.event_ids) as events, e.lease_until, e.cancel_at, e.crashes
from millrace.events e left join millrace.tickets t on t.id = e.ticket_id and e.state in ('pending', 'running')
where e.id = %(id)s::uuid
"""

TRACEBACKS = "select attempt, traceback from millrace.attempts where event_id = %(id)s::uuid and traceback is not null"


class History:
    """The memory of single events. Raises LedgerUnavailable."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def of(self, event_id: str) -> dict[str, Any]:
        """Its ticket (``id`` is None without one), lease, crashes, and ``tracebacks`` by attempt."""
        if not queries.UUID.fullmatch(event_id):
            return {"id": None, "tracebacks": {}}
        with transactions.begin(self._engine) as connection:
            row = connection.exec_driver_sql(TICKET, {"id": event_id}).mappings().first()
        found: dict[str, Any] = {"id": None} if row is None else pages.in_utc(row)
        return found | {"tracebacks": self.tracebacks(event_id)}

    def tracebacks(self, event_id: str) -> dict[int, str]:
        """Those of its failed attempts, by their numbers; of attempts that left none, nothing."""
        with transactions.begin(self._engine) as connection:
            rows = connection.exec_driver_sql(TRACEBACKS, {"id": event_id}).all()
        return {row[0]: row[1] for row in rows}
