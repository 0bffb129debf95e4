"""The clock as a scheduler of Celery's beat.

Three threads, with a database connection each, so that none waits for another: the main one (beat's ticks) fires
slots, one publishes what is due, one does the upkeep. Any number of clocks may run; the ledger's rows are their only
agreement, and its time the only time.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import celery.beat

from service import bootstrap, signals
from service.application import publish, returned
from service.broker.factory import App
from service.domain import errors

log = logging.getLogger("millrace.clock")

FIRE_BATCH = 200  #: slots fired in one transaction
IDLE = 0.5  #: seconds between looks at the schedules when nothing is due sooner
RELEASE_PAUSE = 0.1  #: seconds between looks at the tickets
OVERDUE_EVERY = 1.0  #: seconds between looks for lost tickets
UPKEEP_EVERY = 1.0  #: seconds between rounds of upkeep
PAUSES = (0.2, 2.0)  #: seconds to wait after a fault: first, longest


class Scheduler(celery.beat.Scheduler):
    """Fires slots; the threads beside it publish and keep order."""

    app: App

    def setup_schedule(self) -> None:
        """Called once, when beat starts."""
        self.road: bootstrap.ClockRoad = self.app.road
        self._declared = False
        self._failures = 0
        self._stopping = threading.Event()
        self._due = threading.Event()
        try:
            bootstrap.check(self.road.settings)
        except errors.SchemaNotReady as error:
            sys.exit(f"millrace: {error}")
        except errors.LedgerUnavailable as error:
            log.warning("%s; waiting for it", error, extra={"action": "clock.waiting"})
        bootstrap.watch(self.road.settings, "clock")
        for loop in (self._release_loop, self._upkeep_loop):
            threading.Thread(target=loop, name=f"millrace{loop.__name__}", daemon=True).start()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fire what is due; the seconds until the next look."""
        try:
            if not self._declared:
                self.road.slots.declare(self.road.calendar)
                self._declared = True
            fired = self.road.slots.fire_due(self.road.calendar, FIRE_BATCH)
            for schedule, late in fired:
                signals.slot_fired.send(None, schedule=schedule, late=late)
            if fired:
                self._due.set()  # The publisher need not wait for its next round.
            wait = self.road.slots.next_in(self.road.calendar)
            self._failures = 0
            signals.connection_changed.send(None, peer="ledger", up=True)
        except errors.LedgerUnavailable as error:
            log.warning("The ledger is away: %s", error, extra={"action": "clock.waiting"})
            signals.connection_changed.send(None, peer="ledger", up=False)
            self._failures += 1
            return _pause(self._failures)
        return IDLE if wait is None else min(IDLE, max(0.0, wait))

    def close(self) -> None:
        """Called when beat stops."""
        self._stopping.set()
        self._due.set()

    def _release_loop(self) -> None:
        """Publish whatever is due, whatever made it due."""
        looked = 0.0

        def once() -> None:
            nonlocal looked
            sent = self.road.release.run_once()
            if time.monotonic() - looked > OVERDUE_EVERY:
                looked = time.monotonic()
                self.road.release.run_overdue()
            if sent < publish.BATCH // 2:
                self._due.wait(RELEASE_PAUSE)
                self._due.clear()

        self._repeat("release", once)

    def _upkeep_loop(self) -> None:
        def once() -> None:
            upkeep = self.road.upkeep
            upkeep.make_partitions()
            upkeep.count_windows()
            upkeep.fold_tallies()
            upkeep.forget_keys()
            due, out, overdue = upkeep.count_tickets()
            signals.tickets_counted.send(None, due=due, out=out, overdue=overdue)
            if self.road.dead_queue is not None:
                returned.empty(self.road.dead_queue, upkeep)
            self._stopping.wait(UPKEEP_EVERY)

        self._repeat("upkeep", once)

    def _repeat(self, name: str, once: Callable[[], None]) -> None:
        """Do it again and again; a fault is told, waited out, and never ends the thread."""
        failures = 0
        while not self._stopping.is_set():
            try:
                once()
                failures = 0
                continue
            except (errors.LedgerUnavailable, errors.BrokerUnavailable) as error:
                log.warning("The clock's %s waits: %s", name, error, extra={"action": f"clock.{name}"})
            except Exception:
                log.exception("The clock's %s failed", name, extra={"action": f"clock.{name}"})
            failures += 1
            self._stopping.wait(_pause(failures))


def _pause(failures: int) -> float:
    longest: float = min(PAUSES[1], PAUSES[0] * 2.0 ** min(failures, 10))
    return random.uniform(longest / 2, longest)
