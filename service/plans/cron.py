"""A cron expression in a time zone."""

from __future__ import annotations

import dataclasses
import datetime
import zoneinfo
from typing import Any, get_args

from service.domain import errors, instants
from service.plans import expression as parsing
from service.plans import words, zones
from service.plans.base import Plan
from service.plans.choices import Doubled, Missing

DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Cron(Plan):
    """The instants at which the clock on the wall shows what a cron expression names.

    Its local times are found first, and mapped to instants then, so that daylight saving is a matter of policy: what
    becomes of a local time that is ``missing`` when clocks go forward, or ``doubled`` when they go back. Where no
    policy is stated, an expression that names certain hours has ``shift`` and ``first``: it runs once on every day. One
    that runs in every hour has ``skip`` and ``both``: it goes on as the clock on the wall does.
    """

    expression: str
    tz: str = "UTC"
    missing: Missing | None = None
    doubled: Doubled | None = None
    #: Worked out once: the clock asks thousands of plans in a second.
    _parsed: parsing.Expression = dataclasses.field(init=False, repr=False, compare=False)
    _zone: zoneinfo.ZoneInfo = dataclasses.field(init=False, repr=False, compare=False)
    _policies: tuple[Missing, Doubled] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = parsing.parse(self.expression)
        for name, value, possible in (("missing", self.missing, Missing), ("doubled", self.doubled, Doubled)):
            if value is not None and value not in get_args(possible):
                wanted = " or ".join(get_args(possible))
                raise errors.DeclarationError(f"{name}: {value!r} is no policy: {wanted} is wanted", field=name)
        zone = zones.get(self.tz)
        missing, doubled = ("skip", "both") if found.every_hour else ("shift", "first")
        object.__setattr__(self, "_parsed", found)
        object.__setattr__(self, "_zone", zone)
        object.__setattr__(self, "_policies", (self.missing or missing, self.doubled or doubled))

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """The first instant after ``moment``, in UTC."""
        if not instants.FIRST_YEAR <= moment.year <= instants.LAST_YEAR:
            return None
        here = moment.astimezone(self._zone)
        wall = here.replace(microsecond=0, tzinfo=None, fold=0)
        before, after = zones.offsets(self._zone, wall)
        if before == after:
            return self._from(wall + zones.SECOND)
        change = zones.change(self._zone, wall, before, after)
        found = self._in_doubled(change, wall + zones.SECOND, second_time=here.fold == 1)
        return found or self._from(change.end)

    def _in_doubled(
        self, change: zones.Change, wall: datetime.datetime, *, second_time: bool
    ) -> datetime.datetime | None:
        """The first instant from ``wall`` on among the times that come twice."""
        policy = self._policies[1]
        passes = []
        if policy != "last" and not second_time:
            passes.append((wall, change.before))
        if policy != "first":
            passes.append((wall if second_time else change.begin, change.after))
        for start, offset in passes:
            found = self._parsed.first_from(start)
            if found is not None and found < change.end:
                return _instant(found, offset)
        return None

    def _from(self, wall: datetime.datetime) -> datetime.datetime | None:
        """The first instant that comes from ``wall`` or later, a local time that no change has begun before."""
        zone, (missing, doubled) = self._zone, self._policies
        while (found := self._parsed.first_from(wall)) is not None:
            before, after = zones.offsets(zone, found)
            if before == after:
                return _instant(found, before)
            change = zones.change(zone, found, before, after)
            if change.doubled:
                return _instant(found, change.after if doubled == "last" else change.before)
            if missing == "shift":
                return change.instant
            wall = change.end
        return None

    def _count(self, start: datetime.datetime, end: datetime.datetime) -> int:
        """How many instants lie in ``[start, end)``, counted by days of the clock on the wall."""
        zone, (missing, doubled) = self._zone, self._policies
        begin, end = _whole(start), _whole(end)
        found, here = 0, begin
        for change in zones.changes(zone, begin - 2 * DAY, end + 2 * DAY):
            at, width = change.instant.replace(tzinfo=None), change.end - change.begin
            if begin < at < end:
                found += self._count_by(here, at, change.before)
                here = at
            if change.doubled and doubled == "first":
                found -= self._count_by(max(begin, at), min(end, at + width), change.after)
            elif change.doubled and doubled == "last":
                found -= self._count_by(max(begin, at - width), min(end, at), change.before)
            elif not change.doubled and missing == "shift" and begin <= at < end:
                found += self._missing_in(change) is not None and not self.names(change.end)
        return found + self._count_by(here, end, zones.offset_at(zone, here))

    def _count_by(self, begin: datetime.datetime, end: datetime.datetime, offset: datetime.timedelta) -> int:
        """How many local times the expression names in ``[begin, end)`` (naive, in UTC) by this offset."""
        return self._parsed.count(begin + offset, end + offset) if begin < end else 0

    def why(self, instant: datetime.datetime) -> str:
        """What daylight saving has to do with one of the plan's instants, in words; nothing for most."""
        here = instant.astimezone(self._zone)
        wall = here.replace(tzinfo=None, fold=0)
        before, after = zones.offsets(self._zone, wall)
        if before > after:
            return f"{wall:%H:%M} comes twice; this is the {'second' if here.fold else 'first'} time"
        for change in zones.changes(self._zone, *(instant.replace(tzinfo=None) + n * zones.SECOND for n in (0, 1))):
            if not change.doubled and (missing := self._missing_in(change)):
                # A gap may be a whole day, where a zone leaves one out.
                shown = f"{missing:%H:%M}" if missing.date() == wall.date() else f"{missing:%Y-%m-%d %H:%M}"
                more = self._parsed.count(change.begin, change.end) - 1
                missed = f"{shown} and {more} more, which are missing" if more else f"{shown}, which is missing"
                return f"for itself and for {missed}" if self.names(wall) else f"in place of {missed}"
        return ""

    def _missing_in(self, change: zones.Change) -> datetime.datetime | None:
        """The first local time that is missing, and is made good after the gap."""
        found = self._parsed.first_from(change.begin) if self._policies[0] == "shift" else None
        return found if found is not None and found < change.end else None

    def names(self, wall: datetime.datetime) -> bool:
        """Whether the expression names a local time (naive, whole seconds)."""
        return self._parsed.first_from(wall) == wall

    def named_from(self, wall: datetime.datetime) -> datetime.datetime | None:
        """The first local time at ``wall`` or later that the expression names, whether a clock shows it or not."""
        return self._parsed.first_from(wall)

    def instant_of(self, wall: datetime.datetime) -> datetime.datetime:
        """The instant of a named local time; of one that is left out, the moment before those that come after it."""
        before, after = zones.offsets(self._zone, wall)
        missing, doubled = self._policies
        if before < after:
            gap = zones.change(self._zone, wall, before, after).instant
            return gap if missing == "shift" else gap - gap.resolution
        return _instant(wall, after if doubled == "last" else before)

    def policies(self) -> tuple[Missing, Doubled]:
        """What becomes of a local time that is missing, and of one that comes twice: as stated, or by default."""
        return self._policies

    def spec(self) -> dict[str, Any]:
        """As JSON."""
        stated = {"missing": self.missing, "doubled": self.doubled}
        return {"cron": self.expression, "tz": self.tz} | {k: v for k, v in stated.items() if v is not None}

    def describe(self) -> str:
        """One line for people."""
        return f"{words.cron(self._parsed)} ({self.tz})"


def _whole(moment: datetime.datetime) -> datetime.datetime:
    """The first whole second that is not before this instant (naive, in UTC)."""
    found = moment.astimezone(datetime.UTC).replace(tzinfo=None, microsecond=0)
    return found + zones.SECOND if moment.microsecond else found


def _instant(wall: datetime.datetime, offset: datetime.timedelta) -> datetime.datetime:
    return (wall - offset).replace(tzinfo=datetime.UTC)
