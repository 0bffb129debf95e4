"""What is printed, by a handler or a library, as lines of the log, for who reads a log by machine.

Standard output and standard error are taken where logs are JSON, from Python alone: what a program writes that a
handler starts, or the interpreter as it crashes, comes as it is.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

log = logging.getLogger("millrace.printed")

LONGEST = 8_192  #: bytes that may wait for the end of their line


class Printed(io.RawIOBase):
    """Takes bytes, and has each line of them written by the log."""

    def __init__(self, level: int, behind: Any) -> None:
        super().__init__()
        self._level = level
        self._behind = behind  #: the stream in whose place it stands
        #: By thread what waits for the end of its line, and whether a line is being written. A handler of an app's own
        #: that writes to standard error would otherwise be told of its own lines, for ever.
        self._here = threading.local()

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """Of the stream behind: a program that is started gets it as its own."""
        return int(self._behind.fileno())

    def write(self, data: Any) -> int:
        """Take some bytes."""
        waiting: bytes = getattr(self._here, "waiting", b"") + bytes(data)
        *lines, self._here.waiting = waiting.split(b"\n")
        for line in lines:
            self._tell(line)
        if len(self._here.waiting) > LONGEST:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Write what waits for the end of its line."""
        waiting, self._here.waiting = getattr(self._here, "waiting", b""), b""
        self._tell(waiting)

    def _tell(self, line: bytes) -> None:
        if not line.strip() or getattr(self._here, "tells", False):
            return
        self._here.tells = True
        try:
            log.log(self._level, "%s", line.decode("utf-8", "backslashreplace"), extra={"action": "printed"})
        finally:
            self._here.tells = False


def take() -> None:
    """From now on what this process, and those that it forks, print is said by the log."""
    sys.stdout = _stream(logging.INFO, sys.stdout)
    sys.stderr = _stream(logging.WARNING, sys.stderr)


@contextlib.contextmanager
def taken() -> Iterator[None]:
    """The same, inside of the block."""
    before = sys.stdout, sys.stderr
    take()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _stream(level: int, behind: Any) -> Any:
    if isinstance(getattr(behind, "buffer", None), Printed):
        return behind
    return io.TextIOWrapper(
        Printed(level, behind),
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )
