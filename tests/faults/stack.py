"""A whole installation to be broken at will: two doors, three workers, two clocks, and a line to each server each."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Self

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.apps.detached_app import QUEUE
from tests.faults.proxy import Proxy
from tests.patience import PATIENCE
from tests.road import Process, Road

KINDS = {"web": 2, "worker": 3, "clock": 2}  #: how many processes of each
APPS = "tests.apps.ledger_app,tests.apps.detached_app,tests.apps.ticking_app"
LEASE = 2.0 + PATIENCE  #: seconds


class Stack:
    """Servers, proxies and processes, from entering to leaving."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.ledger = PostgresServer(folder / "postgres", options=servers.FAST, tls=True)
        self.broker = RabbitNode(folder / "rabbitmq")
        self.lines: dict[str, Proxy] = {}  #: by the kind of process and the server, such as ``web-ledger``
        self.processes: dict[str, list[Process]] = {kind: [] for kind in KINDS}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for server in (self.ledger, self.broker):
                server.start()
                stack.callback(server.stop)
            # Time limits that no event meets: on a machine that is busy with this, the quick ones would end good work.
            settings = {"fault_patience": "5", "patience": "10", "soft_limit": "20", "hard_limit": "30"}
            settings |= {"apps": APPS, "lease": str(LEASE), "grace": "2"}
            self.road = Road(self.ledger.dsn, self.broker.url, self.folder, **settings).prepare()
            stack.callback(self.road.stop)
            for kind in KINDS:
                for name, port in (("ledger", self.ledger.port), ("broker", self.broker.port)):
                    line = self.lines[f"{kind}-{name}"] = Proxy(port).start()
                    stack.callback(line.stop)
            self.doors = [self.road.web(**self._addresses("web")) for _ in range(KINDS["web"])]
            self.processes["web"] = [door.process for door in self.doors]
            self.processes["clock"] = [self.road.clock(**self._addresses("clock")) for _ in range(KINDS["clock"])]
            queues = f"events,periodic,{QUEUE}"
            self.processes["worker"] = [
                self.road.worker(queues=queues, **self._addresses("worker")) for _ in range(KINDS["worker"])
            ]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _addresses(self, kind: str) -> dict[str, str]:
        return {
            "database_url": self.lines[f"{kind}-ledger"].instead_of(self.road.database),
            "broker_url": self.lines[f"{kind}-broker"].instead_of(self.road.broker),
        }
