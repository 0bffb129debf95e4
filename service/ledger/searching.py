"""Searching events at any size: piece by piece along an index, until the page is full or the time is up.

What an index knows (type, time, the place in the list) bounds the pieces; everything else is looked at row by row. A
piece reads so many rows and no more, so what was searched when the time is up is known to the row, and can be gone on
from. No statement reads a whole table: the plans are those of ``tests/integration/test_search.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import exc

from service.domain import states
from service.ledger import engine as engines
from service.ledger import transactions

SECONDS = 2.0  #: for a page; then it has what was found so far
PIECES = (1_000, 50_000)  #: rows of the first piece, of the largest
GRACE = 0.1  #: seconds more for the last piece
SHORT, LONG = 0.2, 0.5  #: seconds; after a shorter piece the next one is larger, after a longer one smaller
FEW = 5_000  #: open tickets up to which open events are found by them
FEW_EVENTS = 50_000  #: events on them, likewise

#: What an index finds. Those on the id let PostgreSQL leave out the partitions of other days.
BOUNDS = {
    "type": "e.type = %(type)s",
    "since": "e.id >= %(since)s::uuid",
    "until": "e.id < %(until)s::uuid",
    "before": "e.id < %(before)s::uuid",
    "after": "e.id > %(after)s::uuid",
}
#: What is looked at row by row.
LOOKS = {
    "state": "e.state = %(state)s",
    "producer": "e.producer is not distinct from %(producer)s",
    "text": "strpos(lower(e.payload::text), lower(%(text)s)) > 0",
}

OPEN = """
select count(*), coalesce(sum(cardinality(event_ids)), 0)
from (select event_ids from millrace.tickets order by id limit %(few)s) as few
"""

# Everything that the ledger has, in the order of the list.
EVENTS = "millrace.events e"
# Few open events among many others: by their tickets, one by one, each in the partition of its day (of a list that is
# not known beforehand every id would be looked for in every partition). Those that run have a ticket with a holder.
BY_TICKETS = """
(select v.* from (select unnest(t.event_ids) as id from millrace.tickets t where {which} and {type}) o
 cross join lateral (select * from millrace.events where id = o.id limit 1) v) e
"""
# Dead letters have a table of their own, whose key is in the order of the list.
BY_LETTERS = "(select d.event_id as id, d.type, 'dead' as state from millrace.dead d) e"
BY_LETTERS_THEMSELVES = """
(select d.event_id as id, d.type, 'dead' as state, v.producer, v.payload
 from millrace.dead d join millrace.events v on v.id = d.event_id) e
"""

PIECE = """
select coalesce(array_agg(id::text order by id {order}) filter (where hit), '{{}}'), count(*), {last}(id::text)
from (select e.id, {looks} as hit from {source} where {bounds} order by e.id {order} limit %(piece)s) piece
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What was found."""

    ids: list[str]  #: in the order of the search
    searched_to: str | None  #: the id up to which was searched, if the time was up; None: there is no more than this


class Search:
    """One search, in one transaction."""

    def __init__(self, connection: sqlalchemy.Connection, values: dict[str, Any]) -> None:
        self._connection = connection
        self._values = values
        self._ascending = "after" in values
        self._source = EVENTS
        self._bounds = [name for name in BOUNDS if name in values]
        self._looks = [name for name in LOOKS if name in values]

    def run(self, limit: int) -> Found:
        """Up to ``limit`` ids. Raises the driver's error for a first piece that takes too long."""
        end = time.monotonic() + SECONDS
        self._connection.exec_driver_sql(f"{transactions.BY_INDEX}; {_timeout(SECONDS)}")
        self._choose_source()
        found: list[str] = []
        position: str | None = None
        piece = limit if not self._looks else max(limit, PIECES[0])
        while True:
            begin = time.monotonic()
            try:
                hits, rows, last = self._read(piece, position)
            except exc.DBAPIError as error:
                if position is None or engines.sqlstate(error) != engines.QUERY_CANCELED:
                    raise
                return Found(found, position)
            now = time.monotonic()
            found += hits
            if len(found) >= limit:
                return Found(found[:limit], None)
            if rows < piece:
                return Found(found, None)
            position = last
            if now > end:
                return Found(found, position)
            self._connection.exec_driver_sql(_timeout(end - now + GRACE))
            piece = _next(piece, now - begin)

    def _choose_source(self) -> None:
        """Where those of this state are found among few others."""
        state = self._values.get("state")
        if state == states.State.DEAD:
            themselves = "producer" in self._values or "text" in self._values
            self._source = BY_LETTERS_THEMSELVES if themselves else BY_LETTERS
            self._looks.remove("state")
            if "type" in self._bounds:  # No index has the letters of a type in the order of the list.
                self._bounds.remove("type")
                self._looks.append("type")
        elif state in states.OPEN:
            tickets, events = self._connection.exec_driver_sql(OPEN, {"few": FEW + 1}).one()
            few = tickets <= FEW and events <= FEW_EVENTS
            if few or state == states.State.RUNNING:
                of_type = "t.type = %(type)s" if "type" in self._values else "true"
                which = "true" if few else "t.holder is not null"
                self._source = BY_TICKETS.format(which=which, type=of_type)
                self._bounds, self._looks = [*self._bounds, *self._looks], []

    def _read(self, piece: int, position: str | None) -> tuple[list[str], int, str | None]:
        """The hits among the next rows, how many rows there were, and the last of them."""
        values = dict(self._values) | {"piece": piece}
        bounds = list(self._bounds)
        if position is not None:
            place = "after" if self._ascending else "before"
            values[place] = position
            bounds = [*(b for b in bounds if b != place), place]
        statement = PIECE.format(
            order="asc" if self._ascending else "desc",
            last="max" if self._ascending else "min",
            looks=_all([(BOUNDS | LOOKS)[name] for name in self._looks]),
            bounds=_all([(BOUNDS | LOOKS)[name] for name in bounds]),
            source=self._source,
        )
        with contextlib.closing(self._connection.exec_driver_sql(statement, values)) as rows:
            hits, n, last = rows.one()
        return list(hits), n, last


def _all(conditions: Sequence[str]) -> str:
    return " and ".join(conditions) or "true"


def _timeout(seconds: float) -> str:
    return f"set local statement_timeout = '{round(seconds * 1000)}ms'"


def _next(piece: int, took: float) -> int:
    if took < SHORT:
        return min(PIECES[1], piece * 4)
    return max(PIECES[0], piece // 2) if took > LONG else piece
