"""Random faults under load: ``make chaos SEED=7 MINUTES=30``.

The seed decides what is done to whom, in which order and for how long; so a run that finds something can be run again.
What it finds may still depend on the moment. Clients of every kind go on all the while (``mixture``), and a schedule is
due each second. After each round the road must work again, and at the end the checker judges all that was asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console

from tests.faults import checker
from tests.faults.mixture import Mixture, mixed
from tests.faults.proxy import UP
from tests.faults.stack import KINDS, Stack

LINES = [f"{kind}-{server}" for kind in KINDS for server in ("ledger", "broker")]
#: What can be done to whom. A web process is not frozen: no answer comes from one, and none can be asked to be in time.
DEEDS = {
    "web": ["kill", "end"],
    "worker": ["kill", "end", "freeze", "kill a child"],
    "clock": ["kill", "end", "freeze"],
    "ledger": ["restart", "kill", "end sessions"],
    "broker": ["restart", "kill", "freeze", "alarm", "end connections"],
    **{line: ["lose", "slow down", "narrow", "reset", "refuse", "spoil"] for line in LINES},
}
WEATHER = {
    "lose": {"lost": True},
    "slow down": {"latency": 0.5, "jitter": 0.5},
    "narrow": {"rate": 8_000},
    "refuse": {"refused": True},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Deed:
    """One fault."""

    victim: str
    what: str
    which: int  #: of several processes of a kind

    def __str__(self) -> str:
        number = f" {self.which + 1}" if self.victim in KINDS else ""
        return f"{self.victim}{number}: {self.what}"


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """Faults that are there at the same time."""

    deeds: tuple[Deed, ...]
    seconds: float  #: how long they last
    calm: float  #: seconds afterwards


def rounds(seed: int) -> Iterator[Round]:
    """What a seed stands for, without end."""
    chance = random.Random(seed)
    while True:
        victims = chance.sample(sorted(DEEDS), chance.choice([1, 1, 2, 3]))
        deeds = tuple(Deed(v, chance.choice(DEEDS[v]), chance.randrange(KINDS.get(v, 1))) for v in victims)
        yield Round(deeds, round(chance.uniform(0.5, 8), 1), round(chance.uniform(0, 4), 1))


def done(stack: Stack, deed: Deed) -> AbstractContextManager[object]:
    """The fault, inside."""
    if deed.victim in LINES:
        return _line(stack, deed)
    if deed.victim in KINDS:
        return _process(stack, deed)
    return {"ledger": _ledger, "broker": _broker}[deed.victim](stack, deed)


@contextmanager
def _line(stack: Stack, deed: Deed) -> Iterator[None]:
    line = stack.lines[deed.victim]
    if deed.what == "reset":
        line.reset()
        yield
    elif deed.what == "spoil":
        # What passes to PostgreSQL is under TLS, and RabbitMQ closes a connection at the first bad frame.
        with line.weather_of(corrupt=UP):
            yield
    else:
        with line.weather_of(**WEATHER[deed.what]):
            yield


@contextmanager
def _process(stack: Stack, deed: Deed) -> Iterator[None]:
    process = stack.processes[deed.victim][deed.which]
    if deed.what == "freeze":
        process.freeze()
        yield
        process.thaw()
    elif deed.what == "kill a child":
        for child in process.children()[:1]:
            os.kill(child, signal.SIGKILL)
        yield
    else:
        {"kill": process.kill, "end": process.stop}[deed.what]()
        yield
        process.restart()


@contextmanager
def _ledger(stack: Stack, deed: Deed) -> Iterator[None]:
    server = stack.ledger
    if deed.what == "end sessions":
        server.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'millrace%'")
        yield
        return
    {"restart": server.stop, "kill": server.kill}[deed.what]()
    yield
    server.start()


@contextmanager
def _broker(stack: Stack, deed: Deed) -> Iterator[None]:
    node = stack.broker
    begin, end = {
        "restart": (node.stop, node.start),
        "kill": (node.kill, node.start),
        "freeze": (node.freeze, node.thaw),
        "alarm": (lambda: node.alarm(True), lambda: node.alarm(False)),
        "end connections": (lambda: node.ctl("close_all_connections", "--vhost", "/", "chaos"), lambda: None),
    }[deed.what]
    begin()
    yield
    end()


def run(stack: Stack, seed: int, minutes: float, say: Callable[[str], None]) -> None:
    """Do what the seed says for so long; raises AssertionError when a promise is broken."""
    begin = time.monotonic()
    told, worst = 0, 0.0
    with mixed(*stack.doors) as load:
        load.posts.wait_for_accepted(10)
        for number, found in enumerate(rounds(seed), 1):
            if (minute := int((time.monotonic() - begin) / 60)) > told:
                told = minute
                say(f"[bold]{minute} min[/]: {counts(load)}, the longest recovery took {worst:.1f} s")
            if time.monotonic() - begin > minutes * 60:
                break
            with contextlib.ExitStack() as faults:
                for deed in found.deeds:
                    faults.enter_context(done(stack, deed))
                time.sleep(found.seconds)
            recovery = max(checker.seconds_until_worked(stack.road, door) for door in stack.doors)
            worst = max(worst, recovery)
            deeds = " + ".join(map(str, found.deeds))
            say(f"{number:4}. {deeds}, for {found.seconds} s; worked again after {recovery:.1f} s")
            time.sleep(found.calm)
    checker.check_all(stack.road, load, lambda name, value: say(f"{name}: {value}"), drain=120)
    say(f"[bold green]All promises held.[/] {counts(load)}; {load.told()}.")


def counts(load: Mixture) -> str:
    """What clients were told so far."""
    words = ("accepted", "refused", "unknown")
    return ", ".join(f"{sum(len(getattr(each, word)()) for each in load.each().values())} {word}" for word in words)


def main() -> int:
    """Start a stack, break it, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--minutes", type=float, default=5.0)
    given = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"seed {given.seed}, {given.minutes:g} minutes")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-chaos-"))
    with Stack(folder) as stack:
        try:
            run(stack, given.seed, given.minutes, console.print)
        except AssertionError as broken:
            console.print(f"[bold red]A promise was broken[/] with seed {given.seed}: {broken}", markup=True)
            console.print(f"The logs are in {folder}")
            return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
