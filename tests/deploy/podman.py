"""podman on a machine of the test's own, and a base that is made of Debian's packages, for there is no registry."""

from __future__ import annotations

import os
import pathlib
import re
import resource
import shlex
import shutil
import subprocess
import sys

import pytest

from service import settings
from tests.deploy.machine import Machine

PROGRAMS = ("podman", "mmdebstrap")
PACKAGES = ("python3-venv", "python-is-python3", "passwd", "ca-certificates")
BASE = "localhost/python:test"
#: Of the machine's own, in memory. It keeps no book of what has happened, and makes its control groups by itself.
OPTIONS = [
    *(f"--{name}=/var/tmp/podman/{name}" for name in ("root", "runroot", "tmpdir")),
    "--cgroup-manager=cgroupfs",
    "--events-backend=none",
    "--log-level=error",  # It warns of groups that this kernel has not.
]


class Podman:
    """An engine whose containers have the network of this machine."""

    def __init__(self, machine: Machine, folder: pathlib.Path) -> None:
        self.machine = machine
        self.folder = folder  # The machine sees it, too.

    @property
    def words(self) -> list[str]:
        """The words before a command of podman's, from outside of the machine."""
        return [*self.machine.way_in(), "podman", *OPTIONS]

    def run(self, *words: str, check: bool = True, feed: bytes | None = None) -> str:
        """One command of podman's; what it prints."""
        return self.machine.run(shlex.join(["podman", *OPTIONS, *words]), check=check, feed=feed)

    def make_base(self) -> None:
        """What stands for Debian's slim Python: the distribution's own, as small."""
        words = f"mmdebstrap --quiet --variant=minbase --include={','.join(PACKAGES)} bookworm /var/tmp/base.tar"
        said = self.machine.run(f"{words} && echo made", check=False)
        if not said.rstrip().endswith("made"):
            pytest.skip(f"no base can be made: {said[-300:]}")
        self.run("import", "--change=CMD=python3", "/var/tmp/base.tar", BASE)

    def build(self) -> list[str]:
        """The words of a build: how pip finds packages on this machine stands in no image."""
        asked = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
        ).stdout
        found = dict(re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", asked, re.MULTILINE))
        configuration = self.folder / "pip.conf"
        configuration.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in found.items()))
        text = " ".join(found.values())
        places = {
            os.path.dirname(path) for path in re.findall(r"file://(/[\w./-]+)", text)
        }  # Packages stand beside it.
        places |= set(re.findall(r"(?<!\S)/[\w./-]+", text))
        volumes = [f"--volume={path}:{path}:ro" for path in sorted(places) if os.path.exists(path)]
        volumes.append(f"--volume={configuration}:/etc/pip.conf:ro")
        return ["build", "--format=docker", "--network=host", "--isolation=chroot", *limits(), *volumes]


def limits() -> list[str]:
    """No more than this process may have itself, for not every root may raise it."""
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    most = {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}
    return [f"--ulimit={name}={number}:{number}" for name, number in most.items()]


def need() -> None:
    """Skip the test where programs are missing; in CI that is a failure."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing and settings.environment("CI") == "true":
        pytest.fail(f"CI needs {', '.join(missing)}")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: deploy/install-packages engines")
