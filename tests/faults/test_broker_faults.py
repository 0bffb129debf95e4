"""Whatever becomes of the broker, posts are accepted in time, and worked once when it is back (P1, P2, P3)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.local.rabbitmq import RabbitNode
from tests.door import accepted, assert_in_time
from tests.faults.checker import Trial
from tests.patience import wait
from tests.road import Door, Road

Outage = Callable[[RabbitNode], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def killed(node: RabbitNode) -> Iterator[None]:
    """SIGKILL, and a start on the same disk."""
    node.kill()
    try:
        yield
    finally:
        node.start()


@contextlib.contextmanager
def stopped(node: RabbitNode) -> Iterator[None]:
    """An orderly stop, and a start on the same disk."""
    node.stop()
    try:
        yield
    finally:
        node.start()


@contextlib.contextmanager
def frozen(node: RabbitNode) -> Iterator[None]:
    """Its connections stay open, and nobody answers."""
    node.freeze()
    try:
        yield
    finally:
        node.thaw()


@contextlib.contextmanager
def starved(node: RabbitNode) -> Iterator[None]:
    """The memory alarm: it reads nothing more from publishers."""
    node.alarm(True)
    try:
        yield
    finally:
        node.alarm(False)


class TestOutage:
    """One web process, one worker and one clock go on without their broker, and with it when it is back."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: Callable[..., Road]) -> Road:
        road = make_standing()
        road.worker()
        road.clock()
        return road

    @pytest.mark.parametrize(
        ("outage", "events"),
        [
            pytest.param(killed, 500, id="killed", marks=pytest.mark.fault(1)),
            pytest.param(stopped, 1_000, id="stopped", marks=pytest.mark.heavy),
            pytest.param(frozen, 500, id="frozen", marks=pytest.mark.fault(7)),
            pytest.param(starved, 500, id="starved", marks=pytest.mark.fault(5)),
        ],
    )
    def test_all_that_is_posted_meanwhile_is_accepted_and_worked_once(
        self, road: Road, door: Door, broker_node: RabbitNode, trial: Trial, outage: Outage, events: int
    ) -> None:
        road.assert_worked_once([door.post("ledger.step").id])
        serving = [p for p in road.processes if p.code is None]
        families = [p.family() for p in serving]
        with trial(road, door) as load, outage(broker_node):
            answers = door.post_all("ledger.step", [{}] * events)
            ids = accepted(answers)
            # A starved broker still takes the first message of each connection.
            assert road.states(ids)["pending"] > 0.9 * events, "the broker was not out"
        assert_in_time(answers)
        assert load.accepted().keys() == load.answers.keys(), "a post was refused for want of a broker"
        road.assert_worked_once(ids, 60)
        assert [p.family() for p in serving] == families, "a process died of it"


@pytest.mark.fault(1)
def test_a_broker_that_loses_its_disk_is_given_all_its_tickets_again(road: Road, broker_node: RabbitNode) -> None:
    """What was out comes again when its patience ends, or at once by ``millrace rebuild``."""
    road.clock()
    patient, impatient = (road.web(head_start="3", patience=patience) for patience in ("3600", "1"))
    late = accepted(patient.post_all("ledger.step", [{}] * 100))
    wait(lambda: all(t["published_at"] for t in road.tickets(late)), 10, "all tickets are out")

    with ThreadPoolExecutor(1) as pool:
        posting = pool.submit(impatient.post_all, "ledger.step", [{}] * 600)
        wait(lambda: len(road.ids()) > len(late) + 150, 20, "a part is posted", step=0.01)
        broker_node.kill()
        try:
            broker_node.wipe()
            answers = posting.result()
        finally:
            broker_node.start()
    soon = accepted(answers)
    assert_in_time(answers)

    road.worker(ready=False)  # It may be there before any queue.
    road.assert_worked_once(soon, 60)
    assert road.states(late) == {"pending": len(late)}, "they came before their patience ended"
    assert road.run("rebuild", "service", "rebuild").wait_for_end() == 0
    road.assert_worked_once(late)
