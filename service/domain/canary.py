"""The canary: events and ticks that do nothing, sent through every queue to see that things arrive."""

from __future__ import annotations

from service.domain import topology

SCHEDULE = "millrace.canary"
TICK = "millrace.canary.tick"  #: type of the event of a tick
LATE = 60.0  #: seconds after which one is lost
#: Seconds after which nobody works it any more, so that they do not pile up without a worker, and do not count as late
#: when one returns. A clock whose own time is behind the ledger's by more than this is refused at the door.
EXPIRES = 2 * LATE


def type_of(queue: str) -> str:
    """The type of the canary's events that ride through this queue."""
    return f"millrace.canary.queue.{queue.replace('-', '__')}"


def queues(named: frozenset[str]) -> list[str]:
    """The queues that its events ride through, beside that of ticks; ``named``: those that handlers ask for."""
    return sorted({topology.EVENTS_QUEUE} | named)
