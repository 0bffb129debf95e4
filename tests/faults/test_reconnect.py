"""A worker that loses its broker connection goes on with all its children, and can be stopped."""

from __future__ import annotations

import itertools
import json
import os
import signal
import urllib.request
from collections.abc import Callable

import pytest

from service.local.rabbitmq import RabbitNode
from tests.patience import PATIENCE, wait
from tests.road import Gate, Process, Road

CHILDREN = 3


def lose_connection(node: RabbitNode, road: Road, worker: Process) -> None:
    """The broker closes every connection; the worker is back."""
    before = worker.text().count("Connection to broker lost")
    node.ctl("close_all_connections", "--vhost", "/", "test")
    wait(lambda: worker.text().count("Connection to broker lost") > before, 20, "the worker notices")
    road.wait_for_consumers(1)


def wait_for_pulse(worker: Process) -> None:
    """Its health check sees its event loop turn, twice: what began with a connection may have ended with it."""
    url = f"http://127.0.0.1:{worker.environment['MILLRACE_METRICS_PORT']}/healthz"
    ages: list[float] = []

    def beaten() -> bool:
        with urllib.request.urlopen(url, timeout=20 * PATIENCE) as answer:
            ages.append(json.load(answer)["seconds_since"]["loop"])
        return sum(1 for before, after in itertools.pairwise(ages) if after < before) >= 2

    wait(beaten, 20, "the loop turns")


class TestReconnect:
    """One worker with three children."""

    @pytest.fixture
    def road(self, make_road: Callable[..., Road]) -> Road:
        road = make_road(soft_limit="40", hard_limit="50")
        road.clock()
        return road

    @pytest.fixture
    def worker(self, road: Road) -> Process:
        return road.worker(concurrency=CHILDREN)

    def assert_all_work(self, road: Road, worker: Process) -> None:
        """Each child still takes tickets, and the worker ends within its grace."""
        children = set(worker.children())
        assert len(children) == CHILDREN
        seen: set[int] = set()

        def all_seen() -> bool:
            tickets = road.store("ledger.alone", ['{"do": "sleep", "seconds": 0.2}'] * 2 * CHILDREN, bundle=1)
            ids = [i for t in tickets for i in t.event_ids]
            road.publish(*tickets)
            road.assert_worked_once(ids)
            seen.update(r[0] for r in road.sql("select pid from effects where event_id = any(%s::uuid[])", ids))
            return children <= seen

        wait(all_seen, 60, f"all of {children} take tickets")
        os.kill(worker.pid, signal.SIGTERM)
        assert worker.wait_for_end(20) == 0

    def test_children_in_mid_handler_go_on(self, road: Road, worker: Process, broker_node: RabbitNode) -> None:
        gate = Gate(road.folder)
        tickets = road.store("ledger.alone", [gate.payload, *["{}"] * 8], bundle=1)
        road.publish(*tickets)
        gate.wait()  # The next two wait for its lock, in mid-handler too; the others are prefetched.
        wait_for_pulse(worker)
        lose_connection(broker_node, road, worker)
        wait_for_pulse(worker)
        gate.open()
        road.assert_worked_once([i for t in tickets for i in t.event_ids])
        self.assert_all_work(road, worker)

    def test_children_that_followed_killed_ones_go_on(
        self, road: Road, worker: Process, broker_node: RabbitNode
    ) -> None:
        # One whose children all die before it has worked anything takes that for a start that failed, and ends.
        road.publish(*(tickets := road.store("ledger.alone", ["{}"], bundle=1)))
        road.assert_worked_once(tickets[0].event_ids)
        children = worker.children()
        os.kill(worker.pid, signal.SIGSTOP)
        for child in children:
            os.kill(child, signal.SIGKILL)
        os.kill(worker.pid, signal.SIGCONT)
        wait(lambda: len(set(worker.children()) - set(children)) == CHILDREN, 20, "new children")
        lose_connection(broker_node, road, worker)
        self.assert_all_work(road, worker)
