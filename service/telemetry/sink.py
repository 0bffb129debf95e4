"""A sink: where lines go that may be lost, but that never hold up work and never raise into it.

A pipe whose reader stands still, a full disk, a terminal that was stopped by Ctrl-S: a plain write
to any of them can block the whole process. A sink waits a moment for such a place, then gives lines
up until the place takes them again.
"""

from __future__ import annotations

import os
import pathlib
import select
import socket
import stat
import time

GRACE = 0.1  #: seconds that one line may wait; none at all after a line was given up
FLAGS = os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY


class Sink:
    """Writes lines to a file descriptor, or to a file that may be moved away by logrotate."""

    def __init__(self, fd: int, path: str | None = None) -> None:
        self._path = path
        self._fd = -1
        self._socket: socket.socket | None = None
        self._waits = False  #: whether a write to it can block, so that it must be asked before
        self._well = True  #: whether the last line was taken
        self._torn = False  #: whether the last line was given up in its middle
        try:
            if path is None:
                self._open(fd)
            else:
                self._open_path(path)
        except OSError:
            self._well = False

    @property
    def is_terminal(self) -> bool:
        """Whether people read it."""
        return self._fd >= 0 and os.isatty(self._fd)

    def write(self, line: bytes) -> bool:
        """Write a line that ends in a newline; whether that was done."""
        try:
            self._follow()
            self._well = self._write(b"\n" + line if self._torn else line)
        except OSError:  # No reader, no space, no such file any more.
            self._well = False
        return self._well

    def close(self) -> None:
        """Give the descriptor back."""
        fd, self._fd = self._fd, -1
        if self._socket is not None:
            self._socket.close()
        elif fd >= 0:
            os.close(fd)

    def _write(self, data: bytes) -> bool:
        deadline = time.monotonic() + (GRACE if self._well else 0.0)
        begun = False
        while data:
            try:
                sent = self._send(data)
            except BlockingIOError:
                if not self._is_ready(deadline - time.monotonic()):
                    self._torn = self._torn or begun
                    return False
                continue
            begun, data = True, data[sent:]
        self._torn = False
        return True

    def _send(self, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if self._waits:
            if not self._is_ready(0.0):
                raise BlockingIOError
            # A pipe that is ready has room for as much as this.
            return os.write(self._fd, data[: select.PIPE_BUF])
        return os.write(self._fd, data)

    def _is_ready(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def _open(self, fd: int) -> None:
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(fd))
            self._fd = self._socket.fileno()
        elif stat.S_ISREG(mode):
            self._fd = os.dup(fd)
        else:
            self._open_again(fd)

    def _open_again(self, fd: int) -> None:
        """The same pipe or terminal, opened by ourselves.

        O_NONBLOCK on the descriptor that we were given would be felt by all who share it.
        """
        try:
            self._fd = os.open(f"/proc/self/fd/{fd}", FLAGS | os.O_NONBLOCK)
        except OSError:
            self._fd = os.dup(fd)
            self._waits = True

    def _open_path(self, path: str) -> None:
        self._fd = os.open(path, FLAGS | os.O_APPEND | os.O_CREAT, 0o640)

    def _follow(self) -> None:
        """If the file was moved away, write to a new one of that name."""
        if self._path is None:
            return
        try:
            there, here = pathlib.Path(self._path).stat(), os.fstat(self._fd)
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                return
        except OSError:
            pass
        self.close()
        self._open_path(self._path)
