"""Parts of a clock, on a real ledger, and what stands in their way."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator, Sequence

import psycopg2

from service.domain import schedules, signs
from service.ledger import engine as engines
from service.ledger import ticks
from service.ledger.declared import Declarations
from service.ledger.slots import SlotLedger
from service.plans import Interval
from tests.ledgers import Ledger
from tests.patience import PATIENCE


def a_calendar(*found: schedules.Schedule) -> schedules.Calendar:
    calendar = schedules.Calendar()
    for one in found:
        calendar.add(one)
    return calendar


def every(seconds: float) -> Interval:
    """A plan in the middle between two of its instants: none comes while a test is at it."""
    return Interval(seconds, datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds / 2))


class Clock:
    """The slots and declarations of one clock, without its threads."""

    def __init__(
        self,
        ledger: Ledger,
        *found: schedules.Schedule,
        name: str = "clock",
        apps: Sequence[str] = (),
        handles: Callable[[str], bool] = lambda _: True,
    ) -> None:
        engine = engines.Engine(ledger.url)
        self._ledger = ledger
        self.declarations = Declarations(engine, a_calendar(*found), clock=name, apps=apps, handles=handles)
        self.slots = SlotLedger(engine, self.declarations.calendar, clock=name)

    def declare(self) -> Clock:
        self.declarations.declare()
        return self

    def stay(self, until: float = 0) -> Clock:
        """As if it had been there for more than a minute without a gap, until so many seconds ago."""
        [(now,)] = self._ledger.sql("select clock_timestamp()")
        self.declarations.signs = signs.Signs()
        for seconds in (70, 50, 30, 10, 0):
            self.declarations.signs.give(now - datetime.timedelta(seconds=seconds + until))
        return self

    def leave(self, seconds: float) -> None:
        """As if it had given its last sign of life so long ago."""
        seen = "update millrace.clocks set seen_at = now() - make_interval(secs => %s) where calendar = %s"
        self._ledger.sql(seen, seconds, self.declarations.calendar)

    def fire(self, limit: int = 100) -> list[ticks.Settled]:
        """A look: what it has settled; what nobody fires any more it takes over."""
        self.slots.wake_held()
        fired, orphans = self.slots.fire_due(limit)
        self.declarations.take_over(orphans)
        return fired.settled


@contextlib.contextmanager
def held(ledger: Ledger, rows: str) -> Iterator[None]:
    """Rows that another clock holds, for some seconds at most: so does a test end that would wait for them."""
    with contextlib.closing(psycopg2.connect(ledger.url)) as other:
        cursor = other.cursor()
        cursor.execute(f"set idle_in_transaction_session_timeout = '{10 * PATIENCE}s'")
        cursor.execute(f"select from {rows} for update")
        yield
        with contextlib.suppress(psycopg2.Error):
            other.rollback()  # A connection that is only closed lets go a little later.
