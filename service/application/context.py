"""What a handler is given beside its payload."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Sequence
from typing import Any

from service.application import ports
from service.domain.event import Event

log = logging.getLogger("millrace.handler")


#: The run that this thread is at, for what is logged in it.
running: contextvars.ContextVar[Context | None] = contextvars.ContextVar("millrace_running", default=None)


class Context:
    """The surroundings of one run of a handler."""

    def __init__(self, work: ports.Work, events: Sequence[Event], *, shared: bool) -> None:
        self._work = work
        self._events = events
        self._shared = shared
        #: W3C trace context, for the header of calls to other services: of this run if it is traced, else as it came
        #: with the (first) event. None where nobody traces.
        self.traceparent: str | None = events[0].traceparent
        self.log = logging.LoggerAdapter(log, {"action": "handler", "event_id": events[0].id})

    @property
    def session(self) -> Any:
        """A SQLAlchemy session in the road's own transaction: what is done in it is committed with the outcome.

        ``commit()`` and ``rollback()`` work, on what the handler itself has done; they cannot end the transaction.
        """
        return self._work.session(shared=self._shared)

    @property
    def event(self) -> Event:
        """The event (of a bulk handler: the first)."""
        return self._events[0]

    @property
    def events(self) -> Sequence[Event]:
        """All events of this run: one, or the list that a bulk handler was given."""
        return self._events

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._events[0].attempt

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the work is: 0 to 1, and a few words. People see it within a second or two.

        Does what ``check`` does, too. In an atomic handler nothing: nobody can see it before the commit.
        """

    def check(self) -> None:
        """In a detached handler: raises Cancelled when somebody cancelled the event, LeaseLost when it has another's.

        To be called now and then in long work. In an atomic handler nothing: it has its locks until the end.
        """

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled the event while its detached handler runs."""
        return False

    @property
    def idempotency_key(self) -> str:
        """Stays the same over all attempts: for calls to the outside."""
        return self._events[0].id
