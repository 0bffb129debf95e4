"""Error budgets in the console: of success, and of starts that were late."""

from __future__ import annotations

from typing import Any

import pytest

from service.domain import budgets, objective
from service.ledger import watching
from service.ledger.spent import SpentLedger
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

PROMISE = objective.Objective(start="30s", p=0.9, success=0.5)


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(database)

    def work(payload: Any, ctx: Any) -> None:
        if payload == "fail":
            raise RuntimeError("no")

    for name, options in {"a.promised": {}, "a.detached": {"detached": True, "queue": "reports", "bundle": 1}}.items():
        ledger.handler(name, work, attempts=1, objective=PROMISE, **options)
    ledger.handler("a.plain", work, attempts=1)
    return ledger


def post(ledger: Ledger, type_name: str, *payloads: Any, waited: int) -> None:
    """Events that were accepted so many seconds ago, and are worked now."""
    found = ledger.post(type_name, *payloads)
    ledger.sql(
        "update millrace.events set accepted_at = accepted_at - make_interval(secs => %s) where id = any(%s::uuid[])",
        waited, found,
    )  # fmt: skip
    ledger.work()
    ledger.check()


def tallied(ledger: Ledger, type_name: str) -> dict[str, int]:
    rows = ledger.sql("select word, sum(n)::int from millrace.tallies where type = %s group by 1", type_name)
    return dict(rows)


def test_late_starts_are_counted_in_the_commit_of_their_outcome(ledger: Ledger) -> None:
    post(ledger, "a.promised", 1, 2, 3, waited=60)  # One transaction.
    post(ledger, "a.promised", 4, 5, waited=0)
    assert tallied(ledger, "a.promised") == {"accepted": 5, "done": 5, "late": 3}
    post(ledger, "a.promised", 6, "fail", 7, waited=60)  # Undone, and then one by one.
    assert tallied(ledger, "a.promised") == {"accepted": 8, "done": 7, "dead": 1, "late": 6}
    post(ledger, "a.detached", 1, waited=60)
    post(ledger, "a.detached", 2, waited=0)
    assert tallied(ledger, "a.detached") == {"accepted": 2, "done": 2, "late": 1}
    # It says nothing of queues: neither of their rate, nor of how far they were worked.
    assert ledger.sql("select distinct queue, mark, seconds from millrace.tallies where word = 'late'") == [
        (None, None, None)
    ]


def test_a_type_without_an_objective_is_not_looked_at(ledger: Ledger) -> None:
    post(ledger, "a.plain", 1, waited=3600)
    assert tallied(ledger, "a.plain") == {"accepted": 1, "done": 1}


def test_metrics_know_outcomes_only(ledger: Ledger) -> None:
    post(ledger, "a.promised", 1, waited=60)
    found = watching.LedgerWatch(ledger.engine).read_tallies()
    assert found == {("a.promised", "accepted"): 1, ("a.promised", "done"): 1}


def test_the_console_shows_what_is_left_of_both_promises(ledger: Ledger) -> None:
    post(ledger, "a.promised", *range(9), waited=0)
    post(ledger, "a.promised", "fail", waited=60)
    found = {b.what: b for b in budgets.reckon(ledger.registry, SpentLedger(ledger.engine).read().counts)
             if b.type == "a.promised"}  # fmt: skip
    assert {b.counted_text for b in found.values()} == {"10 events ended", "10 starts"}
    success, start = found["succeeds"], found["starts within 30 s"]
    assert (success.kept, success.promised, success.counted) == (0.9, 0.5, 10)
    assert success.left == pytest.approx(0.8)
    assert (start.kept, start.promised, start.counted) == (0.9, 0.9, 10)
    assert start.left == pytest.approx(0.0)
