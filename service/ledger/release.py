"""What the clock publishes: tickets that are due, and those that were probably lost on the way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from service.application import ports
from service.domain import ticket as tickets
from service.domain import topology
from service.ledger import engine as engines
from service.ledger import fence, intake, scans

FIFO_MARGIN = 1.0  #: seconds by which another ticket must have been published later, for clocks that differ a little

#: Seconds for publishing ticks. A clock that is lost with them in its hands must not make them late; where one is only
#: slow, another publishes them as well, which does no harm.
TICK_LEAD = 1.5

# Types take turns, on each of their queues (a type may have ticks beside events): the skip scan finds the lanes that
# have unpublished tickets, and each may send so many. What is paused, the type or the queue, waits, and so does a type
# whose window is full. `skip locked` lets any number of clocks do this side by side; the lead keeps the others away
# while this one publishes.
# What was taken counts at once, so that the rounds until the next count do not overrun the window.
TAKE_DUE = f"""
with recursive {scans.LANES},
open_lanes as (
    select l.type, l.queue, least(%(window)s, s.most_out) - coalesce(s.out_events, 0) as room
    from lanes l left join millrace.types s on s.name = l.type left join millrace.queues q on q.name = l.queue
    where l.queue <> all(%(without)s::text[]) and s.paused_at is null and q.paused_at is null
      and coalesce(s.out_events, 0) < least(%(window)s, s.most_out)
      -- What has nothing due takes no part of a batch from those who have.
      and (select min(t.due_at) from millrace.tickets t
           where t.type = l.type and t.queue = l.queue and t.published_at is null) <= clock_timestamp()),
due as (
    select d.id, o.type, d.size from open_lanes o
    cross join lateral (
        select id, due_at, cardinality(event_ids) as size,
               sum(cardinality(event_ids)) over (order by due_at, id) as upto
        from (select t.id, t.due_at, t.event_ids from millrace.tickets t
              where t.type = o.type and t.queue = o.queue and t.published_at is null
                and t.due_at <= clock_timestamp()
              order by t.due_at
              limit greatest(1, %(limit)s / (select count(*) from open_lanes))
              for no key update skip locked) locked) d
    where d.upto - d.size < o.room
    order by random() limit %(limit)s),  -- Of more types than fit, it is not always the same that wait.
counted as (
    insert into millrace.types (name, out_events) select type, sum(size) from due group by type order by type
    on conflict (name) do update set out_events = types.out_events + excluded.out_events)
update millrace.tickets t
set due_at = clock_timestamp() + make_interval(
    secs => case when t.queue = '{topology.PERIODIC_QUEUE}' then least(%(lead)s, {TICK_LEAD}) else %(lead)s end)
where t.id = any(array(select id from due)) -- No join: see `intake.NAMED`.
returning t.id::text, t.type, t.event_ids::text[], t.exchange, t.routing_key, t.queue,
          t.careful or (%(recount)s and t.publishes > 0), t.revision, extract(epoch from clock_timestamp())::float8
"""

OVERDUE_QUEUES = """
select distinct queue from millrace.tickets
where published_at is not null and due_at <= clock_timestamp()
"""

# `before`: everything published earlier than this was passed by: its queue is empty, or a later ticket was worked.
TAKE_OVERDUE = """
with line as (
    select case when %(empty)s then clock_timestamp()
                else (select max(mark) from millrace.tallies where queue = %(queue)s and mark is not null)
                     - make_interval(secs => %(margin)s) end as before),
over as (
    select id from millrace.tickets t, line
    where t.queue = %(queue)s and t.published_at < line.before and t.due_at <= clock_timestamp()
      and not exists (select from millrace.types s where s.name = t.type and s.paused_at is not null)
      and not exists (select from millrace.queues q where q.name = t.queue and q.paused_at is not null)
    order by t.published_at limit %(limit)s
    for no key update of t skip locked),
gone as (
    delete from millrace.tickets t
    where t.id = any(array(select id from over)) and not exists (
        select from millrace.events e
        where e.id = any(t.event_ids) and e.ticket_id = t.id and e.state in ('pending', 'running'))
    returning t.id)
update millrace.tickets t set due_at = clock_timestamp() + make_interval(secs => %(lead)s)
where t.id = any(array(select id from over except select id from gone))
returning t.id::text, t.type, t.event_ids::text[], t.exchange, t.routing_key, t.queue,
          t.careful or %(recount)s, t.revision, extract(epoch from clock_timestamp())::float8
"""


GIVE_BACK = f"""{intake.NAMED}
update millrace.tickets set due_at = clock_timestamp() where id = any(array(select id from named))
"""


class ReleaseLedger:
    """The ledger as the clock's publisher sees it (``application.ports.ReleaseLedger``).

    ``forgetful`` says that the broker does not tell a redelivery (the demo broker): then a ticket that is published
    again is worked carefully, for it may have killed its worker.
    """

    def __init__(self, engine: engines.Engine, *, patience: float, window: int, forgetful: bool) -> None:
        self._engine = engine
        self._patience = patience
        self._window = window
        self._forgetful = forgetful

    def take_due(self, limit: int, lead: float, without: Collection[str] = ()) -> list[ports.Due]:
        """Take tickets that are due, and keep the other clocks away from them for ``lead`` seconds.

        ``without``: queues of which nothing is taken.
        """
        values = {
            "limit": limit, "lead": lead, "without": list(without), "window": self._window,
            "recount": self._forgetful,
        }  # fmt: skip
        return [_due(row) for row in self._run(TAKE_DUE, values)]

    def overdue_queues(self) -> list[str]:
        """The queues that have tickets whose patience has ended."""
        return [row[0] for row in self._run(OVERDUE_QUEUES, {})]

    def take_overdue(self, queue: str, empty: bool, limit: int, lead: float) -> list[ports.Due]:
        """Take tickets of a queue that were passed by; rows with nothing open are dropped on the way."""
        values = {
            "queue": queue, "empty": empty, "limit": limit, "lead": lead, "margin": FIFO_MARGIN,
            "recount": self._forgetful,
        }  # fmt: skip
        return [_due(row) for row in self._run(TAKE_OVERDUE, values)]

    def mark_out(self, confirmed: Sequence[tuple[str, int]]) -> None:
        """Note that these (ticket, revision) are with the broker."""
        if confirmed:
            found = ([c[0] for c in confirmed], [c[1] for c in confirmed])
            self._run(intake.MARK_OUT, (*found, self._patience))

    def give_back(self, taken: Sequence[tuple[str, int]]) -> None:
        """These (ticket, revision) could not be published: they are due again."""
        self._run(GIVE_BACK, ([t[0] for t in taken], [t[1] for t in taken]))

    def _run(self, statement: str, values: Any) -> Sequence[Any]:
        with fence.transaction(self._engine) as connection:
            found = connection.exec_driver_sql(statement, values)
            return found.all() if found.returns_rows else []


def _due(row: Any) -> ports.Due:
    found = tickets.Ticket(
        id=row[0], type=row[1], event_ids=tuple(row[2]), exchange=row[3], routing_key=row[4], queue=row[5],
        careful=row[6], at=row[8],
    )  # fmt: skip
    return ports.Due(found, revision=row[7])
