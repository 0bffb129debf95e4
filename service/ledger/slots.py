"""Slots as a clock sees them: it fires whatever is due of the schedules that it knows, and asks when it must come back.

It knows the schedules that were made at run time, whose plan stands in their row, and those that its own code declares
in the same way (``service.ledger.declared``).
"""

from __future__ import annotations

import datetime
from typing import Any

from service import crashpoints
from service.ledger import engine as engines
from service.ledger import fence, firing

ORPHANED = 60.0  #: seconds overdue after which a schedule of another version is one that nobody fires any more

# A scalar subselect is looked up row by row, on the calendar's key. A join may be planned as a hash of the whole table.
OWN = "(select c.digest from millrace.calendars c where c.calendar = %(calendar)s and c.schedule = s.name)"

# While a new version of the code is rolled out, clocks of both run, and a schedule belongs to the one that declared it
# last: only a clock that declares the same plan, policies and payload fires it.
DUE = f"""
with moment as materialized (select clock_timestamp() as now)
select {firing.COLUMNS}, s.next_due, s.origin = 'api' or {OWN} = s.digest as own, (select now from moment) as now
from millrace.schedules s
where s.next_due <= (select now from moment)
  and (s.origin = 'api' or {OWN} = s.digest
       or s.next_due <= (select now from moment) - make_interval(secs => %(orphaned)s) and {OWN} is not null)
order by s.next_due limit %(limit)s
for no key update of s skip locked
"""

# No further than the clock would sleep anyway: the schedules of other apps, which lie between, may be many.
NEXT = f"""
select extract(epoch from s.next_due - clock_timestamp())::float8
from millrace.schedules s
where s.next_due <= (select clock_timestamp() + make_interval(secs => %(within)s))
  and (s.origin = 'api' or {OWN} = s.digest)
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
        bundle: firing.Bundle = firing.alone,
    ) -> None:
        self._engine = engine
        self._calendar = calendar  #: the name of what this clock's code declares
        self._firing = firing.Firing(by=clock, bundle=bundle)

    def fire_due(self, limit: int) -> tuple[list[firing.Settled], list[str]]:
        """Fire what is due of up to ``limit`` schedules; the slots, and the schedules that nobody fires any more.

        Time is the ledger's alone.
        """
        with fence.transaction(self._engine) as connection:
            values = {"calendar": self._calendar, "orphaned": ORPHANED, "limit": limit}
            rows = connection.exec_driver_sql(DUE, values).all()
            own: list[Any] = [row for row in rows if row.own]
            now: datetime.datetime | None = rows[0].now if rows else None
            settled = self._firing.fire(connection, own, now) if now is not None and own else []
            crashpoints.reach("clock_before_slots" if settled else "")
        crashpoints.reach("clock_after_slots" if settled else "")
        return settled, [row.name for row in rows if not row.own]

    def next_in(self, within: float = 86_400.0) -> float | None:
        """Seconds until the next slot is due; None when there is none in the next ``within`` seconds."""
        with fence.transaction(self._engine) as connection:
            values = {"calendar": self._calendar, "within": within}
            found: float | None = connection.exec_driver_sql(NEXT, values).scalar()
        return found
