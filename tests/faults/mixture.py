"""Clients of other kinds than a workload's: batches, long runs, cancels, replays. Each keeps its own record."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections import deque
from collections.abc import Iterator
from typing import Any

from tests.door import Answer, Door
from tests.faults.workload import Workload
from tests.patience import PATIENCE

OF_A_BATCH = 15  #: events
#: Seconds that detached runs take in turns. The longest outlast the lease of a stack, which has to be renewed.
RUNS = (0.0, 0.5, 0.5, 3.0 + PATIENCE)
DELAY = 1.0  #: seconds that an event waits at the most, before its cancel comes or while it does
DIES = 2.0  #: seconds after which a poisonous event may be a dead letter


class Batches(Workload):
    """Events that come many at once, all or none of which are stored, to be worked in one call."""

    keyed = False

    def __init__(self, *doors: Door, **options: Any) -> None:
        super().__init__(*doors, **options)
        self.together: list[list[int]] = []  #: the numbers of each request

    def step(self, number: int) -> None:
        numbers = [number, *self.numbers(OF_A_BATCH - 1)]
        self.together.append(numbers)
        answer = self.door_of(number).post_together(self.type, map(self.payload, numbers))
        items = answer.document["items"] if answer.status == 202 else [answer.document] * len(numbers)
        for each, item in zip(numbers, items, strict=True):
            self.answers[each] = dataclasses.replace(answer, document=item)


class Runs(Workload):
    """Events of a detached handler, some longer than its lease."""

    def payload(self, number: int) -> dict[str, Any]:
        return {"number": number, "seconds": RUNS[number % len(RUNS)]}


class Cancels(Workload):
    """Events that wait for a moment, and are cancelled meanwhile or a little late."""

    keyed = False

    def __init__(self, *doors: Door, **options: Any) -> None:
        super().__init__(*doors, **options)
        self.acts: dict[int, Answer] = {}  #: number → what who cancelled it was told

    def step(self, number: int) -> None:
        delay = round(random.uniform(0.0, DELAY), 3)
        posted = self.answers[number] = self.door_of(number).post(self.type, delay=delay, **self.payload(number))
        if posted.status == 202:
            self.ended.wait(random.uniform(0.0, DELAY * 1.2))
            self.acts[number] = self.door_of(number + 1).act(posted.id, "cancel")


class Replays(Workload):
    """Poison, which is replayed at each door with a payload that is none. An answer that is lost is asked for again."""

    keyed = False

    def __init__(self, *doors: Door, **options: Any) -> None:
        super().__init__(*doors, **options)
        self.acts: dict[int, list[Answer]] = {}  #: number → what those who replayed it were told
        self._dying: deque[int] = deque()

    def payload(self, number: int) -> dict[str, Any]:
        return {"do": "fail", "times": 1_000}

    def step(self, number: int) -> None:
        super().step(number)
        if self.answers[number].status == 202:
            self._dying.append(number)
        self.ended.wait(DIES)
        with contextlib.suppress(IndexError):  # Another of these clients has it in hand.
            asked = self._dying.popleft()
            told = [self._replay(asked, door) for door in self.doors]
            if not all(told):
                self._dying.append(asked)

    def made(self) -> dict[int, set[str]]:
        """Number → the new events that its replays were told of."""
        return {n: set(filter(None, map(replayed_as, told))) for n, told in self.acts.copy().items()}

    def _replay(self, number: int, door: Door) -> bool:
        told = door.act(self.answers[number].id, "replay", {"payload": {"number": number}})
        self.acts.setdefault(number, []).append(told)
        return replayed_as(told) is not None


def replayed_as(told: Answer) -> str | None:
    """The new event, whoever made it; None where there is none, as far as this answer says."""
    found: str | None = {202: "id", 409: "replayed_as"}.get(told.status)
    return told.document.get(found) if found else None


@dataclasses.dataclass(frozen=True, slots=True)
class Mixture:
    """All kinds of clients at the same doors."""

    posts: Workload
    batches: Batches
    runs: Runs
    cancels: Cancels
    replays: Replays

    def each(self) -> dict[str, Workload]:
        """All of them, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def told(self) -> str:
        """What became of cancels and replays, for people."""
        return (
            f"of {len(self.cancels.acts)} cancels {self.cancelled()} came in time;"
            f" {self.replayed()} dead letters were replayed"
        )

    def cancelled(self) -> int:
        """How many cancels came in time."""
        return [act.status for act in self.cancels.acts.values()].count(200)

    def replayed(self) -> int:
        """How many dead letters were replayed."""
        return sum(map(bool, self.replays.made().values()))

    def stop(self) -> None:
        """Have all that is under way answered, and no more sent."""
        for load in self.each().values():
            load.stop()


@contextlib.contextmanager
def mixed(*doors: Door) -> Iterator[Mixture]:
    """Clients of every kind, until the end of the block."""
    with contextlib.ExitStack() as stack:
        yield Mixture(
            posts=stack.enter_context(Workload(*doors, rate=25)),
            batches=stack.enter_context(Batches(*doors, rate=1, threads=2, type_name="ledger.bulk")),
            runs=stack.enter_context(Runs(*doors, rate=1, threads=2, type_name="long.fenced")),
            cancels=stack.enter_context(Cancels(*doors, rate=4, threads=4)),
            replays=stack.enter_context(Replays(*doors, rate=4, threads=4, type_name="ledger.alone")),
        )
