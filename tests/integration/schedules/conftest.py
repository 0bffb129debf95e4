"""A ledger, an operator's client before it, and a clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.front import operator
from tests.integration.schedules.desk import Clock, Report
from tests.ledgers import Ledger
from workers import face


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)
    ledger.handler("a.tick", print, bundle=10)
    ledger.handler("a.alone", print, bundle=1)
    ledger.handler("a.slow", print, bundle=1, queue="slow", detached=True)
    ledger.handler("a.report", print, bundle=1, payload=Report, parse=face.parser(Report))
    yield ledger
    ledger.check()


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return operator(ledger, "ada")


@pytest.fixture
def clock(ledger: Ledger) -> Clock:
    return Clock(ledger)
