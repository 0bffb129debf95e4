"""Every fault that PostgreSQL has, or that the way there has, is told by its kind, also where it is waited out."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import exc

from service import signals
from service.domain import errors
from service.domain.faults import Fault
from service.ledger import engine as engines
from service.ledger import fence, transactions
from service.local import ports
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres


@pytest.fixture
def told() -> Iterator[Counter[Fault]]:
    found: Counter[Fault] = Counter()

    def note(_: Any, fault: Fault) -> None:
        if not threading.current_thread().name.startswith("millrace-"):  # Of a ledger of another test.
            found[fault] += 1

    with signals.ledger_failed.connected_to(note):
        yield found


@pytest.fixture
def engine(database: str) -> Iterator[engines.Engine]:
    found = engines.Engine(database, wait=0.2)
    yield found
    found.dispose()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("insert into millrace.queues (name) values ('a'), ('a')", Fault.INTEGRITY),
        ("select 'x'::int", Fault.DATA),
        ("set transaction read only; delete from millrace.queues", Fault.READ_ONLY),
        ("set local statement_timeout = '5ms'; select pg_sleep(5)", Fault.TIMEOUT),
        ("selekt", Fault.OTHER),
        ("select pg_terminate_backend(pg_backend_pid())", Fault.CONNECTION),
    ],
)
def test_a_statement_that_fails_is_told(
    engine: engines.Engine, told: Counter[Fault], statement: str, fault: Fault
) -> None:
    with pytest.raises((exc.SQLAlchemyError, errors.LedgerUnavailable)), fence.transaction(engine) as connection:
        connection.exec_driver_sql(statement)
    assert told == {fault: 1}


def test_a_server_that_is_not_there_is_told(told: Counter[Fault]) -> None:
    nobody = engines.Engine(f"postgresql://a:b@127.0.0.1:{ports.free()}/c")
    with pytest.raises(errors.LedgerUnavailable), fence.transaction(nobody):
        pass
    assert told == {Fault.CONNECTION: 1}


def test_a_server_that_has_no_room_is_told(database: str, told: Counter[Fault]) -> None:
    url = sqlalchemy.make_url(database)
    engine = engines.Engine(database)
    with fence.transaction(engine) as connection:
        connection.exec_driver_sql("create role crowded login password 'crowded' connection limit 0")
        name = connection.exec_driver_sql("select current_database()").scalar_one()
        connection.exec_driver_sql(f'grant connect on database "{name}" to crowded')
    told.clear()
    try:
        crowded = engines.Engine(url.set(username="crowded", password="crowded").render_as_string(hide_password=False))
        with pytest.raises(errors.LedgerUnavailable), fence.transaction(crowded):
            pass
        assert told == {Fault.TOO_MANY_CONNECTIONS: 1}
    finally:
        with fence.transaction(engine) as connection:
            connection.exec_driver_sql(f'revoke all on database "{name}" from crowded')
            connection.exec_driver_sql("drop role crowded")


def test_a_pool_whose_connections_are_all_taken_is_told(engine: engines.Engine, told: Counter[Fault]) -> None:
    with engine.get().connect():
        for begin in (fence.transaction, transactions.begin):
            with pytest.raises(errors.LedgerUnavailable), begin(engine):
                pass
    assert told == {Fault.POOL: 2}


def test_a_deadlock_is_told_once_for_who_lost(ledger: Ledger, told: Counter[Fault]) -> None:
    ledger.sql("insert into millrace.queues (name) values ('a'), ('b')")
    engine, both = engines.Engine(ledger.url, size=2), threading.Barrier(2)

    def lock(first: str, second: str) -> None:
        with contextlib.suppress(errors.LedgerUnavailable), fence.transaction(engine) as connection:
            connection.exec_driver_sql("set local idle_in_transaction_session_timeout = '60s'")
            connection.exec_driver_sql("update millrace.queues set name = name where name = %s", (first,))
            both.wait(20 * PATIENCE)
            connection.exec_driver_sql("update millrace.queues set name = name where name = %s", (second,))

    threads = [threading.Thread(target=lock, args=words) for words in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == {Fault.DEADLOCK: 1}
    engine.dispose()


@pytest.fixture
def ledger(database: str) -> Ledger:
    return Ledger(database)
