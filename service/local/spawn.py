"""Starting a process of our own: in its own session, with a clean environment, ended with its parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from service.domain import errors

#: Where the system keeps its programs; private servers get this and nothing of the caller's environment.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "LANG": "C", "LC_ALL": "C"}


class LocalError(errors.MillraceError):
    """A server or process on this machine could not be started."""


def spawn(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None,
    output: int | IO[bytes] = subprocess.DEVNULL,
    cwd: Path | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a program that only its parent ends; without an environment it gets its parent's.

    It gets a session of its own, so that Ctrl-C in the terminal reaches the parent alone, which then
    stops everything in order. Call it from the main thread: Linux sends ``on_parent_death`` when the
    *thread* that started the child is gone.
    """
    try:
        return subprocess.Popen(
            [*dies_with_parent(on_parent_death), *argv],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise LocalError(f"{argv[0]} could not be started: {error}") from None


def dies_with_parent(with_signal: signal.Signals) -> list[str]:
    """The words before a command that make the kernel send it this signal when its parent is gone.

    `setpriv` ends in an exec, so that the process id stays that of the command. Where it is missing
    the command just runs: a supervisor that is killed then leaves it behind.
    """
    setpriv = shutil.which("setpriv", path=PATH)
    return [setpriv, "--pdeathsig", with_signal.name.removeprefix("SIG"), "--"] if setpriv else []


def how_it_ended(code: int) -> str:
    """An exit code in words: ``exit 1``, ``SIGKILL``."""
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def wait_until(condition: Callable[[], bool], seconds: float, step: float = 0.05) -> bool:
    """Ask until the condition holds or the time is over; whether it held. It is asked once more when it is over."""
    deadline = time.monotonic() + seconds
    over = False
    while not condition():
        if over:
            return False
        time.sleep(step)
        over = time.monotonic() > deadline
    return True


def end(process: subprocess.Popen[bytes] | None, with_signal: signal.Signals, grace: float) -> None:
    """Ask a process of ours to stop, and kill it when it has not within ``grace`` seconds."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(with_signal)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        kill(process)


def kill(process: subprocess.Popen[bytes] | None) -> None:
    """SIGKILL, and wait until the process is gone."""
    if process is not None and process.poll() is None:
        process.kill()
        process.wait()


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner reads; its parents stay as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    return path.resolve()


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def last_line(log: Path, *words: str, since: int = 0) -> str:
    """The last line of a log file that holds one of the words, else its last line at all."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(since)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in words)]
    return (telling or lines or [""])[-1]
