"""A handler for each queue, and a schedule: imported when the handlers of all apps are known."""

from __future__ import annotations

from typing import Any

from schedules import every
from service import plugins, settings
from service.domain import canary
from workers import handler


def sing(payload: Any) -> None:
    """Nothing is done: to arrive is all."""


def declare(interval: float) -> None:
    """Declare the canary for every queue that there is."""
    for queue in canary.queues(plugins.registry.queues()):
        handler(canary.type_of(queue), queue=queue, bundle=1, attempts=1)(sing)
    handler(canary.TICK, bundle=1, attempts=1)(sing)
    every(interval, canary.TICK, name=canary.SCHEDULE, expires_after=canary.EXPIRES)


if seconds := settings.load().canary:
    declare(seconds)
