"""A ledger that the tests of a file share, each of which finds it empty; a door on it; and an issuer of tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.application.buckets import Buckets
from tests import issuer as issuers
from tests.entrance import CLEAR, Entrance
from tests.ledgers import Ledger


@pytest.fixture(scope="module")
def one_ledger(shared_database: str) -> Ledger:
    ledger = Ledger(shared_database)
    ledger.handler("orders.created", print)
    ledger.handler("other", print)
    return ledger


@pytest.fixture
def ledger(one_ledger: Ledger) -> Ledger:
    one_ledger.sql(CLEAR)
    return one_ledger


@pytest.fixture(autouse=True)
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bucket of a rate limit fills up again while a test is at it."""
    monkeypatch.setitem(Buckets.__init__.__kwdefaults__, "now", lambda: 0.0)


@pytest.fixture
def issuer() -> Iterator[issuers.Issuer]:
    with issuers.issuer() as found:
        yield found


@pytest.fixture
def entrance(ledger: Ledger) -> Entrance:
    """A door with access on, and a key for each role."""
    return Entrance(ledger)
