"""A run that shall end: by a cancel, or because its worker must go."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from service.application import lease
from service.domain import errors
from tests.integration.detached.runs import ASK_TO_STOP, Held, detached, effect, event, lose
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("call", ["progress", "check"])
def test_a_run_that_looks_is_cancelled_at_its_next_call(ledger: Ledger, call: str) -> None:
    undone = []

    def work(payload: Any, ctx: Any) -> None:
        effect(ctx)
        ledger.sql(ASK_TO_STOP)
        try:
            while True:
                ctx.progress(0.5) if call == "progress" else ctx.check()
                time.sleep(0.05)
        except errors.Cancelled:
            undone.append(ctx.cancelled)
            raise

    detached(ledger, work)
    ledger.post("a.b", 1)
    assert ledger.work()[0].words == {"cancelled": 1}
    assert undone == [True]
    assert (ledger.states(), ledger.balance(), ledger.tickets()) == ({"cancelled": 1}, 0, [])
    ledger.check()


def test_a_cancelled_run_that_fails_is_not_tried_again_and_one_that_succeeds_has_succeeded(ledger: Ledger) -> None:
    def work(payload: str, ctx: Any) -> None:
        ledger.sql(ASK_TO_STOP)
        if payload == "fails":
            raise RuntimeError

    detached(ledger, work)
    ledger.post("a.b", "fails", "succeeds")
    ledger.work()
    assert ledger.states() == {"cancelled": 1, "succeeded": 1}
    ledger.check()


def test_a_cancelled_run_whose_worker_was_lost_is_cancelled_by_whoever_takes_it_over(ledger: Ledger) -> None:
    detached(ledger, lambda payload, ctx: pytest.fail("it was run"))
    ledger.post("a.b", 1)
    lose(ledger)
    ledger.sql(ASK_TO_STOP)
    assert ledger.work()[0].words == {"cancelled": 1}
    assert ledger.states() == {"cancelled": 1}
    ledger.check()


@pytest.mark.parametrize("why", ["cancelled", "retiring"])
def test_a_run_that_does_not_look_is_ended_after_its_grace(
    held: Held, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a test the process is not killed: what would be left in the ledger is looked at."""
    ledger, ended = held.ledger, threading.Event()
    ledger.post("a.b", 1)
    monkeypatch.setattr(lease, "PARTS", 1_200)  # Its thread looks often, and long before its end.
    options: dict[str, Any] = {"end_process": ended.set, "grace": 0.3, "lease": 120.0}
    if why == "retiring":
        options["retiring"] = lambda: True
    end = held.run(ledger.tickets()[0], **options)
    begin = time.monotonic()
    if why == "cancelled":
        ledger.sql(ASK_TO_STOP)
    assert ended.wait(10 * PATIENCE)
    if why == "cancelled":
        assert time.monotonic() - begin >= 0.3
        assert (ledger.states(), ledger.tickets()) == ({"cancelled": 1}, [])
    else:
        assert event(ledger, "state", "attempt", "crashes") == ("pending", 0, 0)
        assert ledger.sql("select due_at <= clock_timestamp() from millrace.tickets") == [(True,)]
    ledger.check()
    end()  # Its outcome is refused.
    assert held.reports[0].words == {"skipped": 1}
    ledger.check()


def test_a_worker_that_must_end_gives_its_run_back(ledger: Ledger) -> None:
    def work(payload: Any, ctx: Any) -> None:
        raise SystemExit

    detached(ledger, work)
    ledger.post("a.b", 1)
    with pytest.raises(SystemExit):
        ledger.worker(leaving=lambda: True).execute(ledger.tickets()[0])
    assert event(ledger, "state", "attempt", "crashes") == ("pending", 0, 0)
    assert ledger.sql("select due_at <= clock_timestamp() from millrace.tickets") == [(True,)]
    ledger.check()


def test_a_cancelled_run_that_is_given_back_is_cancelled(ledger: Ledger) -> None:
    def work(payload: Any, ctx: Any) -> None:
        ledger.sql(ASK_TO_STOP)
        raise SystemExit

    detached(ledger, work)
    ledger.post("a.b", 1)
    with pytest.raises(SystemExit):
        ledger.worker(leaving=lambda: True).execute(ledger.tickets()[0])
    assert (ledger.states(), ledger.tickets()) == ({"cancelled": 1}, [])
    ledger.check()
