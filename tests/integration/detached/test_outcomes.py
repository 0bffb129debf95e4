"""What becomes of a run: its words, its attempts, and faults around its last commit."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy

from service.domain import errors, outcome
from service.ledger import leases
from tests.integration.detached.runs import detached, effect, event
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def test_what_was_not_committed_is_committed_with_the_outcome(ledger: Ledger) -> None:
    def work(payload: str, ctx: Any) -> str:
        effect(ctx)
        ctx.session.commit()
        effect(ctx)
        if payload == "fails":
            raise RuntimeError
        return "ok"

    detached(ledger, work, attempts=1)
    ledger.post("a.b", "works", "fails")
    ledger.work()
    assert ledger.balance() == 3
    assert ledger.states() == {"succeeded": 1, "dead": 1}


def test_a_fault_that_shows_at_the_last_commit_is_a_failed_attempt(ledger: Ledger) -> None:
    ledger.sql("create table once (n int unique deferrable initially deferred); insert into once values (1)")

    def work(payload: int, ctx: Any) -> None:
        ctx.session.execute(sqlalchemy.text("insert into once values (1)"))

    detached(ledger, work, attempts=1)
    ledger.post("a.b", 1)
    assert ledger.work()[0].words == {"dead": 1}
    assert ledger.sql("select error from millrace.attempts") == [("IntegrityError",)]
    ledger.check()


def test_a_detached_handler_answers_in_words(ledger: Ledger) -> None:
    answers: dict[str, Any] = {
        "retry": outcome.Retry(after=50), "discard": outcome.Discard("no"), "snooze": outcome.Snooze(seconds=60),
        "nothing": None,
    }  # fmt: skip
    detached(ledger, lambda payload, ctx: answers[payload])
    ledger.post("a.b", *answers)
    words = [word for report in ledger.work() for word in report.words]
    assert sorted(words) == ["dead", "done", "retry", "snoozed"]
    rows = ledger.sql("select payload #>> '{}', state, attempt, lease_until from millrace.events order by 1")
    assert rows == [
        ("discard", "dead", 1, None), ("nothing", "succeeded", 1, None), ("retry", "pending", 1, None),
        ("snooze", "pending", 0, None),
    ]  # fmt: skip
    assert len(ledger.tickets()) == 2
    ledger.check()


def test_attempts_are_counted_and_the_last_makes_a_dead_letter(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: 1 / 0, attempts=2)
    ledger.post("a.b", 1)
    assert [ledger.work()[0].words for _ in range(2)] == [{"retry": 1}, {"dead": 1}]
    assert ledger.sql("select attempt, error from millrace.attempts order by 1") == [
        (1, "ZeroDivisionError"), (2, "ZeroDivisionError"),
    ]  # fmt: skip
    assert event(ledger, "attempt") == 2
    ledger.check()


def test_an_event_that_expired_is_not_run(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: pytest.fail("it was run"))
    ledger.post("a.b", 1)
    ledger.sql("update millrace.events set expires_at = now()")
    assert ledger.work()[0].words == {"expired": 1}
    assert (ledger.states(), ledger.tickets()) == ({"expired": 1}, [])
    ledger.check()


def test_a_ledger_that_goes_away_in_the_middle_costs_no_attempt(ledger: Ledger) -> None:
    def work(payload: Any, ctx: Any) -> None:
        pid = ctx.session.execute(sqlalchemy.text("select pg_backend_pid()")).scalar_one()
        ledger.sql("select pg_terminate_backend(%s)", pid)
        effect(ctx)

    detached(ledger, work, attempts=1)
    ledger.post("a.b", 1)
    assert ledger.work()[0].words == {"skipped": 1}
    assert event(ledger, "state", "attempt", "crashes") == ("pending", 0, 0)
    ledger.check()


def test_a_transaction_that_its_handler_left_open_for_too_long_is_a_failed_attempt(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "IDLE", 0.05)

    def work(payload: Any, ctx: Any) -> None:
        effect(ctx)
        time.sleep(0.5)
        effect(ctx)

    detached(ledger, work, attempts=1)
    ledger.post("a.b", 1)
    assert ledger.work()[0].words == {"dead": 1}


def test_an_outcome_waits_for_the_ledger(ledger: Ledger) -> None:
    executor = ledger.worker()
    real, tries = executor._leases.work, []

    def away(*given: Any) -> Any:
        tries.append(given)
        if len(tries) < 3:
            raise errors.LedgerUnavailable
        return real(*given)

    def work(payload: Any, ctx: Any) -> str:
        effect(ctx)
        ctx.session.commit()
        executor._leases.work = away  # type: ignore[method-assign]
        return "hours of work"

    detached(ledger, work)
    ledger.post("a.b", 1)
    assert executor.execute(ledger.tickets()[0]).words == {"done": 1}
    assert (event(ledger, "result"), ledger.balance(), len(tries)) == ("hours of work", 1, 3)


def test_a_result_that_the_ledger_refuses_is_a_failed_attempt(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: "\0", attempts=1)
    ledger.post("a.b", 1)
    assert ledger.work()[0].words == {"dead": 1}
    assert ledger.sql("select count(*) from millrace.attempts") == [(1,)]
    ledger.check()
