"""How far ahead a worker fetches: a few messages for each child, and many more while they are quick.

What waits in a worker can join others of its type; what waits in the queue cannot. So with many types a worker that has
few messages finds hardly two of one. But what a worker has fetched, no other works, and what it holds for long the
clock takes for lost: slow ones stay in the queue.

A quorum queue knows no prefetch count for a channel, and a consumer keeps the one that it began with
(https://www.rabbitmq.com/docs/quorum-queues#global-qos). So more is fetched by a second consumer, for as long as it is
of use. It begins and ends without waiting for an answer: a node that gives none must not stop the worker.
"""

from __future__ import annotations

import itertools
import logging
import time
from typing import Any

from amqp import spec

from service.broker import factory
from workers import joining

log = logging.getLogger("millrace.work")

FIRST = factory.PREFETCH  #: messages for each child, as a worker begins
MOST = 64  #: messages for each child, while they are quick
QUICK = 1.0  #: seconds in which the children are to have worked all that was fetched
REST = 10.0  #: seconds for which the second consumer stays without a crowd, and for which it stays away once it ended


class Prefetch:
    """What a worker fetches beyond its first messages, on one connection."""

    def __init__(self, consumer: Any, children: int) -> None:
        self._consumer = consumer  # Celery's: a `kombu.Consumer` on a channel.
        self._children = children
        self._names = itertools.count()
        self._tags: list[str] = []
        self._ended: list[str] = []
        self._not_before = self._crowded_at = 0.0  # By the monotonic clock.

    def adjust(self, crowd: joining.Crowd) -> None:
        """Fetch more, or no more, by what has waited of late. To be called each second or so."""
        now, first = time.monotonic(), self._children * FIRST
        if crowd.pace is not None and crowd.pace * MOST > QUICK:
            self.end()
        elif crowd.most >= first / 2:
            self._crowded_at = now
            # Types that were not seen before are no reason to fetch more of them, and none to give up what is quick.
            # Nor is there a reason when all wait for a child that hangs.
            if crowd.pace is not None and crowd.gone >= first and not self._tags and now >= self._not_before:
                self._begin()
        elif now >= self._crowded_at + REST:
            self.end()

    def _begin(self) -> None:
        for tag in self._ended:  # By now nothing is on its way to them.
            self._consumer.channel.callbacks.pop(tag, None)
        self._ended.clear()
        # Holds for those that begin after it, each for itself: so this is what is beyond the first ones.
        self._consumer.channel.send_method(spec.Basic.Qos, "lBb", (0, self._children * (MOST - FIRST), False))
        for queue in self._consumer.queues:
            tag = f"more.{next(self._names)}"
            queue.consume(tag, self._consumer._receive_callback, no_ack=False, nowait=True)
            self._tags.append(tag)
        log.debug("What waits is quick: more is fetched", extra={"action": "work.prefetch"})

    def end(self) -> None:
        """Fetch no more than at first; what is here is worked."""
        if self._tags:
            self._not_before = time.monotonic() + REST
        for tag in self._tags:
            # What is on its way still finds its function: only an answer would have removed it.
            self._consumer.channel.basic_cancel(tag, nowait=True)
        self._ended += self._tags
        self._tags.clear()
