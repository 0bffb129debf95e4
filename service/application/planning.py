"""Planning: which tickets cover the events of a flush, and which of them are published at once."""

from __future__ import annotations

import datetime
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from service.application import ports
from service.domain import handlers, ids, topology
from service.domain import ticket as tickets

COUNTED_AFTER = 2.0  #: seconds after which what was published is marked, and the clock has counted it


class Recent:
    """What this process has published of slow types, since the clock may not have counted it yet."""

    def __init__(self) -> None:
        self._published: deque[tuple[float, str, int]] = deque()

    def note(self, published: Sequence[tickets.Ticket], rooms: Mapping[str, int]) -> None:
        """Remember what is published, of the types that have little room."""
        now = time.monotonic()
        self._published.extend((now, t.type, len(t.event_ids)) for t in published if t.type in rooms)

    def left(self, rooms: Mapping[str, int]) -> dict[str, int]:
        """Of each slow type, how many more events may be published."""
        before = time.monotonic() - COUNTED_AFTER
        while self._published and self._published[0][0] < before:
            self._published.popleft()
        found = dict(rooms)
        for _, type_name, number in self._published:
            if type_name in found:
                found[type_name] -= number
        return found


def plan(
    rows: Iterable[ports.Row],
    registry: handlers.Registry,
    now: float,
    *,
    held: ports.Held,
    room: dict[str, int],
    head_start: float,
) -> list[ports.NewTicket]:
    """The tickets that cover these rows: events of one type and one due instant ride together.

    ``room``: of a slow type, how many events may be published; what is over is left to the clock.
    """
    groups: dict[tuple[str, datetime.datetime | None], list[ports.Row]] = {}
    for row in rows:
        groups.setdefault((row.event.type, row.event.run_at), []).append(row)
    planned = []
    for (type_name, run_at), members in groups.items():
        handler = registry.get(type_name)
        exchange, key = topology.event_route(type_name, handler.queue)
        # What is not published by this process at once is due now (or at run_at) for the clock.
        wait = run_at is not None or held.holds(type_name, handler.queue)
        size = handler.bundle_at(held.paces.get(type_name))
        for start in range(0, len(members), size):
            bundle = members[start : start + size]
            ticket_id = ids.uuid7(now)
            for row in bundle:
                row.ticket = ticket_id
            found = tickets.Ticket(
                ticket_id, type_name, tuple(r.id for r in bundle), exchange, key, handler.queue, at=now
            )
            over = not wait and type_name in room and room[type_name] < len(bundle)
            if type_name in room and not (wait or over):
                room[type_name] -= len(bundle)
            due_at = run_at if run_at is not None else instant(now) if wait or over else None
            planned.append(ports.NewTicket(found, due_at, 0.0 if wait or over else head_start))
    return planned


def instant(now: float) -> datetime.datetime:
    """The time of seconds since the epoch."""
    return datetime.datetime.fromtimestamp(now, datetime.UTC)
