"""What differs between the topology of the code and a broker, and how a queue is made anew without losing a message.

The arguments of a queue cannot be changed. So a queue in parallel takes what is published, the workers empty the old
one, it is deleted and made anew, and what has gathered in parallel is moved. Every moment may be the last: what is
bound stays bound, a message is acked after it was confirmed elsewhere, and a second run goes on where the first one
ended. What would be lost all the same, such as what a worker held at the deletion, its ticket brings back.
"""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Callable
from typing import Any

import amqp

from service.broker import connection as connections
from service.domain import errors, topology

LOOK_EVERY = 0.5  #: seconds
STAYS_EMPTY = 3  #: looks in a row: what is delivered and not acked is not among the ready, and may come back

SETTLE = 1.5  #: seconds in which RabbitMQ tells consumers that their queue is gone


class Word(enum.StrEnum):
    """What stands on the broker."""

    SAME = "same"
    MISSING = "missing"
    DIFFERS = "differs"  #: other arguments, another type
    PARALLEL = "parallel"  #: a queue that an apply has left behind


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One thing of the topology, and what the broker has."""

    kind: str  #: exchange or queue
    name: str
    word: Word
    detail: str = ""  #: of one that differs: the broker's words

    def document(self) -> dict[str, str]:
        """As JSON."""
        return {name: str(value) for name, value in dataclasses.asdict(self).items()}


class Broker:
    """An administrator's connection."""

    def __init__(self, url: str, named: frozenset[str], *, heartbeat: int) -> None:
        self._queues = topology.queues(named)
        self._connection = connections.connect(url, heartbeat=heartbeat, name="millrace-topology")

    def close(self) -> None:
        """Drop the connection."""
        self._connection.collect()

    # --- plan ----------------------------------------------------------------------------------------------------

    def plan(self) -> list[Line]:
        """What differs. Nothing is declared. Bindings cannot be looked at; `apply` makes them anew."""
        exchanges = [self._look("exchange", name, self._declare_exchange) for name in topology.EXCHANGES]
        queues = [self._look("queue", q.name, self._declarer(q)) for q in self._queues]
        beside = [topology.parallel(q.name) for q in self._queues]
        return [*exchanges, *queues, *(Line("queue", n, Word.PARALLEL) for n in beside if self._ready(n) is not None)]

    def differing(self) -> list[str]:
        """The work queues whose arguments differ. Raises BrokerUnavailable for what cannot be made anew here."""
        found = [line for line in self.plan() if line.word is Word.DIFFERS]
        for line in found:
            if line.kind != "queue" or line.name == topology.DEAD_QUEUE:
                raise errors.BrokerUnavailable(
                    f"the {line.kind} {line.name} differs, and has to be changed by hand: {line.detail}"
                )
        return [line.name for line in found]

    def begun(self) -> list[str]:
        """The work queues that have a parallel one."""
        return [q.name for q in self._queues if self._ready(topology.parallel(q.name)) is not None]

    def _look(self, kind: str, name: str, declare: Callable[..., Any]) -> Line:
        try:
            self._try(lambda channel: declare(channel, name, passive=True))
        except amqp.exceptions.NotFound:
            return Line(kind, name, Word.MISSING)
        try:
            self._try(lambda channel: declare(channel, name, passive=False))  # It is there: nothing is made.
        except amqp.exceptions.PreconditionFailed as error:
            return Line(kind, name, Word.DIFFERS, connections.reason(error))
        return Line(kind, name, Word.SAME)

    def _declare_exchange(self, channel: Any, name: str, *, passive: bool) -> None:
        channel.exchange_declare(name, "topic", durable=True, auto_delete=False, passive=passive)

    def _declarer(self, queue: topology.Queue) -> Callable[..., Any]:
        def declare(channel: Any, name: str, *, passive: bool) -> Any:
            return channel.queue_declare(
                name, durable=True, auto_delete=False, passive=passive, arguments=queue.arguments
            )

        return declare

    # --- drain and switch ------------------------------------------------------------------------------------------

    def drain(self, name: str, *, timeout: float) -> None:
        """Lead what is published past a queue, into one in parallel, and wait until the workers have emptied it.

        Raises NotDrained when it is not empty in ``timeout`` seconds; what is published goes on into the parallel one.
        """
        queue = self._work_queue(name)
        beside = topology.parallel(name)
        self._on_channel(lambda channel: self._declare(channel, dataclasses.replace(queue, name=beside)))
        self._on_channel(lambda channel: channel.queue_unbind(name, queue.exchange, queue.binding))
        deadline, empty = time.monotonic() + timeout, 0
        while empty < STAYS_EMPTY:
            ready = self._ready(name)
            empty = empty + 1 if not ready else 0
            if ready is None:
                return
            if time.monotonic() > deadline:
                raise errors.NotDrained(
                    f"the queue {name} still has {ready} messages after {timeout:.0f} s: is a worker running with"
                    f" `-Q {name}`? What is published gathers in {beside}: run this again to go on."
                    f" {self._way_back(queue)}"
                )
            time.sleep(LOOK_EVERY)

    def _way_back(self, queue: topology.Queue) -> str:
        """How a queue that is being emptied is published into again."""
        if self._look("queue", queue.name, self._declarer(queue)).word is Word.DIFFERS:
            return (
                "`millrace topology apply` of the code that made the queue goes back; this code's arguments differ, and"
                " its way is `millrace topology apply --replace`"
            )
        return "`millrace topology apply` goes back"

    def switch(self, name: str, *, timeout: float) -> int:
        """Drain a queue, make it anew with the code's arguments, and move what has gathered; how many messages."""
        queue = self._work_queue(name)
        self.drain(name, timeout=timeout)
        self._on_channel(lambda channel: self._make_anew(channel, queue))
        return self.join(name)

    def _make_anew(self, channel: Any, queue: topology.Queue) -> None:
        # Its consumers are told, and come again; the parallel queue is bound all the while. Of one that is back under
        # its name at once RabbitMQ tells nobody, and they would wait for ever on the queue that is gone.
        channel.queue_delete(queue.name)
        time.sleep(SETTLE)
        self._declare(channel, queue)

    def join(self, name: str) -> int:
        """Move what a parallel queue holds into its queue, and delete it; how many messages. None is there: 0."""
        queue, beside = self._work_queue(name), topology.parallel(name)
        if self._ready(beside) is None:
            return 0
        self._on_channel(lambda channel: self._declare(channel, queue))
        # For a moment both are bound, and a message goes into both: twice is harmless, not at all would wait.
        self._on_channel(lambda channel: channel.queue_unbind(beside, queue.exchange, queue.binding))
        moved: int = self._on_channel(lambda channel: _move(channel, beside, name))
        self._on_channel(lambda channel: channel.queue_delete(beside))
        return moved

    def _declare(self, channel: Any, queue: topology.Queue) -> None:
        channel.queue_declare(queue.name, durable=True, auto_delete=False, arguments=queue.arguments)
        channel.queue_bind(queue.name, queue.exchange, queue.binding)

    def _work_queue(self, name: str) -> topology.Queue:
        found = [q for q in self._queues if q.name == name and name != topology.DEAD_QUEUE]
        if not found:
            known = ", ".join(q.name for q in self._queues if q.name != topology.DEAD_QUEUE)
            raise errors.NoSuchQueue(f"there is no work queue {name!r}: one of {known} is wanted")
        return found[0]

    def _ready(self, name: str) -> int | None:
        """Messages that are ready; None without the queue."""
        try:
            return int(self._try(lambda c: c.queue_declare(name, passive=True)).message_count)
        except amqp.exceptions.NotFound:
            return None

    def _on_channel(self, action: Callable[[Any], Any]) -> Any:
        """On a channel of its own; whatever goes wrong as BrokerUnavailable."""
        try:
            return self._try(action)
        except (amqp.exceptions.NotFound, amqp.exceptions.PreconditionFailed) as error:
            raise _unavailable(error) from error

    def _try(self, action: Callable[[Any], Any]) -> Any:
        """The same, with NotFound and PreconditionFailed as they are: the broker closes the channel with them."""
        try:
            channel = self._connection.channel()
            found = action(channel)
            channel.close()
        except (amqp.exceptions.NotFound, amqp.exceptions.PreconditionFailed):
            raise
        except connections.FAULTS as error:
            raise _unavailable(error) from error
        return found


def _unavailable(error: BaseException) -> errors.BrokerUnavailable:
    return errors.BrokerUnavailable(f"the topology cannot be seen or changed: {connections.reason(error)}")


def _move(channel: Any, source: str, target: str) -> int:
    """Message by message: published, confirmed, and only then acked."""
    channel.auto_decode = False  # Bytes and headers stay what they are.
    channel.confirm_select()
    moved = 0
    while (message := channel.basic_get(source)) is not None:
        channel.basic_publish_confirm(message, exchange="", routing_key=target, mandatory=True, confirm_timeout=30)
        channel.basic_ack(message.delivery_tag)
        moved += 1
    return moved
