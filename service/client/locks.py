"""A lock between processes, on a file: whoever has it is alone, and it ends with the process at the latest."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator


class FileLock:
    """The lock on a file, for one object of one process; threads exclude each other too."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._files: set[int] = set()  # Descriptors.

    @contextlib.contextmanager
    def tried(self) -> Iterator[bool]:
        """Whether nobody else has it; nobody will while the block lasts. Raises OSError if the file refuses."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        self._files.add(file)
        try:
            yield _lock(file)
        finally:
            if file in self._files:  # Else this is a child that was forked inside the block: the lock is its parent's.
                self._files.remove(file)
                # Closing alone would not do: a child may have been forked before the file was noted, and hold it on.
                fcntl.flock(file, fcntl.LOCK_UN)
                os.close(file)

    def after_fork(self) -> None:
        """To be called in a forked child: the lock is not its own, and is not to last for as long as it lives."""
        for file in self._files:
            os.close(file)  # Which unlocks nothing: the parent has the same lock open.
        self._files = set()


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
