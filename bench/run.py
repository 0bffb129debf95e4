"""A whole measurement: whatever is missing is prepared, the servers run, rounds go over all contestants in turn."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import environment, machine, servers, stage
from bench.contestant import Contestant
from bench.contestants import named
from bench.errors import BenchError
from bench.figures import Figures
from bench.load import Generator
from bench.measure import measure
from bench.profiles import Leg, Profile
from bench.results import Entrant, Measurement, Result, Section
from bench.stage import Place
from bench.terminal import Display

ROOT = Path(__file__).parent.parent
#: Everything that the benchmark writes besides results; the servers' data goes when it ends.
VAR = ROOT / "var" / "bench"
#: The peers' virtual environment, which the chart is drawn with too.
VENV = VAR / "venv"


def now() -> str:
    """The local time as it stands in results."""
    return datetime.datetime.now().strftime("%Y-%m-%d %H:%M")


@contextlib.contextmanager
def place(display: Display, *, peers: bool) -> Iterator[Place]:
    """Prepare whatever is missing and run the servers until the block ends."""
    (VAR / "log").mkdir(parents=True, exist_ok=True)
    display.step("compiling the load generator")
    generator = Generator.build(VAR)
    if peers:
        make_environment(display)
    display.step("starting PostgreSQL and RabbitMQ")
    with (
        tempfile.TemporaryDirectory(prefix="servers-", dir=VAR) as data,
        servers.running(Path(data)) as both,
    ):
        yield Place(ROOT, VAR, VENV / "bin", both, generator)


def make_environment(display: Display) -> None:
    """Make the peers' virtual environment, unless it is what the lock says."""
    if not environment.is_ready(VENV):
        display.note(f"installing the peers' packages into {VENV}, once; it takes about a minute")
        environment.make(VENV, VAR / "log" / "venv.log")


def versions(here: Place) -> dict[str, str]:
    """The versions of Millrace, Python and the servers, by label."""
    millrace = machine.revision(here.root)
    ours = {"Millrace": millrace} if millrace else {}
    return ours | {"Python": platform.python_version()} | here.servers.versions()


def run(profile: Profile, command: str, display: Display) -> Measurement:
    """Measure every round of a profile."""
    taken_at, began = now(), time.monotonic()
    contestants = named(profile.contestants)
    with place(display, peers=any(each.peer for each in contestants)) as here:
        known = versions(here)
        display.start_rounds(profile.rounds * len(profile.sections) * len(contestants))
        notes = {each.name: _Notes(each) for each in contestants}
        for number in range(1, profile.rounds + 1):
            for leg in profile.legs:
                for each in contestants:
                    _live(each, leg, f"{number}/{profile.rounds}", notes[each.name], here, display)
        return Measurement(
            profile=profile.name,
            title=profile.title,
            taken_at=taken_at,
            command=command,
            rounds=profile.rounds,
            took=round(time.monotonic() - began, 1),
            machine=machine.describe(),
            versions=known,
            contestants=[notes[each.name].entrant(here) for each in contestants],
            sections=_sections(profile, contestants, notes),
        )


@dataclasses.dataclass
class _Notes:
    """What is written down about a contestant while it is measured."""

    contestant: Contestant
    figures: dict[str, list[Figures]] = dataclasses.field(default_factory=dict)
    commands: list[str] = dataclasses.field(default_factory=list)
    failure: str = ""

    def entrant(self, here: Place) -> Entrant:
        each = self.contestant
        return Entrant(
            name=each.name,
            title=each.title,
            peer=each.peer,
            commands=self.commands,
            packages=machine.packages(here.bin_of(each) / "python", each.packages),
            failure=self.failure,
        )


def _live(each: Contestant, leg: Leg, round_: str, notes: _Notes, here: Place, display: Display) -> None:
    """One life of a contestant. One that fails does not stop the others."""
    done = 0
    display.step(f"{each.name}: starting")
    try:
        with stage.running(each, leg.scale, here) as on_stage:
            notes.commands = notes.commands or on_stage.commands
            for shape in leg.shapes:

                def tell(step: str, key: str = shape.key) -> None:
                    display.step(f"{each.name} {key}: {step}")

                figures = measure(on_stage, shape, tell)
                notes.figures.setdefault(shape.key, []).append(figures)
                done += 1
                display.round_done(round_, each.name, shape, figures)
    except BenchError as error:
        notes.failure = str(error)
        display.round_failed(round_, each.name, str(error), len(leg.shapes) - done)


def _sections(profile: Profile, contestants: Sequence[Contestant], notes: dict[str, _Notes]) -> list[Section]:
    found = []
    for scale, shape in profile.sections:
        results = [
            Result(each.name, each.peer, rounds)
            for each in contestants
            if (rounds := notes[each.name].figures.get(shape.key))
        ]
        found.append(Section(shape, scale, results))
    return found
