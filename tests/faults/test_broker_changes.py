"""What operators, and full disks, do to a running broker: taken away and given back (P1, P3, P4)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.application import publish
from service.domain import topology
from service.local.node import USER
from service.local.rabbitmq import RabbitNode
from tests.door import Door
from tests.faults.checker import Trial
from tests.patience import wait
from tests.road import Gate, Process, Road

pytestmark = pytest.mark.heavy

MakeRoad = Callable[..., Road]
ALL = (".*", ".*", ".*")  #: rights to configure, write and read


@contextlib.contextmanager
def disk_alarm(node: RabbitNode) -> Iterator[None]:
    """No disk is as large as what the broker wants to be free."""
    node.ctl("set_disk_free_limit", "1000000GB")
    try:
        yield
    finally:
        node.ctl("set_disk_free_limit", "50MB")


@contextlib.contextmanager
def policy(node: RabbitNode, queue: str, definition: str) -> Iterator[None]:
    """A policy for one queue that goes before any other."""
    node.ctl("set_policy", "--priority", "9", "--apply-to", "queues", "test", f"^{queue}$", definition)
    try:
        yield
    finally:
        node.ctl("clear_policy", "test")


@contextlib.contextmanager
def other_password(node: RabbitNode) -> Iterator[None]:
    """The password that everybody knows is wrong."""
    node.ctl("change_password", USER, "another")
    try:
        yield
    finally:
        node.ctl("change_password", USER, node.folder.password)


@contextlib.contextmanager
def no_permissions(node: RabbitNode) -> Iterator[None]:
    """Our user may not even enter its virtual host."""
    node.ctl("clear_permissions", USER)
    try:
        yield
    finally:
        node.ctl("set_permissions", USER, *ALL)


DELETIONS: dict[str, Callable[[Any], None]] = {
    "exchange": lambda channel: channel.exchange_delete(topology.EVENTS),
    "queue": lambda channel: channel.queue_delete(topology.EVENTS_QUEUE),
    "binding": lambda channel: channel.queue_unbind(topology.EVENTS_QUEUE, topology.EVENTS, "event.#"),
}


class TestChanges:
    """One web process, one worker with one child, one clock: none is started again."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing(soft_limit="40", hard_limit="50", patience="3")
        road.clock()
        return road

    @pytest.fixture(scope="class")
    @classmethod
    def worker(cls, road: Road) -> Process:
        return road.worker(concurrency=1)

    @pytest.fixture(scope="class")
    @classmethod
    def door(cls, road: Road, worker: Process) -> Door:
        return road.web()

    @pytest.fixture(autouse=True)
    def the_same_processes_serve_afterwards(self, road: Road, door: Door) -> Iterator[None]:
        families = [p.family() for p in road.processes[:3]]
        yield
        assert [p.family() for p in road.processes[:3]] == families

    @pytest.mark.fault(6)
    def test_the_disk_alarm_stops_no_worker_and_no_post(
        self, road: Road, door: Door, gate: Gate, broker_node: RabbitNode, trial: Trial
    ) -> None:
        ids = {door.post("ledger.alone", do="gate", gate=str(gate.folder)).id, door.post("ledger.alone").id}
        gate.wait()
        with trial(road, door) as load, disk_alarm(broker_node):
            # It looks at its disk every few seconds only.
            wait(lambda: "disk" in broker_node.ctl("eval", "rabbit_alarm:get_alarms()."), 30, "the alarm", step=0.5)
            load.wait_for_accepted(40)
            # In time, although a blocked broker goes on sending heartbeats.
            door.process.wait_for_text("the broker is blocked", 2 * publish.TIMEOUT)
            gate.open()
            wait(lambda: road.effects(ids).keys() == ids, 10, "what the broker has is worked")

    def test_there_are_no_queues_but_ours(self, road: Road, door: Door, broker_node: RabbitNode) -> None:
        """Celery would declare dozens for delays of its own, and bind ours a second time."""
        queues = broker_node.ctl("list_queues", "--silent", "name").split()
        ours = {"events", "periodic", "http", "dead"}
        assert {name for name in queues if not name.endswith(".pidbox")} - {"name"} == ours

    @pytest.mark.fault(11)
    @pytest.mark.parametrize("thing", DELETIONS)
    def test_what_was_deleted_on_the_broker_is_made_again(
        self, road: Road, door: Door, worker: Process, trial: Trial, thing: str
    ) -> None:
        def told() -> int:
            # A queue that is deleted may be there again, by its consumer, before the door's next message.
            return door.process.text().count("action=publish.") + worker.text().count("ConsumerCancelled")

        before = told()
        with trial(road, door):
            road.channel(DELETIONS[thing])
            wait(lambda: told() > before, 10, "the door or the worker misses it")

    @pytest.mark.fault(12)
    def test_a_full_queue_takes_no_more_and_nothing_is_lost(
        self, road: Road, door: Door, gate: Gate, broker_node: RabbitNode, trial: Trial
    ) -> None:
        door.post("ledger.alone", do="gate", gate=str(gate.folder))
        gate.wait()
        with policy(broker_node, topology.EVENTS_QUEUE, '{"max-length": 10}'), trial(road, door):
            wait(lambda: "refused, as by a full queue" in door.process.text(), 20, "the queue is full")
            gate.open()

    @pytest.mark.fault(13)
    @pytest.mark.parametrize("taken", [other_password, no_permissions])
    def test_a_user_who_is_shut_out_comes_back_by_itself(
        self, road: Road, door: Door, worker: Process, broker_node: RabbitNode, trial: Trial,
        taken: Callable[[RabbitNode], contextlib.AbstractContextManager[None]],
    ) -> None:  # fmt: skip
        with trial(road, door) as load, taken(broker_node):
            broker_node.ctl("close_all_connections", "--vhost", "/", "test")
            wait(lambda: door.get("/readyz").document["checks"]["broker"] == "down", 20, "the door tells of it")
            load.wait_for_accepted(100)


