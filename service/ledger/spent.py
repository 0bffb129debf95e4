"""What came of events in the last thirty days, by type: what error budgets are reckoned from.

Tallies older than two days are one row per day. The days that are not folded yet are read hour by hour, newest first,
each once in a process's life, as many as fit into one look: until all are read, ``since`` says how far back it reaches.
"""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections import Counter
from collections.abc import Mapping

import sqlalchemy

from service.domain import objective
from service.ledger import engine as engines
from service.ledger import transactions, watching

DAYS = 30
UNFOLDED = 3  #: days back from today that may be in single rows
LOOK = 0.05  #: seconds that a look may go on reading
KEPT = 20.0  #: seconds for which the answer is good
HOUR = datetime.timedelta(hours=1)

SUMS = """
select type, word, sum(n)::bigint from millrace.tallies
where minute >= %(since)s and minute < %(until)s and word = any(%(words)s) group by 1, 2
"""
WORDS = ["done", "retry", "snoozed", "dead", "expired", objective.LATE]
NOW = "select clock_timestamp(), (select min(minute) from millrace.tallies)"


@dataclasses.dataclass(frozen=True, slots=True)
class Spent:
    """What was counted."""

    since: datetime.datetime  #: how far back it reaches
    complete: bool  #: whether that is thirty days
    counts: Mapping[tuple[str, str], int]  #: (type, word) → how many: outcomes, and handlers that were begun late


class SpentLedger:
    """The counts. Raises LedgerUnavailable, SearchTooSlow."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._hours: dict[datetime.datetime, Counter[tuple[str, str]]] = {}
        self._days: tuple[datetime.datetime, Counter[tuple[str, str]]] | None = None
        self._found: Spent | None = None
        self._until = 0.0

    def read(self) -> Spent:
        """The counts, as far back as they were read by now."""
        with self._lock:
            if self._found is None or time.monotonic() >= self._until:
                self._found = self._read()
                self._until = time.monotonic() + (KEPT if self._found.complete else 1.0)
            return self._found

    def _read(self) -> Spent:
        end = time.monotonic() + LOOK
        with transactions.begin(self._engine) as connection:
            now, first = (at and at.astimezone(datetime.UTC) for at in connection.exec_driver_sql(NOW).one())
            closed = connection.exec_driver_sql(watching.CLOSED).scalar_one().astimezone(datetime.UTC)
            today = now.replace(hour=0, minute=0, second=0, microsecond=0)
            folded = today - datetime.timedelta(days=UNFOLDED)
            hour = now.replace(minute=0, second=0, microsecond=0)
            # Where a ledger is younger, there is nothing before its first tally.
            oldest = max(folded, (first or now) - HOUR)
            found: Counter[tuple[str, str]] = Counter()
            kept: dict[datetime.datetime, Counter[tuple[str, str]]] = {}
            while hour >= oldest and (time.monotonic() < end or hour in self._hours or not kept):
                sums = self._hours.get(hour) or _sums(connection, hour, hour + HOUR)
                found += sums
                if hour + HOUR <= closed:
                    kept[hour] = sums
                hour -= HOUR
            self._hours |= kept
            self._hours = {at: sums for at, sums in self._hours.items() if at >= folded}
            if hour >= oldest:
                return Spent(hour + HOUR, False, found)
            if self._days is None or self._days[0] != folded:
                self._days = (folded, _sums(connection, folded - datetime.timedelta(days=DAYS - UNFOLDED), folded))
        return Spent(today - datetime.timedelta(days=DAYS), True, found + self._days[1])


def _sums(
    connection: sqlalchemy.Connection, since: datetime.datetime, until: datetime.datetime
) -> Counter[tuple[str, str]]:
    rows = connection.exec_driver_sql(SUMS, {"since": since, "until": until, "words": WORDS})
    return Counter({(row[0], row[1]): row[2] for row in rows})
