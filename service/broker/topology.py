"""Declaring exchanges and queues: one command, which may be run as often as one likes."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import amqp
from kombu import connection as kombu_connection
from kombu import entity

from service.broker import connection as connections
from service.broker import users
from service.domain import errors, topology

log = logging.getLogger("millrace.topology")

#: Changeable things are policies. They are set by an administrator (`millrace topology policies` prints the commands).
#: A queue has one of them, and may not have none: RabbitMQ 4 has a limit of its own.
POLICIES: tuple[dict[str, Any], ...] = (
    {
        "name": "millrace",
        "pattern": rf"^(?!{topology.DEAD_QUEUE}$|amq\.|celery|.*\.pidbox$|.*\.reply\.).*$",
        "definition": {"delivery-limit": topology.DELIVERY_LIMIT},
    },
    {
        "name": "millrace-dead",
        "pattern": rf"^{topology.DEAD_QUEUE}$",
        "definition": {"delivery-limit": topology.NO_LIMIT},
    },
)


def policies() -> list[list[str]]:
    """What an administrator tells ``rabbitmqctl``, beside ``-p <vhost>``: words for each policy."""
    return [
        ["set_policy", "--apply-to", "queues", p["name"], p["pattern"], json.dumps(p["definition"])] for p in POLICIES
    ]


def apply(url: str, named: frozenset[str], *, heartbeat: int = 10) -> list[str]:
    """Declare everything; what was declared, for people.

    Raises BrokerUnavailable, also when a queue is there with other arguments; with the cure.
    """
    connection = connections.connect(url, heartbeat=heartbeat, name="millrace-topology")
    try:
        done = declare(connection, named)
        connection.close()
    except connections.FAULTS as error:
        connection.collect()
        cure = ""
        if isinstance(error, amqp.exceptions.PreconditionFailed):
            cure = (
                "; `millrace topology plan` shows all that differs, `millrace topology apply --replace` makes it anew"
            )
        raise errors.BrokerUnavailable(f"the topology cannot be declared: {connections.reason(error)}{cure}") from error
    return done


def declare(connection: Any, named: frozenset[str], *, answer: float | None = None) -> list[str]:
    """Declare everything on an open connection; a line for each thing.

    What is there in another form keeps nothing else from being declared: the first PreconditionFailed comes at the end.
    Raises NoAnswer when one of them is not answered within ``answer`` seconds.
    """
    done: list[str] = []
    differs: amqp.exceptions.PreconditionFailed | None = None
    things: list[tuple[str, Callable[[Any], None]]] = [
        *((f"exchange {name}", functools.partial(_exchange, name)) for name in topology.EXCHANGES),
        *((f"queue {q.name} ← {q.exchange} {q.binding}", functools.partial(_queue, q)) for q in topology.queues(named)),
    ]
    within = functools.partial(connections.within, connection, answer)
    with within():
        channel = connection.channel()
    for line, make in things:
        try:
            with within():
                make(channel)
            done.append(line)
        except amqp.exceptions.PreconditionFailed as error:
            differs = differs or error  # The broker has closed the channel, and py-amqp has opened it anew.
    with within():
        channel.close()
    if differs is not None:
        raise differs
    return done


def _exchange(name: str, channel: Any) -> None:
    channel.exchange_declare(name, "topic", durable=True, auto_delete=False)


def _queue(queue: topology.Queue, channel: Any) -> None:
    channel.queue_declare(queue.name, durable=True, auto_delete=False, arguments=queue.arguments)
    channel.queue_bind(queue.name, queue.exchange, queue.binding)


def ensure(connection: Any, named: frozenset[str]) -> None:
    """Declare what this user may; the processes start in any order, and after the broker has lost its disk.

    Without the right to declare, or when something is there in another form, the road is tried as it is: a message
    without a queue comes back, and its ticket stays due. Raises NoAnswer when nobody answers for a queue, such as
    one of a node that is frozen: the others want to go on, so whoever connects anew does without.
    """
    try:
        declare(connection, named, answer=connections.ANSWER)
    except amqp.exceptions.AccessRefused:
        log.debug("This user may not declare the topology", extra={"action": "topology.refused"})
    except amqp.exceptions.PreconditionFailed as error:
        log.error("The topology differs on the broker: %s", error, extra={"action": "topology.differs"})


def declare_with_kombu(connection: kombu_connection.Connection, named: frozenset[str]) -> None:
    """The same for the demo broker."""
    for queue in topology.queues(named):
        exchange = entity.Exchange(queue.exchange, "topic", durable=True)
        entity.Queue(queue.name, exchange, routing_key=queue.binding)(connection.default_channel).declare()


def definitions(named: frozenset[str], vhost: str = "/", passwords: Mapping[str, str] | None = None) -> str:
    """The topology as RabbitMQ definitions (JSON), for an administrator to import.

    With ``passwords`` (user → password) the virtual host, the users and their permissions, too.
    """
    document: dict[str, Any] = {
        **(users.definitions(named, vhost, passwords) if passwords is not None else {}),
        "exchanges": [
            {"name": n, "vhost": vhost, "type": "topic", "durable": True, "auto_delete": False, "internal": False,
             "arguments": {}}
            for n in topology.EXCHANGES
        ],
        "queues": [
            {"name": q.name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": q.arguments}
            for q in topology.queues(named)
        ],
        "bindings": [
            {"source": q.exchange, "vhost": vhost, "destination": q.name, "destination_type": "queue",
             "routing_key": q.binding, "arguments": {}}
            for q in topology.queues(named)
        ],
        "policies": [{**policy, "vhost": vhost, "apply-to": "queues", "priority": 0} for policy in POLICIES],
    }  # fmt: skip
    return json.dumps(document, indent=2)


class DeadQueue:
    """The queue ``dead``, read one message at a time. Each is acked after it was dealt with."""

    def __init__(self, url: str, named: frozenset[str], *, heartbeat: int) -> None:
        self._url = url
        self._named = named
        self._heartbeat = heartbeat
        self._connection: Any = None
        self._channel: Any = None
        self._declares = True  # With the next connection.

    def get(self) -> amqp.Message | None:
        """The next message, or None; raises BrokerUnavailable."""
        try:
            if self._connection is None:
                self._connection = connections.connect(self._url, heartbeat=self._heartbeat, name="millrace-dead")
                if self._declares:
                    ensure(self._connection, self._named)
                with connections.within(self._connection, connections.ANSWER):
                    self._channel = self._connection.channel()
                self._channel.auto_decode = False  # What is filed is filed as it came.
            self._connection.heartbeat_tick()
            with connections.within(self._connection, connections.ANSWER):
                found: amqp.Message | None = self._channel.basic_get(topology.DEAD_QUEUE)
        except connections.FAULTS as error:
            self._declares = not isinstance(error, connections.NoAnswer)
            self.drop()
            raise errors.BrokerUnavailable(connections.reason(error)) from error
        return found

    def ack(self, message: amqp.Message) -> None:
        """It was dealt with."""
        try:
            self._channel.basic_ack(message.delivery_tag)
        except connections.FAULTS as error:
            self.drop()
            raise errors.BrokerUnavailable(connections.reason(error)) from error

    def drop(self) -> None:
        """Throw the connection away."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.collect()
