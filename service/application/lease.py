"""A lease: a detached handler's hold on its event while it runs, kept by a thread.

The thread renews it in a connection of its own, so that the handler may compute for hours. Whatever the handler asks of
its context asks the lease first: once the ledger says that another has the event, or the lease has ended and the
ledger cannot be asked, nothing more is done in its name. What the handler is waiting for in its session then is broken,
for a ledger that is there and silent would be waited for without end.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Self

from service.application import ports
from service.domain import errors

log = logging.getLogger("millrace.work")

ASK = 1.0  #: seconds between two questions of a handler that reach the ledger, and between two looks of the thread
PARTS = 6  #: a lease is renewed at every sixth of it
TRIES = 4  #: a question of a run is given up after a fourth of it, when the ledger is silent


class Lease:
    """The hold on one run."""

    def __init__(
        self,
        ledger: ports.LeaseLedger,
        run: ports.Run,
        *,
        seconds: float,
        since: float,
        end: Callable[[bool], None] | None,
        leaving: Callable[[], bool],
        hang_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._run = run
        self._seconds = seconds
        self._end = end  #: ends this run and its process by force (True: it was cancelled); None where that cannot be
        self._leaving = leaving  #: whether the worker's time to end has come
        self._hang_up = hang_up  #: breaks what the handler waits for in its session
        self._lock = threading.Lock()  #: renewals are made one at a time
        self._stop = threading.Event()  #: it is renewed no more
        self._over = threading.Event()  #: its outcome is written
        self._stopped_at = -math.inf  #: monotonic time
        self._held_at = since  #: monotonic time at which the lease was begun or renewed last, or earlier
        self._asked_at = -math.inf  #: monotonic time of the last question that reached the ledger, or tried to
        self._unsaid: ports.Progress | None = None
        self._lost = False
        self.cancelled = False  #: somebody asked the run to stop
        self._overtime = False
        self._thread = threading.Thread(target=self._keep, name=f"millrace-lease-{run.event.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._over.set()

    def stop(self) -> None:
        """No renewal and no forced end after this. What the outcome's commit waits for is still broken in time."""
        with self._lock:
            if not self._stop.is_set():
                self._stopped_at = time.monotonic()
                self._stop.set()

    @property
    def ended(self) -> bool:
        """Whether the event is not ours any more, or nobody can say that it is."""
        return self._lost or time.monotonic() - self._held_at >= self._seconds

    def progress(self, fraction: float, message: str) -> None:
        """Keep how far it is, and have it stored, if the last was long enough ago; the thread stores what is left."""
        self._unsaid = ports.Progress(fraction, message)
        self.check()

    def take_progress(self) -> ports.Progress | None:
        """What was not stored yet."""
        found, self._unsaid = self._unsaid, None
        return found

    def check(self) -> None:
        """Raises LeaseLost, or Cancelled."""
        self.hold()
        if self.cancelled:
            raise errors.Cancelled()

    def hold(self) -> None:
        """Raises LeaseLost when it has ended."""
        if time.monotonic() - self._asked_at >= ASK:
            self._renew()
        if self.ended:
            raise errors.LeaseLost()

    def _renew(self) -> None:
        with self._lock:
            if self._lost or self._stop.is_set():
                return
            self._asked_at = begin = time.monotonic()
            said = self.take_progress()
            try:
                renewal = self._ledger.renew(self._run, said)
            except Exception as error:
                self._unsaid = self._unsaid or said
                if not self._ledger.is_infrastructure(error):
                    raise
                return  # The lease is long enough for several tries.
            if renewal is None:
                self._lost = True
                log.warning(
                    "A run lost its lease: another has the event",
                    extra={"action": "lease.lost", "event_id": self._run.event.id},
                )
                return
            self._held_at = begin
            self.cancelled, self._overtime = renewal.cancelled, renewal.overtime

    def _keep(self) -> None:
        every = self._seconds / PARTS
        while not self._over.wait(min(every, ASK)):
            try:
                if not self._stop.is_set():
                    self._look(every)
            except Exception as error:
                if not self._ledger.is_infrastructure(error):
                    log.exception(
                        "A lease could not be kept", extra={"action": "lease.failed", "event_id": self._run.event.id}
                    )
            # Of code that kept Python's lock for longer than the lease, the outcome has its time all the same.
            if self.ended and time.monotonic() - self._stopped_at >= self._seconds / TRIES:
                self._hang_up()

    def _look(self, every: float) -> None:
        """Renew it if that is due, end the run by force if that is."""
        silent = time.monotonic() - self._asked_at
        if silent >= every or self.cancelled or (self._unsaid is not None and silent >= ASK):
            self._renew()
        if self._end is not None and (self._overtime or self._leaving()):
            with self._lock:
                if not self._stop.is_set():
                    self._end(self._overtime)
