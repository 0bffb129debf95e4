"""Slots: what becomes of each planned instant of a schedule, decided from what is known and from nothing else.

Every planned instant is accounted for once: by a slot of its own, or in the ``missed`` of the slot after it.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable

from service.domain import policies, schedules

MOST = 1000  #: slots of one schedule in one decision, where nothing else is said
TARDY = datetime.timedelta(seconds=60)  #: what is fired later than this was caught up
TICK = datetime.timedelta(microseconds=1)  #: the least that two instants differ by


class Outcome(enum.StrEnum):
    """What became of a planned instant."""

    FIRED = "fired"  #: it is an event
    CAUGHT_UP = "caught_up"  #: it is an event that comes late: no clock could fire it in time
    HELD = "held"  #: it waits for the event before it to end
    SKIPPED = "skipped"  #: it never becomes an event
    RUN_NOW = "run_now"  #: no planned instant: somebody wanted an event at once
    BACKFILLED = "backfilled"  #: it is an event that somebody asked for afterwards


class Reason(enum.StrEnum):
    """Why an instant was skipped, or held for a while."""

    OVERLAP = "overlap"  #: an event of the schedule was still open
    PAUSED = "paused"  #: the schedule was paused
    MISFIRE = "misfire"  #: no clock could fire it in time
    EXPIRED = "expired"  #: it would have expired before it was fired
    ENDED = "ended"  #: its schedule was retired or deleted before it could be fired


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """A planned instant and its outcome."""

    due_at: datetime.datetime  #: as planned
    fire_at: datetime.datetime  #: with its jitter
    outcome: Outcome
    reason: Reason | None = None
    missed: int = 0  #: instants before it that were skipped for the same reason, or because of a misfire
    expires_at: datetime.datetime | None = None  #: of its event

    @property
    def is_event(self) -> bool:
        """Whether it becomes an event now."""
        return self.outcome not in (Outcome.SKIPPED, Outcome.HELD)


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """Where a schedule stands."""

    planned: datetime.datetime | None  #: the first instant that is not accounted for; None: there is none any more
    runs: int = 0  #: instants that became events, and the one that is held
    held: datetime.datetime | None = None  #: the instant that waits for an event to end
    open: int = 0  #: its open events; asked for where ``overlap`` is not ``allow``


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What is to be written."""

    slots: tuple[Slot, ...]
    standing: Standing
    wake_at: datetime.datetime | None  #: when there is something to decide again, perhaps at once; None: never
    cancel_open: bool = False  #: the open events are to be cancelled


#: (schedule, planned instant, seconds, the plan's next instant) → when it is fired: always the same for the same slot,
#: and always before the next one.
Jitter = Callable[[str, datetime.datetime, float, datetime.datetime | None], datetime.datetime]


