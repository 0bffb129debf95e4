"""Detached handlers in real workers: whatever becomes of a run, its event is worked, and has one outcome (P1, P8)."""

from __future__ import annotations

import os
import pathlib
import signal
import uuid
from collections.abc import Callable, Iterator

import pytest

from service.local.rabbitmq import RabbitNode
from tests.apps.detached_app import QUEUE
from tests.patience import PATIENCE, wait
from tests.road import Door, Process, Road

APPS = "tests.apps.ledger_app,tests.apps.detached_app"
LEASE = 1.0 + PATIENCE  #: seconds
GRACE = 1.0  #: seconds
RESCUED = 20.0  #: seconds from the loss of a run to the end of the next

MakeRoad = Callable[..., Road]


class Gate:
    """Where runs wait until the test lets them go on; each leaves a file with the id of its process."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder / f"gate-{uuid.uuid4()}"
        self.folder.mkdir()

    def pids(self) -> set[int]:
        """The processes that stand, or have stood, at the gate."""
        return {int(path.name.removeprefix("run-")) for path in self.folder.glob("run-*")}

    def wait(self, runs: int = 1, seconds: float = RESCUED) -> set[int]:
        """Wait for so many processes; their ids."""
        wait(lambda: len(self.pids()) >= runs, seconds, f"{runs} runs stand at the gate")
        return self.pids()

    def open(self) -> None:
        (self.folder / "go").touch()


@pytest.fixture
def gate(road: Road) -> Iterator[Gate]:
    gate = Gate(road.folder)
    yield gate
    gate.open()


def post(door: Door, **payload: object) -> str:
    answer = door.post("long.work", **payload)
    assert answer.status == 202
    return answer.id


def outcomes(road: Road, event_id: str) -> tuple[str, int, int, int | None]:
    """(state, attempt, crashes, result) of an event."""
    columns = "state, attempt, crashes, (result #>> '{}')::int"
    return tuple(road.sql(f"select {columns} from millrace.events where id = %s", event_id)[0])  # type: ignore[return-value]


def start(make: MakeRoad, **settings: str) -> Road:
    limits = {"soft_limit": "1", "hard_limit": "2"}
    road = make(**{"apps": APPS, "lease": str(LEASE), "grace": str(GRACE), "patience": "5"} | limits | settings)
    road.declare(QUEUE)
    road.channel(lambda channel: channel.queue_purge(QUEUE))
    road.clock()
    return road


class TestRuns:
    """One worker with two children stands; runs are lost, frozen, cancelled in it."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        return start(make_standing)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def worker(cls, road: Road) -> Process:
        return road.worker(queues=QUEUE)

    def test_a_run_that_is_longer_than_its_lease_and_the_time_limits_ends_well(self, road: Road, door: Door) -> None:
        """The limits of this road are 1 and 2 seconds; they are those of atomic handlers."""
        event_id = post(door, seconds=2 * LEASE)
        road.assert_worked_once([event_id])
        assert outcomes(road, event_id)[:3] == ("succeeded", 1, 0)

    def test_how_far_it_is_can_be_seen_while_it_runs(self, road: Road, door: Door, gate: Gate) -> None:
        event_id = post(door, looks=True, gate=str(gate.folder))

        def fraction() -> float:
            return (door.get(f"/v1/events/{event_id}").document["progress"] or {}).get("fraction", 0.0)

        wait(lambda: fraction() > 0, 10, "the progress is shown")
        first = fraction()
        wait(lambda: fraction() > first, 10, "the progress goes on")
        shown = door.get(f"/v1/events/{event_id}").document
        assert (shown["state"], shown["progress"]["message"]) == ("running", "working")
        gate.open()
        road.assert_worked_once([event_id])

    @pytest.mark.fault(24)
    def test_a_run_whose_process_is_killed_is_rescued_after_its_lease(self, road: Road, door: Door, gate: Gate) -> None:
        event_id = post(door, gate=str(gate.folder))
        (first,) = gate.wait()
        os.kill(first, signal.SIGKILL)
        second = (gate.wait(2) - {first}).pop()
        assert outcomes(road, event_id)[:3] == ("running", 1, 1)
        road.assert_books()
        gate.open()
        road.wait_until_closed([event_id])
        assert outcomes(road, event_id) == ("succeeded", 1, 0, second)
        assert road.effects([event_id]) == {event_id: 2}  # At least once.
        road.assert_books()

    @pytest.mark.fault(28)
    def test_a_frozen_run_that_comes_back_changes_nothing(
        self, road: Road, door: Door, worker: Process, gate: Gate
    ) -> None:
        event_id = post(door, gate=str(gate.folder))
        (zombie,) = gate.wait()
        os.kill(zombie, signal.SIGSTOP)
        try:
            heir = (gate.wait(2) - {zombie}).pop()
            gate.open()
            road.wait_until_closed([event_id])
            before = road.sql("select * from millrace.events where id = %s", event_id)
            said = worker.text().count("A run ended after its lease")
        finally:
            os.kill(zombie, signal.SIGCONT)
        wait(lambda: worker.text().count("A run ended after its lease") > said, 10, "the zombie has ended")
        assert road.sql("select * from millrace.events where id = %s", event_id) == before
        assert outcomes(road, event_id) == ("succeeded", 1, 0, heir)
        road.assert_books()

    def test_a_run_that_looks_is_cancelled(self, road: Road, door: Door, gate: Gate) -> None:
        event_id = post(door, looks=True, gate=str(gate.folder))
        (pid,) = gate.wait()
        road.sql("update millrace.events set cancel_at = clock_timestamp() where id = %s", event_id)
        road.wait_until_closed([event_id], 10)
        assert outcomes(road, event_id)[0] == "cancelled"
        os.kill(pid, 0)  # Its process lives.
        road.assert_books()

    def test_a_run_that_does_not_look_is_ended_after_its_grace(
        self, road: Road, door: Door, worker: Process, gate: Gate
    ) -> None:
        event_id = post(door, gate=str(gate.folder))
        (pid,) = gate.wait()
        road.sql("update millrace.events set cancel_at = clock_timestamp() where id = %s", event_id)
        road.wait_until_closed([event_id], 10)
        assert outcomes(road, event_id)[0] == "cancelled"
        wait(lambda: pid not in worker.children(), 10, "its process is ended")
        road.assert_books()
        road.assert_worked_once([post(door)])  # Another child took its place.

    def test_a_ticket_that_came_by_another_queue_is_moved_to_its_own(self, road: Road, door: Door) -> None:
        other = road.worker(queues="events", concurrency=1)
        tickets = road.store("long.work", ["{}", "{}", "{}"])  # One bundle, as of an atomic handler.
        road.publish(*tickets)
        ids = [i for t in tickets for i in t.event_ids]
        road.assert_worked_once(ids)
        results = {outcomes(road, i)[3] for i in ids}
        assert not results & set(other.children())
        other.stop()


