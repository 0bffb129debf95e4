"""Jitter: a delay that is the same whoever works it out, so that any clock fires a slot at the same instant."""

from __future__ import annotations

import datetime
import hashlib

RESOLUTION = datetime.timedelta(milliseconds=1)
LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)  #: there is no later instant


def jittered(
    name: str, planned: datetime.datetime, limit: float, following: datetime.datetime | None
) -> datetime.datetime:
    """The instant at which a slot is due: ``planned``, and up to ``limit`` seconds later.

    ``name``: of the schedule; ``following``: the plan's next instant, or None. The delay is drawn evenly, by whole
    milliseconds, from the hash of name and instant, and always ends before the next planned instant.
    """
    width = min(datetime.timedelta(seconds=limit), LAST - planned)
    if following is not None:
        width = min(width, following - planned - RESOLUTION)
    steps = max(0, width // RESOLUTION)
    text = f"{name}\0{planned.astimezone(datetime.UTC).isoformat()}"
    drawn = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    return planned + drawn % (steps + 1) * RESOLUTION


def hurried(
    until: datetime.datetime,
    name: str,
    planned: datetime.datetime,
    limit: float,
    following: datetime.datetime | None,
) -> datetime.datetime:
    """The same, where nothing may wait any longer: what was planned until then is due by then."""
    found = jittered(name, planned, limit, following)
    return min(found, until) if planned <= until else found
