"""Noting: each process tells the ledger now and then that it lives, and what it is at. Never on the road's way."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

from service.domain import errors, processes

log = logging.getLogger("millrace")

STEP = 5.0  #: seconds after which is looked again whether it is this process that notes


class NoteLedger(Protocol):
    """Where processes are noted."""

    def note(self, process: processes.Process, note: processes.Note) -> None: ...


class Noter:
    """Notes one process."""

    def __init__(
        self,
        ledger: NoteLedger,
        process: Callable[[], processes.Process],
        note: Callable[[], processes.Note],
        *,
        ours: Callable[[], bool] = lambda: True,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._process = process
        self._note = note
        self._ours = ours  #: whether it is for this process to note it; of a worker's children one notes the worker
        self._afterwards = afterwards  #: done after each note, whatever came of it

    def once(self) -> None:
        """Note it; raises LedgerUnavailable, and NotPermitted where the role may not."""
        if not self._ours():
            return
        try:
            self._ledger.note(self._process(), self._note())
        finally:
            self._afterwards()

    def start(self) -> None:
        """Note it again and again, in a thread of its own that ends with the process."""
        threading.Thread(target=self._repeat, name="millrace-notes", daemon=True).start()

    def _repeat(self) -> None:
        while True:
            rest = processes.NOTED_EVERY if self._ours() else STEP
            try:
                self.once()
            except errors.LedgerUnavailable as error:
                # Those that need the ledger for the road tell louder.
                log.debug("This process could not be noted: %s", error, extra={"action": "process.unnoted"})
            except errors.NotPermitted as error:
                log.info("This process only looks, and is not noted: %s", error, extra={"action": "process.unnoted"})
                return
            except Exception:
                log.exception("This process could not be noted", extra={"action": "process.unnoted"})
            time.sleep(rest * random.uniform(0.9, 1.0))  # So that those that started together do not come together.
