"""How many events a search would find: exact up to a limit, and given up before it costs much."""

from __future__ import annotations

import dataclasses
from typing import Any

from service.domain import errors, figures, states
from service.ledger import engine as engines
from service.ledger import queries, transactions

PATIENCE = "120ms"  #: a count that takes longer is left out
#: State → where such events stand besides, so that few among many are counted without reading all.
SHORTCUTS = {
    states.State.PENDING: queries.OPEN,
    states.State.RUNNING: queries.OPEN,
    states.State.DEAD: "e.id in (select event_id from millrace.dead)",
}
NEWER = 1_000  #: newer events are counted up to here


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """How many there are."""

    number: int | None  #: None: to count them would take too long
    exact: bool


class Counting:
    """Counts of events. Raises LedgerUnavailable."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def found(self, filters: queries.Filters) -> Count:
        """How many events these filters find, whatever the page."""
        return self._count(dataclasses.replace(filters, before=None, after=None), "", {}, figures.EXACT)

    def newer(self, filters: queries.Filters, than: str) -> Count:
        """How many of them were accepted after the event with this id."""
        return self._count(
            dataclasses.replace(filters, before=None, after=None), "e.id > %(than)s::uuid", {"than": than}, NEWER
        )

    def _count(self, filters: queries.Filters, more: str, others: dict[str, Any], limit: int) -> Count:
        values: dict[str, Any] = dict(filters.values())
        conditions = [queries.CONDITIONS[name] for name in values]
        if filters.state in SHORTCUTS:
            conditions.append(SHORTCUTS[filters.state])
        where = " and ".join([*conditions, *([more] if more else [])]) or "true"
        statement = f"select count(*) from (select from millrace.events e where {where} limit %(limit)s) found"
        try:
            with transactions.begin(self._engine) as connection:
                connection.exec_driver_sql(f"set local statement_timeout = '{PATIENCE}'")
                given = values | others | {"type": filters.type, "limit": limit + 1}
                number = connection.exec_driver_sql(statement, given).scalar_one()
        except errors.SearchTooSlow:
            return Count(None, False)
        return Count(min(number, limit), number <= limit)
