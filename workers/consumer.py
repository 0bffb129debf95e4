"""The worker's consumer: what is not ours is rejected, so that it reaches the queue ``dead``.

Celery as it comes acks (deletes) a message that it cannot decode, runs one of a foreign encoding, ends at some that are
malformed, and would run its own built-in tasks for anybody who can reach the queue.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable
from typing import Any

from celery.worker import consumer, state

from service import signals
from service.broker import connection as connections
from service.broker import message as envelope
from service.broker import topology
from service.domain import errors, handlers
from service.domain import ticket as tickets
from workers import joining, prefetch, pulse

log = logging.getLogger("millrace.work")

LOOK_EVERY = 1.0  #: seconds after which what waits is looked at; a child may have become idle without a word
RECONNECT = {"interval_start": 0.2, "interval_step": 0.4, "interval_max": 2.0}  #: seconds between tries


class Consumer(consumer.Consumer):
    """Celery's consumer with a stricter door."""

    class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[misc, valid-type]
        """Without Celery's delayed delivery: 28 queues, and a second binding of each of ours, that nobody uses."""

        default_steps = tuple(
            step for step in consumer.Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        )

    app: Any
    strategies: dict[str, Any]
    connection_errors: tuple[type[BaseException], ...]
    pool: Any
    controller: Any
    prefetch_multiplier: int
    task_consumer: Any
    timer: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pulse = pulse.Pulse()
        self._gathering: joining.Gathering | None = None
        self._prefetch: prefetch.Prefetch | None = None
        self._paces = joining.Paces()
        self._declares = True  # With the next connection.
        self._is_prefork = type(self.pool).__module__.endswith("prefork")
        signals.ticket_over.connect(self._on_ticket_over)
        # Celery cancels what is begun with a connection when it is lost; what is begun here goes on.
        self.timer.call_repeatedly(pulse.EVERY, self.pulse.beat)
        if self._is_prefork:
            self.timer.call_repeatedly(LOOK_EVERY, self._look)

    def _on_ticket_over(self, _request: Any, *, report: dict[str, Any] | None) -> None:
        if report is not None:
            self._paces.note(report["type"], report["runs"])
        self._release()

    def _release(self) -> None:
        if self._gathering is not None:
            self._gathering.release()

    def _look(self) -> None:
        self._release()
        if self._prefetch is not None and self._gathering is not None:
            self._prefetch.adjust(self._gathering.crowds())

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """What is called with each message."""
        receive = super().create_task_handler(*args, **kwargs)
        gathering = joining.Gathering(receive, self._registry(), self._paces, self._is_busy)
        self._gathering = gathering
        signals.connection_changed.send(self, peer="broker", up=True)  # It is asked for at each new connection.

        def receive_ours(message: Any) -> None:
            try:
                ticket = self._read(message)
            except Exception as error:
                # Whatever is wrong with a message: an error that came up in Celery's event loop would end the worker,
                # and after it each one that the message goes to.
                self._refuse(message, str(error) or type(error).__name__)
            else:
                gathering.take(message, ticket)

        return receive_ours

    def on_ready(self) -> None:
        """Connected, and consuming."""
        super().on_ready()
        # Whoever asks for a number of their own has it.
        if self._is_prefork and self.prefetch_multiplier == prefetch.FIRST and not self.app.road.settings.demo_broker:
            self._prefetch = prefetch.Prefetch(self.task_consumer, self.pool)

    def cancel_task_queue(self, queue: Any) -> None:
        """Take no more from a queue (``celery control cancel_consumer``)."""
        self._fetch_no_more()
        super().cancel_task_queue(queue)

    def stop(self) -> None:
        """Stop taking messages, and end."""
        self._fetch_no_more()
        self._prefetch = None
        self._keep_what_is_handed_out()
        super().stop()

    def cancel_active_requests(self) -> None:
        """Take no more, and cancel what is under way: a cold stop."""
        self._fetch_no_more()
        self._prefetch = None
        super().cancel_active_requests()

    def _fetch_no_more(self) -> None:
        if self._prefetch is not None:
            with contextlib.suppress(*self.connection_errors):  # A connection that is lost has no consumers.
                self._prefetch.end()

    def _keep_what_is_handed_out(self) -> None:
        """Wait for each child that was given something, though it has not yet said that it began.

        Celery forgets what nobody has begun, and hears no child out of which it waits for nothing. The child waits 30 s
        to be heard (billiard's ``_ensure_messages_consumed``).
        """
        if self._is_prefork and self.pool._pool is not None:
            for job in list(self.pool._pool._cache.values()):
                job._accepted = job._accepted or job._write_to is not None

    def _read(self, message: Any) -> tickets.Delivery:
        """The ticket in a message; raises an error for what is none of a type that this worker knows."""
        argument = envelope.read(message.content_type, message.content_encoding, message.headers, message.payload)
        found = tickets.read(argument, redelivered=bool(message.delivery_info.get("redelivered")))
        if found.type not in self.strategies or found.type.startswith("celery."):
            raise errors.ForeignMessage(f"the type {found.type!r} is not known to this worker")
        return found

    def _is_busy(self) -> bool:
        """Whether nothing more shall go to the children now."""
        if not self._is_prefork:
            return False  # Threads would come here side by side.
        told: tuple[Any, ...] = (state.should_stop, state.should_terminate)  # Each None, False, or an exit code.
        stopping = any(each is not None and each is not False for each in told)
        # With `--autoscale` there are more children once there is more for them.
        children = max(self.pool.num_processes, self.controller.max_concurrency or 0)
        return stopping or len(state.reserved_requests) >= children

    def _registry(self) -> handlers.Registry:
        registry: handlers.Registry = self.app.road.registry
        return registry

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, and try again while RabbitMQ is away; Celery would wait up to 30 s between two tries."""
        connect = functools.partial(conn.ensure_connection, **RECONNECT)

        def ensure_connection(errback: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
            def failed(*fault: Any) -> Any:
                signals.connection_changed.send(self, peer="broker", up=False)
                self.pulse.beat()
                return errback(*fault) if errback is not None else None

            return connect(failed, *args, **kwargs)

        conn.ensure_connection = ensure_connection
        found = super().ensure_connected(conn)
        if self._declares and not self.app.road.settings.demo_broker:
            try:
                topology.ensure(found.connection, self._registry().queues())
            except connections.NoAnswer:
                # A queue that is silent need not be one of ours: we go on without having declared it.
                self._declares = False
                found.collect()
                raise
        return found

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """RabbitMQ cannot be reached."""
        signals.connection_changed.send(self, peer="broker", up=False)
        self.pulse.beat()
        super().on_connection_error_before_connected(exc)
        # A wrong password and a missing virtual host were not waited for, and Celery tries again at once.
        time.sleep(RECONNECT["interval_max"])

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """The connection was lost."""
        self._declares = True
        signals.connection_changed.send(self, peer="broker", up=False)
        super().on_connection_error_after_connected(exc)

    def on_close(self) -> None:
        """Between two connections."""
        self._gathering = self._prefetch = None  # What was delivered on it, the broker delivers again.
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
        log.warning("A message was refused: %s", reason, extra={"action": "work.refused", **envelope.named(message)})
        message.reject_log_error(log, self.connection_errors)
