"""What every test may ask for: a PostgreSQL, a fresh ledger, a RabbitMQ, a fresh virtual host.

Nothing is started before a test asks. Where a server's programs are missing the test is skipped by name; with
``CI=true`` it fails.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from service.local import ports
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import databases, ledgers, order
from tests.servers import Run

_RUN = pytest.StashKey[Run]()
_numbers = itertools.count(1)


# On a machine that is busy, an example of any test may take long once.
hypothesis.settings.register_profile("millrace", deadline=None)
hypothesis.settings.load_profile("millrace")


def pytest_configure(config: pytest.Config) -> None:
    """Give the run its folder; the processes of pytest-xdist are told of it."""
    given: dict[str, Any] = getattr(config, "workerinput", {})
    folder = Path(given["millrace_folder"]) if given else None
    config.stash[_RUN] = Run(folder, given.get("millrace_controller"))
    if given:  # A share of the ports for each: nobody listens on one that another was told is free.
        share = (ports.LAST - ports.FIRST) // given["workercount"]
        ports.FIRST += share * int(given["workerid"].removeprefix("gw"))
        ports.LAST = ports.FIRST + share - 1


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist, before it starts."""
    run = node.config.stash[_RUN]
    node.workerinput |= {"millrace_folder": str(run.folder), "millrace_controller": run.controller}


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the shared servers, after Ctrl-C too."""
    if not hasattr(config, "workerinput"):
        config.stash[_RUN].finish()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first."""
    order.sort(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> order.Scheduler | None:
    """Divide the tests between processes."""
    return order.Scheduler(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A PostgreSQL server for the tests of this process. Tests that stop or kill it start their own instead."""
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    server = request.config.stash[_RUN].postgres(worker)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbitmq(request: pytest.FixtureRequest) -> RabbitNode:
    """The RabbitMQ node of this run. Tests that stop, kill or starve it start their own instead."""
    return request.config.stash[_RUN].rabbitmq()


@pytest.fixture(scope="session")
def ledger_template(postgres: PostgresServer) -> str:
    """The name of a database that holds an empty ledger of this version."""
    return databases.make_template(postgres)


@pytest.fixture(scope="session")
def fresh_ledgers(postgres: PostgresServer, ledger_template: str) -> Iterator[databases.Fresh]:
    """Where each test gets a ledger of its own."""
    found = databases.Fresh(postgres, ledger_template)
    yield found
    found.close()


@pytest.fixture
def database(postgres: PostgresServer, fresh_ledgers: databases.Fresh) -> Iterator[str]:
    """The address of a fresh ledger: a database of the test's own, with the schema in it."""
    yield from _taken(postgres, fresh_ledgers)


@pytest.fixture(scope="module")
def shared_database(postgres: PostgresServer, fresh_ledgers: databases.Fresh) -> Iterator[str]:
    """The same for all tests of a module, which clear away what would disturb the next one."""
    yield from _taken(postgres, fresh_ledgers)


@pytest.fixture
def empty_database(postgres: PostgresServer) -> Iterator[str]:
    """The address of a database of the test's own with nothing in it."""
    name = f"empty_{next(_numbers)}"
    postgres.execute(f"create database {name}")
    yield postgres.dsn_of(name)
    ledgers.close_all()
    postgres.execute(f"drop database {name} with (force)")


@pytest.fixture
def vhost(rabbitmq: RabbitNode) -> str:
    """The address of a fresh virtual host with nothing declared in it."""
    return rabbitmq.add_vhost(f"test-{os.getpid()}-{next(_numbers)}")


def _taken(server: PostgresServer, fresh: databases.Fresh) -> Iterator[str]:
    name = fresh.take()
    yield server.dsn_of(name)
    ledgers.close_all()
    fresh.drop(name)
