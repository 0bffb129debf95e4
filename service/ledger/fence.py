"""The transactions of the clock. Each is short work, and must not keep other clocks waiting if this one freezes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy
from sqlalchemy import exc

from service import signals
from service.domain import errors
from service.ledger import engine as engines

NOT_GRANTED = "42501"  #: SQLSTATE insufficient_privilege
#: With many partitions a plan looks costly; to compile it, or to start processes for it, takes longer than it does.
SMALL = "set local jit = off; set local max_parallel_workers_per_gather = 0"
FENCE = f"set local idle_in_transaction_session_timeout = '1500ms'; {SMALL}"


@contextmanager
def transaction(engine: engines.Engine) -> Iterator[sqlalchemy.Connection]:
    """A transaction that the server ends when its clock is silent; a fault of servers comes as LedgerUnavailable."""
    try:
        with engine.get().begin() as connection:
            connection.exec_driver_sql(FENCE)
            yield connection
    except exc.SQLAlchemyError as error:
        raise unavailable(error) from error


def unavailable(error: exc.SQLAlchemyError) -> Exception:
    """The error for the callers: LedgerUnavailable for a fault of the infrastructure, NotPermitted for what the role of
    this process may not do, else the error itself."""
    if isinstance(error, exc.TimeoutError):
        signals.ledger_failed.send(None, fault=engines.fault_of(error))  # No connection has seen it.
    if engines.is_infrastructure(error):
        return errors.LedgerUnavailable(str(getattr(error, "orig", error)).strip().split("\n")[0])
    if engines.sqlstate(error) == NOT_GRANTED:
        refused = str(getattr(error, "orig", error)).strip().split("\n")[0]
        return errors.NotPermitted(f"PostgreSQL refuses it to the role of this process: {refused}")
    return error
