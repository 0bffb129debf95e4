"""What the measurement ran on: the machine, and the versions of what took part."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

#: Packages whose versions belong to a measurement.
MILLRACE_PACKAGES = ("celery", "kombu", "Flask", "granian", "SQLAlchemy", "psycopg2-binary")
PEER_PACKAGES = (
    *("celery", "Flask", "granian", "SQLAlchemy", "psycopg2-binary"),
    *("fastapi", "uvicorn", "uvloop", "taskiq", "taskiq-aio-pika", "asyncpg"),
)

_ASK_VERSIONS = """
import importlib.metadata, json, sys
def version(name):
    try: return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError: return ""
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def describe() -> dict[str, str]:
    """The machine, by label."""
    return {
        "processor": _processor(),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": _system(),
        "kernel": platform.release(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def packages(python: Path, names: Sequence[str]) -> dict[str, str]:
    """The versions of packages in the environment of that Python, without those it does not have."""
    command = [str(python), "-c", _ASK_VERSIONS, *names]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: version for name, version in json.loads(found.stdout).items() if version}


def revision(root: Path) -> str:
    """The commit that is measured, with a mark if there are changes on top; empty outside of git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+changes"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
