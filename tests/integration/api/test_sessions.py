"""The session of a view: closed with the request, whatever became of it."""

from __future__ import annotations

import pytest

from tests.integration.api.doors import Api

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    ("then", "status", "balance"),
    [("commit", 200, 1), ("return", 200, 0), ("abort", 409, 0), ("fail", 500, 0), ("break", 500, 0), ("again", 200, 1)],
)
def test_a_session_is_closed_and_what_was_not_committed_is_undone(
    shared: Api, then: str, status: int, balance: int
) -> None:
    for _ in range(shared.engine.size + 1):  # One more than there are connections.
        shared.ledger.sql("update account set balance = 0")
        assert shared.client.get(f"/use/{then}").status_code == status
        shared.assert_at_rest()
        assert shared.ledger.balance() == balance
