"""Starting and stopping a contestant's processes, each in a process group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import BenchError
from service.local import spawn

#: Seconds that a process is given to end by itself before it is killed.
STOP_SECONDS = 8.0
#: Lines of a log that an error message shows.
LOG_TAIL = 15
#: Settings of the person who measures must not reach a contestant.
FOREIGN_PREFIXES = ("MILLRACE_", "CELERY_", "FLASK_", "GRANIAN_", "UVICORN_", "BENCH_")


def environment(root: Path, bin_dir: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a contestant: ours without anyone's settings, plus its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    path = f"{bin_dir}{os.pathsep}{inherited.get('PATH', '')}"
    return inherited | {"PATH": path, "PYTHONPATH": str(root)} | dict(settings)


class Process:
    """One running command. Its output goes to a log file."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], directory: Path, log: Path) -> None:
        self.log = log
        self.command = command
        with log.open("wb") as output:
            # The command is looked up in the PATH of `env`, where the contestant's own come first.
            self._child = spawn.spawn(command, environment=env, output=output, cwd=directory)

    @property
    def pid(self) -> int:
        """The id of the process, and of its group."""
        return self._child.pid

    def check(self) -> None:
        """Raise BenchError if the process has ended."""
        if self._child.poll() is not None:
            raise BenchError(f"{self._name} ended too early.\n{self._log_tail()}")

    def wait(self, seconds: float) -> None:
        """Wait for a command that ends by itself; raise BenchError if it failed or took too long."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            late = f"{self._name} took over {seconds:.0f} s.\n{self._log_tail()}"
            raise BenchError(late) from None
        if code:
            raise BenchError(f"{self._name} failed.\n{self._log_tail()}")

    def stop(self) -> None:
        """Ask the process to end, then end what is left of its group."""
        spawn.end(self._child, signal.SIGTERM, STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    @property
    def _name(self) -> str:
        return f"`{' '.join(self.command)}`"

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
        return "\n".join([f"Its log is {self.log}:", *lines])


def wait_for_port(port: int, process: Process, seconds: float = 30.0) -> None:
    """Wait until `process` listens on the port."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        process.check()
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise BenchError(f"Nothing listens on port {port} after {seconds:.0f} s; see {process.log}.")
