"""Returned: the queue ``dead`` is emptied.

What names a ticket of the ledger is no dead letter: its ticket is due again, later each time. Only what is not ours is
filed, with its bytes and headers.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Protocol

from service import signals
from service.domain import errors, topology
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

    def answers(self) -> None: ...
    def give_back(self, ticket: str, *, careful: bool) -> bool: ...
    def file_stray(self, queue: str, reason: str, message: Any) -> None: ...


def empty(queue: DeadQueue, ledger: ReturnLedger) -> int:
    """Deal with what lies in the queue; how many messages."""
    ledger.answers()  # What is taken and goes back is counted by the broker, which gives it up after some times.
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
    found = body_of(message)
    ours = False
    if found is not None:
        # Who cannot read a ticket gives it back all the same: it may be of a newer version.
        ours = ledger.give_back(found["ticket"], careful=reason == "delivery_limit") or _is_over(found)
    if not ours:
        ledger.file_stray(origin, reason, message)
        log.warning("A message that is not ours was filed", extra={"action": "returned.filed", "queue": origin})
    signals.message_returned.send(None, ours=ours, reason=reason)


def body_of(message: Any) -> dict[str, Any] | None:
    """What names a ticket in a message; None if nothing does."""
    try:
        found = json.loads(message.body)[0][0]
        return found if tickets.UUID.fullmatch(found["ticket"]) else None
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _is_over(body: dict[str, Any]) -> bool:
    """Whether what names no ticket of the ledger was one: of a version that is to come, of which only that is known."""
    version = body.get("v")
    if isinstance(version, int) and version > tickets.VERSION:
        return True
    try:
        return bool(tickets.read(body))
    except errors.ForeignMessage:
        return False


def death(message: Any) -> tuple[str, str]:
    """(queue, reason) of a dead letter, from its ``x-death`` header. Anybody may write one: no other words are kept."""
    match (message.properties.get("application_headers") or {}).get("x-death"):
        case [{"queue": str() as queue, "reason": str() as reason}, *_]:
            return (
                queue if topology.may_be_ours(queue) else "unknown",
                reason if reason in topology.DEATHS else "unknown",
            )
    return "unknown", "unknown"
