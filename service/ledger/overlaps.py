"""The open events of schedules whose events must not overlap.

``open_since`` of a schedule is an instant before which none of its slots has an open event. From there on its slots are
looked through in order, and the mark follows, so that each slot is passed by once, however long its history is.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import sqlalchemy

from service.ledger import cancel

PIECE = 20_000  #: slots that are looked through at once, of all schedules together
LEAST = 1000  #: likewise of each one

# The first open one is enough to know that there is one; ``every`` one is wanted where all are to be cancelled. What
# was asked to stop is not asked again. Without an open one, ``passed`` is the last slot of a piece that was full.
LOOK = """
select a.name, o.event_id, o.due_at, o.stale, l.due_at as passed
from unnest(%(names)s::text[], %(every)s::boolean[]) as a (name, every)
join millrace.schedules s on s.name = a.name
left join lateral (
    select e.id::text as event_id, w.due_at,
           e.state = 'pending' and coalesce(e.expires_at <= clock_timestamp(), false) as stale
    from (select due_at, event_id from millrace.slots
          where schedule = s.name and due_at >= s.open_since order by due_at limit %(piece)s) w
    -- One by one, each in the partition of its day.
    cross join lateral (select id, state, expires_at, cancel_at from millrace.events where id = w.event_id limit 1) e
    where e.state in ('pending', 'running') and not (a.every and e.state = 'running' and e.cancel_at is not null)
    order by w.due_at limit case when a.every then %(piece)s else 1 end) o on true
left join lateral (
    select due_at from millrace.slots
    where o.event_id is null and schedule = s.name and due_at >= s.open_since
    order by due_at offset %(piece)s - 1 limit 1) l on true
"""


# Of a schedule whose policy changes: what it was until then may not have kept the mark, so all is looked through anew.
SINCE = """
case when s.spec->'policy'->>'overlap' is not distinct from {new}.spec->'policy'->>'overlap' then s.open_since
     else '-infinity' end
"""


@dataclasses.dataclass(slots=True)
class Look:
    """What was seen of one schedule."""

    open: list[tuple[str, datetime.datetime]] = dataclasses.field(default_factory=list)  #: (event, instant), in order
    passed: datetime.datetime | None = None  #: nothing is open up to here, and there is more to look through

    @property
    def since(self) -> datetime.datetime | None:
        """From where on there may be open ones; None: as before."""
        return self.open[0][1] if self.open else self.passed


def look(connection: sqlalchemy.Connection, schedules: Sequence[tuple[str, bool]]) -> dict[str, Look]:
    """What is open of these schedules (name, whether every open event is wanted), of each whose row is held.

    A tick that nobody has worked in time is ended here, and open no more, whoever might have worked it.
    """
    if not schedules:
        return {}
    names, every = [name for name, _ in schedules], [all_of_them for _, all_of_them in schedules]
    values = {"names": names, "every": every, "piece": max(LEAST, PIECE // len(names))}
    rows = connection.exec_driver_sql(LOOK, values).all()
    ended = cancel.expire_free(connection, [row.event_id for row in rows if row.stale])
    found: dict[str, Look] = {}
    for row in rows:
        one = found.setdefault(row.name, Look())
        if row.event_id is None:
            one.passed = row.passed
        elif row.event_id in ended:
            one.passed = row.due_at  # Behind it there may be others.
        else:
            one.open.append((row.event_id, row.due_at))
    return found
