"""The clock as a scheduler of Celery's beat.

A thread for each kind of work, so that none waits for another: the main one (beat's ticks) fires slots, one publishes
what is due, one does the upkeep, one empties the queue ``dead``, and one sees to it that none of them waits without
end for a silent ledger. Any number of clocks may run; the ledger's rows are their only agreement, and its time the only
time.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import celery.beat

from schedules import looking
from service import bootstrap, plugins, signals
from service.application import publish, returned
from service.broker.factory import App
from service.domain import errors, schedules
from service.telemetry import canary

log = logging.getLogger("millrace.clock")

FIRE_BATCH = 200  #: slots fired in one transaction
WAITS = (0.05, 0.5)  #: seconds between looks at the schedules when nothing was fired: shortest, longest
RELEASE_PAUSE = 0.1  #: seconds between looks at the tickets
OVERDUE_EVERY = 1.0  #: seconds between looks for lost tickets
UPKEEP_EVERY = 1.0  #: seconds between rounds of upkeep
SILENT = 30.0  #: seconds after which a duty is not waited for any more: its ledger is there and does not answer
FIRST_REST = 0.2  #: seconds that a duty rests after its first fault, doubling
ROAD_REST = 2.0  #: seconds, the longest rest of what the road waits for
UPKEEP_REST = 10.0  #: seconds, the longest rest of any other duty


class Duty:
    """Something that the clock does again and again. A fault is told by the duty's name, and it alone rests."""

    def __init__(
        self, name: str, once: Callable[[], None], *, longest: float, hang_up: Callable[[], None] = lambda: None
    ) -> None:
        self._name = name
        self._once = once
        self._longest = longest  #: rest, in seconds
        self._hang_up = hang_up  #: breaks its connections to the ledger
        self._since: float | None = None  # When it was begun, while it is at it.
        self._failures = 0
        self._resting_until = 0.0  # By time.monotonic().

    def run(self) -> bool:
        """Do it; False when the ledger is away, so that nothing else can be done either. Raises nothing."""
        self._since = time.monotonic()
        try:
            self._once()
        except Exception as error:
            self._failures += 1
            rest = min(self._longest, FIRST_REST * 2.0 ** min(self._failures - 1, 10))
            self._resting_until = time.monotonic() + random.uniform(rest / 2, rest)
            self._tell(error)
            signals.duty_ended.send(None, duty=self._name, done=False)
            return not isinstance(error, errors.LedgerUnavailable)
        finally:
            self._since = None
        self._failures, self._resting_until = 0, 0.0
        signals.duty_ended.send(None, duty=self._name, done=True)
        return True

    def rest(self) -> float:
        """How many seconds more it rests after a fault."""
        return max(0.0, self._resting_until - time.monotonic())

    def hang_up_if_silent(self) -> None:
        """To be called by another thread now and then, for this one may be waiting without end."""
        since = self._since
        if since is not None and time.monotonic() - since > SILENT:
            self._hang_up()

    def _tell(self, error: Exception) -> None:
        extra = {"action": f"clock.{self._name}"}
        if isinstance(error, errors.LedgerUnavailable | errors.BrokerUnavailable):
            log.warning("The clock's duty %s waits: %s", self._name, error, extra=extra)
        else:
            log.error("The clock's duty %s failed", self._name, extra=extra, exc_info=error)


def in_turn(duties: Sequence[Duty]) -> None:
    """A round: each duty that does not rest. When the ledger is away the round is over."""
    for duty in duties:
        if not duty.rest() and not duty.run():
            return


