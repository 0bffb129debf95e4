"""Servers that may be broken, and roads on them.

The tests of faults stop, wipe and starve their servers, so these are their own and nobody else's. The ledger speaks
TLS, because a connection that two processes share shows at once there.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import databases, servers
from tests.faults import checker
from tests.faults.proxy import Proxy
from tests.road import Door, Gate, Road

MakeRoad = Callable[..., Road]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def ledger_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of our own, with TLS. What is durable is not tested here, so it does without fsync."""
    servers.need_postgres()
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), options=servers.FAST, tls=True).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A RabbitMQ of our own."""
    servers.need_rabbitmq()
    node = RabbitNode(tmp_path_factory.mktemp("rabbitmq")).start()
    yield node
    node.stop()


@pytest.fixture(scope="class")
def make_standing(
    ledger_server: PostgresServer, broker_node: RabbitNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeRoad]:
    """Makes roads that stand for a class of tests. No other road may run at that time: the queues are the same."""
    yield from _roads(ledger_server, broker_node, lambda: tmp_path_factory.mktemp("road"))


@pytest.fixture
def make_road(ledger_server: PostgresServer, broker_node: RabbitNode, tmp_path: pathlib.Path) -> Iterator[MakeRoad]:
    """Makes roads for one test."""
    yield from _roads(ledger_server, broker_node, lambda: tmp_path)


@pytest.fixture
def road(make_road: MakeRoad) -> Road:
    """A road without processes yet, for one test."""
    return make_road()


@pytest.fixture(scope="class")
def door(road: Road) -> Door:
    """A web process on the road of a class, which stands for it."""
    return road.web()


@pytest.fixture
def gate(road: Road) -> Iterator[Gate]:
    """A place in mid-handler; after the test nobody waits there."""
    gate = Gate(road.folder)
    yield gate
    gate.open()


@pytest.fixture(scope="class")
def make_line() -> Iterator[Callable[[int], Proxy]]:
    """Makes proxies before a server's port, for processes of a road that shall reach it that way:
    ``road.web(broker_url=line.instead_of(road.broker))``."""
    with contextlib.ExitStack() as stack:

        def make(port: int) -> Proxy:
            line = Proxy(port).start()
            stack.callback(line.stop)
            return line

        yield make


@pytest.fixture
def trial(record_property: checker.Record) -> checker.Trial:
    """A workload around a fault, checked when that is over; see there."""
    return functools.partial(checker.trial, record=record_property)


def _roads(server: PostgresServer, node: RabbitNode, folder: Callable[[], pathlib.Path]) -> Iterator[MakeRoad]:
    made: list[Road] = []

    def make(**settings: str) -> Road:
        database = f"road{next(_numbers)}"
        server.execute(f"create database {database} template {databases.make_template(server)}")
        found = Road(server.dsn_of(database), node.url, folder(), **settings).prepare()
        made.append(found)
        return found

    yield make
    for found in made:
        found.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """A failed test shows what its processes said."""
    report = yield
    if report.failed:
        roads = {id(v): v for v in getattr(item, "funcargs", {}).values() if isinstance(v, Road)}
        report.sections.extend(("processes", found.logs()) for found in roads.values())
    return report
