"""Doors to a ledger of the test's own, and to one that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.api.doors import Api


@pytest.fixture
def api(database: str) -> Iterator[Api]:
    """A door to a ledger of the test's own."""
    api = Api(database)
    yield api
    api.assert_at_rest()
    api.engine.dispose()


@pytest.fixture(scope="module")
def standing(shared_database: str) -> Iterator[Api]:
    api = Api(shared_database)
    yield api
    api.engine.dispose()


@pytest.fixture
def shared(standing: Api) -> Iterator[Api]:
    """A door for tests that do not mind what others have posted."""
    yield standing
    standing.assert_at_rest()
