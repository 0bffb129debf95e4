"""``millrace-web.socket``: the door's address stays open while the door itself starts again."""

from __future__ import annotations

import http.client
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from service import bootstrap, settings
from service.web import server
from tests.deploy import units
from tests.patience import PATIENCE, wait
from tests.road import Road

NOBODY = "postgresql://nobody:word@127.0.0.1:1/nowhere"  #: the door says that it lives, whatever its servers do
NOWHERE = "amqp://nobody:word@127.0.0.1:1/"
#: As a service manager starts a program: its socket is descriptor 3, the variables say so, and the id is the program's.
HAND_OVER = 'exec 3<&"$1"; shift; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
WEB = [sys.executable, "-m", "service", "web"]
LONGEST = 30.0 * PATIENCE  #: seconds


class Manager:
    """What systemd is for the door: it opens the address, keeps it, and starts the door with it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=server.BACKLOG)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.log = folder / "web.log"
        self.door: subprocess.Popen[bytes] | None = None

    def start(self, **given: str) -> subprocess.Popen[bytes]:
        """Start the door, as ``systemctl start`` does: it is not waited for."""
        environment = Road(NOBODY, NOWHERE, self.folder).environment(**{"http": self.address, **given})
        number = self.socket.fileno()
        with self.log.open("ab") as log:
            self.door = subprocess.Popen(
                ["bash", "-c", HAND_OVER, "-", str(number), *WEB],
                env=environment,
                cwd=self.folder,
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.door

    def stop(self) -> None:
        """Tell the door to end, and wait for it."""
        assert self.door is not None
        self.door.terminate()
        assert self.door.wait(LONGEST) == 0, self.log.read_text()

    def ask(self) -> int:
        """A new connection's request for /healthz; the status."""
        host, _, port = self.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=LONGEST)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        finally:
            connection.close()

    def close(self) -> None:
        """End whatever is left."""
        if self.door is not None and self.door.poll() is None:
            self.door.kill()
            self.door.wait()
        self.socket.close()


@pytest.fixture
def manager(tmp_path: pathlib.Path) -> Iterator[Manager]:
    """One for a door whose servers are not there."""
    found = Manager(tmp_path)
    yield found
    found.close()


def test_who_comes_while_the_door_starts_again_is_answered(manager: Manager) -> None:
    manager.start()
    assert manager.ask() == 200
    answers: list[int] = []
    over = threading.Event()

    def come() -> None:
        while not over.is_set():
            try:
                answers.append(manager.ask())
            except ConnectionRefusedError:
                answers.append(0)
            except (ConnectionError, http.client.HTTPException):
                pass  # Taken by the door that was about to end: it had not heard the request yet.
            time.sleep(0.01)

    coming = threading.Thread(target=come)
    coming.start()
    manager.stop()
    waiting = threading.Thread(target=lambda: answers.append(manager.ask()))
    waiting.start()  # There is no door at all.
    manager.start()
    waiting.join(LONGEST)
    over.set()
    coming.join(LONGEST)
    assert not waiting.is_alive(), manager.log.read_text()
    assert set(answers) == {200}, manager.log.read_text()
    manager.stop()


def test_a_socket_of_another_address_is_refused_with_the_cure(manager: Manager) -> None:
    door = manager.start(http="127.0.0.1:5000")
    assert door.wait(LONGEST) == bootstrap.MISCONFIGURED
    (line,) = [text for text in manager.log.read_text().splitlines() if " info " not in text]
    for word in ("MILLRACE_HTTP", "127.0.0.1:5000", manager.address, "ListenStream="):
        assert word in line


def test_systemds_own_program_is_understood(manager: Manager, tmp_path: pathlib.Path) -> None:
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        if settings.environment("CI") == "true":
            pytest.fail("CI needs systemd-socket-activate")
        pytest.skip("needs systemd-socket-activate")
    manager.socket.close()  # It opens the address itself.
    environment = Road(NOBODY, NOWHERE, tmp_path).environment(http=manager.address)
    given = [f"--setenv={name}" for name in environment]
    with manager.log.open("ab") as log:
        manager.door = subprocess.Popen(
            [activate, f"--listen={manager.address}", *given, *WEB], env=environment, stdout=log, stderr=log
        )
    wait(lambda: "Listening on" in manager.log.read_text(), 10, "it listens")
    assert manager.ask() == 200  # The first who comes starts the door.
    manager.stop()


def test_units_agree_on_the_address() -> None:
    unit = units.read("millrace-web.socket")
    (address,) = units.values(unit, "Socket", "ListenStream")
    assert f"\nMILLRACE_HTTP={address}\n" in (units.FOLDER / "millrace.env").read_text()
    assert units.values(unit, "Socket", "Backlog") == [str(server.BACKLOG)]
    # It goes with the target; else a connection would start a door that somebody has stopped.
    assert "millrace.target" in units.values(unit, "Unit", "PartOf")
    web = units.read("millrace-web.service")
    for key in ("Requires", "After"):
        assert "millrace-web.socket" in units.values(web, "Unit", key)