class TestDead:
    """The queue ``dead``, where what a worker will not take must go, does not take it."""

    LETTERS = 30  #: more than fit

    @pytest.fixture
    def road(self, make_road: MakeRoad, broker_node: RabbitNode, request: pytest.FixtureRequest) -> Iterator[Road]:
        road = make_road()
        # Read when a queue is declared. The broker waits for three minutes before it tries again.
        setting = "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, {})."
        broker_node.ctl("eval", setting.format(1_000))
        road.broker = broker_node.add_vhost(request.node.callspec.id)
        road.declare()
        yield road
        broker_node.ctl("eval", setting.format(180_000))

    @pytest.mark.fault(52)
    @pytest.mark.parametrize("missing", [False, True], ids=["full", "missing"])
    def test_what_it_does_not_take_is_kept_where_it_is(
        self, road: Road, broker_node: RabbitNode, missing: bool
    ) -> None:
        if missing:
            road.channel(lambda channel: channel.queue_delete(topology.DEAD_QUEUE))
        else:
            full = '{"max-length": 5, "overflow": "reject-publish"}'
            broker_node.ctl(
                "set_policy", "-p", "full", "--apply-to", "queues", "full", f"^{topology.DEAD_QUEUE}$", full
            )
        worker = road.worker(concurrency=1)
        for number in range(self.LETTERS):
            road.send(f"no ticket {number}", topology.EVENTS, {})
        door = road.web()
        road.assert_worked_once([door.post("ledger.step").id for _ in range(20)])

        road.clock()  # It empties the queue, or makes it anew.
        filed = "select count(distinct body) from millrace.strays where convert_from(body, 'utf8') like 'no ticket %'"
        wait(lambda: road.one(filed) == self.LETTERS, 60, "every letter is filed")
        assert worker.code is None
