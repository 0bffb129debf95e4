"""The hosts' wall clocks jump and disagree; the ledger's clock is the only one that counts (P1, P2, P5)."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.door import Door
from tests.faults.checker import Trial
from tests.faults.test_clocks import assert_each_slot_once, wait_for_slots
from tests.patience import wait
from tests.road import Process, Road

pytestmark = pytest.mark.heavy

MakeRoad = Callable[..., Road]
HOUR = 3600
SLOTS = "select count(*) from millrace.slots"


class Watch:
    """The wall clock of one process, which may be set while it runs. What it measures with goes on as ever."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self._file = folder / f"clock-of-{name}"
        self.set(0)

    def set(self, seconds: int) -> None:
        """How far it is ahead of the others; behind them when negative."""
        part = self._file.with_suffix(".part")
        part.write_text(f"{seconds}\n")
        part.replace(self._file)

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
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
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

    @pytest.mark.fault(49)
    @pytest.mark.fault(51)
    @pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=["ahead", "behind"])
    @pytest.mark.parametrize("name", ["web", "worker", "clock"])
    def test_one_clock_jumps_by_an_hour_and_back(
        self, road: Road, door: Door, watches: dict[str, Watch], trial: Trial, name: str, ahead: int
    ) -> None:
        wait_for_slots(road, 1)
        families = [p.family() for p in road.processes[:3]]
        begin, slots = road.one("select clock_timestamp()"), road.one(SLOTS)
        with trial(road, door) as load:
            watches[name].set(ahead)
            load.wait_for_accepted(100)
            wait_for_slots(road, 2)
            watches[name].set(0)
            load.wait_for_accepted(60)
        fired = road.one(SLOTS) - slots
        assert fired <= road.one("select extract(epoch from clock_timestamp() - %s)", begin) + 1, "a storm of slots"
        assert [p.family() for p in road.processes[:3]] == families, "a process died of it"
        asked = list(load.accepted().values())
        late = (
            "select max(extract(epoch from finished_at - accepted_at)) from millrace.events where id = any(%s::uuid[])"
        )
        assert 0 <= road.one(late, asked) < 10, "by the ledger's clock nothing was early or late"
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
