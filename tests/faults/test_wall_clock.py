"""The hosts' wall clocks jump and disagree; the ledger's clock is the only one that counts (P1, P2, P5)."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from service.domain import ids
from tests.door import Door
from tests.faults.checker import Trial
from tests.faults.test_clocks import LATE, assert_each_slot_once, wait_for_slots
from tests.faults.workload import Workload
from tests.patience import PATIENCE, wait
from tests.road import Process, Road

pytestmark = pytest.mark.heavy

MakeRoad = Callable[..., Road]
HOUR = 3600
SLEW = 0.1  #: seconds in a second: about the fastest that chrony slews a clock (maxslewrate, 83,333 ppm)
#: What a process sees of the time of day, and by how much that goes on in a second of the monotonic clock.
LOOK = """
from time import monotonic, time
begin, first = monotonic(), time()
while monotonic() < begin + 0.2: pass
print(first, (time() - first) / (monotonic() - begin))
"""
SLOTS = "select count(*) from millrace.slots"


class Watch:
    """The wall clock of one process, which may be set while it runs. What it measures with goes on as ever."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self._file = folder / f"clock-of-{name}"
        self.set(0)

    def set(self, seconds: float, pace: float = 0.0) -> None:
        """How far it is ahead of the others, and how many seconds it gains in each; behind them when negative."""
        self._now = seconds, pace, time.monotonic()
        part = self._file.with_suffix(".part")
        part.write_text("{!r} {!r} {!r}\n".format(*self._now))
        part.replace(self._file)

    def slew(self, pace: float) -> None:
        """Let it gain or lose from where it stands."""
        self.set(self.ahead(), pace)

    def ahead(self) -> float:
        seconds, pace, since = self._now
        return seconds + pace * (time.monotonic() - since)

    def worn_by(self, start: Callable[[], Process], library: pathlib.Path) -> Process:
        """Start a process that looks at this clock."""
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("LD_PRELOAD", str(library))
            environment.setenv("WALL_CLOCK", str(self._file))
            return start()


class TestJumps:
    """A web process, a worker and a clock with a wall clock each, and a slot each second."""

    @pytest.fixture(scope="class")
    @classmethod
    def library(cls, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("setting the wall clock of a process needs a C compiler")
        library = tmp_path_factory.mktemp("library") / "wall_clock.so"
        source = pathlib.Path(__file__).with_name("wall_clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl", "-lm"], check=True)
        return library

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        return make_standing(apps="tests.apps.ledger_app,tests.apps.ticking_app")

    @pytest.fixture(scope="class")
    @classmethod
    def watches(cls, road: Road) -> dict[str, Watch]:
        return {name: Watch(road.folder, name) for name in ("web", "worker", "clock")}

    @pytest.fixture(scope="class")
    @classmethod
    def door(cls, road: Road, library: pathlib.Path, watches: dict[str, Watch]) -> Door:
        doors: list[Door] = []

        def open_door() -> Process:
            doors.append(road.web())
            return doors[0].process

        watches["worker"].worn_by(road.worker, library)
        watches["clock"].worn_by(road.clock, library)
        watches["web"].worn_by(open_door, library)
        return doors[0]

    def test_a_process_sees_what_its_watch_shows(self, tmp_path: pathlib.Path, library: pathlib.Path) -> None:
        watch = Watch(tmp_path, "test")
        watch.set(-HOUR, pace=0.5)
        begin = time.time()
        asked = [sys.executable, "-c", LOOK]
        environment = {"LD_PRELOAD": str(library), "WALL_CLOCK": str(tmp_path / "clock-of-test")}
        answer = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
        seen, gained = map(float, answer.stdout.split())
        assert -HOUR <= seen - begin <= time.time() - begin + watch.ahead()
        assert gained == pytest.approx(1.5, abs=0.05)

    @pytest.mark.fault(49)
    @pytest.mark.fault(51)
    @pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=["ahead", "behind"])
    @pytest.mark.parametrize("name", ["web", "worker", "clock"])
    def test_one_clock_jumps_by_an_hour_and_back(
        self, road: Road, door: Door, watches: dict[str, Watch], trial: Trial, name: str, ahead: int
    ) -> None:
        with nobody_minds(road, door, trial) as load:
            watches[name].set(ahead)
            load.wait_for_accepted(100)
            wait_for_slots(road, 2)
            watches[name].set(0)
            load.wait_for_accepted(60)

    @pytest.mark.fault(49)
    def test_clocks_that_are_slewed_run_apart_and_together_again(
        self, road: Road, door: Door, watches: dict[str, Watch], trial: Trial
    ) -> None:
        """As NTP does with a clock that is wrong: it runs too fast or too slow for a while, and does not jump."""
        apart: list[float] = []
        with nobody_minds(road, door, trial) as load:
            for pace in (SLEW, -SLEW):
                for name, direction in {"web": 1, "worker": -1, "clock": 1}.items():
                    watches[name].slew(direction * pace)
                load.wait_for_accepted(100)
                wait_for_slots(road, 4)
                apart.append(watches["web"].ahead() - watches["worker"].ahead())
            for watch in watches.values():
                watch.set(0)
        assert apart[0] > 2 * SLEW, "nothing was slewed"
        assert apart[1] < apart[0]


