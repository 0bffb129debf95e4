"""The publisher on a real RabbitMQ: how a batch goes out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from service.broker import connection as connections
from service.broker import publisher
from service.domain import errors, topology
from service.domain.ticket import Ticket
from tests.patience import PATIENCE, wait

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def broker(vhost: str) -> Iterator[publisher.Publisher]:
    found = publisher.Publisher(vhost, frozenset(), heartbeat=10, name="test")
    found.tick()
    yield found
    found.drop()


@pytest.fixture
def written(broker: publisher.Publisher) -> list[int]:
    """The bytes of each piece that is handed to the socket."""
    found: list[int] = []
    transport: Any = broker._connection.transport
    write = transport._write

    def spy(data: bytes) -> None:
        found.append(len(data))
        write(data)

    transport._write = spy
    return found


def tickets(number: int) -> list[Ticket]:
    exchange, key = topology.event_route("a.b", topology.EVENTS_QUEUE)
    ids = [(str(uuid.uuid4()), str(uuid.uuid4())) for _ in range(number)]
    return [Ticket(t, "a.b", (event,), exchange, key, topology.EVENTS_QUEUE) for t, event in ids]


def test_a_batch_goes_out_in_large_pieces(broker: publisher.Publisher, written: list[int]) -> None:
    batch = tickets(500)
    assert broker.publish(batch, 30.0) == {ticket.id for ticket in batch}
    assert sum(written) > 3 * connections.PIECE
    assert len(written) <= sum(written) / connections.PIECE + 1
    wait(lambda: broker.ready(topology.EVENTS_QUEUE) == 500, 20.0, "the broker has counted them")


def test_a_single_ticket_goes_out_at_once(broker: publisher.Publisher, written: list[int]) -> None:
    [ticket] = tickets(1)
    assert broker.publish([ticket], 30.0) == {ticket.id}
    assert len(written) == 1


def test_a_channel_that_the_broker_closes_in_the_middle_of_a_batch_is_told_at_once(
    broker: publisher.Publisher, vhost: str
) -> None:
    batch = tickets(1_000)
    broker._channel.exchange_delete(batch[0].exchange)
    begin = time.monotonic()
    with pytest.raises(errors.BrokerUnavailable, match="no exchange"):
        broker.publish(batch, 30.0)
    assert time.monotonic() - begin < 5.0 * PATIENCE
    assert broker.publish(batch, 30.0) == {ticket.id for ticket in batch}, "it was declared anew"
