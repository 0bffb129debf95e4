"""A duty of the clock: something that it does again and again, on one of its threads."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Sequence

from service import signals
from service.domain import errors

log = logging.getLogger("millrace.clock")

SILENT = 30.0  #: seconds after which a duty is not waited for any more: its ledger is there and does not answer
FIRST_REST = 0.2  #: seconds that a duty rests after its first fault, doubling


class Duty:
    """Something that the clock does again and again. A fault is told by the duty's name, and it alone rests."""

    def __init__(
        self, name: str, once: Callable[[], bool | None], *, longest: float, hang_up: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self._once = once  #: False: it was not time for it yet
        self._ended = self._done = time.monotonic()  # The last time that it was tried, and that it was done.
        self._well_since = math.inf  # The first time of those that it was done without a fault between them.
        self._longest = longest  #: rest, in seconds
        self._hang_up = hang_up  #: breaks its connections to the ledger
        self._since: float | None = None  # When it was begun, while it is at it.
        self._failures = 0
        self._resting_until = 0.0  # By time.monotonic().

    def run(self) -> bool:
        """Do it; False when the ledger is away, so that nothing else can be done either. Raises nothing."""
        self._since = time.monotonic()
        try:
            done = self._once() is not False
        except Exception as error:
            self._failures += 1
            rest = min(self._longest, FIRST_REST * 2.0 ** min(self._failures - 1, 10))
            self._resting_until = time.monotonic() + random.uniform(rest / 2, rest)
            self._well_since = math.inf
            if isinstance(error, errors.BrokerUnavailable):
                self._done = time.monotonic()  # To wait for it is all that there is to do.
            self._tell(error)
            signals.duty_ended.send(None, duty=self.name, done=False)
            return not isinstance(error, errors.LedgerUnavailable)
        finally:
            self._since, self._ended = None, time.monotonic()
        self._failures, self._resting_until, self._done = 0, 0.0, self._ended
        self._well_since = min(self._well_since, self._done)
        if done:
            signals.duty_ended.send(None, duty=self.name, done=True)
        return True

    def rest(self) -> float:
        """How many seconds more it rests after a fault."""
        return max(0.0, self._resting_until - time.monotonic())

    def age(self) -> float:
        """Seconds since it was done, or tried, for the last time."""
        return time.monotonic() - self._ended

    def undone(self) -> float:
        """Seconds since it was done for the last time, or waited for a broker that was away."""
        return time.monotonic() - self._done

    def well(self) -> float:
        """For how many seconds it has been done without a fault."""
        return max(0.0, time.monotonic() - self._well_since)

    def hang_up_if_silent(self) -> None:
        """To be called by another thread now and then, for this one may be waiting without end."""
        since = self._since
        if since is not None and time.monotonic() - since > SILENT:
            self._hang_up()

    def _tell(self, error: Exception) -> None:
        extra = {"action": f"clock.{self.name}"}
        if isinstance(error, errors.LedgerUnavailable | errors.BrokerUnavailable):
            log.warning("The clock's duty %s waits: %s", self.name, error, extra=extra)
        else:
            log.error("The clock's duty %s failed", self.name, extra=extra, exc_info=error)


def in_turn(duties: Sequence[Duty]) -> None:
    """A round: each duty that does not rest. When the ledger is away the round is over."""
    for duty in duties:
        if not duty.rest() and not duty.run():
            return
