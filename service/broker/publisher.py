"""Publishing with confirms matched by delivery tag, on one connection that belongs to one thread.

Why not Celery's own producer: after a timeout its channel takes the late confirm of one message for that of the next, a
blocked broker makes it wait for ever, and a message without a queue counts as sent. Here a batch has one deadline,
every message is ``mandatory``, and after any fault the connection is dropped without a word (``collect``): to say
goodbye to a sick broker is to wait for it.
"""

from __future__ import annotations

import functools
import itertools
import logging
import time
from collections.abc import Sequence
from typing import Any

import amqp

from service import crashpoints, signals
from service.broker import connection as connections
from service.broker import message, silence, topology
from service.domain import errors
from service.domain import ticket as tickets

log = logging.getLogger("millrace.publish")


#: In the place of an id, which has as many characters.
BLANK = "~" * 36


class Letter(amqp.Message):
    """The message of a ticket.

    The broker's library takes a tenth of a millisecond to write headers and properties, which is most of what it costs
    to publish. Those of one type differ in the ticket's id only, so they are written once.
    """

    def __init__(self, ticket: tickets.Ticket) -> None:
        super().__init__(
            message.body(ticket), application_headers=message.headers(ticket), **message.properties(ticket)
        )
        self.ticket = ticket

    def _serialize_properties(self) -> bytes:
        ticket = self.ticket
        if len(ticket.id) != len(BLANK):
            plain: Any = super()
            return bytes(plain._serialize_properties())
        return _written(ticket.type, len(ticket.event_ids)).replace(BLANK.encode(), ticket.id.encode())


@functools.lru_cache(maxsize=1_000)
def _written(type_name: str, events: int) -> bytes:
    """What ``amqp`` writes of a ticket of so many events, with ``BLANK`` for its id."""
    blank = tickets.Ticket(BLANK, type_name, ("",) * events, "", "", "")
    written: Any = amqp.Message(application_headers=message.headers(blank), **message.properties(blank))
    return bytes(written._serialize_properties())


