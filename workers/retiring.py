"""How a worker's children learn that it was told to end: one number in memory that they share with their parent.

Celery tells them nothing: at SIGTERM its parent waits until each has finished, and a detached handler may take hours.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import time

from billiard import process

NUMBER = struct.Struct("d")


class Retirement:
    """When the worker's time to end comes. Made before the children are forked."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, NUMBER.size)  # Anonymous and shared; 0.0 as long as nobody writes.

    def announce(self, grace: float) -> None:
        """The worker was told to end: its runs have ``grace`` seconds."""
        if not NUMBER.unpack(self._page[:])[0]:
            self._page[:] = NUMBER.pack(time.monotonic() + grace)

    def has_come(self) -> bool:
        """Whether the grace has passed. The monotonic clock is the same in all processes of a machine."""
        at: float = NUMBER.unpack(self._page[:])[0]
        return 0.0 < at <= time.monotonic()


def is_child() -> bool:
    """Whether this process is a child of the prefork pool, which may be ended for the sake of one run."""
    return bool(process.current_process().name != "MainProcess")


def end() -> None:
    """End this child. Its parent forks another."""
    os.kill(os.getpid(), signal.SIGKILL)
