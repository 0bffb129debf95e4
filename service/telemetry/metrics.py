"""The metrics of one process, filled by listening to ``service.signals``.

There are no files of a multiprocess mode. A process that was forked off is silent, because its
counts would end with it: a worker's children send their reports to the parent, and only the parent
counts. Nothing in here raises into the business code that sends the signals.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import blinker

from service import signals
from service.domain import outcome as outcomes
from service.domain import ticket as tickets
from service.telemetry import catalogue, instruments

log = logging.getLogger("millrace.metrics")

Listener: TypeAlias = Callable[..., None]


class Metrics:
    """What a process counts. Each method ``on_…`` listens to the signal of that name."""

    def __init__(self, role: str) -> None:
        if role not in catalogue.ROLES:
            raise ValueError(f"role: one of {', '.join(catalogue.ROLES)} is wanted, not {role!r}")
        self.role = role
        self.pid = os.getpid()
        self._to = instruments.Instruments(role)
        self.registry = self._to.registry
        self._listeners: list[tuple[blinker.Signal, Listener]] = []

    def know(
        self,
        *,
        types: Iterable[str] = (),
        schedules: Iterable[str] = (),
        routes: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Make series for types, schedules and routes (method, template); all else is ``other``."""
        self._to.know("type", types)
        self._to.know("schedule", schedules)
        self._to.know_routes(routes)

    def listen(self) -> None:
        """Begin to listen to the signals."""
        for name, signal in vars(signals).items():
            method = getattr(self, f"on_{name}", None)
            if isinstance(signal, blinker.Signal) and method is not None:
                listener = self._quietly(method)
                signal.connect(listener, weak=False)
                self._listeners.append((signal, listener))

    def close(self) -> None:
        """Stop listening."""
        while self._listeners:
            signal, listener = self._listeners.pop()
            signal.disconnect(listener)

    def on_events_accepted(self, *, counts: Mapping[str, int], outcome: str) -> None:
        """Events were accepted, or not."""
        for type_name, n in counts.items():
            self._to.add("millrace_events_accepted_total", n, type=type_name, outcome=outcome)

    def on_tickets_published(
        self, *, batch: Sequence[tickets.Ticket], confirmed: set[str], reached: bool, seconds: float
    ) -> None:
        """A batch went to the broker; ``reached``: it was there to the end."""
        missed = "unconfirmed" if reached else "unavailable"
        counts = Counter((t.exchange, "confirmed" if t.id in confirmed else missed) for t in batch)
        for (exchange, word), n in counts.items():
            self._to.add("millrace_tickets_published_total", n, exchange=exchange, outcome=word)
        self._to.observe("millrace_publish_duration_seconds", [seconds])

    def on_ticket_started(self, *, type: str, count: int = 0) -> None:
        """A ticket with ``count`` events was taken."""
        self._to.add("millrace_tickets_started_total", 1, type=type)
        self._to.add("millrace_events_started_total", count, type=type)

    def on_ticket_finished(self, *, report: Mapping[str, Any]) -> None:
        """A ticket's report came back."""
        type_name = str(report.get("type", catalogue.OTHER))
        for word in outcomes.Word:
            if n := report.get(word.value, 0):
                self._to.add("millrace_events_finished_total", n, type=type_name, outcome=word.value)
        self._to.observe("millrace_event_run_duration_seconds", report.get("runs", ()), type=type_name)
        latencies = report.get("latencies", ())
        self._to.observe("millrace_event_commit_latency_seconds", latencies, type=type_name)

    def on_ticket_failed(self, *, type: str, outcome: str) -> None:
        """A ticket came back without a report."""
        self._to.add("millrace_tickets_failed_total", 1, type=type, outcome=outcome)

    def on_connection_changed(self, *, peer: str, up: bool) -> None:
        """A peer was reached, or lost."""
        self._to.set("millrace_connection_up", float(up), peer=peer)

    def on_tickets_counted(self, *, due: int, out: int, overdue: int) -> None:
        """The clock has counted the ledger's tickets."""
        self._to.set("millrace_tickets_due", due)
        self._to.set("millrace_tickets_out", out)
        self._to.set("millrace_tickets_overdue", overdue)

    def on_slots_settled(self, *, late: Mapping[str, Sequence[float]], skipped: Mapping[tuple[str, str], int]) -> None:
        """Planned instants became events, or were skipped."""
        for schedule, seconds in late.items():
            self._to.add("millrace_slots_fired_total", len(seconds), schedule=schedule)
            self._to.observe("millrace_slot_lateness_seconds", seconds, schedule=schedule)
        for (schedule, reason), n in skipped.items():
            self._to.add("millrace_slots_skipped_total", n, schedule=schedule, reason=reason)

    def on_schedules_succeeded(self, *, last: Mapping[str, float]) -> None:
        """Seconds since the epoch when each schedule's latest event succeeded."""
        for schedule, at in last.items():
            self._to.set("millrace_schedule_last_success_timestamp_seconds", at, schedule=schedule)

    def on_message_returned(self, *, ours: bool, reason: str) -> None:
        """A message of the dead queue was dealt with."""
        owner = "ours" if ours else "stray"
        self._to.add("millrace_messages_returned_total", 1, owner=owner, reason=reason)

    def on_request_finished(self, *, method: str, route: str, code: int, seconds: float) -> None:
        """An HTTP request was answered."""
        place = {"method": method, "route": route}
        self._to.add("millrace_http_requests_total", 1, **place, code=str(code))
        self._to.observe("millrace_http_request_duration_seconds", [seconds], **place)

    def _quietly(self, method: Listener) -> Listener:
        """The method as a listener that never raises, and is silent in a process forked off."""
        failed = False

        @functools.wraps(method)
        def listener(_sender: Any, **given: Any) -> None:
            nonlocal failed
            if os.getpid() != self.pid:
                # A lock that another thread held at the fork is held for ever here: touch nothing.
                return
            try:
                method(**given)
            except Exception:
                if not failed:  # Once is enough to know.
                    failed = True
                    log.exception("Something could not be counted", extra={"action": "metrics.failed"})

        return listener


_installed: Metrics | None = None
_lock = threading.Lock()


def install(
    role: str,
    types: Iterable[str] = (),
    schedules: Iterable[str] = (),
    routes: Iterable[tuple[str, str]] = (),
) -> Metrics:
    """The metrics of this process, made and listening.

    Called again in the same process, it only makes more types, schedules and routes known.
    """
    global _installed
    with _lock:
        if _installed is None or _installed.pid != os.getpid():
            if _installed is not None:
                _installed.close()  # Those of the parent.
            _installed = Metrics(role)
            _installed.listen()
        _installed.know(types=types, schedules=schedules, routes=routes)
        return _installed


def installed() -> Metrics | None:
    """The metrics of this process, if there are any."""
    found = _installed
    return found if found is not None and found.pid == os.getpid() else None


def uninstall() -> None:
    """Stop counting in this process."""
    global _installed
    with _lock:
        if _installed is not None:
            _installed.close()
        _installed = None
