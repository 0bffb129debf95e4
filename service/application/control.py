"""Control: what operators decide about events, types and queues.

Each act is an entry in the audit log, in its own commit, and a line in the process's log, with its operator.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, Protocol

from service.domain import errors, handlers, states, topology

log = logging.getLogger("millrace.control")


class CancelLedger(Protocol):
    """The ledger for who cancels."""

    def cancel(self, event_id: str, *, by: str | None) -> states.State: ...
    def count(self, filters: Any) -> dict[str, int]: ...
    def cancel_all(self, filters: Any, *, limit: int, by: str | None) -> Any: ...


class DiscardLedger(Protocol):
    """The ledger for who discards dead letters."""

    def discard(self, event_id: str, *, by: str | None) -> None: ...
    def discard_all(self, filters: Any, *, limit: int, by: str | None) -> dict[str, int]: ...


class PauseLedger(Protocol):
    """What is paused of one kind: types or queues."""

    def knows(self, name: str) -> bool: ...
    def pause(self, name: str, by: str | None) -> dict[str, Any]: ...
    def resume(self, name: str, by: str | None) -> bool: ...


class StrayLedger(Protocol):
    """Messages that are not ours."""

    def discard(self, stray_id: str, *, by: str | None) -> None: ...


class Control:
    """Cancel, pause, resume, discard."""

    def __init__(
        self,
        registry: handlers.Registry,
        cancels: CancelLedger,
        types: PauseLedger,
        queues: PauseLedger,
        strays: StrayLedger,
        letters: DiscardLedger,
    ) -> None:
        self._registry = registry
        self._cancels = cancels
        self._types = types
        self._queues = queues
        self._strays = strays
        self._letters = letters

    def cancel(self, event_id: str, *, by: str | None) -> states.State:
        """Withdraw an event; its state afterwards: cancelled, or running and asked to stop.

        Raises EventNotFound, AlreadyEnded, BeingWorked.
        """
        state = self._cancels.cancel(event_id, by=by)
        said = "was cancelled" if state is states.State.CANCELLED else "is running, and was asked to stop"
        log.info("An event %s", said, extra={"action": "control.cancelled", "event_id": event_id, "by": by})
        return state

    def count(self, filters: Any) -> dict[str, int]:
        """How many events ``cancel_all`` would find, by type."""
        return self._cancels.count(filters)

    def cancel_all(self, filters: Any, *, limit: int, by: str | None) -> Any:
        """Withdraw what the filters find; how many were cancelled, are stopping, and are left."""
        found = self._cancels.cancel_all(filters, limit=limit, by=by)
        log.info(
            "Events were cancelled by filter",
            extra={"action": "control.cancelled", "by": by, **dataclasses.asdict(found)},
        )
        return found

    def pause_type(self, name: str, *, by: str | None) -> dict[str, Any]:
        """Hold back the events of a type; since when and by whom. Raises UnknownEventType."""
        self._check_type(name)
        return self._paused("type", name, self._types.pause(name, by), by)

    def resume_type(self, name: str, *, by: str | None) -> bool:
        """Let them go again; whether the type was paused. Raises UnknownEventType."""
        self._check_type(name)
        return self._resumed("type", name, self._types.resume(name, by), by)

    def pause_queue(self, name: str, *, by: str | None) -> dict[str, Any]:
        """Hold back the tickets of a queue; since when and by whom. Raises QueueNotFound."""
        self._check_queue(name)
        return self._paused("queue", name, self._queues.pause(name, by), by)

    def resume_queue(self, name: str, *, by: str | None) -> bool:
        """Let them go again; whether the queue was paused. Raises QueueNotFound."""
        self._check_queue(name)
        return self._resumed("queue", name, self._queues.resume(name, by), by)

    def discard_letter(self, event_id: str, *, by: str | None) -> None:
        """Have nothing more come of a dead letter. Raises EventNotFound, NotDead, AlreadyReplayed, AlreadyDiscarded."""
        self._letters.discard(event_id, by=by)
        log.info("A dead letter was discarded", extra={"action": "control.discarded", "event_id": event_id, "by": by})

    def discard_letters(self, filters: Any, *, limit: int, by: str | None) -> dict[str, int]:
        """Have nothing more come of those that the filters find, up to ``limit``; how many they were, by type."""
        types = self._letters.discard_all(filters, limit=limit, by=by)
        log.info("Dead letters were discarded", extra={"action": "control.discarded", "types": types, "by": by})
        return types

    def discard(self, stray_id: str, *, by: str | None) -> None:
        """Delete a stray. Raises StrayNotFound."""
        self._strays.discard(stray_id, by=by)
        log.info("A stray was discarded", extra={"action": "control.discarded", "stray": stray_id, "by": by})

    def _check_type(self, name: str) -> None:
        if name not in self._registry and not self._types.knows(name):
            raise errors.UnknownEventType(f"there is no event type {name[:100]!r}")

    def _check_queue(self, name: str) -> None:
        known = {topology.EVENTS_QUEUE, topology.PERIODIC_QUEUE} | self._registry.queues()
        if name not in known and not self._queues.knows(name):
            raise errors.QueueNotFound(f"there is no queue {name[:100]!r}")

    def _paused(self, kind: str, name: str, pause: dict[str, Any], by: str | None) -> dict[str, Any]:
        log.info("The %s %s is paused", kind, name, extra={"action": "control.paused", "by": by})
        return pause

    def _resumed(self, kind: str, name: str, was_paused: bool, by: str | None) -> bool:
        log.info("The %s %s goes on", kind, name, extra={"action": "control.resumed", "by": by})
        return was_paused
