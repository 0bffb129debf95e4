"""What a plan will do: the next instants, and a year by days."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from service.domain import errors
from service.plans import zones
from service.plans.base import Plan

MOST = 1000  #: instants of a preview
YEARS = range(1970, 2200)
DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Instant:
    """One instant of a preview."""

    utc: datetime.datetime
    local: datetime.datetime  #: in the zone that is shown
    change: str  #: what clocks of that zone do on this day, "" on most
    why: str  #: what daylight saving did to this instant, "" mostly

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "utc": _text(self.utc),
            "local": self.local.isoformat(),
            "weekday": f"{self.local:%A}",
            "change": self.change or None,
            "why": self.why or None,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Day:
    """One day of a year."""

    date: datetime.date
    count: int  #: instants on this day
    change: str  #: what clocks do on this day, "" on most


@dataclasses.dataclass(frozen=True, slots=True)
class Year:
    """A year of a plan, by the days of its zone."""

    year: int
    tz: str
    plan: str  #: in words
    days: tuple[Day, ...]

    @property
    def total(self) -> int:
        """Instants in this year."""
        return sum(day.count for day in self.days)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        days = [{"date": d.date.isoformat(), "count": d.count, "change": d.change or None} for d in self.days]
        return {"year": self.year, "tz": self.tz, "plan": self.plan, "total": self.total, "days": days}


def coming(plan: Plan, after: datetime.datetime, count: int, tz: str | None = None) -> list[Instant]:
    """The next ``count`` instants (1 to 1000) later than ``after``, shown in the zone ``tz``, or else in the plan's.

    Raises DeclarationError for a wrong number or zone.
    """
    if not 1 <= count <= MOST:
        raise errors.DeclarationError(f"next: {count} is not from 1 to {MOST}", field="next")
    zone = zones.get(tz or plan.tz)
    shown: list[Instant] = []
    found = plan.next_after(after)
    while found is not None and len(shown) < count:
        local = found.astimezone(zone)
        shown.append(Instant(found, local, _change_on(tz or plan.tz, local.date()), plan.why(found)))
        found = plan.next_after(found)
    return shown


def year(plan: Plan, number: int, start: datetime.datetime | None = None, end: datetime.datetime | None = None) -> Year:
    """A year of a plan, 1970 to 2199, without what is before ``start`` or after ``end``.

    Raises DeclarationError for another year.
    """
    if number not in YEARS:
        raise errors.DeclarationError(f"year: {number} is not from {YEARS[0]} to {YEARS[-1]}", field="year")
    first = datetime.date(number, 1, 1)
    dates = [first + n * DAY for n in range((datetime.date(number + 1, 1, 1) - first).days)]
    marks = _changes(plan.tz, first, dates[-1])
    days = tuple(Day(date, plan.count_within(date, start, end), marks.get(date, "")) for date in dates)
    return Year(number, plan.tz, plan.describe(), days)


def _change_on(tz: str, day: datetime.date) -> str:
    return _changes(tz, day, day).get(day, "")


def _changes(tz: str, first: datetime.date, last: datetime.date) -> dict[datetime.date, str]:
    """What clocks do, by the days that see something of it."""
    start = datetime.datetime.combine(first, datetime.time()) - DAY
    found: dict[datetime.date, str] = {}
    for change in zones.changes(zones.get(tz), start, datetime.datetime.combine(last, datetime.time()) + 2 * DAY):
        day = change.begin.date()
        while day <= change.end.date():
            found[day] = change.describe()
            day += DAY
    return found


def _text(utc: datetime.datetime) -> str:
    return utc.isoformat().replace("+00:00", "Z")
