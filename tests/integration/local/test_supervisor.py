"""The supervisor of `millrace up`: its children come back, stop in order, and never outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.local import spawn
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[3]
SUPERVISOR = """
import pathlib, sys
from service.local.commands import Command, Console
from service.local.processes import Supervisor

folder, child, grace, *names = sys.argv[1:]
console = Console()
with Supervisor(console.say, grace=float(grace)) as supervisor:
    for stage, name in enumerate(names):
        argv = [sys.executable, "-c", child, name]
        supervisor.start(Command(name, argv, console=console, cwd=pathlib.Path(folder)), stage)
    sys.exit(supervisor.run())
"""
CHILD = """
import os, pathlib, signal, sys, time

name = sys.argv[1]

def stop(*_):
    with open("order", "a") as file:
        file.write(name + " ")
    sys.exit()

signal.signal(signal.SIGTERM, signal.SIG_IGN if name == "stubborn" else stop)
signal.signal(signal.SIGINT, stop)
pathlib.Path(name).write_text(str(os.getpid()))
while True:
    time.sleep(60)
"""


class Family:
    """A supervisor with children, as a process of its own."""

    def __init__(self, folder: Path, *names: str, grace: float = 20 * PATIENCE) -> None:
        self.folder = folder
        self.names = names
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(folder), CHILD, str(grace), *names],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, cwd=ROOT,
        )  # fmt: skip
        assert spawn.wait_until(lambda: all(self.pid(name) for name in names), 20 * PATIENCE)

    def pid(self, name: str) -> int:
        """The process id of a child, 0 before it is there."""
        path = self.folder / name
        return int(path.read_text() or 0) if path.exists() else 0

    def end(self, signal_number: signal.Signals, *, group: bool = False) -> tuple[int, str]:
        """Send a signal, to the whole group as Ctrl-C does if asked; the exit code and all that was said."""
        send = os.killpg if group else os.kill
        send(self.process.pid, signal_number)
        said, _ = self.process.communicate(timeout=30 * PATIENCE)
        return self.process.returncode, said

    def survivors(self) -> list[str]:
        """The children that still run."""
        return [name for name in self.names if Path(f"/proc/{self.pid(name)}").exists()]


@pytest.fixture
def make_family(tmp_path: Path) -> Iterator[Callable[..., Family]]:
    """Makes supervisors that do not outlive the test."""
    made: list[Family] = []

    def make(*names: str, **options: float) -> Family:
        made.append(Family(tmp_path, *names, **options))
        return made[-1]

    yield make
    for family in made:
        family.process.kill()
        family.process.wait()


def test_a_child_that_dies_is_started_again_with_a_line_that_says_so(make_family: Callable[..., Family]) -> None:
    family = make_family("server", "worker")
    server, worker = family.pid("server"), family.pid("worker")
    os.kill(worker, signal.SIGKILL)
    assert spawn.wait_until(lambda: family.pid("worker") not in (0, worker), 20 * PATIENCE)
    code, said = family.end(signal.SIGTERM)
    assert code == 0
    assert "worker died (SIGKILL); started again" in said
    assert "server died" not in said
    assert (family.pid("server"), family.survivors()) == (server, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_children_in_order(make_family: Callable[..., Family], number: signal.Signals) -> None:
    family = make_family("server", "worker", "web")
    code, said = family.end(number, group=True)
    assert code == 0
    assert (family.folder / "order").read_text().split() == ["web", "worker", "server"]
    assert "died" not in said, "a stop is no death"
    assert family.survivors() == []


def test_a_child_that_does_not_stop_is_killed_after_the_grace(make_family: Callable[..., Family]) -> None:
    family = make_family("server", "stubborn", grace=1)
    code, said = family.end(signal.SIGTERM)
    assert code == 0
    assert "stubborn did not stop in time and was killed" in said
    assert family.survivors() == []


def test_the_children_of_a_killed_supervisor_end_too(make_family: Callable[..., Family]) -> None:
    family = make_family("server", "worker")
    family.process.kill()
    assert spawn.wait_until(lambda: not family.survivors(), 20 * PATIENCE)


def test_a_child_that_never_gets_going_ends_it_all(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from service.local.commands import Command, Console
        from service.local.processes import Supervisor
        console = Console()
        with Supervisor(console.say) as supervisor:
            supervisor.start(Command("web", ["/bin/sh", "-c", "echo no luck; exit 3"], console=console), 0)
            sys.exit(supervisor.run())
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=ROOT, timeout=60 * PATIENCE
    )
    assert done.returncode == 1
    assert "web      | no luck" in done.stdout
    assert "web died (exit 3); started again" in done.stdout
    assert "web died (exit 3) 3 times and was never ready: giving up" in done.stdout
