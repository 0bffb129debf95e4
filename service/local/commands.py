"""Commands of ours as named child processes, and the console that their lines go to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.local import spawn

#: ANSI colours of the names, in the order in which they speak first.
_COLOURS = (36, 32, 33, 35, 34)


class Console:
    """Lines of many processes on one output, each with the name of who said it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._colours: dict[str, int] = {}

    def say(self, line: str, name: str = "millrace") -> None:
        """Write one line; an output that is gone is no reason to stop working."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            sys.stdout.write(f"{self._prefix(name)}{line}\n")
            sys.stdout.flush()

    def _prefix(self, name: str) -> str:
        if not sys.stdout.isatty():
            return f"{name:<8} | "
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        return f"\x1b[{colour}m{name:<8} |\x1b[0m "


class Command:
    """A command with a name, whose output goes line by line to the console.

    It inherits our environment; ``variables`` are added to it.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        console: Console,
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.variables = dict(variables or {})
        self.cwd = cwd
        self._console = console
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self.exit_code() is None else None

    def launch(self) -> None:
        """Start the command, and a thread that passes on what it prints."""
        added = [f"{name}={value}" for name, value in self.variables.items()]
        # `env` ends in an exec; what it adds was seen in the list of processes, so secrets go by file.
        argv = [*(["/usr/bin/env", *added] if added else []), *self.argv]
        process = spawn.spawn(argv, environment=None, output=subprocess.PIPE, cwd=self.cwd)
        self._process = process
        self._reader = threading.Thread(target=self._pass_on, args=(process,), daemon=True)
        self._reader.start()

    def exit_code(self) -> int | None:
        """How the command ended, None while it runs. What a dead command has left in its session ends too."""
        process = self._process
        if process is not None and process.returncode is None and _has_ended(process.pid):
            # Not reaped yet, its number is still its own: nobody else's group can be hit.
            _kill_group(process.pid)
        return process.poll() if process else None

    def interrupt(self) -> None:
        """SIGTERM to the command alone, which stops its own children in the order it knows."""
        if self._process and self.pid:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to the command and its children."""
        if self._process and self.pid:
            _kill_group(self._process.pid)
            self._process.wait()

    def release(self) -> None:
        """Wait a moment for its last lines."""
        if self._reader:
            self._reader.join(1)

    def _pass_on(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._console.say(line.decode(errors="replace").rstrip(), self.name)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
