"""An oracle for plans in time zones: which instants a local time stands for, found by trying.

It shares nothing with service.plans but zoneinfo: every local time is tried with every offset that the zone ever has,
and where none fits, the minutes are walked to the first one after the gap.
"""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Callable, Iterable, Iterator

UTC = datetime.UTC
MINUTE = datetime.timedelta(minutes=1)
DAY = datetime.timedelta(days=1)

#: Zones with changes of 30 minutes, of two hours, of a day, at midnight, around Ramadan, with odd offsets, or none.
ZONES = (
    "UTC", "Europe/Berlin", "Europe/Dublin", "Europe/Istanbul", "Europe/Chisinau", "America/New_York",
    "America/Sao_Paulo", "America/Santiago", "America/Havana", "America/St_Johns", "America/Caracas",
    "America/Asuncion", "America/Scoresbysund", "Africa/Casablanca", "Africa/Cairo", "Africa/Juba", "Asia/Beirut",
    "Asia/Tehran", "Asia/Gaza", "Asia/Pyongyang", "Australia/Lord_Howe", "Antarctica/Troll", "Antarctica/Casey",
    "Pacific/Apia", "Pacific/Chatham", "Pacific/Norfolk",
)  # fmt: skip


class Walls:
    """A zone between two years, as its clocks on the wall show it."""

    def __init__(self, name: str, first: int, last: int) -> None:
        self.zone = zoneinfo.ZoneInfo(name)
        self.start = datetime.datetime(first, 1, 1, tzinfo=UTC)
        self.end = datetime.datetime(last + 1, 1, 1, tzinfo=UTC)
        self.changes = list(self._changes())  #: in UTC, some hours early
        self._offsets = {self._offset(self.start)} | {self._offset(c + n * DAY) for c in self.changes for n in (-1, 1)}

    def _changes(self) -> Iterator[datetime.datetime]:
        step = datetime.timedelta(hours=3)
        found = self.start - 2 * DAY
        known = self._offset(found)
        while found < self.end + 2 * DAY:
            offset = self._offset(found + step)
            if offset != known:
                yield found
            found, known = found + step, offset

    def _offset(self, utc: datetime.datetime) -> datetime.timedelta:
        found = utc.astimezone(self.zone).utcoffset()
        assert found is not None
        return found

    def shows(self, utc: datetime.datetime) -> datetime.datetime:
        """What the clock on the wall shows."""
        return utc.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def instants(self, wall: datetime.datetime, missing: str, doubled: str) -> list[datetime.datetime]:
        """When a local time is due, by the policies."""
        tried = sorted(wall.replace(tzinfo=UTC) - offset for offset in self._offsets)
        found = [utc for utc in tried if self.shows(utc) == wall]
        if found:
            return {"first": found[:1], "both": found, "last": found[-1:]}[doubled]
        if missing == "skip":
            return []
        utc = tried[0]
        while self.shows(utc) < wall:
            utc += MINUTE
        return [utc]

    def due(
        self,
        names: Callable[[datetime.datetime], bool],
        times: Iterable[datetime.time],
        policies: tuple[str, str],
        start: datetime.datetime,
        end: datetime.datetime,
    ) -> list[datetime.datetime]:
        """The instants in ``[start, end)`` of all ``times`` of the days that are named."""
        found, times = set(), list(times)
        day = start.date() - 3 * DAY
        while day <= end.date() + 3 * DAY:
            midnight = datetime.datetime.combine(day, datetime.time())
            if names(midnight):
                for time in times:
                    found.update(self.instants(datetime.datetime.combine(day, time), *policies))
            day += DAY
        return sorted(utc for utc in found if start <= utc < end)
