"""Real processes in a test: started as an operator starts them, their output kept, stopped by their id."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from service.local import spawn
from tests.patience import PATIENCE, wait

ROOT = pathlib.Path(__file__).parent.parent
SHOWN = 6_000  #: characters of a log that a failed test shows
GRACE = 15.0  #: seconds for an orderly stop


def is_gone(pid: int) -> bool:
    """Whether this process has ended; one that nobody has waited for yet has ended, too."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Process:
    """One process and its log."""

    def __init__(self, name: str, words: Sequence[str], environment: Mapping[str, str], folder: pathlib.Path) -> None:
        self.name = name
        self.words = list(words)
        self.environment = dict(environment)
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._popen = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._asked = False
        with self.log.open("ab") as log:
            return spawn.spawn(
                [sys.executable, "-m", *self.words], environment=self.environment, output=log, cwd=self.folder
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """How it ended (a negative number is a signal), None while it runs."""
        return self._popen.poll()

    def text(self) -> str:
        """All it has said so far."""
        return self.log.read_text(errors="replace")

    def wait_for_text(self, words: str, seconds: float = 20.0) -> None:
        """Wait until it has said so; one that has ended without is not waited for."""
        wait(lambda: words in self.text() or self.code is not None, seconds, f"{self.name} says {words!r}")
        assert words in self.text(), f"{self.name} ended with {self.code} before it said {words!r}:\n{self.tail()}"

    def wait_for_end(self, seconds: float = 20.0) -> int:
        """Wait until it has ended by itself; how."""
        wait(lambda: self.code is not None, seconds, f"{self.name} ends by itself")
        assert self.code is not None
        return self.code

    def children(self) -> list[int]:
        """The ids of the processes it has forked."""
        try:
            found = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return []
        return [int(word) for word in found.split()]

    def family(self) -> list[int]:
        """Its own id and those of its children."""
        return [self.pid, *self.children()]

    def freeze(self) -> None:
        """Stop it and its children in their tracks."""
        for pid in self.family():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after a freeze."""
        for pid in self.family():
            os.kill(pid, signal.SIGCONT)

    def restart(self) -> None:
        """Start it again in the same way, as a supervisor does when it has ended."""
        assert self.code is not None, f"{self.name} still runs"
        self._popen = self._start()

    def kill(self) -> None:
        """SIGKILL to the process and its children."""
        for pid in self.family():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._popen.wait()

    def ask_to_stop(self) -> None:
        """Ask it to stop, once: a second signal would catch it at its end, without a handler."""
        if self.code is None and not self._asked:
            self._asked = True
            self._popen.terminate()

    def stop(self) -> None:
        """Ask it to stop; what does not within the grace is killed."""
        if self.code is not None:
            return
        self.ask_to_stop()
        try:
            self._popen.wait(GRACE * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self) -> str:
        """The end of its log, for a failed test."""
        return self.text()[-SHOWN:]
