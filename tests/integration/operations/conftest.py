"""A ledger that is in balance after whatever an operator did, and the operator's client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.front import operator
from tests.integration.operations.desk import Order, add, fail
from tests.ledgers import Ledger
from workers import face


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)
    ledger.handler("a.one", add, bundle=1)
    ledger.handler("a.many", add, bundle=10)
    ledger.handler("a.slow", add, bundle=1, queue="reports")
    ledger.handler("a.fails", fail, bundle=5, attempts=1)
    ledger.handler("a.order", fail, bundle=5, attempts=1, payload=Order, parse=face.parser(Order))
    yield ledger
    ledger.check()  # Whatever the operator did.


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return operator(ledger, "night-shift")
