"""Reading the ledger for people and programs that ask over HTTP."""

from __future__ import annotations

import dataclasses
import datetime
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import exc, orm

from service.domain import errors, ids, states
from service.ledger import engine as engines
from service.ledger import fence, pages, schema, searching

Session = orm.Session
Row = sqlalchemy.RowMapping
Result = TypeVar("Result")

WINDOW = 20_000  #: the default of the setting

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

SUMMARY = """
select e.id::text, e.type, e.state, e.attempt, e.accepted_at, e.run_at, e.expires_at, e.finished_at,
       e.producer, e.request_id, e.schedule, e.slot_at, e.replay_of::text, e.replayed_as::text,
       d.discarded_at, t.published_at, t.due_at, coalesce(y.paused_at, q.paused_at) as paused_at,
       coalesce(y.out_events, 0) as out_events, y.most_out, d.reason as dead_reason, clock_timestamp() as now
"""

TABLES = """
from millrace.events e
left join millrace.tickets t on t.id = e.ticket_id and e.state = 'pending'
left join millrace.types y on y.name = e.type and e.state = 'pending'
left join millrace.queues q on q.name = t.queue
left join millrace.dead d on d.event_id = e.id and e.state = 'dead'
"""

ONE = f"""
{SUMMARY}, e.traceparent, e.attributes::text, e.payload::text, e.result::text, e.error::text, e.progress::text
{TABLES} where e.id = %(id)s::uuid
"""

SOME = f"{SUMMARY} {TABLES} where e.id = any(%(ids)s::uuid[]) order by e.id desc"

ENDED = "select id::text from millrace.events where id = any(%(ids)s::uuid[]) and state <> all(%(open)s)"

GONE = """
select day, coalesce(removed_at, thinned_at) as removed_at from millrace.retention
where day = millrace.day_of(%(id)s::uuid)
"""

ATTEMPTS = """
select attempt as number, started_at, finished_at, worker, error, message
from millrace.attempts where event_id = %(id)s::uuid order by attempt
"""

PAUSES = """
select 'type' as kind, name, paused_at as at, paused_by as by, paused_because as because
from millrace.types where paused_at is not null
union all
select 'queue', name, paused_at, paused_by, paused_because from millrace.queues where paused_at is not null
order by kind, name
"""

RESUMED = """
select name, resumed_at from millrace.types where resumed_at is not null order by resumed_at desc limit 1
"""

#: Filter → its condition.
CONDITIONS = searching.BOUNDS | searching.LOOKS

#: Where open events stand besides, so that few among many are found without reading all.
OPEN = """
e.id in (select unnest(t.event_ids) from millrace.tickets t where %(type)s::text is null or t.type = %(type)s)
"""

#: Columns of a summary that only serve to find the reason.
HELPERS = ("published_at", "due_at", "paused_at", "out_events", "most_out", "dead_reason", "now")


