"""The publisher on a real RabbitMQ: how a batch goes out."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from service.broker import connection as connections
from service.broker import publisher
from service.domain import topology
from service.domain.ticket import Ticket

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
    assert broker.ready(topology.EVENTS_QUEUE) == 500


def test_a_single_ticket_goes_out_at_once(broker: publisher.Publisher, written: list[int]) -> None:
    [ticket] = tickets(1)
    assert broker.publish([ticket], 30.0) == {ticket.id}
    assert len(written) == 1
