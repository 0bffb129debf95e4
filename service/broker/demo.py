"""Publishing through Celery's filesystem transport: for trying Millrace without a RabbitMQ.

It loses messages when a worker is killed, which the tickets make harmless.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kombu import exceptions, messaging
from kombu.connection import Connection

from service import signals
from service.broker import factory, message, topology
from service.domain import errors
from service.domain import ticket as tickets
from service.settings import Settings


class DemoPublisher:
    """A port to the demo broker (``application.ports.Broker``)."""

    def __init__(self, settings: Settings, queues: frozenset[str]) -> None:
        self._settings = settings
        self._queues = queues
        self._connection: Connection | None = None

    def publish(self, batch: Sequence[tickets.Ticket], timeout: float) -> set[str]:
        """Publish; a file that is written is as good as confirmed."""
        try:
            producer = messaging.Producer(self._ensure().default_channel)
            for ticket in batch:
                producer.publish(
                    json.loads(message.body(ticket)),
                    serializer="json",
                    exchange=ticket.exchange,
                    routing_key=ticket.routing_key,
                    headers=message.headers(ticket),
                    correlation_id=ticket.id,
                )
        except (OSError, exceptions.KombuError) as error:
            self.drop()
            raise errors.BrokerUnavailable(f"the demo broker's folder cannot be used: {error}") from error
        return {ticket.id for ticket in batch}

    def tick(self) -> None:
        """Make the folders if need be; files need no heartbeat."""
        self._ensure()

    def resting(self) -> frozenset[str]:
        """None: a folder always answers."""
        return frozenset()

    def ready(self, queue: str) -> int:
        """How many messages lie in a queue."""
        try:
            return int(_channel(self._ensure()).queue_declare(queue, passive=True).message_count)
        except (OSError, exceptions.KombuError) as error:
            raise errors.BrokerUnavailable(str(error)) from error

    def drop(self) -> None:
        """Begin anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect()

    def _ensure(self) -> Connection:
        if self._connection is None:
            conf = factory.configuration(self._settings, self._queues)
            self._connection = Connection(conf["broker_url"], transport_options=conf["broker_transport_options"])
            topology.declare_with_kombu(self._connection, self._queues)
            signals.connection_changed.send(None, peer="broker", up=True)
        return self._connection


def _channel(connection: Connection) -> Any:
    return connection.default_channel
