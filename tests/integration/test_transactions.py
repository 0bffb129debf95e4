"""A transaction for one act of an operator, on a connection that is not what it should be."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest

from service.ledger import engine as engines
from service.ledger import transactions

pytestmark = pytest.mark.postgres


def test_a_connection_that_came_back_with_a_failed_transaction_is_replaced(database: str) -> None:
    engine = engines.Engine(database)
    with contextlib.closing(engine.get().raw_connection()) as pooled:
        pooled.driver_connection.autocommit = True  # The driver then knows of no transaction to be rolled back.
        with contextlib.suppress(psycopg2.Error):
            pooled.cursor().execute("begin; select 1 / 0")
    for _ in range(2):
        with transactions.begin(engine) as connection:
            assert connection.exec_driver_sql("select 1").scalar_one() == 1
    engine.dispose()