class Scheduler(celery.beat.Scheduler):
    """Fires slots; the threads beside it publish and keep order."""

    app: App

    def setup_schedule(self) -> None:
        """Called once, when beat starts."""
        self.road: bootstrap.ClockRoad = self.app.road
        self._stopping = False
        self._due = threading.Event()
        self._looked = 0.0  # For lost tickets, by time.monotonic().
        self._declared = False
        self._wait = 0.0
        self._slots = Duty("slots", self._fire, longest=ROAD_REST, hang_up=self.road.engine.hang_up)
        self._calendar = _handled(self.road.calendar)
        try:
            bootstrap.check_or_wait(self.road.settings, action="clock.waiting")
        except errors.SchemaNotReady as error:
            sys.exit(f"millrace: {error}")
        bootstrap.watch(self.road.settings, "clock")
        road = self.road
        release = Duty("release", self._release, longest=ROAD_REST, hang_up=road.release_engine.hang_up)
        emptied = Duty("returned", self._empty_dead, longest=UPKEEP_REST, hang_up=road.upkeep_engine.hang_up)
        upkeep = [
            Duty(name, once, longest=UPKEEP_REST, hang_up=road.upkeep_engine.hang_up)
            for name, once in {
                "partitions": road.upkeep.make_partitions,
                "windows": road.upkeep.count_windows,
                "paces": road.upkeep.measure_paces,
                "tallies": road.upkeep.fold_tallies,
                "keys": road.upkeep.forget_keys,
            }.items()
        ]
        looks = [
            Duty(name, once, longest=UPKEEP_REST, hang_up=road.looks_engine.hang_up)
            for name, once in looking.looks(road.looks).items()
        ]
        self._all = [self._slots, release, emptied, *upkeep, *looks]
        self._start("release", 0.0, release)
        self._start("upkeep", UPKEEP_EVERY, *upkeep)
        self._start("looks", looking.EVERY, *looks)
        if road.canary is not None:
            self._start("canary", canary.STEP, Duty("canary", road.canary.run_once, longest=UPKEEP_REST))
        if road.dead_queue is not None:
            self._start("returned", UPKEEP_EVERY, emptied)
        self._start("lines", SILENT / 6, Duty("lines", self._hang_up_where_silent, longest=UPKEEP_REST))

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fire what is due; the seconds until the next look. No fault ends beat."""
        signals.connection_changed.send(None, peer="ledger", up=self._slots.run())
        return self._slots.rest() or self._wait

    def close(self) -> None:
        """Called when beat stops, by Celery's signal handler too: in the middle of anything, perhaps twice.

        So it must not touch a lock, not even that of an Event. The threads are daemons; nobody waits for them.
        """
        self._stopping = True

    def _fire(self) -> None:
        slots = self.road.slots
        if not self._declared:
            # Once in a clock's life: the clocks of an old version, which run on for a while when a new one is rolled
            # out, must not undo what it declares. The last clock to start has the say.
            slots.declare(self._calendar)
            self._declared = True
        fired = slots.fire_due(self._calendar, FIRE_BATCH)
        for schedule, late in fired:
            signals.slot_fired.send(None, schedule=schedule, late=late)
        if fired:
            self._due.set()  # The publisher need not wait for its next round.
        shortest, longest = WAITS
        wait = slots.next_in(self._calendar)
        signals.schedules_seen.send(None, late=max(0.0, -(wait or 0.0)))
        # What is due and was not fired is in the hands of another clock.
        self._wait = longest if wait is None else min(longest, max(0.0 if fired else shortest, wait))

    def _release(self) -> None:
        """Publish whatever is due, whatever made it due."""
        sent = self.road.release.run_once()
        if time.monotonic() - self._looked > OVERDUE_EVERY:
            self._looked = time.monotonic()
            self.road.release.run_overdue()
        if sent < publish.BATCH // 2:
            self._due.wait(RELEASE_PAUSE)
            self._due.clear()

    def _empty_dead(self) -> None:
        assert self.road.dead_queue is not None
        returned.empty(self.road.dead_queue, self.road.upkeep)

    def _hang_up_where_silent(self) -> None:
        for duty in self._all:
            duty.hang_up_if_silent()

    def _start(self, name: str, every: float, *duties: Duty) -> None:
        """A thread that does these in turn, with ``every`` seconds between the rounds, until beat stops."""

        def repeat() -> None:
            while not self._stopping:
                in_turn(duties)
                time.sleep(max(every, min(duty.rest() for duty in duties)))

        threading.Thread(target=repeat, name=f"millrace-{name}", daemon=True).start()


def _handled(calendar: schedules.Calendar) -> schedules.Calendar:
    """The schedules whose events somebody handles; of the others it is told. The door, too, takes no such events."""
    found = schedules.Calendar()
    for schedule in calendar:
        if schedule.type in plugins.registry:
            found.add(schedule)
        else:
            log.error(
                "The schedule %s is left out: no handler is declared for its event type %r (mend the type, declare a"
                " handler, or name its package in MILLRACE_APPS)",
                schedule.name,
                schedule.type,
                extra={"action": "clock.left_out"},
            )
    return found
