"""A ledger with two days that are over and one that is not."""

from __future__ import annotations

import pytest

from service.ledger import retention
from tests import days
from tests.integration.retention.parts import OLD, OLDER, YOUNG
from tests.ledgers import Ledger


@pytest.fixture
def ledger(database: str) -> Ledger:
    found = Ledger(database)
    found.handler("a.old", lambda payload, ctx: None)
    found.handler("a.b", lambda payload, ctx: None)
    for day in (OLD, OLDER, YOUNG):
        days.make(found, day)
    return found


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few looks for a quiet moment."""
    monkeypatch.setattr(retention, "LOOKS", 3)