@contextmanager
def nobody_minds(road: Road, door: Door, trial: Trial) -> Iterator[Workload]:
    """What is done to the wall clocks inside makes nothing early, late, doubled or lost, and ends no process."""
    wait_for_slots(road, 1)
    families = [p.family() for p in road.processes[:3]]
    begin, slots = road.one("select clock_timestamp()"), road.one(SLOTS)
    with trial(road, door) as load:
        yield load
    fired = road.one(SLOTS) - slots
    assert fired <= road.one("select extract(epoch from clock_timestamp() - %s)", begin) + 1, "a storm of slots"
    assert [p.family() for p in road.processes[:3]] == families, "a process died of it"
    asked = list(load.accepted().values())
    made = road.sql("select id::text, accepted_at from millrace.events where id = any(%s::uuid[])", asked)
    after = [(accepted_at - ids.instant(i)).total_seconds() for i, accepted_at in made]
    assert -0.2 < min(after) <= max(after) < 3 * PATIENCE, "an id, and with it the day, is of the ledger's time"
    took = "select max(extract(epoch from finished_at - accepted_at)) from millrace.events where id = any(%s::uuid[])"
    assert road.one(took, asked) < 10, "by the ledger's clock nothing was late"
    since = "select min(fired_at - due_at), max(fired_at - due_at) from millrace.slots where due_at > %s"
    early, late = (found.total_seconds() for found in road.sql(since, begin)[0])
    assert 0 <= early <= late <= LATE * PATIENCE, "a slot is fired when it is due"
    assert road.sql("select reason from millrace.dead limit 1") == []
    assert_each_slot_once(road)


@pytest.mark.fault(48)
def test_after_hours_without_a_clock_a_schedule_fires_once_and_tells_what_it_missed(make_road: MakeRoad) -> None:
    """Nobody wants ten thousand ticks at once: the last instant is fired, the others are counted."""
    road = make_road(apps="tests.apps.ticking_app")
    road.worker()
    clock = road.clock()
    wait_for_slots(road, 2)
    clock.stop()
    road.sql("update millrace.schedules set next_due = next_due - interval '3 hours'")
    fired = road.one(SLOTS)
    road.clock()
    wait(lambda: road.one("select max(missed) from millrace.slots") > 0, 20, "the clock catches up")
    wait_for_slots(road, 2)
    assert 3 * HOUR - 5 <= road.one("select max(missed) from millrace.slots") <= 3 * HOUR + 60
    assert road.one("select count(*) from millrace.slots where missed > 0") == 1
    assert road.one(SLOTS) - fired < 60
    assert_each_slot_once(road)
