"""Once."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from service.domain import errors, instants
from service.plans import zones
from service.plans.base import Plan


@dataclasses.dataclass(frozen=True, slots=True)
class At(Plan):
    """One instant: one with an offset, or a local time in a zone.

    A local time is looked up when it is asked for, so it follows a change of the zone's rules. One that is missing
    means the first instant after the gap, one that comes twice means the first.
    """

    moment: datetime.datetime  #: with a zone, or without one: then local time in ``tz``
    tz: str = "UTC"

    def __post_init__(self) -> None:
        zones.get(self.tz)
        if not instants.FIRST_YEAR <= self.moment.year <= instants.LAST_YEAR:
            raise errors.DeclarationError(
                f"at: {self.moment.isoformat()} is too far away: a year from {instants.FIRST_YEAR} to"
                f" {instants.LAST_YEAR} is wanted",
                field="at",
            )

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """The instant, if it is later than ``moment``."""
        found = self._instant()
        return found if found > moment else None

    def spec(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = {"at": self.moment.isoformat()}
        return found if self.tz == "UTC" and self.moment.tzinfo is not None else found | {"tz": self.tz}

    def describe(self) -> str:
        """One line for people."""
        local = self._instant().astimezone(zones.get(self.tz))
        return f"once, on {local:%A %Y-%m-%d} at {local:%H:%M:%S} ({self.tz})"

    def why(self, instant: datetime.datetime) -> str:
        """What daylight saving has to do with it, in words."""
        if self.moment.tzinfo is not None:
            return ""
        before, after = zones.offsets(zones.get(self.tz), self.moment)
        if before < after:
            return f"{self.moment:%H:%M} is missing, so it runs at the first instant after the gap"
        return f"{self.moment:%H:%M} comes twice; this is the first time" if before > after else ""

    def _instant(self) -> datetime.datetime:
        if self.moment.tzinfo is not None:
            return self.moment.astimezone(datetime.UTC)
        zone = zones.get(self.tz)
        before, after = zones.offsets(zone, self.moment)
        if before < after:  # It is missing.
            return zones.change(zone, self.moment, before, after).instant
        return (self.moment - before).replace(tzinfo=datetime.UTC)
