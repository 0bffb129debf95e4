"""The peers' virtual environment: made on first use, and again when their lock has changed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from bench.errors import BenchError

LOCK = Path(__file__).with_name("requirements.lock")


def is_ready(directory: Path) -> bool:
    """Whether the environment holds exactly what the lock says."""
    mark = _mark(directory)
    return mark.exists() and LOCK.exists() and mark.read_text() == _digest()


def make(directory: Path, log: Path) -> None:
    """Make the environment and install the locked packages into it. Takes about a minute."""
    if not LOCK.exists():
        raise BenchError(f"{LOCK} is missing: it lists the peers' packages with their hashes")
    shutil.rmtree(directory, ignore_errors=True)
    venv.create(directory, with_pip=True)
    install = [str(directory / "bin" / "python"), "-m", "pip", "install", "--require-hashes"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(
            [*install, "--disable-pip-version-check", "-r", str(LOCK)],
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise BenchError(f"the peers' packages could not be installed; see {log}")
    _mark(directory).write_text(_digest())


def _mark(directory: Path) -> Path:
    return directory / "installed-lock.sha256"


def _digest() -> str:
    return hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
