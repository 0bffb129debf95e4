"""Run tests while the machine stands still again and again: ``python -m tests.stalls tests/integration/clock``.

Now and then the process of the tests, another one that it has started, or all of them are stopped for some seconds, as
on a machine whose processors are given to somebody else. With PATIENCE=3 tests bear that, but for those that freeze a
process themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import psutil

BETWEEN = 1.5  #: seconds from one stall to the next, on average


def family(pid: int) -> list[int]:
    """A process and all that it has started, and those likewise."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def victims(pid: int, dice: random.Random) -> list[int]:
    """Who stands still next."""
    found = family(pid)
    return dice.choice([[pid], found, [dice.choice(found)]]) if found else []


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def run(words: list[str], longest: float, dice: random.Random) -> int:
    """Run pytest with these words; its exit code."""
    tests = subprocess.Popen([sys.executable, "-m", "pytest", *words])
    number, stood = 0, 0.0
    while tests.poll() is None:
        time.sleep(dice.expovariate(1 / BETWEEN))
        seconds, pids = dice.uniform(longest / 3, longest), victims(tests.pid, dice)
        try:
            send(pids, signal.SIGSTOP)
            time.sleep(seconds if pids else 0.0)
        finally:
            send(pids, signal.SIGCONT)
        number, stood = number + bool(pids), stood + seconds
    sys.stdout.write(f"{number} stalls, of {stood:.0f} s together\n")
    return tests.returncode


def main() -> None:
    """The command."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--longest", type=float, default=3.0, help="seconds of a stall")
    words.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="drawn unless given")
    given, pytest = words.parse_known_args()
    sys.stdout.write(f"seed {given.seed}\n")
    sys.exit(run(pytest, given.longest, random.Random(given.seed)))


if __name__ == "__main__":
    main()
