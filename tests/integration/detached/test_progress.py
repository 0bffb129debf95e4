"""What a run says of its progress."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.application import lease
from service.ledger.queries import Queries
from tests.integration.detached.runs import Held, detached, event
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def test_progress_is_shown_and_stored_at_most_once_a_second(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "ASK", 60.0)  # However long a hundred calls take.
    queries = Queries(ledger.engine)
    seen = []

    def work(payload: Any, ctx: Any) -> None:
        for number in range(100):
            ctx.progress(number / 100, f"part {number}\0")
        found = queries.find(ctx.event.id)
        assert found is not None
        seen.append(found["progress"])

    detached(ledger, work)
    [event_id] = ledger.post("a.b", 1)
    ledger.work()
    assert json.loads(seen[0])["message"] == "part 0�"  # The first was stored; the others waited.
    progress = event(ledger, "progress")
    assert (progress["fraction"], progress["message"]) == (0.99, "part 99�")  # The last was not lost.
    assert set(progress) == {"fraction", "message", "at"}
    assert event(ledger, "id::text") == event_id


def test_the_last_progress_is_stored_by_the_thread_when_the_handler_is_silent(held: Held) -> None:
    ledger = held.ledger

    def then(ctx: Any) -> None:
        ctx.progress(0.1)
        ctx.progress(0.2, "reading")
        ledger.until(lambda: (event(ledger, "progress") or {}).get("message") == "reading")

    held.then = then
    ledger.post("a.b", 1)
    held.run(ledger.tickets()[0], lease=600.0)()
    assert ledger.states() == {"succeeded": 1}


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_progress_that_is_no_fraction_is_refused(ledger: Ledger, wrong: float) -> None:
    detached(ledger, lambda payload, ctx: ctx.progress(wrong), attempts=1)
    ledger.post("a.b", 1)
    ledger.work()
    assert ledger.sql("select error from millrace.attempts") == [("ValueError",)]
