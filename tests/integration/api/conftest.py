"""Doors to a ledger of the test's own, and to one that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.local.postgres import PostgresServer
from tests.integration.api.doors import Api


@pytest.fixture
def api(database: str) -> Iterator[Api]:
    """A door to a ledger of the test's own."""
    api = Api(database)
    yield api
    api.assert_at_rest()
    api.engine.dispose()


@pytest.fixture(scope="module")
def standing(postgres: PostgresServer, ledger_template: str) -> Iterator[Api]:
    postgres.execute(f"create database api template {ledger_template}")
    api = Api(postgres.dsn_of("api"))
    yield api
    api.engine.dispose()
    postgres.execute("drop database api with (force)")


@pytest.fixture
def shared(standing: Api) -> Iterator[Api]:
    """A door for tests that do not mind what others have posted."""
    yield standing
    standing.assert_at_rest()
