"""What all plans share: whoever can say what comes next can also list, and say what was missed."""

from __future__ import annotations

import abc
import datetime
from collections.abc import Iterator
from typing import Any

from service.domain import schedules
from service.plans import zones


class Plan(abc.ABC):
    """The instants of a schedule, in UTC, each later than the one before."""

    __slots__ = ()

    tz: str  #: the IANA time zone in which it was meant, and is shown

    @abc.abstractmethod
    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """The first instant later than ``moment`` (which has a zone); None when there is none."""

    @abc.abstractmethod
    def spec(self) -> dict[str, Any]:
        """As JSON. ``plans.read`` makes an equal plan of it; what has its default is left out."""

    @abc.abstractmethod
    def describe(self) -> str:
        """One line for people."""

    def last_due(self, first: datetime.datetime, now: datetime.datetime) -> tuple[datetime.datetime, int]:
        """The latest instant in ``[first, now]``, and how many before it were missed, ``first`` among them."""
        latest = schedules.latest(self, first, now)
        return latest, self._count(first + first.resolution, latest + latest.resolution)

    def between(self, start: datetime.datetime, end: datetime.datetime) -> Iterator[datetime.datetime]:
        """The instants in ``[start, end)``, one after the other, as they are asked for."""
        found = self.next_after(start - start.resolution)
        while found is not None and found < end:
            yield found
            found = self.next_after(found)

    def count_on(self, day: datetime.date) -> int:
        """How many instants a day of the plan's zone has."""
        return self._count(*self._bounds(day))

    def count_within(self, day: datetime.date, start: datetime.datetime | None, end: datetime.datetime | None) -> int:
        """How many of them are not before ``start`` and not after ``end``."""
        first, behind = self._bounds(day)
        begin = first if start is None else max(first, start)
        stop = behind if end is None else min(behind, end + end.resolution)
        if (begin, stop) == (first, behind):
            return self.count_on(day)
        return self._count(begin, stop) if begin < stop else 0

    def _bounds(self, day: datetime.date) -> tuple[datetime.datetime, datetime.datetime]:
        zone = zones.get(self.tz)
        return zones.midnight(zone, day), zones.midnight(zone, day + datetime.timedelta(days=1))

    def _count(self, start: datetime.datetime, end: datetime.datetime) -> int:
        """How many instants lie in ``[start, end)``; a plan that may have many of them does not go through them."""
        return sum(1 for _ in self.between(start, end))

    def why(self, instant: datetime.datetime) -> str:
        """What daylight saving has to do with one of the plan's instants, in words; nothing for most."""
        return ""
