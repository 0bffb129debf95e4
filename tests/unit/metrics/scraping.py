"""Metrics that count inside of a block, and whoever scrapes them."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from collections.abc import Iterator
from typing import Any

import prometheus_client

from service.domain import ticket as tickets
from service.domain import topology
from service.telemetry import exposition, metrics
from tests.patience import PATIENCE

DONE = {"done": 3, "retry": 1, "dead": 0, "snoozed": 0, "expired": 0, "skipped": 2}
REPORT = {"type": "a.b", **DONE, "runs": [0.01, 0.02, 0.02, 7], "latencies": [0.3, 0.4, 0.5]}


@contextlib.contextmanager
def counting(role: str, **known: Any) -> Iterator[metrics.Metrics]:
    """Metrics that listen inside of the block."""
    found = metrics.Metrics(role)
    found.know(**known)
    found.listen()
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def serving(registry: prometheus_client.CollectorRegistry, pages: exposition.Pages = exposition.NONE) -> Iterator[int]:
    """A server; its port."""
    server = exposition.open_server("127.0.0.1", free_ports(1), registry, pages)
    assert server is not None
    try:
        yield server.port
    finally:
        server.shutdown()
        server.server_close()


def free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that were free a moment ago."""
    # Below the ports that anybody else here is given, and apart from other test processes.
    for first in range(12_000 + os.getpid() * 50 % 7_500, 20_000 - count, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(listening(port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    """Somebody else on a port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield


def get(port: int, path: str = "/metrics", accept: str = "") -> tuple[int, str, str]:
    """(status, content type, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20 * PATIENCE)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def value(found: metrics.Metrics, name: str, **labels: str) -> float | None:
    """A sample; None if there is no such series."""
    return found.registry.get_sample_value(name, labels)


def ticket(number: int, exchange: str = topology.EVENTS) -> tickets.Ticket:
    """A ticket with an id of its own."""
    return tickets.Ticket(f"t{number}", "a.b", ("e",), exchange, "event.a.b", "events")
