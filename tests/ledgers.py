"""Helpers for tests that work on a real ledger without processes or a broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import psycopg2

from service.application.accept import Intake
from service.application.detached import Executor
from service.application.execute import Report
from service.application.publish import Publisher
from service.bootstrap import hands
from service.domain import event, handlers
from service.domain import ticket as tickets
from service.ledger import balance
from service.ledger import engine as engines
from service.ledger.intake import IntakeLedger
from service.ledger.leases import LeaseLedger
from service.ledger.release import ReleaseLedger
from service.ledger.work import WorkLedger
from tests.patience import PATIENCE, wait

#: Effects that nothing but the road can make happen once.
TABLES = """
create table account (balance bigint not null);
insert into account values (0);
create table effects (event_id uuid);
"""
EFFECT = "update account set balance = balance + 1"


_standing: list[Ledger] = []


def close_all() -> None:
    """End the threads and connections of all ledgers; a run of tests makes hundreds."""
    while _standing:
        _standing.pop().close()


class SilentBroker:
    """A broker that takes everything and delivers nothing: the test delivers by itself."""

    def __init__(self) -> None:
        self.published: list[tickets.Ticket] = []

    def publish(self, batch: Sequence[tickets.Ticket], timeout: float) -> set[str]:
        self.published += batch
        return {t.id for t in batch}

    def tick(self) -> None: ...
    def drop(self) -> None: ...
    def ready(self, queue: str) -> int:
        return 0

    def resting(self) -> frozenset[str]:
        return frozenset()


class Ledger:
    """A road without wheels: real accept and execute on a real PostgreSQL, joined by the test."""

    def __init__(self, url: str, *, deadline: float = 10.0 * PATIENCE) -> None:
        self.url = url
        self._closed = False
        self.registry = handlers.Registry()
        self.broker = SilentBroker()
        self.engine = engines.Engine(url, size=4, pipelined=True)
        intake = IntakeLedger(engines.Engine(url), patience=300.0, window=20_000, limit=2 * deadline)
        self.publisher = Publisher(lambda: self.broker)
        self.intake = Intake(intake, self.publisher, self.registry, deadline=deadline, head_start=2.0)
        self.executor = self.worker()
        self.sql(TABLES)
        _standing.append(self)

    def worker(self, *, lease: float = 120.0, grace: float = 20.0, url: str = "", **options: Any) -> Executor:
        """An executor, as a process of a worker has it; ``url``: by which a detached handler's reaches its ledger."""
        engine = hands.lease_engine_of(url or self.url, lease)
        engine.size = 2
        handlers = engines.Engine(url, pipelined=True) if url else self.engine
        leases = LeaseLedger(engine, handlers, worker="test", lease=lease, grace=grace)
        work = WorkLedger(self.engine, worker="test")
        options = {"limits": (20.0, 30.0), "retiring": lambda: self._closed} | options
        return Executor(work, self.registry, leases=leases, lease=lease, **options)

    def handler(self, type_name: str, function: Callable[..., Any], **options: Any) -> None:
        self.registry.add(handlers.Handler(type_name, function, **{"bundle": 50} | options))

    def post(self, type_name: str, *payloads: Any, **fields: Any) -> list[str]:
        new = [event.NewEvent(type=type_name, payload=json.dumps(p), **fields) for p in payloads]
        return [a.id for a in self.intake.submit(new)]

    def tickets(self) -> list[tickets.Delivery]:
        """All tickets of the ledger, as a worker would receive them."""
        rows = self.sql(
            "select id::text, type, queue, event_ids::text[], careful, clock_timestamp() from millrace.tickets"
            " order by id"
        )
        return [tickets.Delivery(r[0], r[1], r[2], tuple(r[3]), r[4], r[5]) for r in rows]

    def work(self) -> list[Report]:
        """Deliver every ticket once."""
        return [self.executor.execute(delivery) for delivery in self.tickets()]

    def until(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Wait for a condition; fails after ``within`` seconds."""
        wait(condition, within, "what the test waits for", step=0.01)

    def states(self) -> dict[str, int]:
        return dict(self.sql("select state, count(*) from millrace.events group by 1"))

    def balance(self) -> int:
        return int(self.sql("select balance from account")[0][0])

    def check(self) -> None:
        """Every open event has a ticket, and the tallies agree with the table."""
        found = balance.count(self.engine)
        assert found.without_ticket == 0
        assert found.tallied == found.open

    def close(self) -> None:
        """End its threads and connections."""
        self._closed = True
        self.intake.close()
        self.engine.dispose()

    def sql(self, statement: str, *values: Any) -> list[Any]:
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


def all_out(ledger: Ledger) -> None:
    """Every ticket was published, and that is noted."""
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))


def due_now(ledger: Ledger) -> None:
    """As when the process that accepted them died before it published."""
    all_out(ledger)
    ledger.sql("update millrace.tickets set due_at = now() - interval '1 s', published_at = null, publishes = 0")


def a_release(ledger: Ledger, **options: Any) -> ReleaseLedger:
    """What a clock asks for tickets that are due."""
    return ReleaseLedger(ledger.engine, **({"patience": 300.0, "window": 20_000, "forgetful": False} | options))