class Course:
    """A schedule's instants within its start and its end, and the instants when they are fired.

    ``foreign``: an instant that is none of the plan's, for somebody planned it by other rules of its zone, and the one
    for which it stands: what comes after that one comes after it.
    """

    def __init__(
        self,
        name: str,
        plan: schedules.Plan,
        policy: policies.Policy,
        jitter: Jitter,
        foreign: tuple[datetime.datetime, datetime.datetime] | None = None,
    ) -> None:
        self._name = name
        self._plan = plan
        self._policy = policy
        self._jitter = jitter
        self._foreign = foreign
        self._following: tuple[datetime.datetime, datetime.datetime | None] | None = None  # What was found last.

    def fire_at(self, instant: datetime.datetime) -> datetime.datetime:
        """When a planned instant is to be fired."""
        if not self._policy.jitter:
            return instant
        return self._jitter(self._name, instant, self._policy.jitter, self._after(instant))

    def next_after(self, moment: datetime.datetime) -> datetime.datetime | None:
        """The first planned instant after ``moment``."""
        start, end = self._policy.starts_at, self._policy.ends_at
        if start is not None and moment < start:
            moment = start - TICK
        found = self._after(moment)
        return None if found is None or (end is not None and found > end) else found

    def _after(self, instant: datetime.datetime) -> datetime.datetime | None:
        """The plan's next instant. It is asked for several times in one decision, and a cron takes its time."""
        if self._following is None or self._following[0] != instant:
            after = self._foreign[1] if self._foreign is not None and self._foreign[0] == instant else instant
            self._following = instant, self._plan.next_after(after)
        return self._following[1]

    def last_due(self, first: datetime.datetime, now: datetime.datetime) -> tuple[datetime.datetime, int] | None:
        """The latest instant in ``[first, now]``, and how many before it; None if ``first`` is not due yet.

        ``first`` is planned; due is what its jitter lets be fired by ``now``.
        """
        if self.fire_at(first) > now:
            return None
        until = now if self._policy.ends_at is None else min(now, self._policy.ends_at)
        latest, missed = self._last(first, until)
        while latest > first and self.fire_at(latest) > now:
            latest, missed = self._last(first, latest - TICK)
        return latest, missed

    def _last(self, first: datetime.datetime, until: datetime.datetime) -> tuple[datetime.datetime, int]:
        """The latest instant from ``first`` to ``until``, and how many lie before it."""
        following = self._after(first)
        if following is None or following > until:
            return first, 0
        latest, missed = self._plan.last_due(following, until)
        return latest, missed + 1


def decide(
    course: Course, policy: policies.Policy, standing: Standing, now: datetime.datetime, most: int = MOST
) -> Decision:
    """What becomes of the instants that are due at ``now``; after ``most`` slots the rest waits, to be decided next."""
    desk = _Desk(course, policy, standing, now, most)
    desk.release_held()
    desk.settle_due()
    return desk.decision()


def skip_due(course: Course, standing: Standing, now: datetime.datetime, reason: Reason) -> Decision:
    """Nothing that is due is fired, as at the end of a pause: it was skipped, and the schedule goes on after it."""
    slots: tuple[Slot, ...] = ()
    planned = standing.planned
    if planned is not None and (found := course.last_due(planned, now)) is not None:
        latest, missed = found
        slots = (Slot(latest, course.fire_at(latest), Outcome.SKIPPED, reason, missed),)
        planned = course.next_after(latest)
    standing = dataclasses.replace(standing, planned=planned)
    return Decision(slots, standing, wake_at(course, standing, now))


def wake_at(course: Course, standing: Standing, now: datetime.datetime) -> datetime.datetime | None:
    """When a schedule that stands like this must be looked at again: where more is due, at once, behind all that is.

    What is held is woken when nothing is open any more (``service.ledger.held``).
    """
    return None if standing.planned is None else max(now, course.fire_at(standing.planned))


