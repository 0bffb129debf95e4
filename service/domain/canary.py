"""The canary: events and ticks that do nothing, sent through every queue to see that things arrive."""

from __future__ import annotations

from service.domain import topology

SCHEDULE = "millrace.canary"
TICK = "millrace.canary.tick"  #: type of the event of a tick


def type_of(queue: str) -> str:
    """The type of the canary's events that ride through this queue."""
    return f"millrace.canary.queue.{queue.replace('-', '__')}"


def queues(named: frozenset[str]) -> list[str]:
    """The queues that its events ride through, beside that of ticks; ``named``: those that handlers ask for."""
    return sorted({topology.EVENTS_QUEUE} | named)
