"""The names of the servers point to other addresses from one moment to the next (P1)."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import pytest

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests.faults.checker import Trial
from tests.faults.disks import needs_root
from tests.faults.proxy import Proxy
from tests.patience import wait
from tests.road import Road

pytestmark = [pytest.mark.heavy, needs_root]

OLD, NEW = "127.0.0.2", "127.0.0.3"
LEDGER, BROKER = "ledger.test", "broker.test"


class Places:
    """Both servers at two addresses each, and a file that says which of them their names stand for."""

    def __init__(self, folder: pathlib.Path, ports: dict[str, int]) -> None:
        self.file = folder / "hosts"
        self.lines = {(OLD, name): Proxy(port, host=OLD).start() for name, port in ports.items()}
        for name, port in ports.items():
            self.lines[NEW, name] = Proxy(port, host=NEW, port=self.lines[OLD, name].port).start()
        self.point_to(OLD)

    def point_to(self, address: str) -> None:
        """From now on both names stand for this one."""
        self.file.write_text(f"127.0.0.1 localhost\n{address} {LEDGER} {BROKER}\n")

    def by_name(self, name: str, url: str) -> str:
        """The address of a server with its name in it."""
        line = self.lines[OLD, name]
        return url.replace(f"127.0.0.1:{line.target}/", f"{name}:{line.port}/")


@pytest.fixture
def places(ledger_server: PostgresServer, broker_node: RabbitNode, tmp_path: pathlib.Path) -> Iterator[Places]:
    found = Places(tmp_path, {LEDGER: ledger_server.port, BROKER: broker_node.port})
    with contextlib.ExitStack() as stack:
        for line in found.lines.values():
            stack.callback(line.stop)
        yield found


@pytest.mark.fault(59)
def test_whoever_connects_anew_asks_anew_where_the_server_is(
    make_road: Callable[..., Road], places: Places, trial: Trial
) -> None:
    road = make_road(soft_limit="20", hard_limit="30", allow_plaintext="1")  # No name is known to be of this machine.
    road.before = ("tests.faults.apart", "hosts", str(places.file), "-m")
    urls = {
        "database_url": places.by_name(LEDGER, road.database),
        "broker_url": places.by_name(BROKER, road.broker),
    }
    door = road.web(**urls)
    road.worker(**urls)
    road.clock(**urls)
    # The check at the end has the servers' own addresses, and sees /etc/hosts as it is.
    road.before = ()
    with trial(road, door) as load:
        assert all(places.lines[OLD, name].links for name in (LEDGER, BROKER))
        assert not any(places.lines[NEW, name].links for name in (LEDGER, BROKER))
        places.point_to(NEW)
        load.wait_for_accepted(20)  # What is connected stays where it is.
        for name in (LEDGER, BROKER):
            places.lines[OLD, name].leave()
        load.wait_for_accepted(100)
        # A door has a connection to each; so have a worker and a clock, at least.
        for name in (LEDGER, BROKER):
            line = places.lines[NEW, name]
            wait(lambda line=line: len(line.links) >= 3, 30, f"all are at the new address of {name}")
