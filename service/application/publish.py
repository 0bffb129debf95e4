"""Publish: tickets go to the broker, and are then marked out for a while.

Two who do it: each web process publishes what it has just accepted (``Publisher``), and the clock publishes whatever is
due, for whatever reason (``Release``). Neither keeps anything: a ticket that could not be published stays due in the
ledger, and the clock comes round again. So there is nothing to retry here, and a queue in memory may be dropped.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from service import crashpoints, signals
from service.application import ports
from service.domain import errors
from service.domain import ticket as tickets

log = logging.getLogger("millrace.publish")

BATCH = 256  #: tickets in one go, at first
LARGEST = 2_048  #: tickets in one go of a clock with many that are due, while the broker keeps up
SMALLEST = 32  #: tickets in one go, after the broker could not confirm more in time
TIMEOUT = 5.0  #: seconds for a batch to be confirmed; then the connection is dropped
QUEUE = 10_000  #: tickets that may wait in memory; the clock publishes the others
LEAD = 10.0  #: seconds that a clock has for publishing what it took, before another may take it
BACKOFF = (0.2, 5.0)  #: seconds between tries to reach the broker: first, longest
MARK_AFTER = 0.5  #: seconds after which a confirmed ticket is marked out; well within its head start


def publish(broker: ports.Broker, batch: Sequence[tickets.Ticket]) -> set[str]:
    """Publish a batch and tell the listeners; the ids that were confirmed."""
    begin = time.monotonic()
    reached, confirmed = False, set[str]()
    try:
        confirmed = broker.publish(batch, TIMEOUT)
        reached = True
    except errors.BrokerUnavailable as error:
        log.warning("Tickets could not be published: %s", error, extra={"action": "publish.unavailable"})
        raise
    finally:
        seconds = time.monotonic() - begin
        signals.tickets_published.send(None, batch=batch, confirmed=confirmed, reached=reached, seconds=seconds)
    crashpoints.reach("after_confirm")
    return confirmed


class Publisher:
    """The publisher thread of a web process: one connection, fed by the intake, which marks out what it confirms."""

    def __init__(self, connect: Callable[[], ports.Broker]) -> None:
        self._connect = connect
        self._waiting: deque[tickets.Ticket] = deque()
        self._confirmed: deque[tuple[float, str]] = deque()  # (monotonic time, ticket), to be marked out.
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._closing = False
        self.up: bool | None = None  #: whether the last word from the broker was a good one; None before the first

    def put(self, batch: Sequence[tickets.Ticket]) -> None:
        """Publish these soon. Called by the intake thread alone."""
        if self._thread is None or self._pid != os.getpid() or not self._thread.is_alive():
            self._pid = os.getpid()
            self._closing = False
            self._thread = threading.Thread(target=self._run, name="millrace-publisher", daemon=True)
            self._thread.start()
        if batch and len(self._waiting) < QUEUE:
            self._waiting.extend(batch)
            self._wake.set()

    def has_marks(self, *, at_once: bool = False) -> bool:
        """Whether it is time to mark confirmed tickets out.

        Most tickets are worked, and gone, within milliseconds: a mark written at once would be for nothing.
        """
        return bool(self._confirmed) and (at_once or time.monotonic() - self._confirmed[0][0] >= MARK_AFTER)

    def take_marks(self, limit: int, *, at_once: bool = False) -> list[tuple[str, int]]:
        """The (ticket, revision) to be marked out, if it is time; with them go the younger ones, half as old."""
        if not self.has_marks(at_once=at_once):
            return []
        before = time.monotonic() - (0.0 if at_once else MARK_AFTER / 2)
        found: list[tuple[str, int]] = []
        while self._confirmed and len(found) < limit and self._confirmed[0][0] <= before:
            # A new ticket has revision 0. Whoever changed it since is not overruled by the mark.
            found.append((self._confirmed.popleft()[1], 0))
        return found

    def give_back(self, marks: Sequence[tuple[str, int]]) -> None:
        """These could not be marked out yet."""
        self._confirmed.extendleft((0.0, ticket) for ticket, _ in reversed(marks))

    def close(self, within: float) -> None:
        """End the thread, once it has published what waits; after ``within`` seconds it is left alone."""
        if self._thread is not None and self._pid == os.getpid():
            self._closing = True
            self._wake.set()
            self._thread.join(within)

    def _run(self) -> None:
        broker = self._connect()
        failures = 0
        closing = False
        while not closing:
            self._wake.wait(1.0)
            self._wake.clear()
            closing = self._closing
            try:
                broker.tick()
                while batch := self._batch():
                    confirmed, at = publish(broker, batch), time.monotonic()
                    self._confirmed.extend((at, ticket) for ticket in confirmed)
                failures = 0
            except errors.BrokerUnavailable as error:
                if self.up is not False:
                    log.warning("The broker is away: %s", error, extra={"action": "publish.away"})
                self._after_fault(broker, failures)
                failures += 1
            except Exception:
                log.exception(
                    "The publisher failed in a way that nobody thought of", extra={"action": "publish.failed"}
                )
                self._after_fault(broker, failures)
                failures += 1
            else:
                self.up = True
        broker.drop()

    def _batch(self) -> list[tickets.Ticket]:
        found: list[tickets.Ticket] = []
        while self._waiting and len(found) < BATCH:
            found.append(self._waiting.popleft())
        return found

    def _after_fault(self, broker: ports.Broker, failures: int) -> None:
        broker.drop()
        self.up = False
        pause = min(BACKOFF[1], BACKOFF[0] * 2 ** min(failures, 10))
        time.sleep(pause * random.uniform(0.5, 1.0))
        self._waiting.clear()  # By now they are due, and the clock's.


class Release:
    """The clock's publishing: whatever is due, in turns between types; what is overdue, on evidence."""

    def __init__(self, ledger: ports.ReleaseLedger, broker: ports.Broker) -> None:
        self._ledger = ledger
        self._broker = broker
        self._size = BATCH

    def run_once(self) -> int:
        """Publish one batch of what is due; how many tickets were published."""
        self._broker.tick()  # Without a broker nothing is taken, so that nothing is late when it is back.
        due = self._ledger.take_due(self._size, LEAD, self._broker.resting())
        crashpoints.reach("clock_before_publish" if due else "")
        return self._send(due)

    def run_overdue(self) -> int:
        """Publish again what was probably lost; how many tickets.

        A ticket whose patience has ended goes again only on evidence: its queue has no ready message, or a ticket of
        that queue which was published later has been worked (queues are first in, first out). So a long backlog is
        never published twice.
        """
        sent = 0
        for queue in self._ledger.overdue_queues():
            if queue in self._broker.resting():
                continue
            empty = self._broker.ready(queue) == 0
            sent += self._send(self._ledger.take_overdue(queue, empty, self._size, LEAD))
        return sent

    def _send(self, due: list[ports.Due]) -> int:
        if not due:
            return 0
        revisions = {d.ticket.id: d.revision for d in due}
        begin = time.monotonic()
        try:
            confirmed = publish(self._broker, [d.ticket for d in due])
        except errors.BrokerUnavailable:
            self._size = max(SMALLEST, self._size // 2)
            self._ledger.give_back(list(revisions.items()))
            raise
        if time.monotonic() - begin > TIMEOUT / 2:
            self._size = max(SMALLEST, self._size // 2)
        else:
            # What costs time is each wait for the ledger and for the broker, not each ticket.
            self._size = min(LARGEST, self._size * 2) if len(due) == self._size else max(self._size, BATCH)
        self._ledger.mark_out([(i, revisions[i]) for i in confirmed])
        return len(confirmed)
