"""How far ahead a worker fetches, seen by the consumers that its queue has: a second one is there for more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.door import Door
from tests.patience import wait
from tests.road import Gate, Process, Road
from workers import prefetch

MakeRoad = Callable[..., Road]
StartWorker = Callable[..., Process]

FLOOD = 600
QUICK, SLOW = 0.002, 0.1  #: seconds that an event takes
TYPE = "ledger.alone"
SLOW_TYPE = "ledger.torn"


class TestPrefetch:
    """Workers with one child; a ticket for each event."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing(soft_limit="60", hard_limit="90")
        road.clock()
        return road

    @pytest.fixture
    def worker(self, road: Road) -> Iterator[StartWorker]:
        started: list[Process] = []

        def start(*options: str) -> Process:
            started.append(road.worker("prefork", *options, concurrency=1))
            return started[-1]

        yield start
        for process in started:
            process.stop()

    def test_more_is_fetched_while_it_is_quick_and_no_more_when_it_has_gone(
        self, road: Road, door: Door, worker: StartWorker
    ) -> None:
        send(door, TYPE, FLOOD, QUICK)
        worker()
        wait(lambda: road.consumers() == 2, 30, "more is fetched")
        road.assert_worked_once(road.ids(), 60)
        wait(lambda: road.consumers() == 1, 10 + prefetch.REST, "no more is fetched than at first")

    @pytest.mark.parametrize(
        ("type_name", "seconds", "number", "options"),
        [(SLOW_TYPE, SLOW, 40, ()), (TYPE, QUICK, FLOOD, ("--prefetch-multiplier", "2"))],
        ids=["slow", "a number of one's own"],
    )
    def test_no_more_is_fetched(
        self,
        road: Road,
        door: Door,
        worker: StartWorker,
        type_name: str,
        seconds: float,
        number: int,
        options: tuple[str, ...],
    ) -> None:
        send(door, type_name, number, seconds)
        worker(*options)
        seen = set()

        def all_worked() -> bool:
            seen.add(road.consumers())
            return pending(road) == 0

        wait(all_worked, 60, "all are worked", step=0.1)
        assert seen == {1}

    def test_what_comes_slowly_is_left_in_the_queue(self, road: Road, door: Door, worker: StartWorker) -> None:
        send(door, TYPE, FLOOD, QUICK)
        worker()
        wait(lambda: road.consumers() == 2, 30, "more is fetched")
        send(door, SLOW_TYPE, 150, SLOW)
        wait(lambda: road.consumers() == 1, 40, "no more is fetched than at first")
        wait(lambda: 0 < road.ready() >= pending(road) - prefetch.FIRST, 30, "it holds as few as at first")
        road.assert_worked_once(road.ids(), 60)

    @pytest.mark.fault(27)
    def test_what_hangs_holds_no_more_than_has_been_fetched(
        self, road: Road, door: Door, worker: StartWorker, gate: Gate
    ) -> None:
        send(door, TYPE, FLOOD, QUICK)
        worker()
        wait(lambda: road.consumers() == 2, 30, "more is fetched")
        door.post(TYPE, do="gate", gate=str(gate.folder))
        send(door, TYPE, 200, QUICK)
        gate.wait(60)

        worker()
        wait(lambda: pending(road) <= prefetch.MOST, 60, "another one works what is left")
        gate.open()
        road.assert_worked_once(road.ids())

    @pytest.mark.fault(26)
    def test_a_killed_worker_leaves_all_that_it_has_fetched_to_another(
        self, road: Road, door: Door, worker: StartWorker
    ) -> None:
        send(door, TYPE, FLOOD, QUICK)
        first = worker()
        wait(lambda: road.consumers() == 2, 30, "more is fetched")
        first.kill()
        worker()
        road.assert_worked_once(road.ids(), 60)

    def test_a_worker_that_is_told_to_stop_fetches_no_more(
        self, road: Road, door: Door, worker: StartWorker, gate: Gate
    ) -> None:
        send(door, TYPE, FLOOD, QUICK)
        first = worker()
        wait(lambda: road.consumers() == 2, 30, "more is fetched")
        door.post(TYPE, do="gate", gate=str(gate.folder))
        gate.wait(60)
        first.ask_to_stop()

        def is_left() -> bool:
            send(door, TYPE, 1, QUICK)  # Those of before it has ended its consumers are fetched.
            return road.ready() > 0

        wait(is_left, 20, "nothing more is fetched", step=0.5)
        gate.open()
        worker()
        road.assert_worked_once(road.ids(), 60)


def pending(road: Road) -> int:
    """How many events are still to be worked."""
    return road.states(road.ids())["pending"]


def send(door: Door, type_name: str, number: int, seconds: float) -> None:
    """Post so many events, each of which takes so long."""
    assert door.post_many(type_name, number, do="sleep", seconds=seconds).status == 202
