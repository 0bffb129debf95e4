"""A small kernel for discrete-event simulations: processes that want cores, rest, and hand each other things.

A behaviour is a generator. It yields what it wants next: ``Work`` on a process, ``Rest`` or ``Take``. A process does
one piece of work at a time, in the order in which it was asked (as Python does, with its lock); those that have
something to do share the cores evenly. Time is in seconds and starts at zero. Nothing here is random.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

#: What is left of a piece of work when it counts as done, seconds: far below all that is measured.
NOTHING = 1e-12


@dataclass(eq=False)
class Queue:
    """Things that wait to be taken, and those who wait for things."""

    things: deque[Any] = field(default_factory=deque)
    takers: deque[tuple[Behaviour, int]] = field(default_factory=deque)


@dataclass(eq=False)
class Process:
    """One that does one thing at a time, on one core at most."""

    #: The group that its time is counted for.
    group: str
    #: (whose, seconds that are left), the first of which is being done.
    todo: deque[list[Any]] = field(default_factory=deque)


@dataclass(frozen=True)
class Work:
    """Keep a process busy for so many seconds of a core's time."""

    process: Process
    seconds: float


@dataclass(frozen=True)
class Rest:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Take:
    """Be given all that waits in a queue, at most so many; wait for the first."""

    queue: Queue
    most: int = 1


Behaviour = Generator[Work | Rest | Take, list[Any], None]


class Machine:
    """So many cores, and all that runs on them."""

    def __init__(self, cores: float) -> None:
        self.now = 0.0
        #: Group → seconds of cores that it has had.
        self.spent: dict[str, float] = {}
        self._cores = cores
        self._busy: list[Process] = []
        self._timers: list[tuple[float, int, Behaviour]] = []
        self._ready: deque[tuple[Behaviour, list[Any]]] = deque()
        self._numbers = itertools.count()

    def start(self, behaviour: Behaviour) -> None:
        """Let it begin now."""
        self._ready.append((behaviour, []))

    def put(self, queue: Queue, *things: Any) -> None:
        """Hand things over; whoever waits is given them now."""
        queue.things.extend(things)
        while queue.things and queue.takers:
            taker, most = queue.takers.popleft()
            self._ready.append((taker, _taken(queue, most)))

    def run(self, until: float) -> None:
        """Go on until that instant, or until nothing is left to happen."""
        while True:
            self._wake()
            instant = min(self._next_done(), self._timers[0][0] if self._timers else float("inf"))
            if instant == float("inf") or instant > until:
                self._pass(max(0.0, min(until, instant) - self.now))
                return
            self._pass(instant - self.now)
            while self._timers and self._timers[0][0] <= self.now:
                self._ready.append((heapq.heappop(self._timers)[2], []))

    def _wake(self) -> None:
        while self._ready:
            behaviour, given = self._ready.popleft()
            try:
                wanted = behaviour.send(given if given else None)  # type: ignore[arg-type]
            except StopIteration:
                continue
            self._serve(behaviour, wanted)

    def _serve(self, behaviour: Behaviour, wanted: Work | Rest | Take) -> None:
        if isinstance(wanted, Work):
            if not wanted.process.todo:
                self._busy.append(wanted.process)
            wanted.process.todo.append([behaviour, wanted.seconds])
        elif isinstance(wanted, Rest):
            heapq.heappush(self._timers, (self.now + wanted.seconds, next(self._numbers), behaviour))
        elif wanted.queue.things:
            self._ready.append((behaviour, _taken(wanted.queue, wanted.most)))
        else:
            wanted.queue.takers.append((behaviour, wanted.most))

    def _rate(self) -> float:
        """The share of a core that each busy process has."""
        return min(1.0, self._cores / len(self._busy)) if self._busy else 1.0

    def _next_done(self) -> float:
        if not self._busy:
            return float("inf")
        nearest: float = min(process.todo[0][1] for process in self._busy)
        return self.now + nearest / self._rate()

    def _pass(self, seconds: float) -> None:
        """Let time go by; nobody is done before its end."""
        share = seconds * self._rate()
        self.now += seconds
        still = []
        for process in self._busy:
            first = process.todo[0]
            first[1] -= share
            self.spent[process.group] = self.spent.get(process.group, 0.0) + share
            if first[1] <= NOTHING:
                self._ready.append((process.todo.popleft()[0], []))
            if process.todo:
                still.append(process)
        self._busy = still


def _taken(queue: Queue, most: int) -> list[Any]:
    return [queue.things.popleft() for _ in range(min(most, len(queue.things)))]
