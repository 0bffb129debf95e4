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
    def drop(self) -> None: ...


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
        try:
            _deal_with(message, ledger)
        except Exception:
            queue.drop()  # With its connection the message goes back into the queue.
            raise
        queue.ack(message)  # After the commit: a crash in between repeats what may be repeated.
    return LIMIT


def _deal_with(message: Any, ledger: ReturnLedger) -> None:
    origin, reason = death(message)
    ticket = ticket_of(message)
    if ticket is not None:
        ledger.give_back(ticket, careful=reason == "delivery_limit")
    else:
        ledger.file_stray(origin, reason, message)
        log.warning("A message that is not ours was filed", extra={"action": "returned.filed", "queue": origin})
    signals.message_returned.send(None, ours=ticket is not None, reason=reason)


def ticket_of(message: Any) -> str | None:
    """The ticket's id, when the message looks like one of ours, of whatever version; else None."""
    try:
        return tickets.read({**json.loads(message.body)[0][0], "v": tickets.VERSION}).ticket
    except (ValueError, TypeError, LookupError, RecursionError, errors.ForeignMessage):
        return None


def death(message: Any) -> tuple[str, str]:
    """(queue, reason) of a dead letter, from its ``x-death`` header."""
    match (message.properties.get("application_headers") or {}).get("x-death"):
        case [{"queue": str() as queue, "reason": str() as reason}, *_]:
            return queue, reason
    return "unknown", "unknown"
