"""The worker's consumer: what is not ours is rejected, so that it reaches the queue ``dead``.

Celery as it comes acks (deletes) a message that it cannot decode, runs one of a foreign encoding, and would run its own
built-in tasks for anybody who can reach the queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery.worker import consumer

from service import signals
from service.broker import message as envelope

log = logging.getLogger("millrace.work")


class Consumer(consumer.Consumer):
    """Celery's consumer with a stricter door."""

    strategies: dict[str, Any]
    connection_errors: tuple[type[BaseException], ...]
    pool: Any

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """What is called with each message."""
        receive = super().create_task_handler(*args, **kwargs)
        signals.connection_changed.send(self, peer="broker", up=True)  # It is asked for at each new connection.

        def receive_ours(message: Any) -> None:
            headers = message.headers
            if not envelope.is_ours(message.content_type, message.content_encoding, headers):
                self._refuse(message, "it is no ticket")
            elif headers["task"] not in self.strategies or headers["task"].startswith("celery."):
                self._refuse(message, f"the type {headers['task']!r} is not known to this worker")
            else:
                receive(message)

        return receive_ours

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """RabbitMQ cannot be reached."""
        signals.connection_changed.send(self, peer="broker", up=False)
        super().on_connection_error_before_connected(exc)

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
