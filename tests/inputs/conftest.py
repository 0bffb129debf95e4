"""A door, and roads, that stand for a module or a class of tests."""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import databases
from tests.door import Door
from tests.road import Road

AWAY = "amqp://guest:guest@127.0.0.1:9//"  #: no broker: whoever posts need not know
_numbers = itertools.count(1)


@contextmanager
def _road(server: PostgresServer, broker: str, folder: pathlib.Path, apps: str) -> Iterator[Road]:
    name = f"inputs_{next(_numbers)}"
    server.execute(f"create database {name} template {databases.make_template(server)}")
    road = Road(server.dsn_of(name), broker, folder, apps=apps)
    try:
        yield road
    finally:
        road.stop()
        print(road.logs())  # noqa: T201  # Shown when a test has failed.


@pytest.fixture(scope="module")
def ledger_road(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """A road that ends at the ledger, for all tests of a module."""
    with _road(postgres, AWAY, tmp_path_factory.mktemp("door"), "tests.apps.open_app") as road:
        yield road


@pytest.fixture(scope="module")
def door(ledger_road: Road) -> Door:
    """Its door: a web process as ``millrace web`` starts it."""
    return ledger_road.web(accept_deadline="30", public_url="https://door")  # As requests call it.


@pytest.fixture(scope="class")
def standing_road(
    postgres: PostgresServer, rabbitmq: RabbitNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Road]:
    """A road without processes yet, for a class of tests."""
    broker = rabbitmq.add_vhost(f"inputs-{os.getpid()}-{next(_numbers)}")
    with _road(postgres, broker, tmp_path_factory.mktemp("road"), "tests.apps.ledger_app") as road:
        yield road.prepare()
