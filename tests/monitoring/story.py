"""The whole road under traffic and faults, watched by a Prometheus: what dashboards are tried and drawn on."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import pathlib
import random
import re
import threading
import time
from typing import Any, Self

from service.domain import topology
from service.local import ports
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.monitoring.prometheus import Jobs, Prometheus
from tests.processes import Process
from tests.road import Road
from tests.threads import beside

RULES = pathlib.Path(__file__).parents[2] / "monitoring/prometheus/rules"
DETAILED = "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count"

#: What comes in a second, and how long one of it takes.
TRAFFIC = {
    "orders.placed": (12, 0.004),
    "invoices.written": (5, 0.02),
    "mails.sent": (4, 0.03),
    "reports.built": (1, 0.3),
}


class Story:
    """Servers, processes and Prometheus, from entering to leaving."""

    def __init__(self, folder: pathlib.Path, *, pairs: bool = True) -> None:
        self.folder = folder
        self.number = 2 if pairs else 1  #: of workers, and of clocks
        self._stack = contextlib.ExitStack()
        self._stop = threading.Event()
        self.random = random.Random(7)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        self.ledger = PostgresServer(self.folder / "postgres", options=servers.FAST).start()
        stack.callback(self.ledger.stop)
        self.broker = RabbitNode(self.folder / "rabbitmq", prometheus=True).start()
        stack.callback(self.broker.stop)
        quick = {
            "apps": "tests.apps.shop_app,service.canary",
            "canary": "5",
            "patience": "10",
            "soft_limit": "3",
            "hard_limit": "5",
        }
        self.road = Road(self.ledger.dsn, self.broker.url, self.folder, **quick).prepare()
        stack.callback(self.road.stop)
        self.door = self.road.web()
        self.road.settings["MILLRACE_CANARY_URL"] = f"http://{self.door.address}"
        self.clocks = [self.road.clock() for _ in range(self.number)]
        self.workers = [self.road.worker() for _ in range(self.number)]
        self.prometheus = Prometheus(
            self.folder / "prometheus", self._jobs(f"{ports.LOOPBACK}:{self.broker.metrics_port}"), self._rules()
        )
        self.prometheus.start()
        stack.callback(self.prometheus.stop)
        stack.callback(self._stop.set)

    def _jobs(self, rabbitmq: str) -> Jobs:
        return {
            "millrace-web": ("/metrics", _addresses("web", [self.door.process])),
            "millrace-worker": ("/metrics", _addresses("worker", self.workers)),
            "millrace-clock": ("/metrics", _addresses("clock", self.clocks)),
            "rabbitmq": ("/metrics", {"rabbit-1": rabbitmq}),
            "rabbitmq-detailed": (DETAILED, {"rabbit-1": rabbitmq}),
        }

    def _objectives(self) -> str:
        said = self.road.run("objectives", "service", "objectives")
        assert said.wait_for_end(30) == 0, said.text()
        return said.text()

    def _rules(self) -> list[pathlib.Path]:
        """Those that come with Millrace, and those of the shop's objectives."""
        folder = self.folder / "rules"
        folder.mkdir()
        for path in RULES.glob("*.yml"):
            said = self._objectives() if path.name == "objectives.yml" else path.read_text()
            (folder / path.name).write_text(said.replace("interval: 30s", "interval: 1s"))
        return sorted(folder.iterdir())

    # --- what happens -------------------------------------------------------------------------------------------

    def traffic(self, times: float = 1.0) -> contextlib.AbstractContextManager[None]:
        """Post steadily while the block lasts, as the shop's producers do."""
        return beside(
            functools.partial(self._produce, name, rate * times, seconds) for name, (rate, seconds) in TRAFFIC.items()
        )

    def _produce(self, name: str, rate: float, seconds: float, over: threading.Event) -> None:
        chance = random.Random(name)
        while not over.wait(chance.expovariate(rate)) and not self._stop.is_set():
            fails = 1 if name == "mails.sent" and chance.random() < 0.05 else 0
            self.door.post(name, seconds=chance.lognormvariate(0, 0.5) * seconds, fails=fails)

    def wrong(self) -> None:
        """Whatever producers, handlers and strangers do wrong, once each."""
        for _ in range(2):
            self.send("orders.placed", {"seconds": 0.001}, key="a")  # A duplicate.
        self.send("orders.placed", {"seconds": 0.002}, key="a")  # A conflict.
        self.send("orders.placed", {"seconds": "long"})
        self.send("mails.sent", {"fails": 9})  # Out of attempts.
        self.send("invoices.written", {"do": "discard"})
        self.send("invoices.written", {"do": "snooze"})
        self.send("reports.built", {"do": "die"})
        self.road.send("hello", topology.EVENTS, {}, content_type="text/plain", delivery_mode=2)

    def fail(self, number: int) -> None:
        """The mail server is away: mails fail once or twice, some for good."""
        for _ in range(number):
            self.send("mails.sent", {"seconds": 0.02, "fails": self.random.choice([1, 2, 2, 9])})

    def burst(self, number: int) -> None:
        """A campaign: many orders at once, and the invoices for them."""
        for name in ("orders.placed", "invoices.written"):
            self.door.post_all(name, [{"seconds": 0.03} for _ in range(number)])

    def send(self, type_name: str, payload: Any, *, key: str = "") -> int:
        """One post with what may go with it; the status."""
        host, _, port = self.door.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": f'"{key}"'} if key else {})
        where = f"/v1/events/{type_name}"
        connection.request("POST", where, json.dumps(payload), headers)
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    def wait(self, seconds: float) -> None:
        """Let time go by, which is what graphs are made of."""
        time.sleep(seconds)


def _addresses(name: str, processes: list[Process]) -> dict[str, str]:
    """Where they say that their metrics are: a port that was free may be taken by now, and they take the next."""
    found = {}
    for number, process in enumerate(processes, 1):
        process.wait_for_text("Metrics are at http://")
        [address] = re.findall(r"Metrics are at http://([^/]+)/metrics", process.text())[-1:]
        found[f"{name}-{number}"] = address
    return found


__all__ = ["Story"]
