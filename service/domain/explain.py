"""Why an event is not running, and when it is expected. Decided from what was read of it; nothing is asked here."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from typing import Any

from service.domain import outcome, states

COUNTED = 10_000  #: tickets ahead of an event are counted up to here
PUBLISH_SLACK = 5.0  #: seconds that a ticket may be due before somebody must have published it
DAY = 86_400.0  #: seconds

Moment = datetime.datetime


class Why(enum.StrEnum):
    """The word for programs."""

    SUCCEEDED = "succeeded"  #: it ran
    DEAD = "dead"  #: it is a dead letter
    CANCELLED = "cancelled"  #: somebody withdrew it
    EXPIRED = "expired"  #: its ``expires_at`` passed before it was worked
    RUNNING = "running"  #: a detached handler is at it, under a lease
    LEASE_ENDED = "lease_ended"  #: its run was lost; it is taken over
    BEING_WORKED = "being_worked"  #: a worker has it in an open transaction
    SCHEDULED = "scheduled"  #: its ``run_at`` lies ahead
    BACKING_OFF = "backing_off"  #: an attempt failed, and the next one comes later
    TYPE_PAUSED = "type_paused"
    QUEUE_PAUSED = "queue_paused"
    HELD_BACK = "held_back"  #: its type has a full window of published events
    BROKER_AWAY = "broker_away"  #: the process that was asked cannot reach the broker
    NO_CLOCK = "no_clock"  #: it should have been published, and there is no clock
    NO_WORKER = "no_worker"  #: no live worker takes from its queue, or none knows its type
    PUBLISHING = "publishing"  #: its ticket is about to be published
    QUEUED = "queued"  #: its ticket is with the broker
    NO_TICKET = "no_ticket"  #: a fault of Millrace's: `millrace doctor`


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What the ledger knows, in one snapshot."""

    id: str
    type: str
    state: states.State
    attempt: int
    now: Moment
    accepted_at: Moment
    run_at: Moment | None = None
    expires_at: Moment | None = None
    finished_at: Moment | None = None
    lease_until: Moment | None = None
    cancel_at: Moment | None = None
    progress: Any = None
    replayed_as: str | None = None
    dead_reason: str | None = None
    discarded_at: Moment | None = None
    discarded_by: str | None = None
    discarded_because: str | None = None
    error: str | None = None  #: of the last failed attempt
    failed_at: Moment | None = None  #: likewise
    queue: str | None = None  #: of its ticket; None: there is no ticket
    due_at: Moment | None = None  #: when its ticket is looked at again
    published_at: Moment | None = None  #: None: the ticket is not out
    publishes: int = 0
    returns: int = 0
    holder: str | None = None
    held_since: Moment | None = None
    locked_since: Moment | None = None  #: when the transaction began that has the event's row
    type_paused_at: Moment | None = None
    type_paused_by: str | None = None
    type_paused_because: str | None = None
    queue_paused_at: Moment | None = None
    queue_paused_by: str | None = None
    queue_paused_because: str | None = None
    out_events: int = 0
    most_out: int | None = None  #: how many of its type may be out, by how long they take; None: the setting alone
    ahead_tickets: int = 0  #: up to ``COUNTED``
    ahead_events: int = 0  #: on those tickets
    rate: float = 0.0  #: events of its queue that were worked of late, for each second
    workers: int = 0  #: live ones that take from its queue
    knowing: int = 0  #: those of them that have a handler for its type
    clocks: int = 0  #: live ones

    @property
    def ahead_is_more(self) -> bool:
        """Whether there are more ahead than were counted."""
        return self.ahead_tickets >= COUNTED


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """The answer."""

    reason: Why
    sentence: str  #: for people
    expected_at: Moment | None = None  #: when its run is expected, or the next one; None: nobody can say
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)  #: what it was decided by


def explain(record: Record, *, broker: bool | None, window: int) -> Explanation:
    """Why the event of ``record`` is not running, or what became of it.

    ``broker``: whether the process that is asked can reach the broker, None if it has not tried; ``window``: published
    events of one type, beyond which the others are held back.
    """
    if record.state not in states.OPEN:
        return _ended(record)
    if record.state is states.State.RUNNING:
        return _running(record)
    if record.locked_since is not None:
        facts = {"since": record.locked_since}
        said = f"A worker has it in hand since {_time(record.locked_since)}."
        return Explanation(Why.BEING_WORKED, said, record.locked_since, facts)
    if record.queue is None or record.due_at is None:
        said = "It has no ticket, so that nobody will work it: that is a fault of Millrace's (`millrace doctor`)."
        return Explanation(Why.NO_TICKET, said)
    return _out(record) if record.published_at is not None else _waiting(record, broker, window)


