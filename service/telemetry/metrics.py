"""The metrics of one process, filled by listening to ``service.signals``.

There are no files of a multiprocess mode: a worker's children send their reports to the parent, and only the parent
counts.
"""

from __future__ import annotations

import datetime
import logging
import math
import operator
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from service import __version__
from service.domain import objective
from service.domain import outcome as outcomes
from service.domain import ticket as tickets
from service.domain.keeping import Kept
from service.telemetry import catalogue, instruments, listening

log = logging.getLogger("millrace.metrics")


class Metrics(listening.Listener):
    """What a process counts."""

    def __init__(self, role: str, version: str = __version__) -> None:
        super().__init__(log, "Something could not be counted", "metrics.failed")
        if role not in catalogue.ROLES:
            raise ValueError(f"role: one of {', '.join(catalogue.ROLES)} is wanted, not {role!r}")
        self.role = role
        self._to = instruments.Instruments(role, version)
        self.registry = self._to.registry
        self._lock = threading.Lock()
        self._detached: set[str] = set()
        self._running = 0  # Tickets with a worker's children or threads.
        self._to.set("millrace_worker_tickets_running", 0)
        self._tallied: dict[tuple[str, str], int] = {}  # What was read last, by type and word.

    def know(
        self,
        *,
        types: Iterable[str] = (),
        schedules: Iterable[str] = (),
        queues: Iterable[str] = (),
        detached: Iterable[str] = (),
        routes: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Make series for types, schedules, queues and routes (method, template); all else is ``other``.

        ``detached``: the types whose handlers are detached.
        """
        self._detached.update(detached)
        self._to.know("type", types)
        self._to.know("schedule", schedules)
        self._to.know("queue", queues)
        self._to.know_routes(routes)

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

    def on_ticket_started(self, *, type: str, tickets: int = 1, count: int = 0, redelivered: bool = False) -> None:
        """A run of tickets with ``count`` events was taken; ``redelivered``: the broker had delivered it before."""
        self._to.add("millrace_tickets_started_total", tickets, type=type)
        self._to.add("millrace_tickets_redelivered_total", tickets * int(redelivered), type=type)
        self._to.add("millrace_events_started_total", count, type=type)
        self._runs(+1, type)

    def on_ticket_finished(self, *, report: Mapping[str, Any]) -> None:
        """A ticket's report came back."""
        type_name = str(report.get("type", catalogue.OTHER))
        for word in outcomes.Word:
            if n := report.get(word.value, 0):
                self._to.add("millrace_events_finished_total", n, type=type_name, outcome=word.value)
        runs, waits, latencies = (report.get(name, ()) for name in ("runs", "waits", "latencies"))
        trace = report.get("trace")  # Of the slowest; which one of several waited or ran longest is not told.
        alone = trace if len(runs) == 1 else None
        self._to.observe("millrace_event_run_duration_seconds", runs, example=alone, type=type_name)
        for fault, n in report.get("faults", {}).items():
            self._to.add("millrace_ledger_faults_total", n, fault=fault)
        self._to.observe("millrace_event_commit_latency_seconds", latencies, example=trace, type=type_name)
        self._to.observe("millrace_event_start_latency_seconds", waits, example=alone, type=type_name)
        self._runs(-1, type_name)

    def on_ticket_failed(self, *, type: str, outcome: str, tickets: int = 1) -> None:
        """A run of tickets came back without a report."""
        self._to.add("millrace_tickets_failed_total", tickets, type=type, outcome=outcome)
        self._to.add("millrace_worker_children_lost_total", int(outcome == "worker_lost"), type=type)
        self._runs(-1, type)

    def on_connection_changed(self, *, peer: str, up: bool) -> None:
        """A peer was reached, or lost."""
        self._to.set("millrace_connection_up", float(up), peer=peer)

    def on_ledger_failed(self, *, fault: str) -> None:
        """PostgreSQL refused something, or could not be reached."""
        self._to.add("millrace_ledger_faults_total", 1, fault=str(fault))

    def on_access_refused(self, *, reason: str) -> None:
        """A request was refused for who sent it."""
        self._to.add("millrace_access_refused_total", 1, reason=reason)

    def on_queues_declared(self, *, vhost: str, queues: Iterable[str]) -> None:
        """The work queues that this process knows."""
        self._to.know("vhost", [vhost])
        self._to.replace("millrace_queue_info", {(vhost, queue): 1.0 for queue in queues}, otherwise=math.nan)

    def on_tickets_counted(self, *, due: int, held: int, out: int, overdue: Mapping[str, int]) -> None:
        """The clock has counted the ledger's tickets."""
        self._to.set("millrace_tickets_due", due)
        self._to.set("millrace_tickets_held", held)
        self._to.set("millrace_tickets_out", out)
        late = {(queue,): float(n) for queue, n in overdue.items()}
        self._to.replace("millrace_tickets_overdue", late, merge=operator.add)

    def on_waiting_seen(self, *, waits: Mapping[tuple[str, str], float]) -> None:
        """The clock has looked for what waits longest."""
        self._to.replace("millrace_oldest_waiting_seconds", waits, merge=max)

    def on_tallies_read(self, *, sums: Mapping[tuple[str, str], int], opened: Mapping[str, int]) -> None:
        """The clock has read the ledger's tallies."""
        for (type_name, word), n in sums.items():
            # Tallies only grow; to a counter they are told as what came since.
            more = n - self._tallied.get((type_name, word), 0)
            self._to.add("millrace_events_tallied_total", max(0, more), type=type_name, word=word)
            self._tallied[type_name, word] = n
        self._to.go_on("millrace_events_tallied_total")
        self._to.replace("millrace_events_open", {(name,): float(n) for name, n in opened.items()}, merge=operator.add)

    def on_letters_read(
        self, *, new: Mapping[tuple[str, str], int], unreplayed: Mapping[str, int], oldest: Mapping[str, float]
    ) -> None:
        """The clock has read of dead letters."""
        for (type_name, reason), n in new.items():
            self._to.add("millrace_dead_letters_total", n, type=type_name, reason=reason)
        letters = {(reason,): float(n) for reason, n in unreplayed.items()}
        self._to.replace("millrace_dead_letters_unreplayed", letters, merge=operator.add)
        self._to.replace("millrace_dead_letters_oldest_seconds", {(reason,): s for reason, s in oldest.items()})

    def on_balance_seen(self, *, without_ticket: int, checked: int, partitions: int) -> None:
        """The clock has checked some events for their tickets."""
        self._to.set("millrace_events_without_ticket", without_ticket)
        self._to.add("millrace_events_checked_total", checked)
        self._to.set("millrace_partitions_ahead", partitions)

    def on_past_seen(self, *, kept: Kept) -> None:
        """The clock has looked at what the ledger has of the past."""
        if kept.oldest is not None:
            begin = datetime.datetime.combine(kept.oldest, datetime.time(), datetime.UTC)
            self._to.set("millrace_oldest_day_timestamp_seconds", begin.timestamp())
        self._to.set("millrace_retention_overdue_days", kept.overdue)
        if kept.last is not None:
            self._to.set("millrace_retention_last_timestamp_seconds", kept.last.timestamp())
        self._to.set("millrace_events_kept", kept.kept)
        self._to.set("millrace_events_unpartitioned", kept.unpartitioned)

    def on_objectives_declared(self, *, objectives: Mapping[str, objective.Objective]) -> None:
        """What the handlers of this process promise."""
        for type_name, promised in objectives.items():
            self._to.set("millrace_objective_start_seconds", promised.seconds, type=type_name)
            self._to.set("millrace_objective_start_ratio", promised.p, type=type_name)
            self._to.set("millrace_objective_success_ratio", promised.success, type=type_name)

    def on_limits_declared(self, *, hard: float) -> None:
        """For how long a ticket may be worked at the most."""
        self._to.set("millrace_worker_hard_limit_seconds", hard)

    def on_schedules_seen(self, *, late: float) -> None:
        """The clock has looked at the schedules."""
        self._to.set("millrace_clock_lateness_seconds", late)

    def on_duty_ended(self, *, duty: str, done: bool) -> None:
        """The clock has done a duty, or failed at it."""
        if done:
            self._to.set("millrace_duty_last_success_timestamp_seconds", time.time(), duty=duty)
        else:
            self._to.add("millrace_duty_failures_total", 1, duty=duty)

    def on_canary_sent(self, *, queue: str) -> None:
        """A synthetic event was sent."""
        self._to.add("millrace_canary_sent_total", 1, queue=queue)

    def on_canary_ended(self, *, queue: str, seconds: float, loss: str | None) -> None:
        """A synthetic event arrived, or was lost."""
        if loss is None:
            self._to.observe("millrace_canary_latency_seconds", [seconds], queue=queue)
        else:
            self._to.add("millrace_canary_lost_total", 1, queue=queue, reason=loss)

    def on_door_seen(self, *, until: float) -> None:
        """The canary has seen the door's certificate."""
        self._to.set("millrace_certificate_expires_timestamp_seconds", until, of="door")

    def on_certificates_named(self, *, of: str, until: Callable[[], float]) -> None:
        """The settings name files with certificates."""
        self._to.ask("millrace_certificate_expires_timestamp_seconds", until, of=of)

    def on_slots_settled(self, *, late: Mapping[str, Sequence[float]], skipped: Mapping[tuple[str, str], int]) -> None:
        """Planned instants became events, or were skipped."""
        for schedule, seconds in late.items():
            self._to.add("millrace_slots_fired_total", len(seconds), schedule=schedule)
            self._to.observe("millrace_slot_lateness_seconds", seconds, schedule=schedule)
        for (schedule, reason), n in skipped.items():
            self._to.add("millrace_slots_skipped_total", n, schedule=schedule, reason=reason)

    def on_schedules_succeeded(self, *, last: Mapping[str, float], expected: Mapping[str, float]) -> None:
        """When each schedule's latest event succeeded, and since when it should have; in seconds since the epoch."""
        for schedule, at in last.items():
            self._to.set("millrace_schedule_last_success_timestamp_seconds", at, schedule=schedule)
        values = {(schedule,): at for schedule, at in expected.items()}
        self._to.replace("millrace_schedule_expected_timestamp_seconds", values, otherwise=math.nan)

    def on_schedules_stale(self, *, stale: int) -> None:
        """The clock has looked at the schedules that were made at run time."""
        self._to.set("millrace_schedules_stale", stale)

    def on_message_returned(self, *, ours: bool, reason: str) -> None:
        """A message of the dead queue was dealt with."""
        owner = "ours" if ours else "stray"
        self._to.add("millrace_messages_returned_total", 1, owner=owner, reason=reason)

    def on_request_finished(
        self, *, method: str, route: str, code: int, seconds: float, traceparent: str | None = None
    ) -> None:
        """An HTTP request was answered."""
        place = {"method": method, "route": route}
        self._to.add("millrace_http_requests_total", 1, **place, code=str(code))
        self._to.observe("millrace_http_request_duration_seconds", [seconds], example=traceparent, **place)

    def _runs(self, change: int, type_name: str) -> None:
        """One more, or one less, is with the worker's children or threads."""
        if type_name in self._detached:
            return  # It may run for hours, and nothing is wrong.
        with self._lock:
            # To take the first one is progress, too: while nothing ran, nothing could come back.
            progress = change < 0 or not self._running
            self._running = max(
                0, self._running + change
            )  # What comes back may have been begun before anybody counted.
            self._to.set("millrace_worker_tickets_running", self._running)
        if progress:
            self._to.set("millrace_worker_last_progress_timestamp_seconds", time.time())


_installed: Metrics | None = None
_lock = threading.Lock()


def install(
    role: str,
    types: Iterable[str] = (),
    schedules: Iterable[str] = (),
    routes: Iterable[tuple[str, str]] = (),
    queues: Iterable[str] = (),
    detached: Iterable[str] = (),
    version: str = __version__,
) -> Metrics:
    """The metrics of this process, made and listening.

    Called again in the same process, it only makes more types, schedules, routes and queues known.
    """
    global _installed
    with _lock:
        if _installed is None or _installed.pid != os.getpid():
            if _installed is not None:
                _installed.close()  # Those of the parent.
            _installed = Metrics(role, version)
            _installed.listen()
        _installed.know(types=types, schedules=schedules, queues=queues, detached=detached, routes=routes)
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
