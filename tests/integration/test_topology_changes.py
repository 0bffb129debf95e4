"""Queues that the code wants otherwise: what differs is said, and they are made anew under load, with nothing lost."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Iterator

import pytest

from service.broker import plan
from service.domain import errors, topology
from tests.deploy import typed
from tests.door import accepted
from tests.processes import ROOT
from tests.road import Road

#: As an older version, or somebody by hand, might have had them: without what keeps dead letters; of another type, and
#: with a limit.
OLD = {"x-queue-type": "quorum", "x-dead-letter-exchange": topology.DEAD}
CLASSIC = {"x-queue-type": "classic", "x-max-length": 100_000}


@pytest.fixture
def road(database: str, vhost: str, tmp_path: pathlib.Path) -> Iterator[Road]:
    # What a worker had at the deletion comes again when its ticket's patience ends.
    found = Road(database, vhost, tmp_path, patience="3").prepare()
    yield found
    found.stop()


@pytest.fixture
def broker(road: Road) -> Iterator[plan.Broker]:
    # Nobody answers its heartbeats while a test waits for others.
    found = plan.Broker(road.broker, frozenset({"events"}), heartbeat=300)
    yield found
    found.close()


def make_old(road: Road, arguments: dict[str, object], name: str = topology.EVENTS_QUEUE) -> None:
    """Have the queue with other arguments."""
    queue = topology.work_queue(name)

    def change(channel: object) -> None:
        channel.queue_delete(name)  # type: ignore[attr-defined]
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)  # type: ignore[attr-defined]
        channel.queue_bind(name, queue.exchange, queue.binding)  # type: ignore[attr-defined]

    road.channel(change)


def words(broker: plan.Broker) -> dict[str, str]:
    return {line.name: str(line.word) for line in broker.plan() if line.word is not plan.Word.SAME}


def test_a_plan_says_what_is_missing_and_what_differs_and_changes_nothing(road: Road, broker: plan.Broker) -> None:
    assert words(broker) == {}
    road.declare("http")
    make_old(road, OLD)
    [[typed_there]] = typed.commands((ROOT / "docs/rabbitmq.md").read_text())
    shown = road.run("plan", "service", "topology", "plan", apps="workers.http")
    assert shown.wait_for_end() == 1
    typed_there.check(shown.text())
    road.channel(lambda channel: channel.queue_delete(topology.PERIODIC_QUEUE))
    for _ in range(2):  # The second time shows that the first has changed nothing.
        assert words(broker) == {"events": "differs", "periodic": "missing"}
    [differs] = [line for line in broker.plan() if line.word is plan.Word.DIFFERS]
    assert "inequivalent arg" in differs.detail


@pytest.mark.heavy
def test_a_classic_queue_becomes_a_quorum_queue_under_load_and_nothing_is_lost(road: Road, broker: plan.Broker) -> None:
    make_old(road, CLASSIC)
    door = road.web()
    road.worker()
    road.clock()
    ids: list[str] = []
    over = threading.Event()

    def post() -> None:
        while not over.wait(0.1):
            ids.extend(accepted(door.post_all("ledger.step", [{}] * 20, threads=2)))

    load = threading.Thread(target=post)
    load.start()
    try:
        applied = road.run("apply", "service", "topology", "apply", "--replace", "--timeout", "60")
        assert applied.wait_for_end(90) == 0, applied.text()
        assert "queue events is made anew" in applied.text()
    finally:
        over.set()
        load.join()
    ids.append(door.post("ledger.step").id)  # Into the queue that was made anew.
    assert words(broker) == {}, "it is as the code wants it, and nothing is left beside it"
    road.assert_worked_once(ids, 60)


@pytest.mark.heavy
def test_a_queue_that_nobody_empties_is_left_as_it_is_and_gone_on_with_later(road: Road, broker: plan.Broker) -> None:
    make_old(road, OLD)
    tickets = road.store("ledger.step", ["{}"] * 3, bundle=1)
    road.publish(tickets[0])
    with pytest.raises(errors.NotDrained, match="events still has 1 messages"):
        broker.switch("events", timeout=0.1)
    road.publish(tickets[1])  # Gathers in parallel.
    assert road.ready() == 1
    assert road.ready(topology.parallel("events")) == 1
    road.worker()
    road.wait_until_closed([*tickets[0].event_ids])
    assert broker.switch("events", timeout=60) == 1
    road.publish(tickets[2])
    road.assert_worked_once([i for ticket in tickets for i in ticket.event_ids])
    assert words(broker) == {}


def test_who_has_begun_to_drain_goes_back_by_an_apply(road: Road, broker: plan.Broker) -> None:
    tickets = road.store("ledger.step", ["{}"] * 2, bundle=1)
    road.publish(tickets[0])
    with pytest.raises(errors.NotDrained, match="`millrace topology apply` goes back"):
        broker.drain("events", timeout=0.1)
    road.publish(tickets[1])  # Gathers in parallel.
    applied = road.run("apply", "service", "topology", "apply")
    assert applied.wait_for_end() == 0, applied.text()
    assert "1 messages were moved" in applied.text()
    assert words(broker) == {}, "the parallel queue is left, and gets everything once more"
    assert road.ready() >= 2  # A publisher that may declare, as that of tests, binds the queue itself: once in each.


def test_an_apply_of_other_arguments_names_the_way_that_there_is(road: Road, broker: plan.Broker) -> None:
    make_old(road, OLD)
    road.publish(road.store("ledger.step", ["{}"], bundle=1)[0])
    with pytest.raises(errors.NotDrained, match="its way is `millrace topology apply --replace`"):
        broker.drain("events", timeout=0.1)
    applied = road.run("apply", "service", "topology", "apply")
    assert applied.wait_for_end() != 0
    assert "`millrace topology apply --replace` makes it anew" in applied.text()
    # The code that made it goes back: what is in it and what has gathered are still there.
    assert road.ready() == 1


def test_a_queue_that_differs_keeps_no_other_from_being_declared(road: Road, broker: plan.Broker) -> None:
    """A rollout changes the arguments of all queues, and names a new one."""
    make_old(road, OLD)
    road.channel(lambda channel: channel.queue_delete(topology.DEAD_QUEUE))
    road.declare("reports")  # As each process does that connects.
    assert words(broker) == {"events": "differs"}
    assert (road.ready("reports"), road.ready("dead")) == (0, 0)
    road.channel(lambda channel: channel.queue_delete("reports"))
    applied = road.run("apply", "service", "topology", "apply", apps="tests.apps.parcel_app")
    assert applied.wait_for_end() != 0
    assert "for queue 'events'" in applied.text()
    assert road.ready("reports") == 0


def test_only_work_queues_are_drained(broker: plan.Broker) -> None:
    for name in ("dead", "nowhere"):
        with pytest.raises(errors.NoSuchQueue, match="one of events, periodic is wanted"):
            broker.drain(name, timeout=1)
