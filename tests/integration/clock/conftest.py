"""A ledger with three types of events."""

from __future__ import annotations

import pytest

from tests.ledgers import Ledger


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(database)
    for name in ("a.a", "a.b", "a.c"):
        ledger.handler(name, print, bundle=1)
    return ledger
