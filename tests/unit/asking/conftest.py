"""Settings with a secret and loopback, and a receiver of requests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service import settings
from tests.receiver import Receiver, receiving
from tests.unit.asking.ask import LOOPBACK, SECRET
from workers.http import handlers


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings.Settings(request_networks=LOOPBACK, webhook_secrets=(SECRET,), request_keep=1000)
    monkeypatch.setattr(handlers, "configured", lambda: found)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found
