"""What is kept in order by schedules that people see, and what the ledger keeps of the past."""

from __future__ import annotations

import dataclasses
import datetime

RETENTION = "millrace.retention"
TALLIES = "millrace.tallies"
PARTITIONS = "millrace.partitions"

#: Schedule, and type of its events → the duty of the clocks that they ask for.
DUTIES = {RETENTION: "retention", TALLIES: "tallies", PARTITIONS: "partitions"}

#: The other way round.
TYPES = {duty: name for name, duty in DUTIES.items()}

MOST_OVERDUE = 2  #: days that should have gone, up to which nothing is wrong


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What the ledger has of the past."""

    oldest: datetime.date | None  #: day of which all events are there
    overdue: int  #: days that should have gone and are there
    last: datetime.datetime | None  #: when retention was done
    unpartitioned: int  #: events in the default partition that should be in one of their day
    kept: int  #: events of days that are gone

    @property
    def keeps_up(self) -> bool:
        """Whether the days go in their time."""
        return self.overdue <= MOST_OVERDUE
