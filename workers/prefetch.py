"""How far ahead a worker fetches: a few messages for each child, and many more while they are quick.

What waits in a worker can join others of its type; what waits in the queue cannot. So with many types a worker that has
few messages finds hardly two of one. But what a worker has fetched, no other works, and what it holds for long the
clock takes for lost: where slow ones wait, no more is fetched.

A quorum queue knows no prefetch count for a channel, and a consumer keeps the one that it began with
(https://www.rabbitmq.com/docs/quorum-queues#global-qos). So more is fetched by a second consumer, for as long as it is
of use. It begins and ends without waiting for an answer: a node that gives none must not stop the worker.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Mapping
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
    """What a worker fetches beyond its first messages, on one connection: from one queue, the one with the crowd."""

    def __init__(self, consumer: Any, pool: Any) -> None:
        self._consumer = consumer  # Celery's: a `kombu.Consumer` on a channel.
        self._pool = pool
        self._numbers = itertools.count()
        self._queue = ""  # That the second consumer takes from; empty: there is none.
        self._tag = ""
        self._not_before = self._crowded_at = 0.0  # By the monotonic clock.

    def adjust(self, crowds: Mapping[str, joining.Crowd]) -> None:
        """Fetch more, or no more, by what has waited of late in each queue. To be called each second or so."""
        now, first = time.monotonic(), self._pool.num_processes * FIRST
        crowded = {name: crowd for name, crowd in crowds.items() if crowd.most >= first / 2}
        if self._queue:
            # Types that were not seen before are no reason to give up what is quick.
            if self._queue in crowds and _is_slow(crowds[self._queue]):
                self.end()
            elif self._queue in crowded:
                self._crowded_at = now
            elif now >= self._crowded_at + REST:
                self.end()
        elif now >= self._not_before:
            # Nor are they a reason to fetch more of them; nor is there one when all wait for a child that hangs.
            quick = [
                queue
                for queue in self._consumer.queues
                if (crowd := crowded.get(queue.name)) and crowd.gone >= first
                and crowd.pace is not None and not _is_slow(crowd)
            ]  # fmt: skip
            if quick:
                self._begin(max(quick, key=lambda queue: crowded[queue.name].most))
                self._crowded_at = now

    def _begin(self, queue: Any) -> None:
        self._queue, self._tag = queue.name, f"more.{next(self._numbers)}"
        # Holds for those that begin after it, each for itself: so this is what is beyond the first ones, and whoever
        # begins later, as by `add_consumer`, has as many as the first.
        self._limit(MOST - FIRST)
        queue.consume(self._tag, self._consumer._receive_callback, no_ack=False, nowait=True)
        self._limit(FIRST)
        log.debug("What waits is quick: more is fetched", extra={"action": "work.prefetch", "queue": self._queue})

    def end(self) -> None:
        """Fetch no more than at first; what is here is worked."""
        if self._queue:
            self._queue, self._not_before = "", time.monotonic() + REST
            # What is on its way still finds its function: the answer removes it, which comes behind and is not awaited.
            self._consumer.channel.send_method(spec.Basic.Cancel, "sb", (self._tag, False))

    def _limit(self, each: int) -> None:
        self._consumer.channel.send_method(spec.Basic.Qos, "lBb", (0, self._pool.num_processes * each, False))


def _is_slow(crowd: joining.Crowd) -> bool:
    return crowd.pace is not None and crowd.pace * MOST > QUICK
