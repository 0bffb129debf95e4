"""Returned: the queue ``dead`` is emptied.

What names a ticket of the ledger is no dead letter: its ticket is due again, later each time. Only what is not ours is
filed, with its bytes and headers.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Protocol

from service import signals
from service.domain import errors
from service.domain import ticket as tickets

log = logging.getLogger("millrace.returned")

LIMIT = 500  #: messages in one go


class DeadQueue(Protocol):
    """Where the broker puts what it gives up."""

    def get(self) -> Any: ...
    def ack(self, message: Any) -> None: ...


class ReturnLedger(Protocol):
    """The ledger as this use case sees it."""

    def give_back(self, ticket: str, *, careful: bool) -> None: ...
    def file_stray(self, queue: str, reason: str, message: Any) -> None: ...


def empty(queue: DeadQueue, ledger: ReturnLedger) -> int:
    """Deal with what lies in the queue; how many messages."""
    for number in range(LIMIT):
        message = queue.get()
        if message is None:
            return number
        origin, reason = death(message)
        ticket = ticket_of(message)
        if ticket is not None:
            ledger.give_back(ticket, careful=reason == "delivery_limit")
        else:
            ledger.file_stray(origin, reason, message)
            log.warning("A message that is not ours was filed", extra={"action": "returned.filed", "queue": origin})
        signals.message_returned.send(None, ours=ticket is not None, reason=reason)
        queue.ack(message)  # After the commit: a crash in between repeats what may be repeated.
    return LIMIT


def ticket_of(message: Any) -> str | None:
    """The ticket's id, when the message looks like one of ours, of whatever version; else None."""
    try:
        body = json.loads(message.body)[0][0]
        ticket = body["ticket"]
        tickets.read({**body, "v": tickets.VERSION})
    except (ValueError, TypeError, LookupError, RecursionError, errors.ForeignMessage):
        return None
    return str(ticket)


def death(message: Any) -> tuple[str, str]:
    """(queue, reason) of a dead letter, from its ``x-death`` header."""
    headers = message.properties.get("application_headers") or {}
    last = (headers.get("x-death") or [{}])[0]
    return str(last.get("queue", "unknown")), str(last.get("reason", "unknown"))
