"""A soft time limit that is believed only when it can be true.

The worker's parent counts a ticket's time until it has read the result. While it looks for a broker that is away it
reads none: so when that is back, it sends the signal of a limit for tickets that were done long ago. The child that
gets it is idle, and would end; or it has another ticket in hand, to which a limit would be ascribed that it never
reached.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from billiard.exceptions import SoftTimeLimitExceeded
from billiard.pool import SIG_SOFT_TIMEOUT

from workers import retiring

#: Of its limit a ticket must have used up so much. The parent may begin to count a little before the child does.
LEAST = 0.5

_not_before: float | None = None  #: by the monotonic clock; None: no ticket with a limit is in hand
_held = False  #: what strikes now waits for ``release``
_waits = False  #: and it has struck


@contextmanager
def believed(seconds: float | None) -> Iterator[None]:
    """While a child has a ticket of this limit in hand."""
    global _not_before, _held, _waits
    # The pool has set a handler of its own after it has forked.
    if retiring.is_child() and signal.getsignal(SIG_SOFT_TIMEOUT) is not _strike:
        signal.signal(SIG_SOFT_TIMEOUT, _strike)
    _held = _waits = False
    _not_before = None if seconds is None else time.monotonic() + LEAST * seconds
    try:
        yield
    finally:
        _not_before = None


class Strikes:
    """The limit of the ticket in hand, as its executor sees it (``application.ports.Strikes``)."""

    def hold(self) -> None:
        """The handler has ended: what is written of it is not to be disturbed, nor called a failure."""
        global _held
        _held = True

    def release(self) -> None:
        """Another handler's time begins; raises SoftTimeLimitExceeded if there is none left."""
        global _held
        _held = False
        if _waits:
            raise SoftTimeLimitExceeded()


def _strike(number: int, frame: FrameType | None) -> None:
    global _waits
    if _not_before is None or time.monotonic() < _not_before:
        return
    if _held:
        _waits = True
    else:
        raise SoftTimeLimitExceeded()
