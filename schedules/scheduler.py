"""The clock as a scheduler of Celery's beat.

A thread for each kind of work, so that none waits for another: the main one (beat's ticks) fires slots, one publishes
what is due, one does the upkeep, one empties the queue ``dead``, and one sees to it that none of them waits without
end for a silent ledger. Any number of clocks may run; the ledger's rows are their only agreement, and its time the only
time.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import celery.beat

from schedules import duty, looking
from service import bootstrap, signals
from service.application import publish, returned
from service.broker.factory import App
from service.domain import errors, processes
from service.domain.slots import Outcome
from service.ledger import kept, replan, ticks
from service.telemetry import canary

log = logging.getLogger("millrace.clock")

FIRE_BATCH = 250  #: schedules that are fired in one transaction
WAKE_EVERY = 0.45  #: seconds between looks whether held slots may go
WAITS = (0.05, 0.5)  #: seconds between looks at the schedules when nothing was fired: shortest, longest
RELEASE_PAUSE = 0.1  #: seconds between looks at the tickets
BURST = 1.0  #: seconds that publishing waits for a burst of slots, at most
OVERDUE_EVERY = 1.0  #: seconds between looks for lost tickets
TELL_EVERY = 15.0  #: seconds between looks for the last success of each schedule
MOST_TOLD = 5000  #: schedules whose successes are looked at: of those that are declared, and of those made at run time
TELL_PIECE = 500  #: of these in one transaction
LIVE_EVERY = 5.0  #: seconds between signs of life
UPKEEP_EVERY = 1.0  #: seconds between rounds of upkeep
STALLED = duty.SILENT + 15.0  #: seconds after which a clock is not healthy that does not do what the road waits for
#: Duties that ask the ledger in each of their rounds, and so know whether it answers.
WITNESSES = ("processes", "partitions", "windows", "paces", "tallies", "keys")
ROAD_REST = 1.0  #: seconds, the longest rest of what the road waits for
UPKEEP_REST = 10.0  #: seconds, the longest rest of any other duty
RETENTION_EVERY = 2.0  #: seconds between looks whether somebody asks for what is over to be removed
RETENTION_REST = 300.0  #: seconds, its longest rest


class Scheduler(celery.beat.Scheduler):
    """Fires slots; the threads beside it publish and keep order."""

    app: App

    def setup_schedule(self) -> None:
        """Called once, when beat starts."""
        self.road: bootstrap.ClockRoad = self.app.road
        self._stopping = False
        self._due, self._calm = threading.Event(), threading.Event()
        self._calm.set()
        self._looked = self._lived = self._noted = self._told = self._woken = -math.inf  # When, by time.monotonic().
        self._declared = self._replanned = False
        self._wait = 0.0
        self._slots = duty.Duty("slots", self._fire, longest=ROAD_REST, hang_up=self._hang_up_slots)
        try:
            bootstrap.check_or_wait(self.road.settings, action="clock.waiting")
        except errors.SchemaNotReady as error:
            bootstrap.give_up(error, "clock")
        road, keep = self.road, self.road.settings.retention
        release = duty.Duty("release", self._release, longest=ROAD_REST, hang_up=road.release_engine.hang_up)
        emptied = duty.Duty("returned", self._empty_dead, longest=UPKEEP_REST, hang_up=road.upkeep_engine.hang_up)
        upkeep = [
            duty.Duty(name, once, longest=UPKEEP_REST, hang_up=road.upkeep_engine.hang_up)
            for name, once in {
                "clocks": self._live,
                "notes": self._note,
                "processes": road.upkeep.forget_processes,
                "successes": self._tell_successes,
                "partitions": road.upkeep.make_partitions,
                "windows": road.upkeep.count_windows,
                "paces": road.upkeep.measure_paces,
                "tallies": road.upkeep.fold_tallies,
                "keys": road.upkeep.forget_keys,
                "expiry": road.upkeep.expire_ticks,
                "zones": self._replan,
            }.items()
        ]
        looks = [
            duty.Duty(name, once, longest=UPKEEP_REST, hang_up=road.looks_engine.hang_up)
            for name, once in looking.looks(road.looks, lambda: kept.look(road.looks_engine, keep)).items()
        ]
        self._all = [self._slots, release, emptied, *upkeep, *looks]
        self._road_duties = (self._slots, release)
        self._witnesses = [one for one in upkeep if one.name in WITNESSES]
        bootstrap.watch(self.road.settings, "clock", pages={"/healthz": self.health})
        self._start("release", 0.0, release)
        self._start("upkeep", UPKEEP_EVERY, *upkeep)
        self._start("looks", looking.EVERY, *looks)
        if road.retention is not None:
            # It may take hours, and is not hung up on.
            cleared = duty.Duty("retention", self._clear, longest=RETENTION_REST)
            self._start("retention", RETENTION_EVERY, cleared)
        if road.canary is not None:
            self._start("canary", canary.STEP, duty.Duty("canary", road.canary.run_once, longest=UPKEEP_REST))
        if road.dead_queue is not None:
            self._start("returned", UPKEEP_EVERY, emptied)
        self._start("lines", duty.SILENT / 6, duty.Duty("lines", self._hang_up_where_silent, longest=UPKEEP_REST))

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fire what is due; the seconds until the next look. No fault ends beat."""
        signals.connection_changed.send(None, peer="ledger", up=self._slots.run())
        return self._slots.rest() or self._wait

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether slots and tickets are looked after, and the seconds since each was for the last time.

        A ledger or a broker that is away is waited for, and no reason to end a clock: it is told of by the metrics. But
        where the ledger has answered others for long enough, what fails all the time has stalled.
        """
        ages = {d.name: round(d.age(), 1) for d in self._road_duties}
        undone = {d.name: round(d.undone(), 1) for d in self._road_duties}
        answered = max(d.well() for d in self._witnesses)
        healthy = max(ages.values()) < STALLED and min(answered, max(undone.values())) < STALLED
        return healthy, {"status": "ok" if healthy else "stalled", "seconds_since": ages, "seconds_undone": undone}

    def close(self) -> None:
        """Called when beat stops, by Celery's signal handler too: in the middle of anything, perhaps twice.

        So it must not touch a lock, not even that of an Event. The threads are daemons; nobody waits for them.
        """
        self._stopping = True

    def _fire(self) -> None:
        slots, declarations = self.road.slots, self.road.declarations
        if not self._declared:
            declarations.declare()
            self._declared = True
        if time.monotonic() - self._woken > WAKE_EVERY:
            slots.wake_held()
            self._woken = time.monotonic()
        fired, orphans = slots.fire_due(FIRE_BATCH)
        if len(fired.settled) < FIRE_BATCH:
            self._calm.set()
        else:
            self._calm.clear()
        declarations.take_over(orphans)
        if fired.settled:
            self._due.set()  # The publisher need not wait for its next round.
            _tell(fired.settled)
        shortest, longest = WAITS
        wait = slots.next_in(longest)
        signals.schedules_seen.send(None, late=max(0.0, -(wait or 0.0)))
        # What is due and was not fired is in the hands of another clock.
        self._wait = (
            longest if wait is None else min(longest, max(0.0 if fired.settled or fired.left else shortest, wait))
        )

    def _live(self) -> None:
        if time.monotonic() - self._lived > LIVE_EVERY:
            self.road.declarations.live()
            self._lived = time.monotonic()

    def _note(self) -> None:
        if time.monotonic() - self._noted > processes.NOTED_EVERY:
            self.road.noter.once()
            self._noted = time.monotonic()

    def _replan(self) -> None:
        if not self._replanned:
            replan.replan(self.road.upkeep_engine)
            self._replanned = True

    def _tell_successes(self) -> None:
        if time.monotonic() - self._told <= TELL_EVERY:
            return
        if names := self.road.declarations.names[:MOST_TOLD]:
            last, expected = self._ask_successes(names)
            # Of all at once: what is not named in it, nobody expects any more.
            signals.schedules_succeeded.send(None, last=last, expected=expected)
        # Users may make any number, with any names: these are no labels.
        last, expected = self._ask_successes(self.road.upkeep.made(MOST_TOLD))
        stale = sum(at > last.get(name, -math.inf) for name, at in expected.items())
        signals.schedules_stale.send(None, stale=stale)
        self._told = time.monotonic()

    def _ask_successes(self, names: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
        last: dict[str, float] = {}
        expected: dict[str, float] = {}
        for start in range(0, len(names), TELL_PIECE):
            piece = names[start : start + TELL_PIECE]
            expected |= self.road.upkeep.expected(piece)
            last |= self.road.upkeep.last_success(piece)
        return last, expected

    def _release(self) -> None:
        """Publish whatever is due, whatever made it due.

        Not while a burst of slots is being fired: in one process, what publishes takes its time from what fires.
        """
        self._calm.wait(BURST)
        sent = self.road.release.run_once()
        if time.monotonic() - self._looked > OVERDUE_EVERY:
            self._looked = time.monotonic()
            self.road.release.run_overdue()
        if sent < publish.BATCH // 2:
            self._due.wait(RELEASE_PAUSE)
            self._due.clear()

    def _clear(self) -> None:
        assert self.road.retention is not None
        found = self.road.retention.run_once()
        if found is not None and found.days:
            words = Counter(day.word for day in found.days)
            log.info(
                "Retention: of %d days, %s",
                len(found.days),
                ", ".join(f"{n} {word}" for word, n in sorted(words.items())),
                extra={"action": "clock.retention"},
            )

    def _empty_dead(self) -> None:
        assert self.road.dead_queue is not None
        returned.empty(self.road.dead_queue, self.road.upkeep)

    def _hang_up_slots(self) -> None:
        self.road.engine.hang_up()
        self.road.upkeep_engine.hang_up()  # It declares by that one.

    def _hang_up_where_silent(self) -> None:
        for one in self._all:
            one.hang_up_if_silent()

    def _start(self, name: str, every: float, *duties: duty.Duty) -> None:
        """A thread that does these in turn, with ``every`` seconds between the rounds, until beat stops."""

        def repeat() -> None:
            while not self._stopping:
                duty.in_turn(duties)
                time.sleep(max(every, min(one.rest() for one in duties)))

        threading.Thread(target=repeat, name=f"millrace-{name}", daemon=True).start()


def _tell(settled: Sequence[ticks.Settled]) -> None:
    """Tell the listeners of slots that were written."""
    late: dict[str, list[float]] = {}
    skipped: Counter[tuple[str, str]] = Counter()
    for slot in settled:
        if slot.late is not None:
            late.setdefault(slot.schedule, []).append(slot.late)
        elif slot.outcome is Outcome.SKIPPED:
            skipped[slot.schedule, str(slot.reason)] += 1 + slot.missed
    signals.slots_settled.send(None, late=late, skipped=skipped)
