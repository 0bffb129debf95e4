"""A ledger with two types of events, and a client at its door."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from service.domain import errors
from tests.front import Front
from tests.ledgers import Ledger


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(database)
    ledger.handler("a.b", lambda payload, ctx: payload, bundle=10)
    ledger.handler("a.int", lambda payload, ctx: None, parse=_an_integer)
    return ledger


def _an_integer(payload: Any) -> int:
    if not isinstance(payload, int):
        raise errors.InvalidEvent([errors.Fault("", "an integer is wanted")])
    return payload


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return Front(ledger).client()
