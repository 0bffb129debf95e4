"""Our load generator (load.c): compiled on first use, run once per load."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contestant import Contestant
from bench.errors import BenchError
from bench.shapes import Shape

SOURCE = Path(__file__).with_name("load.c")
#: Seconds after the last request in which answers still count.
PATIENCE = 60.0


@dataclass(frozen=True)
class Load:
    """What one run of the load generator saw. Requests are numbered as they were sent, orders as well."""

    #: The prefix of the ids of this run's orders.
    prefix: str
    #: Orders that were posted.
    sent: int
    #: Orders in each request; the last one may have fewer.
    batch: int
    #: Requests that were answered with anything but 200 and 202, or not at all.
    refused_requests: tuple[int, ...]
    #: Unix time of the first request, by the clock of this machine, seconds.
    started_at: float
    #: From the first request to the last answer, seconds.
    seconds: float
    #: CPU that the load generator itself used, seconds.
    cpu_seconds: float
    #: For each request: how long its answer took (in an open loop from the planned instant on),
    #: and when it came, counted from the start; microseconds, -1 without an answer.
    latencies_us: tuple[float, ...]
    answered_us: tuple[float, ...]

    @property
    def refused(self) -> list[int]:
        """The orders of the refused requests."""
        return [
            order
            for request in self.refused_requests
            for order in range(request * self.batch, min((request + 1) * self.batch, self.sent))
        ]

    @property
    def accepted(self) -> int:
        """How many orders were accepted."""
        return self.sent - len(self.refused)

    @property
    def latencies(self) -> list[float]:
        """The latencies of the requests that were answered, microseconds."""
        return [each for each in self.latencies_us if each >= 0]

    def answered_at(self, order: int) -> float:
        """Unix time at which the answer for an order was complete, seconds."""
        return self.started_at + self.answered_us[order // self.batch] / 1e6


def parse(prefix: str, line: str) -> Load:
    """Read the line of JSON that the load generator prints."""
    found: dict[str, Any] = json.loads(line)
    return Load(
        prefix=prefix,
        sent=found["sent"],
        batch=found["batch"],
        refused_requests=tuple(found["refused"]),
        started_at=found["started_at"],
        seconds=found["seconds"],
        cpu_seconds=found["cpu_seconds"],
        latencies_us=tuple(found["latencies_us"]),
        answered_us=tuple(found["answered_us"]),
    )


class Generator:
    """The compiled load generator."""

    def __init__(self, program: Path) -> None:
        self._program = program

    @classmethod
    def build(cls, directory: Path) -> Generator:
        """Compile load.c into the directory, unless that was done since it last changed."""
        program = directory / "load"
        if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
            _compile(program)
        return cls(program)

    def start(self, port: int, contestant: Contestant, shape: Shape, prefix: str) -> Running:
        """Begin to post orders to a contestant in that shape."""
        many = shape.batch > 1
        options = {
            "port": port,
            "path": (many and contestant.batch_path) or contestant.path,
            "form": contestant.form,
            "type": contestant.event_type,
            "types": shape.types,
            "prefix": prefix,
            "orders": shape.orders,
            "connections": shape.connections,
            "batch": shape.batch,
            "size": shape.size,
            "rate": shape.rate,
            "seconds": shape.seconds,
            "patience": PATIENCE,
        }
        words = [str(self._program), *(f"{name}={value}" for name, value in options.items())]
        return Running(prefix, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    def run(self, port: int, contestant: Contestant, shape: Shape, prefix: str) -> Load:
        """Post orders to a contestant in that shape; return when all are answered."""
        return self.start(port, contestant, shape, prefix).result()


class Running:
    """A load that is under way."""

    def __init__(self, prefix: str, child: subprocess.Popen[str]) -> None:
        self._prefix = prefix
        self._child = child

    def result(self) -> Load:
        """Wait for its end."""
        try:
            output, complaint = self._child.communicate()
        except BaseException:
            self._child.kill()
            self._child.wait()
            raise
        if self._child.returncode:
            raise BenchError(f"the load generator failed: {complaint.strip()}")
        return parse(self._prefix, output)


def _compile(program: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError("a C compiler is wanted for the load generator: apt install gcc libc6-dev")
    flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra"]
    command = [compiler, *flags, "-D_GNU_SOURCE", "-o", str(program), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"load.c does not compile:\n{done.stderr}")
