"""One life of a contestant: an empty database, a virtual host of its own, its processes."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import database, processes, usage
from bench.contestant import Command, Contestant, Scale
from bench.errors import BenchError
from bench.load import Generator, Load, Running
from bench.processes import Process
from bench.servers import Servers
from bench.shapes import Shape
from service.local import ports

#: Seconds that a command like a migration may take.
PREPARE_LIMIT = 60.0
#: The prefix of orders that warm a contestant up.
WARM_UP = "00000000"


@dataclass(frozen=True)
class Place:
    """Where things are, and the servers that all share."""

    #: The repository's root folder.
    root: Path
    #: Where logs and the compiled load generator go.
    var: Path
    #: The folder of the peers' executables.
    peer_bin: Path
    servers: Servers
    generator: Generator

    def bin_of(self, contestant: Contestant) -> Path:
        """The folder of a contestant's executables."""
        return self.peer_bin if contestant.peer else Path(sys.executable).parent


class Stage:
    """A contestant's processes, and what is asked of them."""

    def __init__(self, contestant: Contestant, scale: Scale, place: Place) -> None:
        self.contestant = contestant
        self._place = place
        self._scale = contestant.scaled(scale)
        self._port = ports.free()
        self._running: dict[str, list[Process]] = {"web": [], "worker": []}
        self._broker_url = place.servers.fresh_vhost(contestant.name)
        self.database_url = place.servers.fresh_database()
        self.rows = database.Rows(self.database_url)

    def prepare(self) -> None:
        """Run the contestant's preparations, one after another."""
        for number, command in enumerate(self.contestant.prepare):
            self._spawn(command, f"prepare{number}").wait(PREPARE_LIMIT)

    def start_web(self) -> None:
        """Start the web server and wait until it listens."""
        web = self._spawn(self.contestant.web, "web")
        self._running["web"].append(web)
        processes.wait_for_port(self._port, web)

    def start_workers(self) -> None:
        """Start everything but the web server."""
        for number in range(self._scale.workers):
            self._running["worker"].append(self._spawn(self.contestant.worker, f"worker{number}"))
        for number, command in enumerate(self.contestant.beside):
            self._running["worker"].append(self._spawn(command, f"beside{number}"))

    def settle(self) -> None:
        """Wait until the processes have done whatever they do at their start, or after some work."""
        usage.wait_for_rest(self.pids)
        self.check()

    def stop(self) -> None:
        """Stop the processes, the web server first, and leave the database."""
        for process in self._running["web"] + self._running["worker"]:
            process.stop()
        self.rows.close()

    def check(self) -> None:
        """Raise BenchError if one of the processes has ended."""
        for process in self._running["web"] + self._running["worker"]:
            process.check()

    def warm_up(self, shape: Shape) -> None:
        """Let some orders of this shape go the whole way, so that connections are open and code is loaded."""
        self.rows.clear()
        load = self._place.generator.run(self._port, self.contestant, shape, WARM_UP)
        if load.refused:
            raise BenchError(f"{len(load.refused)} of {load.sent} orders of the warm-up were refused")
        if not self.rows.wait_for(load.accepted, self.check):
            raise BenchError("the orders of the warm-up were not all worked")
        self.settle()

    def begin(self, shape: Shape) -> Running:
        """Begin to post orders, under ids that were never used before."""
        prefix = f"{time.time_ns() // 1_000_000 % 2**32:08x}"
        return self._place.generator.start(self._port, self.contestant, shape, prefix)

    def post(self, shape: Shape) -> Load:
        """Post orders; return when all are answered."""
        return self.begin(shape).result()

    @property
    def groups(self) -> dict[str, list[int]]:
        """The root processes by group, those of the servers included."""
        own = {name: [each.pid for each in group] for name, group in self._running.items()}
        return own | self._place.servers.pids

    @property
    def pids(self) -> list[int]:
        """The contestant's root processes."""
        return [each.pid for group in self._running.values() for each in group]

    @property
    def commands(self) -> list[str]:
        """The commands as one would type them."""
        port = str(self._port)
        typed = [*self._running["web"], *self._running["worker"]]
        return [shlex.join(each.command).replace(port, "PORT") for each in typed]

    def _spawn(self, command: Command, role: str) -> Process:
        place, contestant = self._place, self.contestant
        settings = {name: self._fill(value) for name, value in contestant.settings.items()}
        env = processes.environment(place.root, place.bin_of(contestant), settings)
        log = place.var / "log" / f"{contestant.name}.{role}.log"
        return Process([self._fill(word) for word in command], env, place.var, log)

    def _fill(self, text: str) -> str:
        return text.format(
            port=self._port,
            database_url=self.database_url,
            broker_url=self._broker_url,
            web=self._scale.web,
            children=self._scale.children,
        )


@contextlib.contextmanager
def empty(contestant: Contestant, scale: Scale, place: Place) -> Iterator[Stage]:
    """A stage that is prepared, and on which nothing runs yet."""
    stage = Stage(contestant, scale, place)
    try:
        stage.prepare()
        yield stage
    finally:
        stage.stop()


@contextlib.contextmanager
def running(contestant: Contestant, scale: Scale, place: Place) -> Iterator[Stage]:
    """A stage with all processes running and at rest."""
    with empty(contestant, scale, place) as stage:
        stage.start_workers()
        stage.start_web()
        stage.settle()
        yield stage
