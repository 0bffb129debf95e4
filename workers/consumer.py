"""The worker's consumer: what is not ours is rejected, so that it reaches the queue ``dead``.

Celery as it comes acks (deletes) a message that it cannot decode, runs one of a foreign encoding, ends at some that are
malformed, and would run its own built-in tasks for anybody who can reach the queue.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

from celery.worker import consumer

from service import signals
from service.broker import message as envelope
from service.domain import errors
from service.domain import ticket as tickets
from workers import pulse

log = logging.getLogger("millrace.work")

RECONNECT = {"interval_start": 0.2, "interval_step": 0.4, "interval_max": 2.0}  #: seconds between tries


class Consumer(consumer.Consumer):
    """Celery's consumer with a stricter door."""

    class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[misc, valid-type]
        """Without Celery's delayed delivery: 28 queues, and a second binding of each of ours, that nobody uses."""

        default_steps = tuple(
            step for step in consumer.Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        )

    strategies: dict[str, Any]
    connection_errors: tuple[type[BaseException], ...]
    pool: Any
    timer: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.pulse = pulse.Pulse()  # Before Celery's own, which may connect at once.
        super().__init__(*args, **kwargs)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """What is called with each message."""
        receive = super().create_task_handler(*args, **kwargs)
        signals.connection_changed.send(self, peer="broker", up=True)  # It is asked for at each new connection.
        self.pulse.beat()
        self.timer.call_repeatedly(pulse.EVERY, self.pulse.beat)  # The timer was cleared with the last connection.

        def receive_ours(message: Any) -> None:
            try:
                self._check(message)
            except Exception as error:
                # Whatever is wrong with a message: an error that came up in Celery's event loop would end the worker,
                # and after it each one that the message goes to.
                self._refuse(message, str(error) or type(error).__name__)
            else:
                receive(message)

        return receive_ours

    def _check(self, message: Any) -> None:
        """Raises an error for what is no ticket of a type that this worker knows."""
        argument = envelope.read(message.content_type, message.content_encoding, message.headers, message.payload)
        found = tickets.read(argument)
        if found.type not in self.strategies or found.type.startswith("celery."):
            raise errors.ForeignMessage(f"the type {found.type!r} is not known to this worker")

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, and try again while RabbitMQ is away; Celery would wait up to 30 s between two tries."""
        connect = functools.partial(conn.ensure_connection, **RECONNECT)

        def ensure_connection(errback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            def failed(*fault: Any) -> Any:
                self.pulse.beat()
                return errback(*fault)

            return connect(failed, *args, **kwargs)

        conn.ensure_connection = ensure_connection
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """RabbitMQ cannot be reached."""
        signals.connection_changed.send(self, peer="broker", up=False)
        self.pulse.beat()
        super().on_connection_error_before_connected(exc)
        # A wrong password and a missing virtual host were not waited for, and Celery tries again at once.
        time.sleep(RECONNECT["interval_max"])

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """The connection was lost."""
        signals.connection_changed.send(self, peer="broker", up=False)
        super().on_connection_error_after_connected(exc)

    def on_close(self) -> None:
        """Between two connections."""
        super().on_close()
        # Celery registers the children anew with each connection. One that was born in the turn of its event loop in
        # which several others died may have lost its sentinel by then, and Celery gives up the whole worker
        # ("file descriptor is None"). Without the attribute the sentinel is made again.
        for process in getattr(getattr(self.pool, "_pool", None), "_pool", ()):
            if getattr(process, "_sentinel_poll", 0) is None:
                del process._sentinel_poll

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Keep what cannot be decoded."""
        self._refuse(message, f"it cannot be decoded: {exc}")

    def _refuse(self, message: Any, reason: str) -> None:
        log.warning("A message was refused: %s", reason, extra={"action": "work.refused"})
        message.reject_log_error(log, self.connection_errors)
