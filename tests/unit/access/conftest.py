"""A ring of keys, its ledger and its clock."""

from __future__ import annotations

import pytest

from service.application import credentials as application
from tests.unit.access.parts import PEPPERS, Keys, Time


@pytest.fixture
def ledger() -> Keys:
    return Keys()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def ring(ledger: Keys, time: Time) -> application.Keyring:
    return application.Keyring(ledger, PEPPERS, now=time)