class _Desk:
    """Where one decision is made, step by step."""

    def __init__(
        self, course: Course, policy: policies.Policy, standing: Standing, now: datetime.datetime, most: int
    ) -> None:
        self._course = course
        self._policy = policy
        self._now = now
        self._most = most
        self._planned = standing.planned
        self._runs = standing.runs
        self._held = standing.held
        self._open = standing.open
        self._cancel = False
        self._slots: list[Slot] = []

    def release_held(self) -> None:
        """What was held goes, once nothing is open any more."""
        if self._held is None or self._open:
            return
        instant, self._held = self._held, None
        if self._expired(instant):
            self._runs -= 1
            self._add(instant, Outcome.SKIPPED, Reason.EXPIRED)
        else:
            self._add(instant, Outcome.FIRED, Reason.OVERLAP)
            self._open += 1

    def settle_due(self) -> None:
        """The instants that are due, by the policies."""
        if self._planned is None or self._finished:
            return
        if self._policy.misfire is policies.Misfire.ALL:
            self._catch_up(self._planned)
            return
        found = self._course.last_due(self._planned, self._now)
        if found is None:
            return
        latest, missed = found
        if self._too_late(latest):
            self._add(latest, Outcome.SKIPPED, Reason.MISFIRE, missed)
        else:
            self._settle(latest, missed, last=True)
        self._planned = self._course.next_after(latest)

    def decision(self) -> Decision:
        """All of it."""
        planned = None if self._finished else self._planned
        standing = Standing(planned, self._runs, self._held, self._open)
        return Decision(tuple(self._slots), standing, wake_at(self._course, standing, self._now), self._cancel)

    @property
    def _spent(self) -> bool:
        return self._policy.max_runs is not None and self._runs >= self._policy.max_runs

    @property
    def _finished(self) -> bool:
        """What is held is counted, and may yet expire: until then there may be another run."""
        return self._spent and self._held is None

    def _catch_up(self, first: datetime.datetime) -> None:
        """Each instant from ``first`` on that is due; those beyond the window are one slot that was skipped."""
        instant: datetime.datetime | None = first
        if self._is_due(first) and self._too_late(first):
            assert self._policy.window is not None
            floor = self._now - datetime.timedelta(seconds=self._policy.window) - TICK
            lost, missed = self._course.last_due(first, floor) or (first, 0)
            self._add(lost, Outcome.SKIPPED, Reason.MISFIRE, missed)
            instant = self._course.next_after(lost)
        while self._is_due(instant) and len(self._slots) < self._most and not self._finished:
            assert instant is not None
            following = self._course.next_after(instant)
            self._settle(instant, 0, last=not self._is_due(following))
            instant = following
        self._planned = instant

    def _is_due(self, instant: datetime.datetime | None) -> bool:
        return instant is not None and self._course.fire_at(instant) <= self._now

    def _settle(self, instant: datetime.datetime, missed: int, *, last: bool) -> None:
        """One instant that is neither missed nor too late."""
        if self._expired(instant):
            self._add(instant, Outcome.SKIPPED, Reason.EXPIRED, missed)
        elif self._spent:
            self._add(instant, Outcome.SKIPPED, Reason.OVERLAP, missed)  # The last run is the one that is held.
        elif self._open and self._policy.overlap is not policies.Overlap.ALLOW:
            self._settle_overlap(instant, missed, last=last)
        else:
            self._fire(instant, missed, last=last)

    def _settle_overlap(self, instant: datetime.datetime, missed: int, *, last: bool) -> None:
        overlap = self._policy.overlap
        if overlap is policies.Overlap.CANCEL_RUNNING and last:
            self._cancel = True
            self._open = 0
            self._fire(instant, missed, last=last)
        elif overlap is policies.Overlap.QUEUE_ONE and self._held is None:
            self._held = instant
            self._runs += 1
            self._add(instant, Outcome.HELD, Reason.OVERLAP, missed)
        else:
            self._add(instant, Outcome.SKIPPED, Reason.OVERLAP, missed)

    def _fire(self, instant: datetime.datetime, missed: int, *, last: bool) -> None:
        tardy = not last or self._now - self._course.fire_at(instant) > TARDY
        self._add(instant, Outcome.CAUGHT_UP if tardy else Outcome.FIRED, None, missed)
        self._runs += 1
        self._open += 1

    def _too_late(self, instant: datetime.datetime) -> bool:
        window = self._policy.window
        return window is not None and self._now - self._course.fire_at(instant) > datetime.timedelta(seconds=window)

    def _expires_at(self, instant: datetime.datetime) -> datetime.datetime | None:
        after = self._policy.expires_after
        return None if after is None else self._course.fire_at(instant) + datetime.timedelta(seconds=after)

    def _expired(self, instant: datetime.datetime) -> bool:
        expires_at = self._expires_at(instant)
        return expires_at is not None and expires_at <= self._now

    def _add(self, instant: datetime.datetime, outcome: Outcome, reason: Reason | None, missed: int = 0) -> None:
        fire_at, expires_at = self._course.fire_at(instant), self._expires_at(instant)
        self._slots.append(Slot(instant, fire_at, outcome, reason, missed, expires_at))
