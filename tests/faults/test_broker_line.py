"""Between the road and its broker the network does what it likes: nothing is lost or doubled, and posts go on."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import pytest

from service.local.rabbitmq import RabbitNode
from tests.faults.proxy import DOWN, UP, Cut, Proxy
from tests.patience import wait
from tests.road import Door, Process, Road

pytestmark = pytest.mark.heavy

MakeRoad = Callable[..., Road]
MakeLine = Callable[[int], Proxy]

HEARTBEAT = 4  #: seconds
#: Where connections are cut; test_publish_cuts tries each byte.
CUTS = [(UP, n) for n in (0, 8, 300, 700, 1_200, 1_900, 2_100)] + [(DOWN, n) for n in (0, 100, 600, 1_000, 1_400)]


class TestLine:
    """One web process, one worker and one clock, each with a line of its own to the broker."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        # A parent that waits for a slow broker must not take a handler for one that hangs.
        return make_standing(broker_heartbeat=str(HEARTBEAT), soft_limit="40", hard_limit="50")

    @pytest.fixture(scope="class")
    @classmethod
    def web_line(cls, make_line: MakeLine, broker_node: RabbitNode) -> Proxy:
        return make_line(broker_node.port)

    @pytest.fixture(scope="class")
    @classmethod
    def worker_line(cls, make_line: MakeLine, broker_node: RabbitNode) -> Proxy:
        return make_line(broker_node.port)

    @pytest.fixture(scope="class")
    @classmethod
    def worker(cls, road: Road, worker_line: Proxy) -> Process:
        road.clock()
        return road.worker(broker_url=worker_line.instead_of(road.broker))

    @pytest.fixture(scope="class")
    @classmethod
    def door(cls, road: Road, web_line: Proxy) -> Door:
        return road.web(broker_url=web_line.instead_of(road.broker))

    @pytest.fixture(autouse=True)
    def the_same_processes_serve_afterwards(self, road: Road, worker: Process, door: Door) -> Iterator[None]:
        """Nothing is started again, and no thread is left behind."""
        road.assert_worked_once([door.post("ledger.step").id])
        families = {p: p.family() for p in road.processes if p.code is None}
        crew = threads(door.process)
        yield
        road.assert_worked_once([door.post("ledger.step").id])
        assert {p: p.family() for p in families} == families
        wait(lambda: threads(door.process) <= crew, 10, f"no more than {crew} threads, as before")

    @pytest.mark.fault(8)
    def test_packets_between_web_and_broker_vanish(self, door: Door, road: Road, web_line: Proxy, trial) -> None:
        with trial(road, door) as load, web_line.weather_of(lost=True):
            wait(lambda: broker_of(door) == "down", 30, "the publisher notices")
            load.wait_for_accepted(40)

    @pytest.mark.fault(8)
    def test_web_and_broker_hear_nothing_of_each_other_on_a_connection_that_stays_open(
        self, door: Door, road: Road, web_line: Proxy, trial
    ) -> None:
        with trial(road, door) as load:
            web_line.cut(Cut(UP, words=b"ledger.step", silent=True))
            wait(lambda: web_line.cuts, 20, "the connection goes silent in the middle of a publish")
            load.wait_for_accepted(80)

    @pytest.mark.fault(9)
    def test_all_connections_of_the_web_are_reset_and_half_closed_time_and_again(
        self, door: Door, road: Road, web_line: Proxy, trial
    ) -> None:
        with trial(road, door) as load:
            for action in (web_line.reset, lambda: web_line.half_close(DOWN), lambda: web_line.half_close(UP)) * 2:
                wait(lambda: web_line.links, 20, "the publisher is connected")
                action()
                load.wait_for_accepted(20)

    @pytest.mark.fault(9)
    def test_a_publish_breaks_at_any_stage(self, door: Door, road: Road, web_line: Proxy, trial) -> None:
        """In the handshake, between declarations, in mid-frame, after the message and before its confirm."""
        with trial(road, door) as load:
            for direction, after in CUTS:
                done = web_line.cuts
                web_line.cut(Cut(direction, after))
                web_line.reset()  # What is cut by bytes is a connection's beginning.
                wait(lambda done=done: web_line.cuts > done, 20, f"a connection is cut {direction} after {after} bytes")
            load.wait_for_accepted(20)

    @pytest.mark.fault(9)
    def test_frames_are_spoilt_on_the_way(self, door: Door, road: Road, web_line: Proxy, trial) -> None:
        """The broker closes a connection on which it understands nothing; so does the publisher."""
        with trial(road, door) as load:
            for direction in (UP, DOWN):
                with web_line.weather_of(corrupt=direction):
                    load.wait_for_accepted(40)

    @pytest.mark.fault(10)
    @pytest.mark.parametrize(
        "weather", [{"latency": 2.0, "jitter": 0.5}, {"rate": 8_000}], ids=["two seconds", "64 kbit per second"]
    )
    def test_the_broker_is_slow(
        self, door: Door, road: Road, web_line: Proxy, worker_line: Proxy, weather, trial
    ) -> None:
        with trial(road, door) as load, web_line.weather_of(**weather), worker_line.weather_of(**weather):
            load.wait_for_accepted(300)
            late = door.post("ledger.step").id
            load.wait_for_accepted(40)  # For about a second.
            assert not road.effects([late]), "the broker is quick"

    @pytest.mark.fault(35)
    def test_the_consumer_is_cut_off_every_second(
        self, door: Door, road: Road, worker: Process, worker_line: Proxy, trial
    ) -> None:
        lost = worker.text().count("Connection to broker lost")
        with trial(road, door) as load:
            for _ in range(20):
                worker_line.reset()
                load.wait_for_accepted(40)
        assert worker.text().count("Connection to broker lost") - lost >= 5, "it was hardly cut off"
        assert road.one("select count(*) from millrace.attempts") == 0, "attempts were used up"
        assert road.one("select max(attempt) from effects") == 1

    @pytest.mark.fault(14)
    def test_the_broker_has_no_connection_left(
        self, door: Door, road: Road, broker_node: RabbitNode, web_line: Proxy, worker_line: Proxy, trial
    ) -> None:
        with trial(road, door) as load:
            broker_node.ctl("set_vhost_limits", "-p", "/", '{"max-connections": 0}')
            try:
                web_line.reset()
                worker_line.reset()
                wait(lambda: broker_of(door) == "down", 20, "it is refused")
                door.process.wait_for_text("publish.away")
                load.wait_for_accepted(80)
            finally:
                broker_node.ctl("clear_vhost_limits", "-p", "/")

    @pytest.mark.fault(7)
    def test_the_broker_freezes_for_longer_than_its_heartbeats(
        self, door: Door, road: Road, worker: Process, broker_node: RabbitNode, trial
    ) -> None:
        with trial(road, door) as load:
            broker_node.freeze()
            try:
                said = worker.text().count("Connection to broker lost")
                wait(lambda: worker.text().count("Connection to broker lost") > said, 40, "the worker notices")
                load.wait_for_accepted(40)
            finally:
                broker_node.thaw()


def broker_of(door: Door) -> str:
    """What the publisher of a web process thinks of the broker."""
    return str(door.get("/readyz").document["checks"]["broker"])


def threads(process: Process) -> int:
    """How many threads a process has."""
    return len(list(pathlib.Path(f"/proc/{process.pid}/task").iterdir()))
