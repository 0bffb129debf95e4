"""Explaining: why an event is not running, and when it is expected."""

from __future__ import annotations

from typing import Protocol

from service.domain import errors
from service.domain import explain as domain


class ExplainLedger(Protocol):
    """The ledger for who asks why."""

    def record(self, event_id: str) -> domain.Record | None: ...


class Explainer:
    """Reads what there is to know of an event, and decides."""

    def __init__(self, ledger: ExplainLedger, *, window: int) -> None:
        self._ledger = ledger
        self._window = window

    def explain(self, event_id: str, *, broker: bool | None) -> tuple[domain.Record, domain.Explanation]:
        """Raises EventNotFound. ``broker``: whether this process can reach the broker; None: it has not tried."""
        record = self._ledger.record(event_id)
        if record is None:
            raise errors.EventNotFound(f"there is no event {event_id[:100]!r}")
        return record, domain.explain(record, broker=broker, window=self._window)
