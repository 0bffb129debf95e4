"""Nobody on the road waits for retention, and it waits for nobody for long."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from service.ledger import retention
from service.ledger.queries import Queries
from tests import days
from tests.integration.retention.parts import OLD, OLDER, clear, count
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres

#: Seconds for an event, posted and worked, on a machine that may stand still for some.
LONGEST = 0.8 + 2.0 * max(0.0, PATIENCE - 1)


@contextlib.contextmanager
def transaction(ledger: Ledger, statement: str, *values: Any) -> Iterator[None]:
    """Somebody's transaction that stays open for as long as the block lasts."""
    with contextlib.closing(psycopg2.connect(ledger.url)) as other:
        other.cursor().execute(statement, values)
        yield
        other.rollback()


@contextlib.contextmanager
def posts(ledger: Ledger) -> Iterator[list[float]]:
    """Events are posted and worked all the time; how many seconds each took."""
    took: list[float] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.01):
            begin = time.monotonic()
            ledger.post("a.b", 1)
            ledger.work()
            took.append(time.monotonic() - begin)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()


def test_beside_a_transaction_that_stays_open_the_road_goes_on_and_what_is_over_goes(ledger: Ledger) -> None:
    over = days.fill(ledger, OLD, 100, "succeeded")
    [letter] = days.fill(ledger, OLD, 1, "dead")
    [today] = ledger.post("a.b", 1)
    held = transaction(ledger, "select from millrace.events where id = %s for no key update", today)
    with held, posts(ledger) as took:
        assert clear(ledger) == {OLDER: "thinned", OLD: "thinned"}
        assert count(ledger, f"events_{OLD:%Y%m%d}") == 1
    assert max(took) < LONGEST, "somebody waited behind it"
    assert Queries(ledger.engine).find(over[0]) is None
    assert Queries(ledger.engine).find(letter) is not None
    with posts(ledger) as took:
        assert clear(ledger) == {OLDER: "removed", OLD: "removed"}
    assert max(took) < LONGEST
    ledger.check()


def test_beside_a_transaction_that_reads_everything_days_wait_and_the_road_does_not(ledger: Ledger) -> None:
    days.fill(ledger, OLD, 100, "succeeded")
    with transaction(ledger, "select count(*) from millrace.events"), posts(ledger) as took:
        assert clear(ledger) == {OLDER: "waits", OLD: "waits"}
    assert max(took) < LONGEST
    assert clear(ledger) == {OLDER: "removed", OLD: "removed"}


def test_a_lock_that_cannot_be_had_is_given_up(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it looked quiet."""
    monkeypatch.setattr(retention.Retention, "_is_quiet", lambda self: True)
    days.fill(ledger, OLD, 10, "succeeded")
    [today] = ledger.post("a.b", 1)
    with transaction(ledger, "select from millrace.events where id = %s", today), posts(ledger) as took:
        assert clear(ledger) == {OLDER: "thinned", OLD: "thinned"}
    assert max(took) < LONGEST
