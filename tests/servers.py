"""The servers that tests run on: started when the first test asks, shared, and ended by their process ids.

Each process of pytest-xdist has a PostgreSQL of its own, which starts in under a second. RabbitMQ takes longer and
more memory, so there is one node per run; a keeper process starts it and ends it with the run, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from service import settings
from service.local import programs, spawn
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode

#: Nothing here must survive a loss of power; a kill -9 loses nothing with these settings either.
FAST = {"fsync": "off", "full_page_writes": "off", "log_min_messages": "warning"}
ROOT = Path(__file__).parent.parent


class Run:
    """One run of pytest: a folder, and the process whose end ends everything."""

    def __init__(self, folder: Path | None = None, controller: int | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="millrace-tests-"))
        self.controller = controller or os.getpid()

    def postgres(self, worker: str) -> PostgresServer:
        """The PostgreSQL of one process of the run, started."""
        need_postgres()
        return PostgresServer(self.folder / f"postgres-{worker}", options=FAST).start()

    def rabbitmq(self) -> RabbitNode:
        """The RabbitMQ node of the run, started by whoever comes first.

        The object can be asked and commanded, but not stopped: others use the node too.
        """
        need_rabbitmq()
        with (self.folder / "rabbitmq.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._keeper():
                self._start_keeper()
        return RabbitNode(self.folder / "rabbitmq")

    def finish(self) -> None:
        """End the keeper and with it the node, then remove the folder. For the controller of the run."""
        keeper = self._keeper()
        if keeper:
            os.kill(keeper, signal.SIGTERM)
            spawn.wait_until(lambda: not self._keeper(), 30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _keeper(self) -> int:
        """The keeper's process id, 0 when there is none."""
        try:
            pid = int((self.folder / "keeper").read_text())
            return pid if str(self.folder) in Path(f"/proc/{pid}/cmdline").read_text().split("\0") else 0
        except (OSError, ValueError):
            return 0

    def _start_keeper(self) -> None:
        log = self.folder / "keeper.log"
        ready = self.folder / "rabbitmq.ready"
        with log.open("w") as output:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.servers", str(self.folder), str(self.controller)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        (self.folder / "keeper").write_text(str(keeper.pid))
        if not spawn.wait_until(lambda: ready.exists() or keeper.poll() is not None, 120) or not ready.exists():
            pytest.fail(f"RabbitMQ did not start: {log.read_text().strip()[-500:]}")


def need_postgres() -> None:
    """Skip the test, or fail it in CI, when there is no PostgreSQL."""
    need("PostgreSQL", programs.postgres)


def need_rabbitmq() -> None:
    """Skip the test, or fail it in CI, when there is no RabbitMQ."""
    need("RabbitMQ", programs.rabbitmq)


def need_prometheus() -> None:
    """Skip the test, or fail it in CI, when Prometheus or Alertmanager is missing."""
    need("Prometheus", programs.prometheus)
    need("Alertmanager", programs.alertmanager)


def need(name: str, find: Callable[[], object]) -> None:
    """Skip the test when the server's programs are missing; in CI that is a failure."""
    try:
        find()
    except spawn.LocalError as error:
        if settings.environment("CI") == "true":
            pytest.fail(f"CI needs {name}: {error}")
        pytest.skip(f"needs {name}: {error}")


def keep(folder: Path, controller: int) -> None:
    """The keeper: run the node until told to stop, or until the run's controller is gone."""

    def stop(*_: object) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    end_of_run = os.pidfd_open(controller)
    node = RabbitNode(folder / "rabbitmq")
    try:
        node.start()
        (folder / "rabbitmq.ready").touch()
        select.select([end_of_run], [], [])
    finally:
        node.stop()
    # The controller was killed, so nobody else tidies up.
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]))
