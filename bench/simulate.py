"""A simulation of the road, to check the arithmetic of ``bench.ladder`` against what was measured.

It knows what the arithmetic does not: that a request waits for the flush it is in, that a flush takes all that came
while the one before was written, that a ticket waits for a child, that a commit waits for a disk, and that a machine's
cores are shared. Its only figures are the CPU time per event that was measured, group by group, and the constants
below. Where the two agree, what holds the rate is CPU, as the arithmetic says; where they differ, it is waiting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.kernel import Behaviour, Machine, Process, Queue, Rest, Take, Work

#: Events of one flush, and of one ticket, at the most (``service.application.accept``, ``service.domain.handlers``).
FLUSH, BUNDLE = 256, 100
#: Seconds that a commit waits for the disk: what fdatasync takes on a disk with a cache that survives a loss of power.
COMMIT = 0.000125
#: Shares of a group's time, where one group does two things. Of the door's: reading a request; the rest is the flush.
READING = 0.6
#: Of PostgreSQL's: for the door; the rest is for workers.
DOOR = 0.5
#: Of the workers': the parents', with the clock; the rest is the children's.
PARENT = 0.3
#: Of the broker's: taking messages; the rest is handing them out.
PUBLISHING = 0.5
#: How far a simulated rate may be from the measured one, as a share of it.
ERROR = 0.25


@dataclass(frozen=True)
class Road:
    """What is simulated."""

    #: CPU seconds per event, by group: web, worker, broker, postgres, and generator.
    demands: Mapping[str, float]
    cores: float
    web: int
    #: Workers, and processes of each.
    workers: int
    children: int
    connections: int
    #: Events in a request.
    batch: int
    #: Seconds in which requests are sent.
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    #: Events per second, from the first request to the last answer, and to the last commit.
    accepted_per_s: float
    committed_per_s: float
    #: Events of a flush, on average.
    flushed: float
    #: Group → share of the time in which one of its processes was busy, summed over its processes.
    busy: Mapping[str, float]


class _Run:
    """One simulation."""

    def __init__(self, road: Road) -> None:
        self.road = road
        self.machine = Machine(road.cores)
        self.tickets = Queue()
        self.accepted = self.committed = self.flushes = 0
        self.answered_at = self.committed_at = 0.0

    def run(self) -> Outcome:
        road, machine = self.road, self.machine
        generator, broker_in, broker_out = Process("generator"), Process("broker"), Process("broker")
        for number in range(road.web):
            requests, intake, publishing = Queue(), Queue(), Queue()
            web = Process("web")
            machine.start(self._reads(web, requests, intake))
            machine.start(self._flushes(web, Process("postgres"), intake, publishing))
            machine.start(self._publishes(broker_in, publishing))
            for _ in range(number, road.connections, road.web):
                machine.start(self._posts(generator, requests))
        for _ in range(road.workers):
            delivered, waiting = Queue(), Queue()
            machine.start(self._delivers(broker_out, delivered))
            machine.start(self._hands_out(Process("worker"), delivered, waiting))
            for _ in range(road.children):
                machine.start(self._works(Process("worker"), Process("postgres"), waiting))
        machine.run(until=100 * road.seconds)
        busy = {group: spent / self.committed_at for group, spent in machine.spent.items()}
        return Outcome(
            self.accepted / self.answered_at,
            self.committed / self.committed_at,
            self.accepted / self.flushes,
            busy,
        )

    def _posts(self, generator: Process, requests: Queue) -> Behaviour:
        """A connection: the next request follows the answer."""
        answer = Queue()
        while self.machine.now < self.road.seconds:
            yield Work(generator, self.road.demands["generator"] * self.road.batch)
            self.machine.put(requests, answer)
            yield Take(answer)

    def _reads(self, web: Process, requests: Queue, intake: Queue) -> Behaviour:
        while True:
            answer = (yield Take(requests))[0]
            yield Work(web, READING * self.road.demands["web"] * self.road.batch)
            self.machine.put(intake, answer)

    def _flushes(self, web: Process, postgres: Process, intake: Queue, publishing: Queue) -> Behaviour:
        """Group commit: all that has gathered, up to a flush's size."""
        batch = self.road.batch
        while True:
            answers = yield Take(intake, max(1, FLUSH // batch))
            events = len(answers) * batch
            yield Work(web, (1 - READING) * self.road.demands["web"] * events)
            yield Work(postgres, DOOR * self.road.demands["postgres"] * events)
            yield Rest(COMMIT)
            self.accepted += events
            self.flushes += 1
            self.answered_at = self.machine.now
            for answer in answers:
                self.machine.put(answer, None)
            self.machine.put(publishing, *(min(BUNDLE, events - n) for n in range(0, events, BUNDLE)))

    def _publishes(self, broker: Process, publishing: Queue) -> Behaviour:
        while True:
            (events,) = yield Take(publishing)
            yield Work(broker, PUBLISHING * self.road.demands["broker"] * events)
            self.machine.put(self.tickets, events)

    def _delivers(self, broker: Process, delivered: Queue) -> Behaviour:
        while True:
            (events,) = yield Take(self.tickets)
            yield Work(broker, (1 - PUBLISHING) * self.road.demands["broker"] * events)
            self.machine.put(delivered, events)

    def _hands_out(self, parent: Process, delivered: Queue, waiting: Queue) -> Behaviour:
        """A worker's parent gives a ticket to whichever child has nothing to do."""
        while True:
            (events,) = yield Take(delivered)
            yield Work(parent, PARENT * self.road.demands["worker"] * events)
            self.machine.put(waiting, events)

    def _works(self, child: Process, postgres: Process, waiting: Queue) -> Behaviour:
        while True:
            (events,) = yield Take(waiting)
            yield Work(child, (1 - PARENT) * self.road.demands["worker"] * events)
            yield Work(postgres, (1 - DOOR) * self.road.demands["postgres"] * events)
            yield Rest(COMMIT)
            self.committed += events
            self.committed_at = self.machine.now


def simulate(road: Road) -> Outcome:
    """What the road does under as many requests as its connections make."""
    return _Run(road).run()
