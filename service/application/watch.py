"""Watch: requests wait for the outcome of an event, and one thread per process looks for all of them.

Nothing tells the door that an event has ended: the ledger is asked, by one query for all who wait.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection

from service.application import ports
from service.domain import errors

log = logging.getLogger("millrace.watch")

LOOK_EVERY = 0.05  #: seconds between looks, while somebody waits
PAUSE = 1.0  #: seconds to the next look at a ledger that is away


class Watch:
    """All who wait in this process."""

    def __init__(self, ledger: ports.Endings, *, room: int) -> None:
        self._ledger = ledger
        self._room = room  #: how many may wait at once
        self._lock = threading.Lock()
        self._somebody = threading.Event()
        self._waiting: dict[threading.Event, str] = {}
        self._let_go: set[threading.Event] = set()  # Of those who wait, whose event has not ended.
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._pid = 0

    def wait(self, event_id: str, seconds: float) -> bool | None:
        """Wait until an event has ended: whether it has. None: there is no room for one more who waits."""
        told = threading.Event()
        with self._lock:
            if len(self._waiting) >= self._room or self._stopped:
                return None
            self._waiting[told] = event_id
            self._start()
        self._somebody.set()
        try:
            return told.wait(seconds) and told not in self._let_go
        finally:
            with self._lock:
                del self._waiting[told]
                self._let_go.discard(told)

    def stop(self) -> None:
        """Let go of all who wait: the process is told to end."""
        with self._lock:
            self._stopped = True
            self._let_go.update(told for told in self._waiting if not told.is_set())
            for told in self._waiting:
                told.set()

    def _start(self) -> None:
        # Threads do not survive a fork, so each process starts its own.
        if self._thread is None or self._pid != os.getpid() or not self._thread.is_alive():
            self._pid = os.getpid()
            self._thread = threading.Thread(target=self._run, name="millrace-watch", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()  # Never set: it only sleeps.
        while True:
            self._somebody.wait()
            self._somebody.clear()
            while asked := self._asked():
                try:
                    self._tell(self._ledger.ended(asked))
                    pause.wait(LOOK_EVERY)
                except errors.LedgerUnavailable as error:
                    log.warning("Outcomes cannot be looked for: %s", error, extra={"action": "watch.unavailable"})
                    pause.wait(PAUSE)
                except Exception:
                    log.exception("The watch failed in a way that nobody thought of", extra={"action": "watch.failed"})
                    pause.wait(PAUSE)

    def _asked(self) -> list[str]:
        with self._lock:
            return list(set(self._waiting.values()))

    def _tell(self, ids: Collection[str]) -> None:
        with self._lock:
            for told, event_id in self._waiting.items():
                if event_id in ids:
                    told.set()