def _ended(record: Record) -> Explanation:
    why = Why(record.state.value)
    facts: dict[str, Any] = {"finished_at": record.finished_at, "attempts": record.attempt}
    at = "" if record.finished_at is None else f" at {_time(record.finished_at)}"
    if why is Why.DEAD:
        facts |= {"dead_reason": record.dead_reason, "error": record.error, "replayed_as": record.replayed_as}
        because = f": {outcome.told(record.dead_reason)}" if record.dead_reason else ""
        said = f"It is a dead letter since{at.removeprefix(' at')}{because}{_error(record)}."
        said += f" It was replayed as {record.replayed_as}." if record.replayed_as else " It can be replayed."
        if record.discarded_at is not None:
            facts["discarded"] = _act(record.discarded_at, record.discarded_by, record.discarded_because)
            said += f" It was discarded{_who(record.discarded_at, record.discarded_by, record.discarded_because)}"
    elif why is Why.EXPIRED:
        facts["expires_at"] = record.expires_at
        said = "It expired: nobody had worked it before its expires_at."
    elif why is Why.CANCELLED:
        said = f"It was cancelled{at}."
    else:
        said = f"It succeeded{at}, in attempt {record.attempt}."
    return Explanation(why, said, None, facts)


def _running(record: Record) -> Explanation:
    facts: dict[str, Any] = {
        "attempt": record.attempt, "by": record.holder, "since": record.held_since, "lease_until": record.lease_until,
        "progress": record.progress, "cancel_at": record.cancel_at,
    }  # fmt: skip
    by = f" by {record.holder}" if record.holder else ""
    since = f" since {_time(record.held_since)}" if record.held_since else ""
    if record.lease_until is not None and record.lease_until <= record.now:
        said = f"It was being run{by}{since}, whose lease has ended: another worker takes it over."
        return Explanation(Why.LEASE_ENDED, said, None, facts | _company(record))
    stopping = " It was asked to stop." if record.cancel_at is not None else ""
    said = f"Its handler runs{by}{since} (attempt {record.attempt}).{stopping}"
    return Explanation(Why.RUNNING, said, record.held_since, facts)


def _waiting(record: Record, broker: bool | None, window: int) -> Explanation:
    """It is pending, and its ticket is not with the broker."""
    assert record.due_at is not None
    facts = _company(record) | {"due_at": record.due_at, "attempts": record.attempt, "expires_at": record.expires_at}
    for kind, at, by, because in pauses(record):
        facts[f"{kind}_paused"] = _act(at, by, because)
    paused = _paused(record)
    if record.run_at is not None and record.run_at > record.now:
        return _later(record, record.run_at, paused, facts)
    why, said = paused or _kept(record, broker, window) or (Why.PUBLISHING, "")
    if said:
        return Explanation(why, said, _expected(record) if why is Why.HELD_BACK else None, facts)
    if record.returns and record.due_at > record.now:
        said = f"Its ticket came back {_times(record.returns)} from a queue; it is published again at"
        return Explanation(why, f"{said} {_time(record.due_at)}.", record.due_at, facts | {"returns": record.returns})
    said = f"Its ticket is about to be published to the queue {record.queue}, {_behind(record)}."
    return Explanation(why, said, _expected(record), facts)


def _later(record: Record, run_at: Moment, paused: tuple[Why, str] | None, facts: dict[str, Any]) -> Explanation:
    """It is not to be worked before an instant that lies ahead."""
    also, expected = (f" {paused[1]}", None) if paused else ("", run_at)
    if not record.attempt:
        return Explanation(Why.SCHEDULED, f"It is due at {_time(run_at)}.{also}", expected, facts | {"run_at": run_at})
    facts |= {"retry_at": run_at, "error": record.error, "failed_at": record.failed_at}
    said = f"Attempt {record.attempt} failed{_error(record)}; the next one is due at {_time(run_at)}.{also}"
    return Explanation(Why.BACKING_OFF, said, expected, facts)


