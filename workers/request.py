"""What the worker's parent sees of a ticket: its start, its report, its loss. Metrics are counted here.

The parent outlives its children, so nothing is lost when one is recycled or killed, and no files are needed.
"""

from __future__ import annotations

from typing import Any

import msgspec
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.exceptions import Reject
from celery.worker import request

from service import signals
from service.broker import message


class Request(request.Request):
    """A Celery request that tells the listeners."""

    on_success: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Celery makes a subclass whose own `on_success` hides ours; an attribute of the instance comes first.
        self._celery_on_success = self.on_success
        self.on_success = self._on_success

    def on_accepted(self, pid: Any, time_accepted: float) -> None:
        """A child has taken the ticket, and those that have joined it."""
        super().on_accepted(pid, time_accepted)
        count = self.request_dict.get(message.COUNT, 1)
        redelivered = bool(self.delivery_info.get("redelivered"))
        signals.ticket_started.send(self, type=self.name, tickets=self._tickets(), count=count, redelivered=redelivered)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """The ticket came back without a report."""
        signals.ticket_failed.send(self, type=self.name, tickets=self._tickets(), outcome=_outcome(exc_info.exception))
        try:
            return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        finally:
            signals.ticket_over.send(self, report=None)

    def _tickets(self) -> int:
        return int(self.request_dict.get(message.TICKETS, 1))

    def _on_success(self, failed__retval__runtime: Any, **kwargs: Any) -> Any:
        failed, value, _ = failed__retval__runtime
        if failed:
            return self._celery_on_success(failed__retval__runtime, **kwargs)  # Which is `on_failure`.
        report = msgspec.json.decode(value)
        signals.ticket_finished.send(self, report=report)
        try:
            return self._celery_on_success(failed__retval__runtime, **kwargs)
        finally:
            signals.ticket_over.send(self, report=report)


def _outcome(error: BaseException) -> str:
    error = getattr(error, "exc", error)
    if isinstance(error, WorkerLostError):
        return "worker_lost"
    if isinstance(error, TimeLimitExceeded):
        return "time_limit"
    return "rejected" if isinstance(error, Reject) else "error"
