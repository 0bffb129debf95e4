"""The quick measurement: from nothing to a finished :class:`~bench.figures.Measurement`."""

from __future__ import annotations

import datetime
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import environment, machine, measure, servers
from bench.contestants import Contestant
from bench.errors import BenchError
from bench.figures import Figures, Measurement
from bench.load import Generator
from bench.measure import Plan
from bench.terminal import Display

ROOT = Path(__file__).parent.parent
#: Everything that the benchmark writes, except for the servers' data, which goes when it ends.
VAR = ROOT / "var" / "bench"


def plan(events: int, connections: int, rounds: int) -> Plan:
    """A plan for this repository."""
    return Plan(events, connections, rounds, root=ROOT, var=VAR, peer_bin=VAR / "venv" / "bin")


def run(contestants: Sequence[Contestant], wanted: Plan, command: str, display: Display) -> Measurement:
    """Prepare whatever is missing, start the servers, and measure every round."""
    taken_at = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    (wanted.var / "log").mkdir(parents=True, exist_ok=True)
    generator = _prepare(contestants, wanted, display)
    display.step("starting PostgreSQL and RabbitMQ")
    with (
        tempfile.TemporaryDirectory(prefix="servers-", dir=wanted.var) as data,
        servers.running(Path(data)) as both,
    ):
        versions = _versions(wanted, both)
        display.start_rounds(wanted.rounds * len(contestants))
        rounds = _rounds(contestants, wanted, both, generator, display)
    return Measurement(
        taken_at=taken_at,
        command=command,
        events=wanted.events,
        warm_up=wanted.warm_up,
        connections=wanted.connections,
        rounds=wanted.rounds,
        machine=machine.describe(),
        versions=versions,
        results=[measure.result_of(each, wanted, *rounds.of(each.name)) for each in contestants],
    )


def _prepare(contestants: Sequence[Contestant], wanted: Plan, display: Display) -> Generator:
    display.step("compiling the load generator")
    generator = Generator.build(wanted.var)
    venv = wanted.peer_bin.parent
    if any(each.peer for each in contestants) and not environment.is_ready(venv):
        display.note(f"installing the peers' packages into {venv}, once; it takes about a minute")
        environment.make(venv, wanted.var / "log" / "venv.log")
    return generator


class _Rounds:
    """The figures of every contestant's rounds, and why some are missing."""

    def __init__(self) -> None:
        self._figures: dict[str, list[Figures]] = {}
        self._failures: dict[str, str] = {}

    def add(self, name: str, figures: Figures) -> None:
        self._figures.setdefault(name, []).append(figures)

    def fail(self, name: str, reason: str) -> None:
        self._failures[name] = reason

    def of(self, name: str) -> tuple[list[Figures], str]:
        return self._figures.get(name, []), self._failures.get(name, "")


def _rounds(
    contestants: Sequence[Contestant],
    wanted: Plan,
    both: servers.Servers,
    generator: Generator,
    display: Display,
) -> _Rounds:
    """Each round goes over all contestants in turn. One that fails does not stop the others."""
    found = _Rounds()
    for number in range(1, wanted.rounds + 1):
        for each in contestants:
            name = each.name

            def tell(step: str, name: str = name) -> None:
                display.step(f"{name}: {step}")

            try:
                figures = measure.measure_round(each, wanted, both, generator, tell)
            except BenchError as error:
                found.fail(name, str(error))
                display.round_failed(number, wanted.rounds, name, str(error))
            else:
                found.add(name, figures)
                display.round_done(number, wanted.rounds, name, figures)
    return found


def _versions(wanted: Plan, both: servers.Servers) -> dict[str, str]:
    millrace = machine.revision(wanted.root)
    ours = {"Millrace": millrace} if millrace else {}
    return ours | {"Python": platform.python_version()} | both.versions()
