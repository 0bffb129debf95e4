"""Slots as a clock sees them: it fires whatever is due of the schedules that it knows, and asks when it must come back.

It knows the schedules that were made at run time, whose plan stands in their row, and those that its own code declares
in the same way (``service.ledger.declared``).
"""

from __future__ import annotations

import time
from typing import Any

from service import crashpoints
from service.domain import signs
from service.ledger import courses, fence, firing, held, ticks
from service.ledger import engine as engines

ASIDE = 60.0  #: seconds until this clock tries again what it cannot fire; another one may be able to
ORPHANED = 60.0  #: seconds overdue after which a schedule of another version is one that nobody fires any more

# A scalar subselect is looked up row by row, on the calendar's key. A join may be planned as a hash of the whole table.
OWN = "(select c.digest from millrace.calendars c where c.calendar = %(calendar)s and c.schedule = s.name)"

# Whether a clock lives that declares it as it stands, and so fires it.
FIRED_ELSEWHERE = f"""exists (
    select from millrace.clocks k join millrace.calendars c on c.calendar = k.calendar and c.schedule = s.name
    where c.digest = s.digest and k.seen_at > (select now from moment) - interval '{signs.GONE} seconds')"""

# While a new version of the code is rolled out, clocks of both run, and a schedule belongs to the one that declared it
# last: only a clock that declares the same plan, policies and payload fires it.
DUE = f"""
with moment as materialized (select clock_timestamp() as now)
select {courses.COLUMNS}, s.next_due, s.origin = 'api' or {OWN} = s.digest as own, (select now from moment) as now
from millrace.schedules s
where s.next_due <= (select now from moment) and s.name <> all(%(aside)s)
  and (s.origin = 'api' or {OWN} = s.digest
       or s.next_due <= (select now from moment) - make_interval(secs => %(orphaned)s) and {OWN} is not null
          and not {FIRED_ELSEWHERE})
order by s.next_due limit %(limit)s
for no key update of s skip locked
"""

# No further than the clock would sleep anyway: the schedules of other apps, which lie between, may be many.
NEXT = f"""
select extract(epoch from s.next_due - clock_timestamp())::float8
from millrace.schedules s
where s.next_due <= (select clock_timestamp() + make_interval(secs => %(within)s))
  and (s.origin = 'api' or {OWN} = s.digest) and s.name <> all(%(aside)s)
order by s.next_due limit 1
"""


class SlotLedger:
    """The ledger as the clock sees it."""

    def __init__(
        self,
        engine: engines.Engine,
        calendar: str,
        *,
        clock: str,
        bundle: ticks.Bundle = ticks.alone,
    ) -> None:
        self._engine = engine
        self._calendar = calendar  #: the name of what this clock's code declares
        self._firing = firing.Firing(by=clock, bundle=bundle)
        self._woken = ""  # The last schedule whose held slot was looked at.
        self._aside: dict[str, float] = {}  # What this clock cannot fire, and until when, by time.monotonic().

    def fire_due(self, limit: int) -> tuple[firing.Fired, list[str]]:
        """Fire what is due of up to ``limit`` schedules; what came of it, and the schedules that nobody fires any more.

        Time is the ledger's alone.
        """
        with fence.transaction(self._engine) as connection:
            values = {"calendar": self._calendar, "orphaned": ORPHANED, "limit": limit, "aside": self._left_aside()}
            rows = connection.exec_driver_sql(DUE, values).all()
            own: list[Any] = [row for row in rows if row.own]
            fired = self._firing.fire(connection, own, own[0].now) if own else firing.Fired()
            crashpoints.reach("clock_before_slots" if fired.settled else "")
        crashpoints.reach("clock_after_slots" if fired.settled else "")
        self._aside.update(dict.fromkeys(fired.failed, time.monotonic() + ASIDE))
        return fired, [row.name for row in rows if not row.own]

    def next_in(self, within: float = 86_400.0) -> float | None:
        """Seconds until the next slot is due; None when there is none in the next ``within`` seconds."""
        with fence.transaction(self._engine) as connection:
            values = {"calendar": self._calendar, "within": within, "aside": self._left_aside()}
            found: float | None = connection.exec_driver_sql(NEXT, values).scalar()
        return found

    def wake_held(self) -> None:
        """Have held slots be due whose turn it is, of some schedules; of the next ones in the next call."""
        with fence.transaction(self._engine) as connection:
            self._woken = held.wake(connection, self._woken)

    def _left_aside(self) -> list[str]:
        now = time.monotonic()
        self._aside = {name: until for name, until in self._aside.items() if until > now}
        return list(self._aside)
