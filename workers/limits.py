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


@contextmanager
def believed(seconds: float | None) -> Iterator[None]:
    """While a child has a ticket of this limit in hand."""
    global _not_before
    # The pool has set a handler of its own after it has forked.
    if retiring.is_child() and signal.getsignal(SIG_SOFT_TIMEOUT) is not _strike:
        signal.signal(SIG_SOFT_TIMEOUT, _strike)
    _not_before = None if seconds is None else time.monotonic() + LEAST * seconds
    try:
        yield
    finally:
        _not_before = None


def _strike(number: int, frame: FrameType | None) -> None:
    if _not_before is not None and time.monotonic() >= _not_before:
        raise SoftTimeLimitExceeded()
