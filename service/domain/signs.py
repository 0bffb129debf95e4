"""Signs of life, as one process has given them: for how long it has been there without a gap.

Who has not been there cannot say that another one was not: after an outage of the ledger everybody seems to be gone.
"""

from __future__ import annotations

import datetime

GONE = 60.0  #: seconds without a sign after which a process counts as gone
GAP = datetime.timedelta(seconds=GONE / 2)  #: without a sign, after which one has been away oneself


class Signs:
    """The signs of life of this process, by the ledger's time."""

    def __init__(self) -> None:
        self._first: datetime.datetime | None = None  # Of those without a gap.
        self._last: datetime.datetime | None = None

    def give(self, moment: datetime.datetime) -> None:
        """There was a sign at ``moment``."""
        if self._last is None or moment - self._last > GAP:
            self._first = moment
        self._last = moment

    def may_judge(self, moment: datetime.datetime) -> bool:
        """Whether it has been there for so long that who is gone has had the time for a sign."""
        if self._first is None or self._last is None or moment - self._last > GAP:
            return False
        return (moment - self._first).total_seconds() >= GONE
