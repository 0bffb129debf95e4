"""A ticket that is delivered twice at once is worked once (P2), and soon, whatever becomes of the first (P1)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from service.local.rabbitmq import RabbitNode
from tests.patience import wait
from tests.road import Gate, Process, Road

SOON = 15.0  #: seconds from the end of the first delivery to the effect


@pytest.mark.fault(34)
class TestDoubleDelivery:
    """Two deliveries in the two children of one worker: the first stands in mid-handler, the second finds it locked."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: Callable[..., Road]) -> Road:
        road = make_standing(soft_limit="40", hard_limit="50")
        road.clock()
        return road

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def worker(cls, road: Road) -> Process:
        return road.worker()

    def deliver_twice(self, road: Road, gate: Gate) -> tuple[tuple[str, ...], int, int]:
        """(events, process, session) of the first delivery, once the second has given up on it."""
        (ticket,) = road.store("ledger.step", [gate.payload, "{}"])
        road.publish(ticket)
        process, session = gate.wait()
        road.publish(ticket)
        # The second has found the events locked and made their ticket due, for the first may still roll back.
        wait(lambda: road.tickets(ticket.event_ids)[0]["revision"] >= 1, 10, "the second delivery was settled")
        assert road.states(ticket.event_ids) == {"pending": 2}
        return ticket.event_ids, process, session

    def test_both_arrive_and_the_first_succeeds(self, road: Road, gate: Gate) -> None:
        ids, _, _ = self.deliver_twice(road, gate)
        gate.open()
        road.assert_worked_once(ids, SOON)
        assert not road.tickets(ids)

    @pytest.mark.fault(24)
    def test_the_first_one_is_killed(self, road: Road, gate: Gate) -> None:
        ids, process, _ = self.deliver_twice(road, gate)
        gate.open()
        os.kill(process, signal.SIGKILL)
        road.assert_worked_once(ids, SOON)

    def test_the_first_one_fails_and_rolls_back(self, road: Road, gate: Gate) -> None:
        ids, _, _ = self.deliver_twice(road, gate)
        gate.open(fail=True)
        road.assert_worked_once(ids, SOON)
        # A bundle that fails is worked one by one; the gate fails once.
        assert road.one("select count(*) from millrace.attempts where event_id = any(%s::uuid[])", list(ids)) == 0

    @pytest.mark.fault(23)
    def test_the_first_one_loses_its_transaction(self, road: Road, gate: Gate) -> None:
        ids, _, session = self.deliver_twice(road, gate)
        assert road.one("select pg_terminate_backend(%s)", session)
        gate.open()
        road.assert_worked_once(ids, SOON)

    def test_the_first_one_loses_its_broker_connection(
        self, road: Road, gate: Gate, worker: Process, broker_node: RabbitNode
    ) -> None:
        ids, _, _ = self.deliver_twice(road, gate)
        broker_node.ctl("close_all_connections", "--vhost", "/", "test")
        worker.wait_for_text("Connection to broker lost")
        road.wait_for_consumers(1)
        gate.open()
        road.assert_worked_once(ids, SOON)
        assert worker.code is None

    @pytest.mark.fault(26)
    def test_the_worker_vanishes_with_its_first_delivery(self, road: Road, gate: Gate, worker: Process) -> None:
        """The children have both deliveries in hand, and die with their parent."""
        ids, _, _ = self.deliver_twice(road, gate)
        gate.open()
        worker.kill()
        worker.restart()
        road.assert_worked_once(ids, SOON)
