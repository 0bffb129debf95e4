"""A running Millrace with the numbers application, as a user sees it: over HTTP."""

from __future__ import annotations

import http.client
import json as jsons
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests.patience import PATIENCE, wait
from tests.road import Road

log = logging.getLogger(__name__)

TIMEOUT = 60.0 * PATIENCE  #: seconds; a list of 100,000 numbers takes its time on a busy machine


class Stack:
    """Web, worker and clock on real servers."""

    def __init__(self, address: str, road: Road) -> None:
        self.address = address
        self.url = f"http://{address}"
        self._road = road

    def http(self, method: str, path: str, json: Any = None) -> tuple[int, Any]:
        """One request; status and document."""
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT)
        body = None if json is None else jsons.dumps(json)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return response.status, jsons.loads(text) if text else None

    def let_time_go_by(self) -> None:
        """As if the clock had come to the next instant of every schedule."""
        self._road.sql("update millrace.schedules set next_due = now() where next_due > now()")

    def wait(self, condition: Callable[[], object], within: float) -> None:
        """Wait for a condition."""
        wait(condition, within, "what the test waits for", step=0.05)


@pytest.fixture(scope="session")
def stack(postgres: PostgresServer, rabbitmq: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests of this folder."""
    postgres.execute("create database stack")
    road = Road(
        postgres.dsn_of("stack"),
        rabbitmq.add_vhost(f"stack-{os.getpid()}"),
        tmp_path_factory.mktemp("stack"),
        apps="numbers_app",
        soft_limit="60",
        hard_limit="90",
        accept_deadline="20",
    )
    try:
        assert road.run("migrate", "service", "migrate").wait_for_end(60) == 0
        road.declare()
        door = road.web()
        road.worker()
        road.clock()
        declared = "select count(*) from millrace.schedules where name like 'numbers.%'"
        wait(lambda: road.one(declared) >= 3, 60, "the clock has declared the schedules")
        yield Stack(door.address, road)
    finally:
        log.warning(road.logs())  # Shown when a test fails.
        road.stop()
