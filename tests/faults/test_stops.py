"""Told to stop: requests and tickets under way come to an end, and a deploy loses and doubles nothing (P1, P2, P7)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg2
import pytest

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from service.web import server
from tests.door import Door, assert_in_time
from tests.faults.checker import Trial
from tests.patience import wait
from tests.road import Process, Road
from workers import cold

pytestmark = pytest.mark.heavy

MakeRoad = Callable[..., Road]
REQUESTS = 50  #: under way at once
ORDERS = 4  #: of the 120 in which five components can start
SEED = "orders"
UNHEARD = 30  #: seconds, after which a child of billiard's ends unheard; whatever the patience of the tests
STOPS = 5  #: of busy workers; each is as likely as not to fall between two tickets

WAITING = (
    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'millrace-intake'"
)


class TestStops:
    """One web process, two workers and a clock."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing(soft_limit="40", hard_limit="50")
        road.clock()
        return road

    @pytest.mark.fault(40)
    def test_requests_under_way_are_answered_before_a_web_process_ends(self, road: Road) -> None:
        worker, door = road.worker(), road.web()
        with ThreadPoolExecutor(REQUESTS) as pool:
            with contextlib.closing(psycopg2.connect(road.database)) as holder:
                holder.cursor().execute("lock table millrace.events in access exclusive mode")
                posts = [pool.submit(door.post, "ledger.step") for _ in range(REQUESTS)]
                wait(lambda: road.one(WAITING) == 1, 10, "the first are being stored")
                wait(lambda: connections(door) >= REQUESTS, 10, "all are under way")
                os.kill(door.process.pid, signal.SIGTERM)
            answers = [post.result() for post in posts]
        assert {a.status for a in answers} <= {202, 503}
        assert_in_time(answers)
        assert door.process.wait_for_end(server.STOP_AFTER) == 0
        told = {a.id for a in answers if a.status == 202}
        assert told, "none was accepted: this would prove nothing"
        road.assert_worked_once(told)
        worker.stop()

    @pytest.mark.fault(41)
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT], ids=["warm", "cold"])
    def test_workers_are_replaced_one_by_one_under_load(self, road: Road, trial: Trial, how: signal.Signals) -> None:
        workers, door = [road.worker(), road.worker()], road.web()
        with trial(road, door) as load:
            for old in list(workers):
                workers.append(road.worker())
                os.kill(old.pid, how)
                # Celery's cold stop may hang, and is ended then.
                assert old.wait_for_end(2 * cold.LONGEST) in (0, 1, -signal.SIGALRM)
                load.wait_for_accepted(40)
        for process in (*workers[2:], door.process):
            process.stop()

    @pytest.mark.fault(41)
    def test_a_worker_ends_when_what_it_had_begun_is_done(self, road: Road) -> None:
        door = road.web()
        for _ in range(STOPS):
            assert door.post_many("ledger.alone", 600, do="sleep", seconds=0.002).status == 202
            worker = road.worker()
            left = road.states(road.ids())["pending"]
            wait(lambda left=left: road.states(road.ids())["pending"] < left, 20, "it is at work", step=0.01)
            os.kill(worker.pid, signal.SIGTERM)
            begin = time.monotonic()
            assert worker.wait_for_end(20) == 0
            assert time.monotonic() - begin < UNHEARD
        road.worker()
        road.assert_worked_once(road.ids(), 60)
        door.process.stop()

    @pytest.mark.fault(41)
    def test_a_cold_stop_ends_though_a_child_does_not(self, road: Road) -> None:
        worker = road.worker()
        stuck = worker.children()
        for child in stuck:
            os.kill(child, signal.SIGSTOP)
        os.kill(worker.pid, signal.SIGQUIT)
        assert worker.wait_for_end(2 * cold.LONGEST) == -signal.SIGALRM
        for child in stuck:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGCONT)
        wait(lambda: not any(map(psutil.pid_exists, stuck)), 20, "its children end when it has")

    @pytest.mark.fault(41)
    def test_everything_is_replaced_one_by_one_under_load(self, road: Road, trial: Trial) -> None:
        """As a deploy does it: a new one stands before the old one is told to go."""
        old: list[Process] = [road.worker(), road.clock()]
        doors = [road.web(), road.web()]
        with trial(road, *doors) as load:
            for process, start in zip(old, (road.worker, road.clock), strict=True):
                start()
                os.kill(process.pid, signal.SIGTERM)
                assert process.wait_for_end(20) == 0
                load.wait_for_accepted(40)
            for door in doors:
                os.kill(door.process.pid, signal.SIGTERM)
                assert door.process.wait_for_end(20) == 0
                door.process.restart()
                door.wait_until_open()
                load.wait_for_accepted(40)
        # Who connects while nothing listens knows that nothing was stored; nobody else is cut off.
        assert len(load.unknown()) < 0.5 * len(load.answers)


@pytest.mark.fault(61)
class TestPowerCut:
    """Everything dies at once, under load, and is started in some order."""

    @pytest.mark.parametrize("number", range(ORDERS))
    def test_all_comes_back_in_any_order(
        self, make_road: MakeRoad, ledger_server: PostgresServer, broker_node: RabbitNode, trial: Trial, number: int
    ) -> None:
        order = ["ledger", "broker", "web", "worker", "clock"]  # A failed test shows how it was shuffled.
        random.Random(f"{SEED} {number}").shuffle(order)
        road = make_road()
        worker, clock, door = road.worker(), road.clock(), road.web()
        starts: dict[str, Callable[[], object]] = {
            "ledger": ledger_server.start, "broker": broker_node.launch,
            "web": door.process.restart, "worker": worker.restart, "clock": clock.restart,
        }  # fmt: skip
        with trial(road, door) as load:
            load.wait_for_accepted(40)
            for victim in (ledger_server, broker_node, worker, clock, door.process):
                victim.kill()
            for name in order:
                starts[name]()
                load.wait_for(4)
            wait(broker_node.accepts, 60, "the broker is back", step=0.5)
        assert (worker.code, clock.code, door.process.code) == (None, None, None)


def connections(door: Door) -> int:
    """How many connections of clients this door's port has, as the kernel sees them."""
    port = f":{int(door.address.rpartition(':')[2]):04X}"
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table]
    return sum(1 for row in rows[1:] if row[1].endswith(port) and row[3] == "01")
