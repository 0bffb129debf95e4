"""Events that were accepted before their handler became detached, or after it was."""

from __future__ import annotations

import dataclasses

import pytest

from tests.integration.detached.runs import ASK_TO_STOP, detached, effect, event, lose
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def test_a_bundle_from_before_its_handler_was_detached_is_taken_apart(ledger: Ledger) -> None:
    ledger.handler("a.b", lambda payload, ctx: None)
    ledger.post("a.b", 1, 2, 3)
    assert len(ledger.tickets()) == 1
    ledger.registry._handlers.clear()
    detached(ledger, lambda payload, ctx: None)
    assert ledger.work()[0].words == {"skipped": 3}
    assert [(len(t.event_ids), t.queue) for t in ledger.tickets()] == [(1, "reports")] * 3
    ledger.check()
    ledger.work()
    assert ledger.states() == {"succeeded": 3}


def test_a_tick_is_moved_to_the_handlers_own_queue(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: None)
    ledger.post("a.b", 1)
    [delivery] = ledger.tickets()
    assert ledger.executor.execute(dataclasses.replace(delivery, queue="periodic")).words == {"skipped": 1}
    assert event(ledger, "state", "attempt") == ("pending", 0)
    [moved] = ledger.tickets()
    assert (moved.queue, moved.ticket == delivery.ticket) == ("reports", False)
    ledger.work()
    assert ledger.states() == {"succeeded": 1}


def test_a_run_that_was_lost_before_its_handler_became_atomic_is_worked(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: None)
    ledger.post("a.b", 1)
    lose(ledger)
    ledger.registry._handlers.clear()
    ledger.handler("a.b", lambda payload, ctx: effect(ctx))
    assert ledger.work()[0].words == {"skipped": 1}
    ledger.check()
    assert ledger.work()[0].words == {"done": 1}
    assert event(ledger, "state", "attempt") == ("succeeded", 1)
    assert ledger.balance() == 1


def test_a_run_that_was_asked_to_stop_and_lost_before_its_handler_became_atomic_is_cancelled(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: None)
    ledger.post("a.b", 1)
    lose(ledger)
    ledger.sql(ASK_TO_STOP)
    ledger.registry._handlers.clear()
    ledger.handler("a.b", lambda payload, ctx: pytest.fail("it was run"))
    ledger.work()
    assert event(ledger, "state", "attempt", "lease_until", "finished_at is not null") == ("cancelled", 1, None, True)
    assert ledger.tickets() == []
    ledger.check()
