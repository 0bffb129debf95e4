"""The commit that began a run came through, and its answer did not: the run is known when its delivery comes again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from service.domain import errors
from service.domain import ticket as tickets
from service.ledger import leases
from tests.integration.detached.runs import ASK_TO_STOP, LATER, detached, event, lose
from tests.ledgers import Ledger

pytestmark = [pytest.mark.postgres, pytest.mark.fault(22)]


@pytest.fixture
def seen(ledger: Ledger) -> list[tuple[int, int, bool]]:
    """(attempt, crashes, whether its lease holds) of each run."""
    found: list[tuple[int, int, bool]] = []

    def work(payload: Any, ctx: Any) -> None:
        [(holds,)] = ledger.sql("select lease_until > clock_timestamp() from millrace.events")
        found.append((ctx.attempt, ctx.event.crashes, holds))

    detached(ledger, work, attempts=1)
    ledger.post("a.b", 1)
    return found


@pytest.fixture
def begun(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tickets.Delivery]:
    """Begins the run of the only ticket, and loses the answer; the delivery, as its worker still has it."""

    def begin() -> tickets.Delivery:
        real = leases.LeaseWork.commit

        def commit(work: leases.LeaseWork) -> None:
            real(work)
            raise errors.LedgerUnavailable("its answer was lost")

        [delivery] = ledger.tickets()
        with monkeypatch.context() as patched:
            patched.setattr(leases.LeaseWork, "commit", commit)
            with pytest.raises(errors.LedgerUnavailable):
                ledger.executor.execute(delivery)
        assert event(ledger, "state", "attempt") == ("running", 1)
        return delivery

    return begin


@pytest.mark.parametrize("lost", [0, 1], ids=["the first run", "one that takes over"])
@pytest.mark.parametrize("late", [False, True], ids=["soon", "after its lease"])
def test_it_is_run_and_costs_neither_an_attempt_nor_a_crash(
    ledger: Ledger, seen: list[Any], begun: Callable[[], tickets.Delivery], lost: int, late: bool
) -> None:
    if lost:
        lose(ledger)
    delivery = begun()
    if late:
        ledger.sql(LATER)
    assert ledger.executor.execute(delivery).words == {"done": 1}
    assert seen == [(1, lost, True)]
    assert event(ledger, "state", "attempt") == ("succeeded", 1)
    assert ledger.tickets() == []
    ledger.check()


def test_it_is_nobody_elses(ledger: Ledger, seen: list[Any], begun: Callable[[], tickets.Delivery]) -> None:
    """Neither who gets the same message, nor its own delivery once another has taken the event over."""
    delivery = begun()
    [ticket] = ledger.tickets()
    for other in (dataclasses.replace(delivery, begun={}), ticket):
        assert ledger.worker().execute(other).words == {"skipped": 1}
    assert seen == []
    ledger.sql(LATER)
    lose(ledger)
    assert ledger.executor.execute(delivery).words == {"skipped": 1}
    assert event(ledger, "state", "attempt", "crashes") == ("running", 1, 1)
    ledger.check()


def test_one_that_was_asked_to_stop_meanwhile_is_cancelled(
    ledger: Ledger, seen: list[Any], begun: Callable[[], tickets.Delivery]
) -> None:
    delivery = begun()
    ledger.sql(ASK_TO_STOP)
    assert ledger.executor.execute(delivery).words == {"cancelled": 1}
    assert seen == []
    assert (ledger.states(), ledger.tickets()) == ({"cancelled": 1}, [])
    ledger.check()
