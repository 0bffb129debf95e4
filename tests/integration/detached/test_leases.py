"""A run under a lease: noted, renewed, lost, taken over, and told so."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest
import sqlalchemy

from service.application import execute, lease
from service.domain import errors, outcome
from service.ledger import work as work_ledger
from tests.integration.detached.runs import LATER, Held, detached, event, lose
from tests.ledgers import EFFECT, Ledger
from tests.patience import PATIENCE, within

pytestmark = pytest.mark.postgres


def test_a_run_is_committed_as_running_with_a_ticket_that_is_due_when_its_lease_ends(held: Held) -> None:
    ledger = held.ledger
    ledger.post("a.b", 1)
    [first] = ledger.tickets()
    end = held.run(first, lease=60.0)
    assert event(ledger, "state", "attempt") == ("running", 1)
    assert event(ledger, "lease_until - clock_timestamp() between interval '50 s' and interval '60 s'")
    rows = ledger.sql(
        "select t.id::text, t.due_at = e.lease_until, t.published_at, t.queue, t.routing_key"
        " from millrace.tickets t join millrace.events e on t.id = e.ticket_id"
    )
    assert [row[1:] for row in rows] == [(True, None, "reports", "reports.a.b")]
    assert rows[0][0] != first.ticket
    ledger.check()
    end()
    assert event(ledger, "state", "attempt", "lease_until") == ("succeeded", 1, None)
    assert ledger.tickets() == []
    assert held.reports[0].words == {"done": 1}
    ledger.check()


def test_a_run_holds_no_transaction(held: Held) -> None:
    held.ledger.post("a.b", 1)
    end = held.run(held.ledger.tickets()[0])
    # The intake, which marks what it has published, and the lease have theirs for a moment.
    open_ones = "select 1 from pg_stat_activity where datname = current_database() and state like 'idle in%'"
    held.ledger.until(lambda: not held.ledger.sql(open_ones))
    end()


def test_a_lease_and_its_ticket_are_renewed(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PARTS", 600)  # Often, and long before its end.
    ledger = held.ledger
    ledger.post("a.b", 1)
    end = held.run(ledger.tickets()[0], lease=120.0)
    first = event(ledger, "lease_until")
    ledger.until(lambda: event(ledger, "lease_until") - first > datetime.timedelta(seconds=0.5))
    assert ledger.sql("select bool_and(t.due_at = e.lease_until) from millrace.tickets t, millrace.events e") == [
        (True,)
    ]
    end()
    assert ledger.states() == {"succeeded": 1}


@pytest.mark.parametrize("which", ["the first ticket", "the ticket of the run"])
def test_a_delivery_that_finds_a_live_lease_does_nothing(held: Held, which: str) -> None:
    ledger = held.ledger
    ledger.post("a.b", 1)
    [first], [copy] = ledger.tickets(), ledger.tickets()  # It is delivered twice.
    end = held.run(first, lease=60.0)
    [second] = ledger.tickets()
    again = ledger.worker().execute(copy if which == "the first ticket" else second)
    assert again.words == {"skipped": 1}
    assert event(ledger, "state", "attempt", "crashes") == ("running", 1, 0)
    rows = ledger.sql("select t.due_at >= e.lease_until, t.published_at from millrace.tickets t, millrace.events e")
    assert rows == [(True, None)]
    end()
    assert (held.runs, ledger.states()) == ([1], {"succeeded": 1})


@pytest.mark.fault(24)
def test_a_lost_run_is_taken_over_as_a_crash_and_not_as_an_attempt(ledger: Ledger) -> None:
    seen = []

    def work(payload: Any, ctx: Any) -> None:
        seen.append((ctx.attempt, ctx.event.crashes, ctx.idempotency_key))

    detached(ledger, work, attempts=1)
    [event_id] = ledger.post("a.b", 1)
    lose(ledger)
    [report] = ledger.work()
    assert report.words == {"done": 1}
    assert seen == [(1, 1, event_id)]
    assert event(ledger, "state", "attempt", "crashes") == ("succeeded", 1, 0)
    ledger.check()


@pytest.mark.fault(29)
def test_an_event_that_loses_its_worker_again_and_again_is_a_dead_letter(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: None)
    ledger.post("a.b", 1)
    for crashes in range(execute.CRASHES + 1):
        lose(ledger)
        assert event(ledger, "state", "attempt", "crashes") == ("running", 1, crashes)
        ledger.check()
    [report] = ledger.work()
    assert report.words == {"dead": 1}
    assert event(ledger, "state", "attempt") == ("dead", 0)
    assert ledger.sql("select reason from millrace.dead") == [("worker_lost",)]
    assert ledger.tickets() == []
    ledger.check()


@pytest.mark.parametrize("what", ["returns", "raises", "answers", "commits"])
def test_what_a_run_says_after_another_took_over_changes_nothing(ledger: Ledger, what: str) -> None:
    def then(ctx: Any) -> Any:
        if what == "raises":
            raise RuntimeError
        if what == "commits":
            ctx.session.execute(sqlalchemy.text(EFFECT))
        return outcome.Discard("from a zombie") if what == "answers" else "from a zombie"

    held = Held(ledger, then)
    ledger.post("a.b", 1)
    end_zombie = held.run(ledger.tickets()[0], lease=3600.0)  # It renews nothing, as a process that is stopped.
    ledger.sql(LATER)
    end_heir = held.run(ledger.tickets()[0], lease=3600.0)
    before = event(ledger, "state", "attempt", "crashes", "ticket_id", "lease_until")
    assert before[:3] == ("running", 1, 1)
    end_zombie()
    assert event(ledger, "state", "attempt", "crashes", "ticket_id", "lease_until") == before
    held.then = lambda ctx: None
    end_heir()
    assert [r.words for r in held.reports] == [{"skipped": 1}, {"done": 1}]
    assert event(ledger, "state", "attempt", "result") == ("succeeded", 1, None)
    assert ledger.balance() == 0
    assert ledger.sql("select count(*) from millrace.attempts") == [(0,)]
    ledger.check()


@pytest.mark.parametrize("call", ["session", "progress", "check"])
def test_a_run_that_lost_its_lease_is_told_at_its_next_call(ledger: Ledger, call: str) -> None:
    told = []

    def work(payload: Any, ctx: Any) -> None:
        ledger.sql("update millrace.events set ticket_id = gen_random_uuid()")
        calls = {"session": lambda: ctx.session, "progress": lambda: ctx.progress(0.5), "check": ctx.check}
        with pytest.raises(errors.LeaseLost) as caught:
            calls[call]()
        told.append(call)
        raise caught.value

    detached(ledger, work)
    ledger.post("a.b", 1)
    [report] = ledger.work()
    assert told == [call]
    assert report.words == {"skipped": 1}
    assert ledger.states() == {"running": 1}


def test_a_lease_that_ended_while_nobody_could_be_asked_is_lost(ledger: Ledger) -> None:
    executor = ledger.worker(lease=1.0 * PATIENCE)

    def away(*_: Any) -> Any:
        raise errors.LedgerUnavailable

    def work(payload: Any, ctx: Any) -> None:
        ctx.check()
        executor._leases.renew = away  # type: ignore[method-assign]
        deadline = time.monotonic() + 20 * PATIENCE
        while time.monotonic() < deadline:
            ctx.check()
            time.sleep(0.05)

    detached(ledger, work)
    ledger.post("a.b", 1)
    begin = time.monotonic()
    with within(5):
        assert executor.execute(ledger.tickets()[0]).words == {"skipped": 1}
    assert time.monotonic() - begin > 0.9 * PATIENCE


def test_an_event_whose_row_is_locked_is_looked_at_again_soon(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: None)
    ledger.post("a.b", 1)
    [delivery] = ledger.tickets()
    with ledger.engine.get().begin() as connection:
        connection.exec_driver_sql("select from millrace.events for no key update")
        [(before,)] = ledger.sql("select clock_timestamp()")
        assert ledger.executor.execute(delivery).words == {"skipped": 1}
    [(after_it, left)] = ledger.sql("select due_at - %s, due_at - clock_timestamp() from millrace.tickets", before)
    assert left <= datetime.timedelta(seconds=work_ledger.LOCKED_ELSEWHERE) <= after_it
    ledger.work()
    assert ledger.states() == {"succeeded": 1}
