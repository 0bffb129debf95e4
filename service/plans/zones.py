"""Time zones: local time and the instants that it stands for.

Source: PEP 495 (fold), and zoneinfo's reading of the IANA database: of a local time that is missing or comes twice,
``fold=0`` gives the offset before the change and ``fold=1`` the one after.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import zoneinfo

from service.domain import errors

SECOND = datetime.timedelta(seconds=1)
STEP = datetime.timedelta(hours=12)  #: no zone changes twice in less
#: Zones that mean something else on every host, or count leap seconds, which no clock of ours does.
HOSTS_OWN = ("localtime", "posixrules", "Factory", "right/", "posix/")


def get(name: object) -> zoneinfo.ZoneInfo:
    """The zone of that name; raises DeclarationError. Its rules are read once in the life of a process."""
    try:
        if not isinstance(name, str) or name.startswith(HOSTS_OWN):
            raise ValueError
        return _read(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise errors.DeclarationError(
            f"tz: {name!r} is no time zone: an IANA name like Europe/Berlin is wanted", field="tz"
        ) from None


@functools.cache
def _read(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A change of a zone's offset, as people see it: local times that are missing, or that come twice."""

    begin: datetime.datetime  #: local, naive: the first such time
    end: datetime.datetime  #: local, naive: the first time after them
    before: datetime.timedelta  #: the offset until the change
    after: datetime.timedelta  #: the offset from then on
    instant: datetime.datetime  #: of the change, in UTC

    @property
    def doubled(self) -> bool:
        """Whether these times come twice; else they are missing."""
        return self.before > self.after

    def describe(self) -> str:
        """What clocks do, in words."""
        first, second = (self.end, self.begin) if self.doubled else (self.begin, self.end)
        way = "back" if self.doubled else "forward"
        if first.date() == second.date():
            return f"clocks go {way} from {first:%H:%M} to {second:%H:%M}"
        return f"clocks go {way} from {first:%Y-%m-%d %H:%M} to {second:%Y-%m-%d %H:%M}"


def offsets(zone: zoneinfo.ZoneInfo, wall: datetime.datetime) -> tuple[datetime.timedelta, datetime.timedelta]:
    """Of a local time (naive): the offset from UTC before a change that concerns it, and after. Mostly they are one."""
    here = wall.replace(tzinfo=zone)
    before, after = here.utcoffset(), here.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    return before, after


def changes(zone: zoneinfo.ZoneInfo, start: datetime.datetime, end: datetime.datetime) -> list[Change]:
    """The changes in ``[start, end)`` (naive, in UTC)."""
    found, here = [], start - SECOND
    known = offset_at(zone, here)
    while here < end - SECOND:
        there = min(here + STEP, end - SECOND)
        offset = offset_at(zone, there)
        if offset != known:
            found.append(_change(zone, here, there, known, offset))
        here, known = there, offset
    return found


def midnight(zone: zoneinfo.ZoneInfo, day: datetime.date) -> datetime.datetime:
    """The first instant of a day, in UTC, whatever its clocks show then."""
    wall = datetime.datetime.combine(day, datetime.time())
    before, after = offsets(zone, wall)
    if before < after:
        return change(zone, wall, before, after).instant
    return (wall - before).replace(tzinfo=datetime.UTC)


def change(
    zone: zoneinfo.ZoneInfo, wall: datetime.datetime, before: datetime.timedelta, after: datetime.timedelta
) -> Change:
    """The change that makes this local time (naive) missing or doubled, for ``offsets`` that differ."""
    return _change(zone, wall - max(before, after), wall - min(before, after), before, after)


def _change(
    zone: zoneinfo.ZoneInfo,
    low: datetime.datetime,
    high: datetime.datetime,
    before: datetime.timedelta,
    after: datetime.timedelta,
) -> Change:
    # In (low, high], naive and in UTC, lies the change: halve that.
    while high - low > SECOND:
        middle = low + (high - low) // (2 * SECOND) * SECOND
        if offset_at(zone, middle) == before:
            low = middle
        else:
            high = middle
    begin, end = sorted((high + before, high + after))
    return Change(begin, end, before, after, high.replace(tzinfo=datetime.UTC))


def offset_at(zone: zoneinfo.ZoneInfo, utc: datetime.datetime) -> datetime.timedelta:
    """The offset from UTC at an instant (naive, in UTC)."""
    found = utc.replace(tzinfo=datetime.UTC).astimezone(zone).utcoffset()
    assert found is not None
    return found
