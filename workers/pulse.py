"""The pulse of a worker: its parent's event loop beats, and so does each try to reach RabbitMQ.

A loop that hangs takes no tickets, and nothing else would tell: its metrics are served by another thread, and the
children are well. RabbitMQ being away is no reason to start a worker again, so waiting for it counts as life.
"""

from __future__ import annotations

import time
from typing import Any

EVERY = 1.0  #: seconds between beats of the loop
STALLED = 45.0  #: seconds without one, after which the worker is not healthy


class Pulse:
    """When the event loop was last seen to turn."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        #: A pool that runs handlers in the loop itself stands still for as long as they take.
        self.watched = True
        self.begun = False  #: whether it has ever taken tickets

    def beat(self) -> None:
        """The loop turns."""
        self._last = time.monotonic()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether it beats, and the seconds since the last one: what does not shall be started again."""
        age = time.monotonic() - self._last
        healthy = age < STALLED or not self.watched
        status = "stalled" if not healthy else "ok" if self.begun else "starting"
        return healthy, {"status": status, "seconds_since": {"loop": round(age, 1)}}

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """The same, and whether it has begun: a deploy waits for that, however long RabbitMQ is away."""
        healthy, document = self.health()
        return healthy and self.begun, document
