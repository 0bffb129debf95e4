"""One type, or one producer, in trouble: the others hardly notice (P6)."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.door import Door, assert_in_time
from tests.faults.checker import Trial
from tests.faults.workload import Workload
from tests.patience import PATIENCE, wait
from tests.road import Road

MakeRoad = Callable[..., Road]
WINDOW = 4  #: published events of one type at once
SLOW = 0.5  #: seconds that an event of the slow type takes
LATE = 3.0  #: seconds from accepted to worked, for 99 of 100 events of a type that is well
FLOOD = 32  #: connections of the producer who knows no measure


@pytest.mark.heavy
class TestOverload:
    """One web process, one worker with two children, one clock, and a small window."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing(window=str(WINDOW), soft_limit="40", hard_limit="50")
        road.worker()
        road.clock()
        return road

    @pytest.fixture(scope="class")
    @classmethod
    def door(cls, road: Road) -> Door:
        return road.web()

    @pytest.mark.fault(36)
    def test_a_type_that_always_fails_does_not_hold_up_another(self, road: Road, door: Door, trial: Trial) -> None:
        with trial(road, door) as load:
            failing = [a.id for a in door.post_all("ledger.alone", [{"do": "fail", "times": 99}] * 200)]
            load.wait_for_accepted(200)
            assert open_ones(road, failing), "the storm was over before the others came"
        assert_hardly_late(road, load)
        road.wait_until_closed(failing, 60)
        attempts = "select count(*) from millrace.attempts where event_id = any(%s::uuid[])"
        assert road.one(attempts, failing) == 3 * len(failing), "tried more often than the type allows"

    @pytest.mark.fault(37)
    def test_a_slow_type_does_not_hold_up_another(self, road: Road, door: Door, trial: Trial) -> None:
        with trial(road, door) as load:
            slow = [a.id for a in door.post_all("ledger.alone", [{"do": "sleep", "seconds": SLOW}] * 60)]
            load.wait_for_accepted(200)
            assert open_ones(road, slow), "the slow ones were through before the others came"
        assert_hardly_late(road, load)
        road.assert_worked_once(slow, 90)

    @pytest.mark.fault(39)
    def test_a_producer_who_floods_the_door_does_not_shut_others_out(
        self, road: Road, door: Door, trial: Trial
    ) -> None:
        """What is too much is refused at once, and in words; all clients get their answers in time."""
        ended = threading.Event()
        flood: list[list[int]] = []

        def producer() -> None:
            while not ended.is_set():
                answers = door.post_all("ledger.mass", [{}] * FLOOD, threads=FLOOD)
                assert_in_time(answers)
                flood.append([a.status for a in answers])

        thread = threading.Thread(target=producer)
        with trial(road, door, drain=120) as load:
            thread.start()
            load.wait_for(200)
            ended.set()
            thread.join()
        statuses = {status for statuses in flood for status in statuses}
        assert statuses <= {202, 503}
        assert sum(map(len, flood)) > 3 * len(load.answers), "it was no flood"
        assert len(load.accepted()) > 0.9 * len(load.answers)


def open_ones(road: Road, ids: list[str]) -> int:
    """How many of these are not through."""
    return road.states(ids)["pending"]


def assert_hardly_late(road: Road, load: Workload) -> None:
    """How long the events of the type that is well have taken."""
    wait(lambda: not open_ones(road, list(load.accepted().values())), 30, "all are through")
    latency = (
        "select percentile_cont(0.99) within group (order by extract(epoch from finished_at - accepted_at))"
        " from millrace.events where id = any(%s::uuid[])"
    )
    assert road.one(latency, list(load.accepted().values())) < LATE * PATIENCE
