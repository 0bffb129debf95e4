"""Runs of a detached handler: held in the middle, lost, and looked at."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy

from service.domain import backoff
from service.domain import ticket as tickets
from tests.ledgers import EFFECT, Ledger
from tests.patience import PATIENCE

SOON = backoff.Backoff(base=0.001, cap=0.001)
LATER = "update millrace.events set lease_until = clock_timestamp() - interval '1 second' where state = 'running'"
ASK_TO_STOP = "update millrace.events set cancel_at = clock_timestamp() where state = 'running'"


def detached(ledger: Ledger, function: Callable[..., Any], **options: Any) -> None:
    ledger.handler("a.b", function, **{"queue": "reports", "bundle": 1, "detached": True, "backoff": SOON} | options)


def effect(ctx: Any) -> None:
    ctx.session.execute(sqlalchemy.text(EFFECT))


class Held:
    """A handler that stands in mid-run until the test lets it go on."""

    def __init__(self, ledger: Ledger, then: Callable[[Any], Any] = lambda ctx: None, **options: Any) -> None:
        self.ledger = ledger
        self.then = then
        self.runs: list[int] = []  #: the attempts' numbers
        self.gates: list[threading.Event] = []
        self.inside = threading.Semaphore(0)
        self.reports: list[Any] = []
        detached(ledger, self._work, **options)

    def _work(self, payload: Any, ctx: Any) -> Any:
        gate = threading.Event()
        self.runs.append(ctx.attempt)
        self.gates.append(gate)
        self.inside.release()
        assert gate.wait(20 * PATIENCE)
        return self.then(ctx)

    def run(self, delivery: tickets.Delivery, **options: Any) -> Callable[[], None]:
        """Deliver to a worker of its own, and wait until the handler stands; what lets it go on to its end."""
        executor = self.ledger.worker(**options)
        thread = threading.Thread(target=lambda: self.reports.append(executor.execute(delivery)), daemon=True)
        thread.start()
        assert self.inside.acquire(timeout=10 * PATIENCE)
        gate = self.gates[-1]

        def end() -> None:
            gate.set()
            thread.join(20 * PATIENCE)
            assert not thread.is_alive()

        return end


def event(ledger: Ledger, *columns: str) -> Any:
    [row] = ledger.sql(f"select {', '.join(columns)} from millrace.events")
    return row if len(columns) > 1 else row[0]


def lose(ledger: Ledger) -> None:
    """A run begins, and its worker is lost: nobody renews its lease."""

    class Died(BaseException):
        pass

    executor = ledger.worker()
    executor._work_through = lambda *_: (_ for _ in ()).throw(Died)  # type: ignore[method-assign]
    [delivery] = ledger.tickets()
    with contextlib.suppress(Died):
        executor.execute(delivery)
    ledger.sql(LATER)