class Publisher:
    """A port to RabbitMQ (``application.ports.Broker``)."""

    def __init__(self, url: str, queues: frozenset[str], *, heartbeat: int, name: str) -> None:
        self._url = url
        self._queues = queues
        self._heartbeat = heartbeat
        self._name = name
        self._connection: Any = None
        self._channel: Any = None
        self._sent = 0  # Delivery tags count from one on each channel.
        self._open: dict[int, tickets.Ticket] = {}  # By tag, until the broker has answered.
        self._confirmed: set[str] = set()
        self._returned: dict[str, str] = {}
        self._refused: set[str] = set()
        self._blocked = ""
        self._declares = True  # With the next connection.
        self._silence = silence.Silence()

    def publish(self, batch: Sequence[tickets.Ticket], timeout: float) -> set[str]:
        """Publish, and the ids that the broker has confirmed within ``timeout`` seconds; see the port."""
        confirmed: set[str] = set()
        for part, limit in self._silence.parts(batch, timeout):
            try:
                confirmed |= self._publish(part, limit)
            except errors.BrokerUnavailable:
                if not confirmed:
                    raise
            if self._connection is None:
                break  # What was confirmed counts; the next one who publishes sees whether the broker is there.
        return confirmed

    def resting(self) -> frozenset[str]:
        """Queues that are left alone for a while; see the port."""
        return self._silence.resting()

    def _publish(self, batch: Sequence[tickets.Ticket], timeout: float) -> set[str]:
        self._ensure()
        deadline = time.monotonic() + timeout
        self._confirmed, self._returned, self._refused = set(), {}, set()
        fault: BaseException | None = None
        try:
            # A blocked broker reads no more; the socket fills.
            with connections.gathered(self._connection, lambda: max(0.01, deadline - time.monotonic())):
                for ticket in batch:
                    self._send(ticket)
            crashpoints.reach("after_publish")
            while self._open:
                # Not `drain_events`: each heartbeat of a broker that is blocked would begin the timeout anew in it.
                self._connection.blocking_read(timeout=max(0.01, deadline - time.monotonic()))
                if time.monotonic() > deadline and self._open:
                    raise TimeoutError
        except connections.FAULTS as error:
            fault = error
        except BaseException:
            self.drop()  # Nobody knows how much of the batch went out, so tags say nothing any more.
            raise
        # A returned message is confirmed too: the broker has dealt with it, by giving it back.
        returned = self._returned.keys() | self._refused
        found = self._confirmed - returned
        self._tell_returned([t for t in batch if t.id in returned])
        waiting = {ticket.queue for ticket in self._open.values()}
        answered = {t.queue for t in batch if t.id in self._confirmed or t.id in returned}
        self._silence.heard(answered)
        if fault is not None:
            self.drop()
            is_late = time.monotonic() >= deadline and not self._blocked
            rests = is_late and self._silence.missed(waiting - answered)
            # What has a queue be silent, has whoever declares wait.
            self._declares = not is_late
            detail = (
                f"{len(batch) - len(found)} tickets were not confirmed: {self._blocked or connections.reason(fault)}"
            )
            if not found and not rests:
                raise errors.BrokerUnavailable(detail) from fault
            log.warning("Of %d, %s", len(batch), detail, extra={"action": "publish.unconfirmed"})
        elif self._returned:
            self._declare_again()
        return found

    def _tell_returned(self, returned: Sequence[tickets.Ticket]) -> None:
        if returned:
            queues = sorted({ticket.queue for ticket in returned})
            reason = next(iter(self._returned.values()), "refused, as by a full queue")
            log.warning(
                "The broker does not take %d tickets (%s): %s",
                len(returned), ", ".join(queues), reason, extra={"action": "publish.returned"},
            )  # fmt: skip

    def tick(self) -> None:
        """Connect if need be, send and check heartbeats; see the port."""
        self._ensure()
        try:
            self._connection.heartbeat_tick()
            self._drain_waiting()
        except connections.FAULTS as error:
            raise self._lost(error) from error

    def ready(self, queue: str) -> int:
        """How many messages are ready in a queue; see the port."""
        self._ensure()
        try:
            with connections.within(self._connection, self._silence.limit(queue, connections.ANSWER)):
                channel = self._connection.channel()
                try:
                    count = int(channel.queue_declare(queue, passive=True).message_count)
                except amqp.exceptions.NotFound:
                    count = 0  # The broker has closed the channel, and py-amqp has opened it anew.
                channel.close()
        except connections.NoAnswer as error:
            self._silence.missed({queue})
            self._lost(error)
            return 1  # Nobody knows.
        except connections.FAULTS as error:
            raise self._lost(error) from error
        self._silence.heard({queue})
        return count

    def drop(self) -> None:
        """Throw the connection away, without a word to the broker."""
        connection, self._connection, self._channel = self._connection, None, None
        self._open = {}
        if connection is not None:
            connection.collect()
            signals.connection_changed.send(None, peer="broker", up=False)

    def _lost(self, error: BaseException) -> errors.BrokerUnavailable:
        """Drop the connection. What was waited for in vain is not declared with the next one."""
        self._declares = not isinstance(error, connections.NoAnswer)
        self.drop()
        return errors.BrokerUnavailable(connections.reason(error))

    def _ensure(self) -> None:
        if self._connection is not None:
            return
        self._blocked = ""
        try:
            self._connection = connections.connect(
                self._url,
                heartbeat=self._heartbeat,
                name=self._name,
                on_blocked=self._on_blocked,
                on_unblocked=self._on_unblocked,
            )
        except errors.BrokerUnavailable:
            signals.connection_changed.send(None, peer="broker", up=False)
            raise
        try:
            if self._declares:
                topology.ensure(self._connection, self._queues)
            with connections.within(self._connection, connections.ANSWER):
                self._channel = self._connection.channel()
                self._channel.confirm_select()
        except connections.FAULTS as error:
            raise self._lost(error) from error
        self._sent, self._open = 0, {}
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)
        signals.connection_changed.send(None, peer="broker", up=True)

    def _declare_again(self) -> None:
        """Somebody has deleted a queue or a binding of ours while this connection stood."""
        try:
            topology.ensure(self._connection, self._queues)
        except connections.FAULTS as error:
            self._lost(error)

    def _send(self, ticket: tickets.Ticket) -> None:
        self._sent += 1
        self._open[self._sent] = ticket
        self._channel.basic_publish(
            Letter(ticket),
            exchange=ticket.exchange,
            routing_key=ticket.routing_key,
            mandatory=True,
        )

    def _drain_waiting(self) -> None:
        """Read what has come without waiting for more: heartbeats, blocked and unblocked."""
        try:
            while True:
                self._connection.drain_events(timeout=0)
        except TimeoutError:
            return

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._confirmed.update(self._answered(tag, multiple))

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused.update(self._answered(tag, multiple))

    def _answered(self, tag: int, multiple: bool) -> list[str]:
        # They stand in their order; of thousands that are open, most are not looked at.
        tags = list(itertools.takewhile(lambda t: t <= tag, self._open)) if multiple else [tag]
        return [self._open.pop(t).id for t in tags if t in self._open]

    def _on_return(self, error: Exception, exchange: str, key: str, returned: Any) -> None:
        # No queue takes it. It comes back before its confirm.
        self._returned[str(returned.properties.get("correlation_id"))] = str(error)

    def _on_blocked(self, reason: str) -> None:
        self._blocked = f"the broker is blocked ({reason})"

    def _on_unblocked(self) -> None:
        self._blocked = ""
