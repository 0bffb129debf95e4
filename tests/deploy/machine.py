"""A machine of the test's own, with a real systemd as its first process: this root under a layer, and namespaces."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import uuid

import pytest

from service import settings
from service.local import spawn
from tests.deploy import booting
from tests.patience import PATIENCE, wait
from tests.processes import ROOT

LONGEST = 300 * PATIENCE  #: seconds for what is typed; packages are fetched and unpacked
PROGRAMS = ("unshare", "nsenter", "mount", "pivot_root", booting.SYSTEMD)


class Machine:
    """Namespaces with a systemd in them. The network is this machine's, and so are the folders that are shared."""

    def __init__(self, folder: pathlib.Path, *shared: pathlib.Path) -> None:
        self.folder = folder
        self.shared = shared
        self.log = folder / "machine.log"
        self.group = f"millrace-{uuid.uuid4()}"
        self._groups: list[pathlib.Path] = []
        self._process: subprocess.Popen[bytes] | None = None

    def boot(self) -> Machine:
        """Start systemd and wait until it has; skips the test by name where that cannot be."""
        need()
        place = self.folder / self.group / "layers"
        place.mkdir(parents=True)
        self._groups = [path / self.group for path in booting.groups()]
        words = [sys.executable, "-m", "tests.deploy.booting", "outside", str(place), *map(str, self.shared)]
        with self.log.open("wb") as log:
            self._process = spawn.spawn(
                words, environment=None, output=log, cwd=ROOT, on_parent_death=signal.SIGKILL
            )  # unshare then kills its child, and with a first process everybody dies.
        wait(lambda: self._process_ended() or self._up(), 30, "systemd is up", step=0.1)
        if self._process_ended():
            self.halt()
            pytest.skip(f"the kernel lets nobody boot here: {self.log.read_text().strip()[-300:]}")
        return self

    def run(self, text: str, *, check: bool = True, feed: bytes | None = None, **given: str) -> str:
        """Type this as root, in bash; what is printed, errors after the rest."""
        kept = {k: v for k, v in os.environ.items() if k.startswith("PIP_") or k in ("HOME", "LANG")}
        done = subprocess.run(
            [*self.way_in(), "bash", "-euc", text],
            env=kept | {"PATH": spawn.PATH} | given,
            input=feed or b"",
            capture_output=True,
            timeout=LONGEST,
            check=False,
        )
        printed = (done.stdout + done.stderr).decode(errors="replace")
        assert not check or done.returncode == 0, f"$ {text}\n{printed}"
        return printed

    def way_in(self) -> list[str]:
        """The words before a command that is to run in it."""
        return ["nsenter", f"--target={self.first}", *booting.NAMESPACES, "--"]

    def put(self, path: str, text: str | bytes, mode: str = "644") -> None:
        """Write a file."""
        content = text.encode() if isinstance(text, str) else text
        self.run(f"install -D -m {mode} /dev/stdin {path}", feed=content)

    def shown(self, unit: str, *names: str) -> dict[str, str]:
        """What systemd says of a unit."""
        lines = self.run(f"systemctl show {unit} --property={','.join(names)}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def main_pid(self, unit: str) -> int:
        """The process of a service, by its number in the machine."""
        return int(self.shown(unit, "MainPID")["MainPID"])

    def journal(self, *units: str) -> str:
        """What services have said."""
        return self.run("journalctl --no-pager --output=short-precise " + " ".join(f"--unit='{u}'" for u in units))

    @property
    def first(self) -> int:
        """The first process, by its number outside."""
        assert self._process is not None
        children = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def halt(self) -> None:
        """End all that runs in it at once."""
        if self._process is not None and not self._process_ended():
            os.kill(self.first, signal.SIGKILL)
            self._process.wait()
        for group in self._groups:
            _remove(group)

    def _process_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def _up(self) -> bool:
        with contextlib.suppress(OSError, IndexError, AssertionError):
            return self.run("systemctl is-system-running", check=False).strip() in ("running", "degraded")
        return False


def need() -> None:
    """Skip the test where this machine has not what it takes; in CI a program that is missing is a failure."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=spawn.PATH)]
    if missing and settings.environment("CI") == "true":
        pytest.fail(f"CI needs {', '.join(missing)}")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    if os.geteuid():
        pytest.skip("needs root, to make namespaces")


def _remove(group: pathlib.Path) -> None:
    """Remove a control group and those in it; their processes are dying."""
    end = time.monotonic() + 10
    while group.exists():
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        if time.monotonic() > end:
            break
        time.sleep(0.05)
