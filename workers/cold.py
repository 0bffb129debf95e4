"""A cold stop (SIGQUIT) that ends.

Celery ends its pool from within the signal's handler. A signal that strikes while a job is half written to a child
makes the two wait for each other for ever: the parent for the child to end, the child for the rest of the job.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

LONGEST = 10  #: seconds; SIGTERM is the stop that takes as long as the work does


def bound() -> None:
    """Let a cold stop of this process, whose handlers are in place, take so long at most.

    The kernel ends what does not end by itself, so nothing that hangs here can be in the way. What was under way is
    the same to the ledger as after any death of a worker.
    """
    theirs, worker = signal.getsignal(signal.SIGQUIT), os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() == worker:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST)
        if callable(theirs):
            theirs(number, frame)

    signal.signal(signal.SIGQUIT, stop)
