"""The Celery apps of workers and clocks. Settings that carry a promise say which."""

from __future__ import annotations

import pathlib
import urllib.parse
from collections.abc import Iterable
from typing import Any

import celery
from kombu import entity

from service.broker import connection, tolerance
from service.domain import topology
from service.settings import Settings

PREFETCH = 8  #: messages in advance for each child, to begin with (workers/prefetch.py)


class App(celery.Celery):
    """A Celery app that carries its part of the road. It is configured when Celery first needs it."""

    road: Any  #: bootstrap.WorkRoad or bootstrap.ClockRoad


def configuration(settings: Settings, named_queues: Iterable[str]) -> dict[str, Any]:
    """The configuration that workers and clocks share."""
    tolerance.install()
    return {
        "broker_url": _broker_url(settings),
        "broker_use_ssl": connection.tls(settings.broker_url),
        "broker_transport_options": _transport_options(settings),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_heartbeat": settings.broker_heartbeat,
        "broker_connection_timeout": connection.CONNECT_TIMEOUT,
        "task_queues": [
            _queue(q, declare=settings.demo_broker)
            for q in topology.queues(frozenset(named_queues))
            if q.name != topology.DEAD_QUEUE
        ],
        "task_create_missing_queues": False,  # A typo in -Q must fail, not make a queue that nobody feeds.
        "task_default_queue": topology.EVENTS_QUEUE,
        "task_default_exchange": topology.EVENTS,
        "task_default_exchange_type": "topic",
        "task_default_routing_key": "event.default",
        # P1: only after the commit is a ticket acked. A lost child or a time limit sends it back.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_retry_on_worker_lost": False,
        # Each task brings its own time limits; one that stood here would hold for detached handlers, too.
        "task_acks_on_timeout": False,
        "task_acks_on_failure": True,  # Our task leaks no error; the row brings back what a bug would lose.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # A worker whose old connection still stands at the broker must be able to start (RESOURCE_LOCKED otherwise).
        "control_queue_exclusive": False,
        "control_queue_durable": True,
        "worker_prefetch_multiplier": PREFETCH,
        "worker_proc_alive_timeout": 15.0,
        "worker_lost_wait": 1.0,  # seconds until the ticket of a killed child goes back
        "worker_soft_shutdown_timeout": 0.0,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_consumer": "workers.consumer:Consumer",
        "worker_enable_prefetch_count_reduction": False,
        # P4: what we did not write is kept, never executed.
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "result_backend": None,
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "enable_utc": True,
        "timezone": "UTC",
        "beat_scheduler": "schedules.scheduler:Scheduler",
        "beat_max_loop_interval": 1,
    }


def _queue(queue: topology.Queue, *, declare: bool) -> entity.Queue:
    # On RabbitMQ the worker declares it where it may (`workers.consumer`); Celery would end where it may not.
    return entity.Queue(
        queue.name,
        entity.Exchange(queue.exchange, "topic", durable=True),
        routing_key=queue.binding,
        queue_arguments=queue.arguments,
        no_declare=not declare,
    )


def _broker_url(settings: Settings) -> str:
    # What the query says of TLS stands in `broker_use_ssl`; Celery would take it for options of its own.
    return "filesystem://localhost" if settings.demo_broker else settings.broker_url.partition("?")[0]


def _transport_options(settings: Settings) -> dict[str, Any]:
    if not settings.demo_broker:
        return {"socket_settings": connection.SOCKET}
    folder = demo_folder(settings.broker_url)
    for part in ("messages", "control"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    messages = str(folder / "messages")
    return {
        "data_folder_in": messages,
        "data_folder_out": messages,
        "control_folder": str(folder / "control"),
        "polling_interval": 0.1,  # seconds
    }


def demo_folder(url: str) -> pathlib.Path:
    """The folder of a ``filesystem://`` URL."""
    parts = urllib.parse.urlsplit(url)
    return pathlib.Path(urllib.parse.unquote(parts.netloc + parts.path)).absolute()
