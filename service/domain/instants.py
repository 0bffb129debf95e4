"""Instants that are reckoned with. Beyond them lies nothing that anybody plans, and Python's time ends before long.

What is asked for beyond the ends means the ends: so whoever adds to an instant, or takes from it, meets no overflow.
"""

from __future__ import annotations

import datetime

FIRST_YEAR, LAST_YEAR = 1900, 9000  #: instants outside of these years are not looked for
FIRST = datetime.datetime(FIRST_YEAR, 1, 1, tzinfo=datetime.UTC)
LAST = datetime.datetime(LAST_YEAR, 12, 31, 23, 59, 59, 999_999, datetime.UTC)


def bounded(moment: datetime.datetime) -> datetime.datetime:
    """The instant itself, in UTC, or the end that it lies beyond. ``moment`` has a zone."""
    if moment <= FIRST:  # Aware instants are compared without being moved to another zone.
        return FIRST
    return LAST if moment >= LAST else moment.astimezone(datetime.UTC)
