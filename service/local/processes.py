"""The supervisor: it starts what dies again, and stops everything in order."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Protocol

from service.local import spawn

#: Seconds before a process that died is started again: at once, then later and later.
DELAYS = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
#: Seconds after which a process that lives counts as healthy: its next death is its first.
HEALTHY = 60.0
#: How often in a row a process may die before everything has once been ready.
FALSE_STARTS = 3
#: Seconds that each stage gets to stop before SIGKILL.
GRACE = 8.0
#: The same once a second signal has come.
HURRY = 1.0
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Process(Protocol):
    """What can be watched over: a command of ours, or a private server."""

    name: str

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""

    def launch(self) -> None:
        """Start without waiting until it is ready."""

    def exit_code(self) -> int | None:
        """How it ended, None while it runs."""

    def interrupt(self) -> None:
        """Ask it to stop."""

    def kill(self) -> None:
        """End it at once."""

    def release(self) -> None:
        """Let go of what belongs to it, after its end."""


@dataclass
class _Watched:
    """One process and what is known of its life."""

    process: Process
    #: What has a higher number stops first.
    stage: int
    #: When it was started last, on the monotonic clock.
    since: float
    #: How often it has died without having been healthy in between.
    deaths: int = 0
    #: When it is to be started again, on the monotonic clock; None while it runs.
    due: float | None = None

    @property
    def delay(self) -> float:
        """Seconds before its next start."""
        return DELAYS[min(self.deaths, len(DELAYS)) - 1]


class Supervisor:
    """Starts processes, starts again what dies, and stops all of them in order.

    Use it as a context manager in the main thread. A signal to stop raises KeyboardInterrupt inside, so that
    what is just being prepared ends too; on the way out everything is stopped. A second signal hurries.
    """

    def __init__(self, say: Callable[[str], None] = print, *, grace: float = GRACE) -> None:
        self.say = say
        self.grace = grace
        #: Set by whoever sees that everything answers; from then on, what dies is always started again.
        self.ready = threading.Event()
        self._watched: list[_Watched] = []
        self._stopping = self._hurry = False
        self._wakes = (-1, -1)
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Supervisor:
        # Python writes a byte into this pipe for each signal: the supervisor sleeps until there is one.
        self._wakes = os.pipe()
        for end in self._wakes:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wakes[1], warn_on_full_buffer=False)
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        for stop in _STOPS:
            self._handlers[stop] = signal.signal(stop, self._on_stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._stop_all()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        for end in self._wakes:
            os.close(end)

    def start(self, process: Process, stage: int) -> None:
        """Launch a process and watch over it from now on."""
        self.watch(process, stage)
        process.launch()

    def watch(self, process: Process, stage: int) -> None:
        """Watch over a process that someone else launches; stages stop from the highest number down."""
        self._watched.append(_Watched(process, stage, time.monotonic()))

    def run(self) -> int:
        """Watch until a signal says stop; the exit code, 1 when a process never got going."""
        try:
            while all(self._look_after(watched) for watched in self._watched):
                self._sleep()
        except KeyboardInterrupt:
            return 0
        return 1

    def _look_after(self, watched: _Watched) -> bool:
        """Start it again when it died; False when going on is of no use."""
        if watched.due is None:
            code = watched.process.exit_code()
            return code is None or self._mourn(watched, spawn.how_it_ended(code))
        if time.monotonic() >= watched.due:
            self._launch_again(watched)
        return True

    def _mourn(self, watched: _Watched, how: str) -> bool:
        name, now = watched.process.name, time.monotonic()
        watched.deaths = 1 if now - watched.since > HEALTHY else watched.deaths + 1
        if watched.deaths >= FALSE_STARTS and not self.ready.is_set():
            self.say(f"{name} died ({how}) {watched.deaths} times and was never ready: giving up")
            return False
        if watched.delay:
            watched.due = now + watched.delay
            self.say(f"{name} died ({how}); starting again in {watched.delay:.0f} s")
        elif self._launch_again(watched):
            self.say(f"{name} died ({how}); started again")
        return True

    def _launch_again(self, watched: _Watched) -> bool:
        watched.due, watched.since = None, time.monotonic()
        try:
            watched.process.launch()
        except spawn.LocalError as error:
            watched.deaths += 1
            watched.due = watched.since + watched.delay
            self.say(f"{watched.process.name} could not be started again: {error}")
            return False
        return True

    def _sleep(self) -> None:
        """Sleep until a child ends, a signal comes, or something is to be started again."""
        due = [watched.due for watched in self._watched if watched.due is not None]
        seconds = max(0.0, min(due) - time.monotonic()) if due else None
        select.select([self._wakes[0]], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakes[0], 4096)

    def _stop_all(self) -> None:
        for stage in sorted({watched.stage for watched in self._watched}, reverse=True):
            group = [watched.process for watched in self._watched if watched.stage == stage]
            for process in group:
                process.interrupt()
            self._wait_for(group)
            for process in group:
                if process.pid is not None:
                    process.kill()
                    self.say(f"{process.name} did not stop in time and was killed")
                process.release()

    def _wait_for(self, group: list[Process]) -> None:
        start = time.monotonic()

        def settled() -> bool:
            late = self._hurry and time.monotonic() - start > HURRY
            return late or all(process.pid is None for process in group)

        spawn.wait_until(settled, self.grace)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping:
            self._hurry = True
        else:
            self._stopping = True
            raise KeyboardInterrupt
