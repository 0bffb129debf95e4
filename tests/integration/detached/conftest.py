"""A ledger, and a detached handler on it that stands until it is let go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.detached.runs import Held
from tests.ledgers import Ledger


@pytest.fixture
def ledger(database: str) -> Ledger:
    return Ledger(database)


@pytest.fixture
def held(ledger: Ledger) -> Iterator[Held]:
    found = Held(ledger)
    yield found
    for gate in found.gates:
        gate.set()
