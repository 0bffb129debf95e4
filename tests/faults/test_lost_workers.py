"""Workers that are starved, killed, or short of what processes need leave nobody behind and lose nothing (P1, P2)."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import resource
import signal
from collections.abc import Callable, Iterable, Iterator

import pytest

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests.faults.checker import Trial
from tests.faults.disks import fill, needs_root, small_disk
from tests.patience import wait
from tests.processes import is_gone
from tests.road import Gate, Process, Road

pytestmark = pytest.mark.heavy

MakeRoad = Callable[..., Road]
MEMORY = 96  #: megabytes that a worker and its children may take, beyond what they had
CGROUPS = {  #: folder, limit, count of kills; of the versions 1 and 2
    pathlib.Path("/sys/fs/cgroup/memory"): ("memory.limit_in_bytes", "memory.oom_control"),
    pathlib.Path("/sys/fs/cgroup"): ("memory.max", "memory.events"),
}
FEW = 3  #: file descriptors that a process may open, beyond those it has
OURS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = any(%s)"


class Cgroup:
    """A group of processes whose memory is limited."""

    def __init__(self, megabytes: int) -> None:
        self._before = pathlib.Path("/proc/self/cgroup").read_text()
        for parent, (limit, count) in CGROUPS.items():
            self.folder = parent / f"millrace-test-{os.getpid()}"
            with contextlib.suppress(OSError):
                self.folder.mkdir()
                (self.folder / limit).write_text(str(megabytes << 20))
                self._count = self.folder / count
                return
            with contextlib.suppress(OSError):
                self.folder.rmdir()
        pytest.skip("limiting memory needs root and a memory cgroup")

    def take(self, pids: Iterable[int]) -> None:
        """These processes, and those that they fork from now on."""
        for pid in pids:
            (self.folder / "cgroup.procs").write_text(str(pid))

    def kills(self) -> int:
        """How many of them the kernel has killed for want of memory."""
        words = self._count.read_text().split()
        return int(words[words.index("oom_kill") + 1])


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    """A limit for one worker; the group goes when the worker has."""
    cgroup = Cgroup(MEMORY)
    yield cgroup
    wait(lambda: not (cgroup.folder / "cgroup.procs").read_text(), 20, "the group is empty")
    cgroup.folder.rmdir()


@pytest.mark.fault(25)
def test_an_event_that_eats_all_memory_is_dead_and_its_neighbours_are_worked(
    make_road: MakeRoad, cgroup: Cgroup, trial: Trial
) -> None:
    """The kernel kills the child that is largest. Its ticket comes back, and is worked carefully."""
    road = make_road(soft_limit="40", hard_limit="50")
    road.clock()
    worker, door = road.worker(), road.web()
    cgroup.take(worker.family())
    (ticket,) = road.store(
        "ledger.step", [json.dumps({"do": "eat", "megabytes": 4 * MEMORY}), *['{"do": "apart"}'] * 5]
    )
    bad, *others = ticket.event_ids
    with trial(road, door):
        road.publish(ticket)
        road.wait_until_closed(ticket.event_ids, 60)
    assert road.effects(ticket.event_ids) == dict.fromkeys(others, 1)
    assert road.sql("select reason from millrace.dead where event_id = %s", bad) == [("worker_lost",)]
    assert cgroup.kills() > 1
    assert worker.code is None
    road.assert_books()
    worker.stop()


@pytest.mark.fault(24)
def test_a_child_that_is_killed_in_mid_handler_is_replaced(make_road: MakeRoad, trial: Trial) -> None:
    road = make_road(soft_limit="40", hard_limit="50")
    road.clock()
    worker, door, gate = road.worker(), road.web(), Gate(road.folder)
    with trial(road, door):
        stands = door.post("ledger.step", **json.loads(gate.payload)).id
        child, _ = gate.wait()
        os.kill(child, signal.SIGKILL)
        gate.open()
    assert worker.code is None
    assert len(worker.family()) == 3
    road.assert_worked_once([stands])


@pytest.mark.fault(26)
@pytest.mark.parametrize("do", ["gate", "seize"])
def test_the_children_of_a_killed_worker_do_not_outlive_it(make_road: MakeRoad, trial: Trial, do: str) -> None:
    """One stands in mid-handler, or in code that lets nobody else run; the other waits for its next ticket."""
    road = make_road(soft_limit="40", hard_limit="50")
    road.clock()
    worker, door, gate = road.worker(), road.web(), Gate(road.folder)
    payload = json.dumps(json.loads(gate.payload) | {"do": do})
    (ticket,) = road.store("ledger.step", [payload, "{}"])
    with trial(road, door):
        road.publish(ticket)
        gate.wait()
        family = worker.family()
        assert len(family) == 3
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait_for_end()
        wait(lambda: all(map(is_gone, family)), 5, "no child is left")
        gate.open()
        worker.restart()
    road.assert_worked_once(ticket.event_ids)


class TestShortages:
    """A web process, a worker and a clock go without what processes need, and come through."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: MakeRoad) -> Road:
        road = make_standing(fault_patience="2", soft_limit="40", hard_limit="50")
        road.worker()
        road.clock()
        return road

    @pytest.mark.fault(55)
    def test_workers_and_clocks_without_file_descriptors_come_back(
        self, road: Road, ledger_server: PostgresServer, broker_node: RabbitNode, trial: Trial
    ) -> None:
        families = [p.family() for p in road.processes[:2]]
        door = road.web()
        with trial(road, door) as load, short_of_descriptors(pid for family in families for pid in family):
            # They must connect again, and cannot.
            broker_node.ctl("close_all_connections", "--vhost", "/", "test")
            road.sql(OURS, ["millrace-worker", "millrace-release", "millrace-clock"])
            load.wait_for_accepted(200)
        assert [p.family() for p in road.processes[:2]] == families
        assert road.sql("select error from millrace.attempts limit 1") == []
        door.process.stop()

    @pytest.mark.fault(55)
    def test_a_door_without_file_descriptors_opens_again(self, road: Road, trial: Trial) -> None:
        door = road.web()
        family = door.process.family()
        with trial(road, door) as load:
            with short_of_descriptors(family, few=0):
                load.wait_for(4)
            load.wait_for_accepted(40)
        assert door.process.family() == family
        door.process.stop()


