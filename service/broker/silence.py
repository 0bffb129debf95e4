"""Queues that do not answer while others do, such as a quorum queue without its majority: they keep nobody waiting.

A batch with such a queue may not be answered at all, for the broker's channel waits as well. So who said nothing is
tried by itself from then on; and when others have answered meanwhile, the broker is not the cause: the queue rests,
longer each time.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from service.domain import ticket as tickets

log = logging.getLogger("millrace.publish")

RESTS = (5.0, 60.0)  #: seconds that a queue is left alone: first, longest
TRIAL = 2.0  #: seconds that it then has for an answer


@dataclasses.dataclass(frozen=True, slots=True)
class _Silent:
    """A queue that has not answered; instants are those of ``time.monotonic``."""

    at: float
    rest: float = 0.0

    @property
    def until(self) -> float:
        return self.at + self.rest


class Silence:
    """The queues that have not answered one publisher."""

    def __init__(self) -> None:
        self._silent: dict[str, _Silent] = {}
        self._heard = -math.inf

    def resting(self) -> frozenset[str]:
        """Those that are left alone now."""
        now = time.monotonic()
        return frozenset(queue for queue, silent in self._silent.items() if silent.until > now)

    def parts(self, batch: Sequence[tickets.Ticket], timeout: float) -> Iterator[tuple[list[tickets.Ticket], float]]:
        """What is published at once, and the seconds for its answers: all but the silent ones, then each of these."""
        if usual := [ticket for ticket in batch if ticket.queue not in self._silent]:
            yield usual, timeout
        named = {ticket.queue for ticket in batch}
        for queue in list(self._silent):
            if queue in named - self.resting():
                yield [ticket for ticket in batch if ticket.queue == queue], self.limit(queue, timeout)

    def limit(self, queue: str, timeout: float) -> float:
        """The seconds that this one has for an answer: the others wait while it is tried."""
        silent = self._silent.get(queue)
        return min(timeout, TRIAL) if silent is not None and self._heard > silent.at else timeout

    def heard(self, queues: AbstractSet[str]) -> None:
        """These have answered."""
        for queue in queues:
            self._silent.pop(queue, None)
        if queues:
            self._heard = time.monotonic()

    def missed(self, queues: AbstractSet[str]) -> bool:
        """These have not; whether they rest, because others have answered since these were silent before."""
        for queue in queues:
            before = self._silent.pop(queue, None)
            rest = 0.0
            if before is not None and self._heard > before.at:
                rest = min(RESTS[1], max(RESTS[0], 2 * before.rest))
                log.warning(
                    "The queue %s does not answer, and others do: it is left alone for %.0f s",
                    queue, rest, extra={"action": "publish.silent", "queue": queue},
                )  # fmt: skip
            self._silent[queue] = _Silent(time.monotonic(), rest)
        return bool(queues & self.resting())
