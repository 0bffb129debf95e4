"""A door on a road in memory, for one type of events."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from service.domain import handlers
from tests.memory import Road


@pytest.fixture
def road() -> Road:
    return Road(handlers.Handler("a.b", print))


@pytest.fixture
def client(road: Road) -> FlaskClient:
    return road.client()
