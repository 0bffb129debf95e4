"""The whole road under traffic and faults, watched as in production, only more often: what pages, rules, runbooks and
dashboards are tried and drawn on."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http
import http.client
import json
import pathlib
import random
import re
import threading
import time
from typing import Any, Self

from service.domain import topology
from service.local import ports, spawn
from service.local.monitoring import FIRST, Monitor
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.monitoring import prometheus
from tests.monitoring.paging import Pages, Shell
from tests.patience import PATIENCE, wait
from tests.processes import SHOWN, Process
from tests.road import Road
from tests.threads import beside

#: Seconds between scrapes, and those that one may take.
EVERY = max(1, round(PATIENCE))

#: What takes half a minute in production takes a second here.
QUICK = {
    r"\b(scrape_interval|evaluation_interval|interval|scrape_timeout|group_interval): \w+": rf"\1: {EVERY}s",
    r"\bgroup_wait: \w+": "group_wait: 1s",
    r"\bkeep_firing_for: \w+": f"keep_firing_for: {10 * EVERY}s",
}
#: For how long these alerts must last here: those of which a page is made, and one that follows from them. All others
#: must last as long as in production, so that what fires has a reason. Until Prometheus has seen a clock there is none.
SOONER = {"MillraceBrokerAway": "2s", "MillraceNoClock": "10s", "MillraceTargetDown": "8s"}

#: What comes in a second, and how long one of it takes.
TRAFFIC = {
    "orders.placed": (12, 0.004),
    "invoices.written": (5, 0.02),
    "mails.sent": (4, 0.03),
    "reports.built": (1, 0.3),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Outage:
    """What was told of a broker that died."""

    seconds: float  #: from its death to the page
    page: dict[str, Any]  #: the alert as it came out
    follows: set[str]  #: what Alertmanager did with the alert that follows from it


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
        self._watch(stack)
        stack.callback(self._stop.set)

    # --- who watches --------------------------------------------------------------------------------------------

    def _watch(self, stack: contextlib.ExitStack) -> None:
        """Prometheus and Alertmanager with the configuration that comes with Millrace; only the targets are ours."""
        self.pages = Pages()
        stack.callback(self.pages.receiver.close)
        # Two that start at once would find the same first free port.
        at = {name: ports.free() for name in FIRST}
        self.monitor = Monitor(self.folder / "monitor", targets={}, receiver=self.pages.receiver.url, at=at)
        targets = {
            "web": _addresses("web", [self.door.process]),
            "worker": _addresses("worker", self.workers),
            "clock": _addresses("clock", self.clocks),
            "rabbitmq": {"rabbit-1": f"{ports.LOOPBACK}:{self.broker.metrics_port}"},
        }
        for role, found in targets.items():
            text = json.dumps([{"targets": [at], "labels": {"instance": name}} for name, at in found.items()])
            (self.monitor.folder / f"targets/{role}.yml").write_text(text)
        (self.monitor.folder / "rules/objectives.yml").write_text(self._objectives())
        _hurry(self.monitor.folder)
        alertmanager, scraper = self.monitor.programs()
        # What is sent before it has found its Alertmanager is lost, and sent again after so long.
        self._watchers = []
        for program in (alertmanager, [*scraper, "--rules.alert.resend-delay=2s"]):
            log = stack.enter_context((self.monitor.folder / f"{pathlib.Path(program[0]).name}.log").open("wb"))
            process = spawn.spawn(program, environment=spawn.ENVIRONMENT, output=log, cwd=self.monitor.folder)
            stack.callback(spawn.kill, process)
            self._watchers.append(process)
        self.prometheus = prometheus.Prometheus(self.monitor.prometheus)
        number = sum(map(len, targets.values())) + 1  # RabbitMQ is scraped twice.
        try:
            wait(lambda: self._is_watched(number), 60, "all are scraped, and the heartbeat comes")
        except AssertionError as error:
            logs = [path.read_text(errors="replace")[-SHOWN:] for path in sorted(self.monitor.folder.glob("*.log"))]
            raise AssertionError("\n".join([str(error), *logs])) from None

    def _is_watched(self, number: int) -> bool:
        ended = [process.args for process in self._watchers if process.poll() is not None]
        assert not ended, f"ended: {ended}"
        try:
            return len(self.prometheus.now("up == 1")) == number and bool(
                self.pages.find("heartbeat", "MillraceWatchdog")
            )
        except OSError:
            return False

    def _objectives(self) -> str:
        """The rules of the shop's objectives."""
        said = self.road.run("objectives", "service", "objectives")
        assert said.wait_for_end(30) == 0, said.text()
        return said.text()

    def shell(self) -> Shell:
        """As an operator has it who read the runbooks."""
        known = {"PROMETHEUS": self.monitor.prometheus, "MILLRACE_URL": f"http://{self.door.address}"}
        return Shell(self.folder, self.broker, {**self.road.environment(), **known})

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

    def outage(self) -> Outage:
        """The broker dies, and comes back when somebody was told."""
        begin = time.monotonic()
        self.broker.kill()
        find = functools.partial(self.pages.find, "page", "MillraceBrokerAway", since=begin)
        wait(find, 60, "the page comes out")
        at, page = find()[0]
        follows = functools.partial(prometheus.states, self.monitor.alertmanager, "MillraceTargetDown")
        wait(follows, 30, "the alert that follows is there")
        found = Outage(at - begin, page, follows())
        self.broker.start()
        wait(lambda: find(status="resolved"), 60, "it is told that the broker is back")
        self.road.wait_for_consumers(len(self.workers))
        return found

    def send(self, type_name: str, payload: Any, *, key: str = "", traceparent: str = "") -> int:
        """One post with what may go with it; the status. Refused, it is sent again, as producers do."""
        for _ in range(10):
            status = self._send(type_name, payload, key, traceparent)
            if status != http.HTTPStatus.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)
        return status

    def _send(self, type_name: str, payload: Any, key: str, traceparent: str) -> int:
        host, _, port = self.door.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=20 * PATIENCE)
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": f'"{key}"'} if key else {})
        headers |= {"traceparent": traceparent} if traceparent else {}
        where = f"/v1/events/{type_name}"
        connection.request("POST", where, json.dumps(payload), headers)
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    def wait(self, seconds: float) -> None:
        """Let time go by, which is what graphs are made of."""
        time.sleep(seconds)


def _hurry(folder: pathlib.Path) -> None:
    for path in [*folder.glob("*.yml"), *(folder / "rules").glob("*.yml")]:
        text = path.read_text()
        for pattern, quick in QUICK.items():
            text = re.sub(pattern, quick, text)
        for name, seconds in SOONER.items():
            text = re.sub(rf"(- alert: {name}\n(?:(?!      - ).*\n)*? +for: )\w+", rf"\g<1>{seconds}", text)
        path.write_text(text)


def _addresses(name: str, processes: list[Process]) -> dict[str, str]:
    """Where they say that their metrics are: a port that was free may be taken by now, and they take the next."""
    found = {}
    for number, process in enumerate(processes, 1):
        process.wait_for_text("Metrics are at http://")
        [address] = re.findall(r"Metrics are at http://([^/]+)/metrics", process.text())[-1:]
        found[f"{name}-{number}"] = address
    return found


__all__ = ["Story"]
