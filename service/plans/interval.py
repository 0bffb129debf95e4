"""Every so many seconds."""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
from typing import Any

from service.domain import errors, instants
from service.plans import words
from service.plans.base import Plan

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}  #: seconds
SHORTEST, LONGEST = 1.0, 366 * 86400.0  #: seconds
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def seconds(value: object, *, field: str) -> float:
    """Seconds from a number, or from text like ``5m``; raises DeclarationError."""
    if isinstance(value, str):
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)([smhd])", value.strip(), re.ASCII)
        if found:
            return float(found[1]) * UNITS[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) <= LONGEST else math.inf  # A whole number may be too large for a float.
    raise errors.DeclarationError(
        f"{field}: {value!r} is no interval: 30s, 5m, 2h or 1d is wanted, or seconds", field=field
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Interval(Plan):
    """Every so many seconds of real time, on a grid through the anchor: before it and after it.

    When the schedule begins is no matter of the grid. A day is 24 hours, whatever the clocks on the wall do.
    """

    seconds: float
    anchor: datetime.datetime = EPOCH
    tz = "UTC"

    def __post_init__(self) -> None:
        if not SHORTEST <= self.seconds <= LONGEST:
            raise errors.DeclarationError(
                f"every: an interval of {self.seconds!r} s is not possible: from a second to a year", field="every"
            )
        if self.anchor.tzinfo is None:
            raise errors.DeclarationError(
                f"anchor: {self.anchor.isoformat()} has no zone: write 2026-01-31T08:00:00Z or +01:00", field="anchor"
            )
        if not 1 < self.anchor.year < 9999:  # There it may be no instant in another zone.
            raise errors.DeclarationError(f"anchor: {self.anchor.isoformat()} is too far away", field="anchor")

    @classmethod
    def read(cls, value: float | str, anchor: datetime.datetime = EPOCH) -> Interval:
        """An interval from seconds, or from text like ``5m``."""
        return cls(seconds(value, field="every"), anchor)

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """The first instant on the grid after ``moment``; None beyond those that are reckoned with."""
        try:
            found = self._instant(self._number(max(moment, instants.FIRST)) + 1)
        except OverflowError:
            return None
        return found if found <= instants.LAST else None

    def last_due(self, first: datetime.datetime, now: datetime.datetime) -> tuple[datetime.datetime, int]:
        """The latest instant in ``[first, now]``, and how many before it were missed: counted, however many."""
        latest = self._number(now)
        missed = latest - self._number(first)
        return (self._instant(latest) if missed else first), missed

    def spec(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = {"every": self.seconds}
        if self.anchor != EPOCH:
            found["anchor"] = self.anchor.astimezone(datetime.UTC).isoformat()
        return found

    def describe(self) -> str:
        """One line for people."""
        text = f"every {words.duration(self.seconds)}"
        if self.anchor == EPOCH:
            return text
        return f"{text}, on the grid through {self.anchor.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"

    def _count(self, start: datetime.datetime, end: datetime.datetime) -> int:
        return self._number(end - end.resolution) - self._number(start - start.resolution)

    def _number(self, moment: datetime.datetime) -> int:
        return (moment - self.anchor) // datetime.timedelta(seconds=self.seconds)

    def _instant(self, number: int) -> datetime.datetime:
        return (self.anchor + number * datetime.timedelta(seconds=self.seconds)).astimezone(datetime.UTC)
