"""A road watched as in production, only faster: Prometheus, Alertmanager, and a webhook that keeps the pages."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from service.local import ports, spawn
from service.local.monitoring import Monitor, Receiver
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.door import Door
from tests.patience import wait
from tests.processes import Process
from tests.road import Road

#: What takes minutes in production takes a second or two here. Expressions stay what they are.
QUICK = {
    r"\bfor: \w+": "for: 2s",
    r"\b(scrape_interval|evaluation_interval|interval|scrape_timeout|group_interval): \w+": r"\1: 1s",
    r"\bgroup_wait: \w+": "group_wait: 1s",
}


class Pages:
    """What came out at the webhook, with the instants."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str, dict[str, Any]]] = []
        self.receiver = Receiver(lambda who, alert: self.told.append((time.monotonic(), who, alert)))

    def find(self, who: str, name: str, status: str = "firing", *, since: float = 0.0) -> list[float]:
        """When this one was told of this alert."""
        return [
            at
            for at, receiver, alert in list(self.told)
            if at >= since and (receiver, alert["labels"]["alertname"], alert["status"]) == (who, name, status)
        ]


class Watch:
    """The road, its processes, and those that watch them."""

    def __init__(self, road: Road, node: RabbitNode, folder: pathlib.Path) -> None:
        self.road, self.node = road, node
        self.pages = Pages()
        self._stack = contextlib.ExitStack()
        self._stack.callback(self.pages.receiver.close)
        self.ports = {role: ports.free() for role in ("web", "worker", "clock")}
        self.door: Door = road.web(metrics_port=str(self.ports["web"]))
        self.worker: Process = road.worker(metrics_port=str(self.ports["worker"]))
        url = f"http://{self.door.address}"
        self.clock: Process = road.clock(metrics_port=str(self.ports["clock"]), canary_url=url)
        targets = {role: [f"127.0.0.1:{port}"] for role, port in self.ports.items()}
        targets["rabbitmq"] = [f"127.0.0.1:{node.metrics_port}"]
        self.monitor = Monitor(folder, targets=targets, receiver=self.pages.receiver.url)
        _hurry(folder)
        alertmanager, prometheus = self.monitor.programs()
        # What is sent before it has found its Alertmanager is lost, and sent again after so long.
        for program in (alertmanager, [*prometheus, "--rules.alert.resend-delay=2s"]):
            log = self._stack.enter_context((folder / f"{pathlib.Path(program[0]).name}.log").open("wb"))
            process = spawn.spawn(program, environment=spawn.ENVIRONMENT, output=log, cwd=folder)
            self._stack.callback(spawn.kill, process)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers."""
        url = f"{self.monitor.prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=10) as answer:
            return list(json.loads(answer.read())["data"]["result"])

    def wait_until_watched(self) -> None:
        """Wait until everything is scraped and the way of an alert is open to its end."""

        def ready() -> bool:
            try:
                return len(self.query("up == 1")) == 5 and bool(self.pages.find("heartbeat", "MillraceWatchdog"))
            except OSError:
                return False

        try:
            wait(ready, 60, "all are scraped, and the heartbeat comes", step=0.2)
        except AssertionError as error:
            logs = "\n".join(path.read_text()[-2000:] for path in self.monitor.folder.glob("*.log"))
            raise AssertionError(f"{error}\nup: {self.query('up')}\ntold: {self.pages.told}\n{logs}") from None

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as an operator would."""
        return subprocess.run(
            ["/bin/sh", "-c", command], env=self._environment(), capture_output=True, text=True, timeout=60, check=False
        )

    def _environment(self) -> dict[str, str]:
        tools = self.road.folder / "tools"
        if not tools.exists():
            tools.mkdir()
            (tools / "millrace").write_text(f'#!/bin/sh\nexec {sys.executable} -m service "$@"\n')
            node = self.node.folder
            given = " ".join(f"{name}='{value}'" for name, value in node.environment().items())
            (tools / "rabbitmqctl").write_text(f'#!/bin/sh\nexec env -i {given} {node.scripts}/rabbitmqctl "$@"\n')
            for tool in tools.iterdir():
                tool.chmod(0o755)
        return self.road.environment() | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PROMETHEUS": self.monitor.prometheus,
            "MILLRACE_URL": f"http://{self.door.address}",
        }

    def close(self) -> None:
        """End what watches; the road is ended by whoever made it."""
        self._stack.close()


def _hurry(folder: pathlib.Path) -> None:
    for path in [*folder.glob("*.yml"), *(folder / "rules").glob("*.yml")]:
        text = path.read_text()
        for pattern, quick in QUICK.items():
            text = re.sub(pattern, quick, text)
        path.write_text(text)


@pytest.fixture(scope="module")
def watch(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """One for all tests of a file. Its RabbitMQ is its own, for it has the plugin."""
    servers.need_rabbitmq()
    servers.need_prometheus()
    postgres.execute("create database paged")
    node = RabbitNode(tmp_path_factory.mktemp("rabbitmq"), prometheus=True).start()
    road = Road(
        postgres.dsn_of("paged"),
        node.url,
        tmp_path_factory.mktemp("road"),
        apps="tests.apps.ledger_app,service.canary",
        canary="2",
    )
    found = None
    try:
        found = Watch(road.prepare(), node, tmp_path_factory.mktemp("monitor"))
        found.wait_until_watched()
        yield found
    finally:
        if found is not None:
            found.close()
        road.stop()
        node.stop()