def _kept(record: Record, broker: bool | None, window: int) -> tuple[Why, str] | None:
    """Why its ticket, which is due, is not published; None: nothing keeps it."""
    assert record.due_at is not None
    overdue = (record.now - record.due_at).total_seconds()
    if broker is False:
        return Why.BROKER_AWAY, "The broker cannot be reached from here; its ticket is published as soon as it can be."
    if not record.clocks and overdue > PUBLISH_SLACK:
        return Why.NO_CLOCK, f"Its ticket is due since {_time(record.due_at)}, and there is no clock to publish it."
    most = window if record.most_out is None else min(window, record.most_out)
    if record.out_events >= most and overdue > 0:
        said = f"Its type has {record.out_events} events with the broker, of {most} that it may have; the others are"
        return Why.HELD_BACK, f"{said} held back, {_behind(record)}."
    if nobody := _nobody(record):
        return Why.NO_WORKER, nobody
    return None


def _out(record: Record) -> Explanation:
    """It is pending, and its ticket is with the broker."""
    facts = _company(record) | {
        "published_at": record.published_at, "publishes": record.publishes, "returns": record.returns,
        "again_at": record.due_at, "attempts": record.attempt, "expires_at": record.expires_at,
    }  # fmt: skip
    assert record.published_at is not None
    if nobody := _nobody(record):
        return Explanation(Why.NO_WORKER, nobody, None, facts)
    said = f"Its ticket is in the queue {record.queue} since {_time(record.published_at)}, {_behind(record)}."
    return Explanation(Why.QUEUED, said, _expected(record), facts)


def _company(record: Record) -> dict[str, Any]:
    return {
        "queue": record.queue, "ahead": record.ahead_events, "ahead_is_more": record.ahead_is_more,
        "rate": round(record.rate, 3), "workers": record.workers, "workers_with_handler": record.knowing,
        "clocks": record.clocks, "out_events": record.out_events,
    }  # fmt: skip


def pauses(record: Record) -> tuple[tuple[str, Moment | None, str | None, str | None], ...]:
    """Of its type and of its queue: which of the two, since when it is paused (None: it is not), by whom, and why."""
    return (
        ("type", record.type_paused_at, record.type_paused_by, record.type_paused_because),
        ("queue", record.queue_paused_at, record.queue_paused_by, record.queue_paused_because),
    )


def _paused(record: Record) -> tuple[Why, str] | None:
    for kind, at, by, because in pauses(record):
        if at is not None:
            name = record.type if kind == "type" else record.queue
            return Why(f"{kind}_paused"), f"Its {kind} {name} was paused{_who(at, by, because)}"
    return None


def _act(at: Moment | None, by: str | None, because: str | None) -> dict[str, Any] | None:
    return None if at is None else {"at": at, "by": by, "because": because}


def _who(at: Moment, by: str | None, because: str | None) -> str:
    """When, by whom and why; the end of a sentence."""
    return f" at {_time(at)} by {by or 'someone unknown'}{f': {because}' if because else ''}."


def _nobody(record: Record) -> str | None:
    """Why there is nobody to work it; None when there is somebody."""
    if not record.workers:
        return (
            f"No live worker takes from its queue {record.queue}: start one with"
            f" `celery -A workers worker -Q {record.queue}`."
        )
    if not record.knowing:
        return f"None of the {record.workers} workers on its queue {record.queue} has a handler for {record.type}."
    return None


def _behind(record: Record) -> str:
    if record.ahead_is_more:
        return f"behind more than {record.ahead_events} other events"
    if not record.ahead_events:
        return "with none ahead of it"
    return f"behind {record.ahead_events} other event{'s' if record.ahead_events > 1 else ''}"


def _expected(record: Record) -> Moment | None:
    """By the rate at which its queue was worked of late; with nobody ahead, now."""
    if _nobody(record):
        return None
    if not record.ahead_events:
        return record.now
    if not record.rate or record.ahead_is_more:
        return None
    seconds = record.ahead_events / record.rate
    return record.now + datetime.timedelta(seconds=seconds) if seconds < DAY else None


def _error(record: Record) -> str:
    return f" ({record.error})" if record.error else ""


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _time(at: Moment) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")