class TestLogs:
    """Nobody takes the lines of a web process, a worker and a clock that say all they can."""

    @pytest.fixture
    def road(self, make_road: MakeRoad) -> Road:
        return make_road(log_level="debug")

    @pytest.mark.fault(53)
    @needs_root
    def test_a_full_disk_holds_nobody_up(self, road: Road, tmp_path: pathlib.Path, trial: Trial) -> None:
        with small_disk(tmp_path / "logs", 4) as disk:
            road.folder = disk
            road.clock()
            worker, door = road.worker(), road.web()
            with trial(road, door) as load:
                ballast = fill(disk)
                size = worker.log.stat().st_size
                load.wait_for_accepted(100)
                assert worker.log.stat().st_size - size < 4_096, "there was room for its lines"
                ballast.unlink()
            worker.wait_for_text("log lines were lost")
            road.stop()

    @pytest.mark.fault(53)
    def test_a_reader_who_stands_still_holds_nobody_up(self, road: Road, trial: Trial) -> None:
        with pipes(road.folder) as full:
            road.clock()
            worker, door = road.worker(ready=False), road.web()
            road.wait_for_consumers(1)  # What it says is not to be read.
            reader = full(worker)
            full(door.process)
            with trial(road, door) as load:
                load.wait_for_accepted(100)
            wait(lambda: b"log lines were lost" in read(reader), 20, "the worker says what is missing")
            road.stop()


def read(pipe: int) -> bytes:
    """What is in it now."""
    with contextlib.suppress(BlockingIOError):
        return os.read(pipe, 65_536)
    return b""


@contextlib.contextmanager
def pipes(folder: pathlib.Path) -> Iterator[Callable[[Process], int]]:
    """Logs that are pipes. What is given fills that of a process to the brim; the end that nobody reads."""
    names = [f"{kind}-{number}.log" for kind in ("clock", "worker", "web") for number in range(1, 9)]
    readers: dict[str, int] = {}
    for name in names:
        os.mkfifo(folder / name)
        readers[name] = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK)

    def full(process: Process) -> int:
        writer = os.open(process.log, os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"\n" * 512)
        os.close(writer)
        return readers[process.log.name]

    try:
        yield full
    finally:
        for name, reader in readers.items():
            os.close(reader)
            (folder / name).unlink()
            (folder / name).touch()  # For those who look for what was said last.


@contextlib.contextmanager
def short_of_descriptors(pids: Iterable[int], few: int = FEW) -> Iterator[None]:
    """These processes can open a few files more, and no others."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
    try:
        for pid, (_, hard) in before.items():
            highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(hard, highest + 1 + few), hard))
        yield
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
