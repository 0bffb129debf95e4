"""What processes cost: CPU seconds and memory, read from the operating system."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

#: Using less than this share of one core counts as being at rest.
REST_SHARE = 0.08
#: Seconds over which rest is observed.
REST_WINDOW = 0.4
#: Seconds after which a contestant that does not come to rest is measured all the same.
REST_LIMIT = 12.0


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants; empty if it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU seconds of these processes and their descendants, those that ended included."""
    total = 0.0
    for process in (each for pid in pids for each in tree(pid)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def forget_peaks(pids: Iterable[int]) -> None:
    """Let the peaks of resident memory begin anew, from what is resident now (see proc(5), ``clear_refs``)."""
    for process in (each for pid in pids for each in tree(pid)):
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def resident_mb(pids: Iterable[int]) -> float:
    """The sum of every process's resident memory, MB. Shared pages count once per process."""
    total = 0
    for process in (each for pid in pids for each in tree(pid)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


def peak_memory(pids: Iterable[int]) -> float:
    """The sum of every process's peak of resident memory, MB. Shared pages count once per process."""
    processes = (process for pid in pids for process in tree(pid))
    return sum(_high_water_mark(process.pid) for process in processes) * 1024 / 1e6


def _high_water_mark(pid: int) -> int:
    """A process's peak of resident memory, KB; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def listening_pids(port: int) -> list[int]:
    """The processes that listen on a TCP port of this machine."""
    return sorted(
        {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.pid
            and connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
        }
    )


def machine_cpu_seconds() -> float:
    """CPU seconds that the whole machine has spent working since it started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def wait_for_rest(pids: Iterable[int]) -> None:
    """Wait until the processes have done whatever they do at their start, or after some work."""
    pids = list(pids)
    until = time.monotonic() + REST_LIMIT
    before = cpu_seconds(pids)
    while time.monotonic() < until:
        time.sleep(REST_WINDOW)
        now = cpu_seconds(pids)
        if now - before < REST_SHARE * REST_WINDOW:
            return
        before = now


class Meter:
    """Reads the CPU of named groups of processes, and of the whole machine, twice."""

    def __init__(self, groups: Mapping[str, Iterable[int]]) -> None:
        self._groups = {name: list(pids) for name, pids in groups.items()}
        self._start = self._read()
        self._machine_start = machine_cpu_seconds()

    def _read(self) -> dict[str, float]:
        return {name: cpu_seconds(pids) for name, pids in self._groups.items()}

    def spent(self) -> dict[str, float]:
        """CPU seconds of each group since the meter was made."""
        return {name: value - self._start[name] for name, value in self._read().items()}

    def machine_spent(self) -> float:
        """CPU seconds of the whole machine since the meter was made."""
        return machine_cpu_seconds() - self._machine_start
