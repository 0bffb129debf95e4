"""Measuring: one round of one contestant, and rounds over all of them in turn."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import database, figures, machine, processes, usage, work
from bench.contestants import Command, Contestant
from bench.errors import BenchError
from bench.load import Generator, Load
from bench.processes import Process
from bench.servers import Servers
from service.local import ports

#: Seconds that one load may take before its missing answers count as refused.
LOAD_LIMIT = 60.0
#: Seconds that a command like a migration may take.
PREPARE_LIMIT = 60.0
#: Seconds after the last row in which late acknowledgements and the like still count as CPU.
AFTERMATH = 0.5

#: Says what is being done right now.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is measured, and where things are."""

    events: int
    connections: int
    rounds: int
    #: The repository's root folder.
    root: Path
    #: Where logs and the compiled load generator go.
    var: Path
    #: The folder of the peers' executables.
    peer_bin: Path

    @property
    def warm_up(self) -> int:
        """Orders that are posted and worked before the measurement."""
        return max(self.connections, self.events // 10)

    def bin_of(self, contestant: Contestant) -> Path:
        """The folder of a contestant's executables."""
        return self.peer_bin if contestant.peer else Path(sys.executable).parent


class Stage:
    """One contestant on fresh ground: an empty database, and a virtual host of its own."""

    def __init__(self, contestant: Contestant, plan: Plan, servers: Servers) -> None:
        self._contestant = contestant
        self._plan = plan
        self._port = ports.free()
        self._running: dict[str, list[Process]] = {"web": [], "worker": []}
        self._database_url = servers.fresh_database()
        self._broker_url = servers.fresh_vhost(contestant.name)
        self.rows = database.Rows(self._database_url)

    def prepare(self) -> None:
        """Run the contestant's preparations, one after another."""
        for number, command in enumerate(self._contestant.prepare):
            self._spawn(command, f"prepare{number}").wait(PREPARE_LIMIT)

    def start(self) -> None:
        """Start its processes and wait until they have settled."""
        for number, command in enumerate(self._contestant.workers):
            self._running["worker"].append(self._spawn(command, f"worker{number}"))
        web = self._spawn(self._contestant.web, "web")
        self._running["web"].append(web)
        processes.wait_for_port(self._port, web)
        usage.wait_for_rest(self.pids)
        self.check()

    def stop(self) -> None:
        """Stop its processes, the web server first, and leave the database."""
        for process in self._running["web"] + self._running["worker"]:
            process.stop()
        self.rows.close()

    def check(self) -> None:
        """Raise BenchError if one of its processes has ended."""
        for process in self._running["web"] + self._running["worker"]:
            process.check()

    def post(self, generator: Generator, orders: int, prefix: str) -> Load:
        """Post so many orders; return when all are answered."""
        path, connections = self._contestant.path, self._plan.connections
        return generator.run(self._port, path, orders, connections, prefix, LOAD_LIMIT)

    @property
    def groups(self) -> dict[str, list[int]]:
        """Its root processes by group."""
        return {name: [each.pid for each in group] for name, group in self._running.items()}

    @property
    def pids(self) -> list[int]:
        """All its root processes."""
        return [pid for group in self.groups.values() for pid in group]

    def _spawn(self, command: Command, role: str) -> Process:
        plan, contestant = self._plan, self._contestant
        settings = {name: self._fill(value) for name, value in contestant.settings.items()}
        env = processes.environment(plan.root, plan.bin_of(contestant), settings)
        log = plan.var / "log" / f"{contestant.name}.{role}.log"
        return Process([self._fill(word) for word in command], env, plan.var, log)

    def _fill(self, text: str) -> str:
        return text.format(port=self._port, database_url=self._database_url, broker_url=self._broker_url)


@contextlib.contextmanager
def _staged(contestant: Contestant, plan: Plan, servers: Servers) -> Iterator[Stage]:
    stage = Stage(contestant, plan, servers)
    try:
        stage.prepare()
        stage.start()
        yield stage
    finally:
        stage.stop()


def measure_round(
    contestant: Contestant, plan: Plan, servers: Servers, generator: Generator, tell: Tell
) -> figures.Figures:
    """Start the contestant, warm it up, measure it, recompute every row, stop it."""
    tell("starting")
    with _staged(contestant, plan, servers) as stage:
        tell("warming up")
        _warm_up(stage, plan, generator)
        tell(f"posting {plan.events:,} orders")
        own_start = time.process_time()
        meter = usage.Meter(stage.groups | servers.pids)
        load = stage.post(generator, plan.events, f"{time.time_ns() // 1_000_000 % 2**32:08x}")
        tell("waiting for the last row")
        stage.rows.wait_for(plan.warm_up + load.accepted, stage.check)
        time.sleep(AFTERMATH)
        spent, machine_spent = meter.spent(), meter.machine_spent()
        own_spent = time.process_time() - own_start
        tell("recomputing every row")
        check = work.check(stage.rows.values(), load.prefix, load.sent, load.refused)
        if not check.committed:
            raise BenchError("no order was committed")
        return figures.from_round(
            load,
            check,
            stage.rows.last_at(),
            spent,
            machine_spent,
            own_spent,
            usage.peak_memory(stage.pids),
        )


def _warm_up(stage: Stage, plan: Plan, generator: Generator) -> None:
    """Post a tenth of the orders first, so that connections are open and code is loaded."""
    load = stage.post(generator, plan.warm_up, "00000000")
    if load.refused:
        raise BenchError(f"{len(load.refused)} of {plan.warm_up} orders of the warm-up were refused")
    if not stage.rows.wait_for(plan.warm_up, stage.check):
        raise BenchError("the orders of the warm-up were not all worked")
    usage.wait_for_rest(stage.pids)


def result_of(contestant: Contestant, plan: Plan, rounds: list[figures.Figures], failure: str) -> figures.Result:
    """A contestant's rounds with all that is needed to repeat them."""
    names = machine.PEER_PACKAGES if contestant.peer else machine.MILLRACE_PACKAGES
    commands = (contestant.web, *contestant.workers)
    return figures.Result(
        name=contestant.name,
        title=contestant.title,
        peer=contestant.peer,
        commands=[shlex.join(command).replace("'{port}'", "PORT") for command in commands],
        packages=machine.packages(plan.bin_of(contestant) / "python", names),
        rounds=rounds,
        failure=failure,
    )