@dataclasses.dataclass(frozen=True, slots=True)
class Filters:
    """Which events are wanted; None: any."""

    type: str | None = None
    state: states.State | None = None
    producer: str | None = None
    since: datetime.datetime | None = None  #: accepted at this instant or later
    until: datetime.datetime | None = None  #: accepted before this instant
    before: str | None = None  #: ids below this one
    after: str | None = None  #: ids above this one; then those next to it are found, and not the newest
    text: str | None = None  #: in the payload as JSON, whatever the case

    def values(self) -> dict[str, str]:
        """What is given, in the ledger's terms: instants as the smallest id that they can have."""
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: _bound(value) for name, value in given.items() if value is not None}


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A page of the list of events, the newest first."""

    events: list[dict[str, Any]]
    older: str | None  #: go on with ids before this one; None: there are none that are wanted
    newer: str | None  #: go on with ids after this one, also those that come later; None: nothing was found yet
    searched_until: datetime.datetime | None  #: the time was up: what was accepted beyond this was not looked at


class Queries:
    """The ledger as the door reads it. All methods raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine, *, window: int = WINDOW) -> None:
        self._engine = engine
        self._window = window  #: published events of one type, beyond which the others are held back

    def find(self, event_id: str) -> dict[str, Any] | None:
        """An event with its failed attempts, None for an unknown id. Payload, result, error, progress are JSON text."""
        if not UUID.fullmatch(event_id):
            return None
        rows = self._rows(ONE, {"id": event_id})
        if not rows:
            return None
        found = self._event(rows[0])
        # A first attempt that succeeded has left nothing behind.
        unhurt = found["attempt"] == 0 or (found["attempt"] == 1 and found["state"] == states.State.SUCCEEDED)
        failed = [] if unhurt else self._rows(ATTEMPTS, {"id": event_id})
        return found | {"attempts": [pages.in_utc(row) for row in failed]}

    def missing(self, event_id: str) -> errors.EventNotFound:
        """The error for an id that nothing was found of: it tells if retention has been at its day."""
        said = f"there is no event {event_id[:100]!r}"
        gone = self._rows(GONE, {"id": event_id}) if UUID.fullmatch(event_id) else []
        if gone:
            day, at = gone[0]["day"], gone[0]["removed_at"]
            said += f"; events of {day} were removed {at:%Y-%m-%d}, for their retention was over"
        return errors.EventNotFound(said)

    def search(self, filters: Filters, *, limit: int) -> list[dict[str, Any]]:
        """Summaries of events, the newest first."""
        return self.page(filters, limit=limit).events

    def page(self, filters: Filters, *, limit: int) -> Page:
        """A page of them, with where to go on. It takes ``searching.SECONDS``; raises SearchTooSlow."""
        found, rows = self._again(lambda: self._search(filters, limit))
        events = [self._event(row) for row in rows]
        cut = len(found.ids) > limit
        low, high = (rows[-1]["id"], rows[0]["id"]) if rows else (None, filters.after)
        if filters.after is None:
            older, newer = found.searched_to or (low if cut else None), high
        else:
            older, newer = low, found.searched_to or high
        until = None if found.searched_to is None else ids.instant(found.searched_to)
        return Page(events, older, newer, until)

    def _search(self, filters: Filters, limit: int) -> tuple[searching.Found, Sequence[Row]]:
        with self._engine.get().connect() as connection:
            # One more than the page has room for tells whether there is another page.
            found = searching.Search(connection, filters.values()).run(limit + 1)
            if not found.ids:
                return found, []
            # In a transaction of its own: the limit of the search is not its limit, and a piece that took too long has
            # spoiled the one before.
            connection.rollback()
            return found, connection.exec_driver_sql(SOME, {"ids": found.ids[:limit]}).mappings().all()

    def ended(self, event_ids: Sequence[str]) -> set[str]:
        """Those among these events that are not open any more."""
        rows = self._rows(ENDED, {"ids": list(event_ids), "open": sorted(states.OPEN)})
        return {row["id"] for row in rows}

    def pauses(self) -> list[dict[str, Any]]:
        """The types and queues that are paused: kind, name, since when (at), by whom (by) and why (because)."""
        return [pages.in_utc(row) for row in self._rows(PAUSES, {})]

    def resumed(self) -> dict[str, Any] | None:
        """The type that was resumed last, and when; None: none ever was."""
        rows = self._rows(RESUMED, {})
        return pages.in_utc(rows[0]) if rows else None

    def check(self) -> None:
        """Raises LedgerUnavailable or SchemaNotReady when the road cannot work on this database."""
        schema.check(self._engine.get())

    def allow(self, seconds: float | None) -> None:
        """For how long a question of this thread may take from now on, where there is a limit; None: as any other."""
        self._engine.allow(seconds)

    def session(self) -> Session:
        """A new session on the ledger's database."""
        return Session(bind=self._engine.get(), expire_on_commit=False)

    def _event(self, row: Row) -> dict[str, Any]:
        # Its id tells when an event was accepted, to the door and to filters; the column has the instant of its flush.
        found = pages.in_utc(row) | {"accepted_at": ids.instant(row["id"])}
        reason = _reason(row, self._window)
        for name in HELPERS:
            del found[name]
        return found | {"reason": reason}

    def _rows(self, statement: str, values: dict[str, Any]) -> Sequence[Row]:
        def read() -> Sequence[Row]:
            with self._engine.get().connect() as connection:
                return connection.exec_driver_sql(statement, values).mappings().all()

        return self._again(read)

    def _again(self, read: Callable[[], Result]) -> Result:
        begun = time.monotonic()
        try:
            return read()
        except exc.DBAPIError as error:
            if not error.connection_invalidated or time.monotonic() - begun > engines.AT_ONCE:
                raise _told(error) from error
        except exc.SQLAlchemyError as error:
            raise _told(error) from error
        # The connection had died in the pool, which has thrown all of them away. To read again does no harm.
        try:
            return read()
        except exc.SQLAlchemyError as error:
            raise _told(error) from error


def _told(error: exc.SQLAlchemyError) -> Exception:
    """The error for the callers."""
    return errors.SearchTooSlow() if engines.sqlstate(error) == engines.QUERY_CANCELED else fence.unavailable(error)


def _reason(row: Row, window: int) -> str | None:
    """Why an event waits, or why it is dead."""
    if row["state"] != states.State.PENDING:
        dead_reason: str | None = row["dead_reason"]
        return dead_reason
    if row["published_at"] is not None:
        return states.Waiting.QUEUED
    if row["run_at"] is not None and row["run_at"] > row["now"]:
        return states.Waiting.RETRYING if row["attempt"] else states.Waiting.SCHEDULED
    if row["paused_at"] is not None:
        return states.Waiting.PAUSED
    overdue = row["due_at"] is not None and row["due_at"] <= row["now"]
    most = window if row["most_out"] is None else min(window, row["most_out"])
    return states.Waiting.HELD_BACK if overdue and row["out_events"] >= most else states.Waiting.QUEUED


def _bound(value: Any) -> str:
    """A filter's value as the ledger compares it."""
    if isinstance(value, datetime.datetime):
        # No id is older than the epoch, which is where the time in ids begins.
        return ids.floor(max(value, datetime.datetime.fromtimestamp(0, datetime.UTC)))
    return str(value)
