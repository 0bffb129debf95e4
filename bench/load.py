"""Our load generator (load.c): compiled on first use, run once per load."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError

SOURCE = Path(__file__).with_name("load.c")


@dataclass(frozen=True)
class Load:
    """What one run of the load generator saw."""

    #: The prefix of the ids of this run's orders.
    prefix: str
    #: Orders that were posted.
    sent: int
    #: Orders that were answered with 200 or 202.
    accepted: int
    #: Numbers of the orders that were answered with anything else, or not at all.
    refused: tuple[int, ...]
    #: Unix time of the first request, seconds.
    started_at: float
    #: From the first request to the last answer, seconds.
    seconds: float
    #: CPU that the load generator itself used, seconds.
    cpu_seconds: float
    #: Every answer's latency, microseconds.
    latencies_us: tuple[float, ...]


def parse(prefix: str, line: str) -> Load:
    """Read the line of JSON that the load generator prints."""
    found: dict[str, Any] = json.loads(line)
    return Load(
        prefix=prefix,
        sent=found["sent"],
        accepted=found["accepted"],
        refused=tuple(found["refused"]),
        started_at=found["started_at"],
        seconds=found["seconds"],
        cpu_seconds=found["cpu_seconds"],
        latencies_us=tuple(found["latencies_us"]),
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

    def run(self, port: int, path: str, requests: int, connections: int, prefix: str, limit: float) -> Load:
        """Post orders 0..requests-1 over so many connections, for at most `limit` seconds."""
        arguments = ["127.0.0.1", port, path, requests, connections, prefix, limit]
        done = subprocess.run([str(self._program), *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"the load generator failed: {done.stderr.strip()}")
        return parse(prefix, done.stdout)


def _compile(program: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError("a C compiler is wanted for the load generator: apt install gcc libc6-dev")
    flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra"]
    command = [compiler, *flags, "-D_GNU_SOURCE", "-o", str(program), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"load.c does not compile:\n{done.stderr}")
