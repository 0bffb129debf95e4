"""The crash-point matrix: wherever a process dies, each event is worked, once (P1, P2), and none is forgotten (P8).

A death is a real SIGKILL. What dies is started again in the same way, as a supervisor does it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from service import crashpoints
from service.ledger import balance
from tests.patience import wait
from tests.road import Road

WEB = ("after_event_commit", "after_publish", "after_confirm", "after_ticket_update")
WORKER = ("after_claim", "in_handler", "after_commit_before_ack")
CAREFUL = ("before_crash_count", "after_crash_count", "after_claim", "in_handler", "after_commit_before_ack")
SLOTS = ("clock_before_slots", "clock_after_slots")
CLOCK = ("clock_before_publish", "after_publish", "after_confirm")

MakeRoad = Callable[..., Road]


def test_the_matrix_knows_every_crash_point() -> None:
    assert set(WEB) | set(WORKER) | set(CAREFUL) | set(SLOTS) | set(CLOCK) == set(crashpoints.POINTS)


def assert_covered(road: Road) -> None:
    """P8 at the worst moment: just after a death."""
    assert balance.count(road.engine).without_ticket == 0


class TestWeb:
    """A web process dies; a worker and a clock go on."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing()
        road.worker()
        road.clock()
        return road

    @pytest.mark.parametrize("point", WEB)
    def test_an_event_survives_the_death_of_its_web_process(self, road: Road, point: str) -> None:
        known = set(road.ids())
        armed = road.arm(point)
        door = road.web(crash_at=armed.setting)
        armed.at(door.process)

        first = door.post("ledger.step")
        armed.wait_for_death(door.process)
        assert_covered(road)
        door.wait_until_open()
        second = door.post("ledger.step")

        ids = [i for i in road.ids() if i not in known]
        told = [a.id for a in (first, second) if a.status == 202]
        assert len(ids) == 2, "an event that was committed is gone, or one was stored twice"
        assert second.status == 202
        assert set(told) <= set(ids)
        road.assert_worked_once(ids)
        door.process.stop()


class TestWorker:
    """A worker dies in the middle of a ticket; a clock goes on."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing()
        road.clock()
        return road

    @pytest.mark.fault(24)
    @pytest.mark.parametrize("pool", ["prefork", pytest.param("solo", marks=pytest.mark.heavy)])
    @pytest.mark.parametrize(
        ("point", "careful"), [(p, False) for p in WORKER] + [(p, True) for p in CAREFUL],
        ids=[*WORKER, *(f"carefully-{p}" for p in CAREFUL)],
    )  # fmt: skip
    def test_a_ticket_survives_the_death_of_its_worker(self, road: Road, point: str, careful: bool, pool: str) -> None:
        armed = road.arm(point)
        worker = road.worker(pool, concurrency=1, crash_at=armed.setting)
        armed.at(worker)

        (ticket,) = road.store("ledger.step", ["{}"] * 3)
        road.publish(dataclasses.replace(ticket, careful=careful))
        armed.wait_for_death(worker)
        assert_covered(road)

        road.assert_worked_once(ticket.event_ids)
        wait(lambda: road.ready() == 0, 10, "the ticket is taken from the queue")
        worker.stop()


class TestClock:
    """A clock dies with tickets in its hands; a worker goes on."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing()
        road.worker()
        return road

    @pytest.mark.fault(46)
    @pytest.mark.parametrize("point", CLOCK)
    def test_due_tickets_survive_the_death_of_their_clock(self, road: Road, point: str) -> None:
        tickets = road.store("ledger.step", ["{}"] * 3, bundle=1, head_start=0.01)
        armed = road.arm(point)
        clock = road.clock(crash_at=armed.setting)
        armed.at(clock)

        armed.wait_for_death(clock)
        assert_covered(road)

        road.assert_worked_once([i for t in tickets for i in t.event_ids])
        clock.stop()
