"""A quorum queue whose node says nothing stops the publishing of its own tickets only (P6)."""

from __future__ import annotations

import itertools
import pathlib
import time
import uuid
from collections.abc import Iterator

import pytest

from service.application import publish
from service.broker import publisher, silence
from service.domain import errors, topology
from service.domain.ticket import Ticket
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import databases, servers
from tests.apps.detached_app import QUEUE
from tests.patience import PATIENCE, wait
from tests.road import Road

pytestmark = [pytest.mark.heavy, pytest.mark.rabbitmq]

ELSEWHERE = QUEUE  #: a queue that has its only member on the other node
BEGINS = (
    15.0  #: seconds from the beginning of web and clock, which wait for one declaration each, until events are worked
)
FOR = 25.0  #: seconds; after a minute the broker gives the other node up, and refuses what is for it


@pytest.fixture
def nodes(tmp_path: pathlib.Path) -> Iterator[tuple[RabbitNode, RabbitNode]]:
    """Two nodes in a cluster. All queues are on the first, but for one."""
    servers.need_rabbitmq()
    first = RabbitNode(tmp_path / "1")
    other = RabbitNode(tmp_path / "2", beside=first)
    try:
        first.start()
        other.start().join()
        broker = publisher.Publisher(first.url, frozenset({ELSEWHERE}), heartbeat=10, name="test")
        broker.tick()
        broker.drop()
        leave = 'rabbit_quorum_queue:delete_member(<<"/">>, <<"{}">>, \'{}\')'
        queues = [topology.EVENTS_QUEUE, topology.PERIODIC_QUEUE, topology.DEAD_QUEUE]
        acts = [leave.format(name, other.folder.name) for name in queues]
        first.ctl("eval", f"[{', '.join([*acts, leave.format(ELSEWHERE, first.folder.name)])}].")
        yield first, other
    finally:
        other.kill()
        first.kill()
        first.release()


@pytest.mark.fault(3)
def test_what_is_for_other_queues_is_published_all_the_while(nodes: tuple[RabbitNode, RabbitNode]) -> None:
    first, other = nodes
    broker = publisher.Publisher(first.url, frozenset({ELSEWHERE}), heartbeat=10, name="test")
    assert send(broker) == {ELSEWHERE, topology.EVENTS_QUEUE}
    other.freeze()
    begin = time.monotonic()
    confirmed = [begin]
    while time.monotonic() - begin < FOR:
        assert send(broker) == {topology.EVENTS_QUEUE}
        confirmed.append(time.monotonic())
    gaps = sorted((later - earlier for earlier, later in itertools.pairwise(confirmed)), reverse=True)
    # Once it takes the others along; then it is tried by itself, after each rest.
    assert gaps[0] < publish.TIMEOUT + 2 * PATIENCE
    assert gaps[1] < silence.TRIAL + 2 * PATIENCE
    assert sum(gap > silence.TRIAL / 2 for gap in gaps) <= 5
    other.thaw()
    wait(lambda: ELSEWHERE in send(broker), 2 * silence.RESTS[1], "it is published to again", step=0.5)
    broker.drop()


@pytest.mark.fault(3)
@pytest.mark.fault(7)
def test_who_begins_beside_it_goes_on_without_having_declared_it(
    nodes: tuple[RabbitNode, RabbitNode], ledger_server: PostgresServer, tmp_path: pathlib.Path
) -> None:
    """The broker itself would keep them waiting for half a minute, and send heartbeats all the while."""
    first, other = nodes
    ledger_server.execute(f"create database beside template {databases.make_template(ledger_server)}")
    apps = "tests.apps.ledger_app,tests.apps.detached_app"
    road = Road(ledger_server.dsn_of("beside"), first.url, tmp_path, apps=apps, broker_heartbeat="10").prepare()
    try:
        road.worker()
        other.freeze()
        door, _, late = road.web(), road.clock(), road.worker(ready=False)
        events = [door.post("ledger.step", delay=delay).id for delay in (0.0, 0.1)]  # One is the clock's to publish.
        road.wait_until_closed(events, BEGINS)
        road.assert_worked_once(events)
        # A worker has queues of Celery's own declared, which this broker does not do as long as it waits for the node.
        assert late.code is None
        other.thaw()
        late.wait_for_text("ready.", 40)
    finally:
        other.thaw()
        road.stop()


def send(broker: publisher.Publisher) -> set[str]:
    """Publish ten tickets for each of both queues; of which all were confirmed."""
    batch = [a_ticket(queue) for _ in range(10) for queue in (ELSEWHERE, topology.EVENTS_QUEUE)]
    try:
        found = broker.publish(batch, publish.TIMEOUT)
    except errors.BrokerUnavailable:
        return set()
    return {t.queue for t in batch} - {t.queue for t in batch if t.id not in found}


def a_ticket(queue: str) -> Ticket:
    exchange, key = topology.event_route("a.a", queue)
    return Ticket(str(uuid.uuid4()), "a.a", (str(uuid.uuid4()),), exchange, key, queue)
