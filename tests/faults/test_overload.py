"""One type, or one producer, in trouble: the others come through (P6)."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.door import Door, assert_in_time
from tests.faults import checker
from tests.faults.checker import Record, Trial
from tests.road import Road

pytestmark = pytest.mark.heavy

MakeRoad = Callable[..., Road]
FLOOD = 32  #: connections of the producer who knows no measure


class TestOverload:
    """One web process, one worker with two children, and one clock."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing(soft_limit="40", hard_limit="50")
        road.worker()
        road.clock()
        return road

    @pytest.mark.fault(36)
    def test_a_type_that_always_fails_is_tried_no_more_than_it_may_and_another_is_worked(
        self, road: Road, door: Door, trial: Trial, record_property: Record
    ) -> None:
        with trial(road, door) as load:
            failing = [a.id for a in door.post_all("ledger.alone", [{"do": "fail", "times": 99}] * 800)]
            load.wait_for_accepted(40)
            assert open_ones(road, failing), "the storm was over before the others came"
        record_property(
            "p99", round(checker.p99(road, load.accepted().values()), 1)
        )  # They share a queue, which is first in, first out.
        road.wait_until_closed(failing, 60)
        attempts = "select count(*) from millrace.attempts where event_id = any(%s::uuid[])"
        assert road.one(attempts, failing) == 3 * len(failing), "tried more often than the type allows"

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
