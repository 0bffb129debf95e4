"""The kinds of plans. Time is an argument: nothing here asks a clock."""

from __future__ import annotations

import dataclasses
import datetime
import re
import zoneinfo
from typing import Any

import cronsim

from service.domain import errors, schedules

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}  #: seconds
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """Every so many seconds, on a grid that begins with the epoch."""

    seconds: float

    @classmethod
    def read(cls, value: float | str) -> Interval:
        """An interval from seconds, or from text like ``5m``."""
        if isinstance(value, str):
            found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value.strip())
            if not found:
                raise errors.DeclarationError(f"{value!r} is no interval: 30s, 5m, 2h or 1d is wanted, or seconds")
            value = float(found[1]) * UNITS[found[2]]
        if not 1 <= value <= 366 * 86400:
            raise errors.DeclarationError(f"an interval of {value!r} s is not possible: from a second to a year")
        return cls(float(value))

    def next_after(self, moment: datetime.datetime) -> datetime.datetime:
        """The first instant on the grid after ``moment``."""
        return self._instant(self._number(moment) + 1)

    def last_due(self, first: datetime.datetime, now: datetime.datetime) -> tuple[datetime.datetime, int]:
        """The latest instant in ``[first, now]``, and how many before it were missed."""
        latest = self._number(now)
        missed = latest - self._number(first)
        return (self._instant(latest) if missed else first), missed

    def _number(self, moment: datetime.datetime) -> int:
        return (moment - EPOCH) // datetime.timedelta(seconds=self.seconds)

    def _instant(self, number: int) -> datetime.datetime:
        return EPOCH + number * datetime.timedelta(seconds=self.seconds)

    def spec(self) -> dict[str, Any]:
        """As JSON."""
        return {"every": self.seconds}


@dataclasses.dataclass(frozen=True, slots=True)
class Cron:
    """The instants of a cron expression in a time zone.

    Source of the daylight-saving rules: cronsim, after Debian's cron: a local time that is missing runs right after
    the gap, one that comes twice runs once.
    """

    expression: str
    tz: str = "UTC"

    def __post_init__(self) -> None:
        try:
            zoneinfo.ZoneInfo(self.tz)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise errors.DeclarationError(
                f"{self.tz!r} is no time zone: an IANA name like Europe/Berlin is wanted"
            ) from None
        try:
            cronsim.CronSim(self.expression, EPOCH)
        except cronsim.CronSimError as error:
            raise errors.DeclarationError(f"{self.expression!r} is no cron expression: {error}") from None

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """The first instant after ``moment``, in UTC; None when there is none within 50 years."""
        local = moment.astimezone(zoneinfo.ZoneInfo(self.tz))
        coming = (found.astimezone(datetime.UTC) for found in cronsim.CronSim(self.expression, local))
        # In the hour that comes twice, cronsim begins with the first one.
        return next((instant for instant in coming if instant > moment), None)

    def last_due(self, first: datetime.datetime, now: datetime.datetime) -> tuple[datetime.datetime, int]:
        """The latest instant in ``[first, now]``, and how many before it were missed; see ``schedules.COUNTED``."""
        return schedules.last_due(self, first, now)

    def spec(self) -> dict[str, Any]:
        """As JSON."""
        return {"cron": self.expression, "tz": self.tz}
