"""An event: one unit of work."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from service.domain import errors

#: Dotted lower case: ``numbers.requested``. At most 100 characters, so that a routing key (255 bytes) always fits.
TYPE_PATTERN = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
TYPE_LENGTH = 100  #: characters


# Named tuples, because some are made for each event, and a frozen data class takes four times as long.


class NewEvent(NamedTuple):
    """What a producer hands in, after it was checked."""

    type: str  #: the event's name
    payload: str  #: the payload as JSON text
    producer: str | None = None  #: who sent it, as far as known
    request_id: str | None = None  #: the HTTP request that brought it
    run_at: datetime.datetime | None = None  #: not before this instant
    delay: float | None = None  #: seconds from its acceptance, in the place of ``run_at``
    expires_at: datetime.datetime | None = None  #: not after this instant
    key: str | None = None  #: idempotency key, unique by (scope, key)
    scope: str = ""  #: what the key is unique in: the producer, or the source of a CloudEvent
    fingerprint: str | None = None  #: of what was sent, to tell a repeat from a misuse of the key
    traceparent: str | None = None  #: W3C trace context, handed on to the handler
    attributes: str | None = None  #: the context attributes of a CloudEvent as JSON text

    def settled(self, now: datetime.datetime) -> NewEvent:
        """The same as it is accepted at ``now``: its delay is counted, and what was due before is due now."""
        if self.delay is not None:
            return self._replace(delay=None, run_at=now + datetime.timedelta(seconds=self.delay))
        if self.run_at is not None and self.run_at <= now:
            return self._replace(run_at=None)
        return self


class Event(NamedTuple):
    """An event as a worker claimed it."""

    id: str  #: UUID version 7
    type: str
    payload: Any  #: the payload as parsed JSON
    attempt: int  #: which attempt this is, from 1
    accepted_at: datetime.datetime
    crashes: int = 0  #: how often its worker was lost while it ran
    producer: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    attributes: Mapping[str, Any] | None = None  #: of a CloudEvent: ``source``, ``id``, ``subject``, ``time``, …
    schedule: str | None = None  #: for a tick: the schedule's name
    slot_at: datetime.datetime | None = None  #: for a tick: the planned instant

    def with_payload(self, payload: Any) -> Event:
        """The same with its payload as the handler's model; ``_replace`` takes five times as long."""
        return Event(self.id, self.type, payload, *self[3:])


def check_type(name: str) -> str:
    """``name`` itself, or a DeclarationError that says what a type's name must be."""
    if len(name) > TYPE_LENGTH or not TYPE_PATTERN.fullmatch(name):
        raise errors.DeclarationError(
            f"{name!r} is no event type: dotted lower case is wanted, like orders.created,"
            f" at most {TYPE_LENGTH} characters"
        )
    return name
