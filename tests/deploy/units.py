"""The units of systemd as they are after their drop-in: sections of (name, value) in order."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess

from tests.processes import ROOT

FOLDER = ROOT / "deploy/systemd"
DROP_IN = FOLDER / "millrace-.service.d/10-millrace.conf"
SERVICES = sorted(path.name for path in FOLDER.glob("*.service"))
PROGRAM = '"${CODE:-/opt/millrace}/bin/millrace"'  #: what /usr/local/sbin/millrace becomes
Unit = dict[str, list[tuple[str, str]]]


def install(root: pathlib.Path) -> str:
    """Lay the units out below a folder; what the script says."""
    words = [str(FOLDER / "install")]
    environment = {"PATH": os.environ["PATH"], "DESTDIR": str(root)}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout


def secrets(folder: pathlib.Path, database: str = "postgresql://db.test/d", broker: str = "amqps://mq.test/") -> None:
    """What deploy/secrets makes."""
    subprocess.run([ROOT / "deploy/secrets", folder, database, broker], check=True, capture_output=True)


def read(name: str) -> Unit:
    """A unit with what holds for all services."""
    found: Unit = {}
    for path in (FOLDER / name, *([DROP_IN] if name.endswith(".service") else [])):
        section = ""
        for line in filter(None, map(str.strip, path.read_text().splitlines())):
            if line.startswith("["):
                section = line.strip("[]")
            elif not line.startswith("#"):
                key, _, value = line.partition("=")
                found.setdefault(section, []).append((key, value))
    return found


def values(unit: Unit, section: str, key: str) -> list[str]:
    """All values of a setting, in order."""
    return [value for name, value in unit.get(section, []) if name == key]


def one(unit: Unit, key: str) -> str:
    """The value of a setting of a service that holds: the last one."""
    return values(unit, "Service", key)[-1]


def environment(unit: Unit) -> dict[str, str]:
    """What the unit itself puts into the environment."""
    pairs = [pair for value in values(unit, "Service", "Environment") for pair in shlex.split(value)]
    return dict(pair.split("=", 1) for pair in pairs)
