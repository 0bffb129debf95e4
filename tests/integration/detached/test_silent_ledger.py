"""A ledger that is there and silent: a run under a lease ends when that has ended, and waits for nobody without end."""

from __future__ import annotations

import threading
import time
import urllib.parse
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy

from service.application.detached import Executor
from service.application.execute import Report
from service.application.lease import TRIES, Lease
from service.domain import errors
from tests.faults.proxy import CLEAR, Proxy, Weather
from tests.integration.detached.runs import detached, effect, event
from tests.ledgers import Ledger
from tests.patience import PATIENCE, wait

pytestmark = [pytest.mark.postgres, pytest.mark.fault(20), pytest.mark.usefixtures("limits_of_production")]

LEASE = 2.0 * PATIENCE  #: seconds
SOON = 15.0  #: seconds from the silence to the end of what waits: the lease, a try to renew it, a try to connect


@pytest.fixture
def line(ledger: Ledger) -> Iterator[Proxy]:
    """All that a detached handler's worker says to its ledger passes here."""
    found = Proxy(urllib.parse.urlsplit(ledger.url).port or 0).start()
    yield found
    found.stop()


@pytest.fixture
def executor(ledger: Ledger, line: Proxy) -> Executor:
    """A worker behind the line."""
    return ledger.worker(lease=LEASE, url=line.instead_of(ledger.url))


class Working:
    """The only ticket, delivered to a worker in a thread."""

    def __init__(self, ledger: Ledger, executor: Executor) -> None:
        self.reports: list[Report] = []
        self.raised: list[Exception] = []
        self._executor = executor
        [self._delivery] = ledger.tickets()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self.reports.append(self._executor.execute(self._delivery))
        except Exception as error:
            self.raised.append(error)

    def end(self) -> None:
        """Wait until it is done."""
        wait(lambda: not self._thread.is_alive(), SOON, "the worker has ended with it")


def silence(line: Proxy) -> None:
    """From now on the ledger does not answer."""
    line.weather = Weather(lost=True)


def test_a_handler_that_looks_is_told_that_its_lease_has_ended(ledger: Ledger, line: Proxy, executor: Executor) -> None:
    told: list[float] = []

    def work(payload: Any, ctx: Any) -> None:
        ctx.check()
        silence(line)
        begin = time.monotonic()
        try:
            while True:
                ctx.check()
                time.sleep(0.05)
        except errors.LeaseLost:
            told.append(time.monotonic() - begin)
            raise

    detached(ledger, work)
    ledger.post("a.b", 1)
    working = Working(ledger, executor)
    working.end()
    assert told
    assert line.weather != CLEAR
    assert working.reports[0].words == {"skipped": 1}
    assert event(ledger, "state", "attempt", "crashes") == ("running", 1, 0)  # It is for whoever takes it over.


@pytest.mark.parametrize(
    ("at", "word"),
    [
        ("a statement", "skipped"),
        pytest.param("what it undoes", "retry", marks=pytest.mark.heavy),
        pytest.param("the last commit", "skipped", marks=pytest.mark.heavy),
    ],
)
def test_what_a_run_waits_for_is_broken_when_its_lease_has_ended(
    ledger: Ledger, line: Proxy, executor: Executor, caplog: pytest.LogCaptureFixture, at: str, word: str
) -> None:
    """Where the ledger is to blame, the event is as if the run had not begun."""

    runs = []

    def work(payload: Any, ctx: Any) -> None:
        effect(ctx)
        runs.append(ctx.attempt)
        if len(runs) > 1:
            return
        silence(line)
        if at == "a statement":
            effect(ctx)
        elif at == "what it undoes":
            raise RuntimeError

    detached(ledger, work, attempts=2)
    ledger.post("a.b", 1)
    working = Working(ledger, executor)
    wait(lambda: "An outcome waits for the ledger" in caplog.text, SOON, "it waits for nothing but the ledger's return")
    assert line.weather != CLEAR
    line.heal()
    working.end()
    assert working.reports[0].words == {word: 1}
    assert event(ledger, "state", "attempt", "crashes") == ("pending", int(word == "retry"), 0)
    assert ledger.balance() == 0
    ledger.check()
    assert executor.execute(ledger.tickets()[0]).words == {"done": 1}
    assert ledger.balance() == 1


def test_a_claim_is_given_up_in_time(ledger: Ledger, line: Proxy, executor: Executor) -> None:
    detached(ledger, lambda payload, ctx: None)
    ledger.post("a.b", 1)
    Working(ledger, executor).end()  # It has a connection now.
    ledger.post("a.b", 2)
    silence(line)
    working = Working(ledger, executor)
    working.end()
    assert isinstance(working.raised[0], sqlalchemy.exc.OperationalError)


def test_a_run_that_could_not_renew_its_lease_has_time_for_its_last_commit_all_the_same() -> None:
    """As one of C code that lets no other thread run: nobody may have taken it over."""
    broken: list[float] = []
    run = SimpleNamespace(event=SimpleNamespace(id="x"))
    lease = Lease(
        ledger=None, run=run, seconds=LEASE, since=time.monotonic() - 2 * LEASE, end=None, leaving=lambda: False,
        hang_up=lambda: broken.append(time.monotonic()),
    )  # fmt: skip
    lease.stop()
    stopped = time.monotonic()
    with lease:
        wait(lambda: broken, SOON, "its last commit is given up")
    assert broken[0] - stopped >= LEASE / TRIES