@pytest.mark.fault(41)
def test_a_worker_that_is_told_to_end_gives_its_run_back_after_the_grace(make_road: MakeRoad) -> None:
    road = start(make_road, lease="60")
    door, first, gate = road.web(), road.worker(queues=QUEUE, concurrency=1), Gate(road.folder)
    event_id = post(door, gate=str(gate.folder))
    (pid,) = gate.wait()
    os.kill(first.pid, signal.SIGTERM)
    first.wait_for_end(GRACE + 15)
    assert outcomes(road, event_id)[:3] == ("pending", 0, 0)
    road.assert_books()

    road.worker(queues=QUEUE, concurrency=1)
    heir = (gate.wait(2) - {pid}).pop()
    gate.open()
    road.wait_until_closed([event_id])
    assert outcomes(road, event_id) == ("succeeded", 1, 0, heir)


def test_in_a_pool_of_threads_nothing_is_ended_by_force(make_road: MakeRoad) -> None:
    road = start(make_road)
    door, worker, gate = road.web(), road.worker("threads", queues=QUEUE), Gate(road.folder)
    looks, deaf = post(door, looks=True, seconds=60), post(door, gate=str(gate.folder))
    gate.wait()
    road.sql("update millrace.events set cancel_at = clock_timestamp() where state = 'running'")
    road.wait_until_closed([looks], 10)
    assert outcomes(road, looks)[0] == "cancelled"

    os.kill(worker.pid, signal.SIGTERM)
    worker.wait_for_text("Warm shutdown")
    past_grace = "select lease_until > cancel_at + %s * interval '1 second' from millrace.events where id = %s"
    wait(lambda: road.one(past_grace, LEASE + 3 * GRACE, deaf), 15, "the lease is renewed after the grace")
    assert (outcomes(road, deaf)[0], worker.code) == ("running", None)
    gate.open()
    assert worker.wait_for_end() == 0
    assert outcomes(road, deaf)[:3] == ("succeeded", 1, 0)
    road.assert_books()


def test_the_time_limits_of_atomic_handlers_hold_beside_them(make_road: MakeRoad) -> None:
    """They are those of each task, for one of the worker would hold for detached handlers too."""
    road = make_road(apps=APPS, soft_limit="1", hard_limit="2")
    worker = road.worker()
    slow, deaf = (
        road.store(name, [f'{{"do": "{do}", "seconds": 30}}'])[0]
        for name, do in (("ledger.step", "sleep"), ("ledger.alone", "hang"))
    )
    road.publish(slow, deaf)
    found = "select coalesce(max(error), '') from millrace.attempts where event_id = %s"
    wait(lambda: road.one(found, slow.event_ids[0]) == "TimeLimit", 15, "the soft limit was heard")
    found = "select crashes from millrace.events where id = %s"
    wait(lambda: road.one(found, deaf.event_ids[0]) > 0, 15, "the hard limit ended its process")
    worker.kill()  # Told to stop, it would wait for what hangs.


@pytest.fixture
def impatient_node(broker_node: RabbitNode) -> Iterator[RabbitNode]:
    """A broker that closes a channel whose delivery is not acked for two seconds, instead of half an hour."""

    def set_patience(milliseconds: int, look: int) -> None:
        broker_node.ctl("eval", f"application:set_env(rabbit, consumer_timeout, {milliseconds}).")
        broker_node.ctl("eval", f"application:set_env(rabbit, channel_tick_interval, {look}).")

    set_patience(2_000, 300)
    yield broker_node
    set_patience(1_800_000, 60_000)


@pytest.mark.heavy
@pytest.mark.usefixtures("impatient_node")
def test_work_may_take_longer_than_the_broker_waits_for_an_ack(make_road: MakeRoad) -> None:
    road = start(make_road)
    worker = road.worker(queues=QUEUE, concurrency=2)
    door = road.web()
    event_id = post(door, seconds=8)
    road.assert_worked_once([event_id])
    assert outcomes(road, event_id)[:3] == ("succeeded", 1, 0)
    assert "PRECONDITION_FAILED" not in worker.text()

    # Those that wait behind the running ones in the worker are taken back by the broker: they come again.
    ids = [post(door, seconds=3) for _ in range(6)]
    road.assert_worked_once(ids, 60)
    assert worker.code is None
