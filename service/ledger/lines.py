"""The lines of one process to its ledger: who holds one, since when, and how a silent one is broken.

A kernel notices a server that has vanished. One that is there and says nothing, as behind a balancer that has lost its
way, would be waited for without end, by every thread in turn. So a line that is held for too long is shut down by
another thread, and whoever waits on it gets an error.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from typing import Any

LOOK_EVERY = 0.2  #: seconds between looks, while a line is held


class Lines:
    """The sockets of an engine's connections, each once more. Used by many threads."""

    def __init__(self, longest: float = math.inf) -> None:
        self._longest = longest  #: seconds for which a line may be held by who has not said otherwise
        self._sockets: dict[int, socket.socket] = {}  # By the id of the connection.
        self._ends: dict[int, float] = {}  # Of those that are held: when that is too long.
        self._own = threading.local()
        self._held = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def allow(self, seconds: float | None) -> None:
        """For how long this thread may hold a line from now on; None: as long as any other."""
        self._own.seconds = seconds

    def made(self, connection: Any, record: Any) -> None:
        """A listener of the pool: a connection was made, and is used at once."""
        self._sockets[id(connection)] = socket.socket(fileno=os.dup(connection.fileno()))
        self.taken(connection)

    def taken(self, connection: Any, *_: Any) -> None:
        """A listener of the pool: a thread has got a connection."""
        seconds: float | None = getattr(self._own, "seconds", None)
        longest = self._longest if seconds is None else seconds
        if longest < math.inf:
            self._ends[id(connection)] = time.monotonic() + longest
            self._held.set()
            self._start()

    def given_back(self, connection: Any, *_: Any) -> None:
        """A listener of the pool: a thread has no more use for a connection."""
        self._ends.pop(id(connection), None)

    def closed(self, connection: Any, record: Any) -> None:
        """A listener of the pool: a connection was closed."""
        self._ends.pop(id(connection), None)
        if (line := self._sockets.pop(id(connection), None)) is not None:
            line.close()

    def forget(self) -> None:
        """Let go of what a child has inherited, without breaking it: it is the parent's."""
        for line in self._sockets.values():
            line.close()
        self._sockets, self._ends = {}, {}

    def hang_up(self, connection: Any = None) -> None:
        """Break all lines, or one, from any thread: whoever waits for an answer gets an error."""
        for key in [id(connection)] if connection is not None else list(self._sockets):
            self._break(key)

    def _break(self, key: int) -> None:
        if (line := self._sockets.get(key)) is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _start(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="millrace-lines", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()  # Never set: it only sleeps.
        while True:
            self._held.wait()
            pause.wait(LOOK_EVERY)
            self._held.clear()
            ends = self._ends.copy()
            for key, end in ends.items():
                if time.monotonic() > end:
                    self._break(key)
            if ends:
                self._held.set()
