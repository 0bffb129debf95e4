"""What tests in one process with what they test bear: a machine that stands still for some seconds.

The process of a test may not be scheduled for a while, nor its PostgreSQL. Whoever looks from outside would find that
an orderly part of the road had frozen, and the limits that are there for this would end good work.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.application import execute
from service.ledger import engine as engines
from service.ledger import fence, intake, searching, transactions
from service.web import issuer
from tests.patience import PATIENCE

LONG = 30 * round(PATIENCE)  #: seconds


@pytest.fixture
def limits_of_production() -> None:
    """For a test that is about one of them: all are what they are."""


@pytest.fixture
def patience_for_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants a lock that others have at the same moment, gets it in the end."""
    monkeypatch.setattr(transactions, "LIMITS", _replaced(transactions.LIMITS, "lock_timeout = '2s'"))


@pytest.fixture(autouse=True)
def unhurried(request: pytest.FixtureRequest) -> Iterator[None]:
    """No limit on how long a part of the road may stand still, but where a test is about one."""
    if "limits_of_production" in request.fixturenames:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "CUT", float(LONG))  # Else a bundle would come to its end in parts.
        patch.setattr(fence, "FENCE", _replaced(fence.FENCE, "timeout = '1500ms'"))
        patch.setattr(intake, "BEGIN", _replaced(intake.BEGIN, "timeout = '2s'"))
        patch.setattr(searching, "SECONDS", float(LONG))
        patch.setattr(issuer, "STEP", float(LONG))
        patch.setattr(issuer, "TIMEOUT", float(LONG))
        patch.setitem(engines.Engine.__init__.__kwdefaults__, "connect", LONG)
        yield


def _replaced(text: str, limit: str) -> str:
    """A statement with this limit made long."""
    assert limit in text, text
    return text.replace(limit, f"{limit.partition('=')[0]}= '{LONG}s'")
