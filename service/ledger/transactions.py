"""A transaction for one act of an operator."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy
from sqlalchemy import exc

from service.domain import errors
from service.ledger import engine as engines
from service.ledger import fence

LOCK_NOT_AVAILABLE = "55P03"  #: SQLSTATE, of `nowait` and of a lock timeout
FAILED_BEFORE = "25P02"  #: SQLSTATE of a statement in a transaction that has failed

# Nobody waits for long: not the operator for a lock, and not the road for an operator's process that froze.
STATEMENT = 30  #: seconds for one statement
LIMITS = f"""
set local lock_timeout = '2s'; set local statement_timeout = '{STATEMENT}s';
set local idle_in_transaction_session_timeout = '10s'; {fence.SMALL}
"""

#: For questions whose answer is bounded by a limit: without knowing how many rows fit, the planner would read a whole
#: table in the hope of finding some soon.
BY_INDEX = f"set local enable_seqscan = off; {fence.SMALL}"


@contextmanager
def begin(engine: engines.Engine) -> Iterator[sqlalchemy.Connection]:
    """A transaction that is committed at the end.

    Raises LedgerUnavailable; BeingWorked when somebody else holds a lock that is needed; SearchTooSlow.
    """
    try:
        with _connect(engine) as connection:
            yield connection
            connection.commit()
    except exc.SQLAlchemyError as error:
        code = engines.sqlstate(error)
        if code == LOCK_NOT_AVAILABLE:
            raise errors.BeingWorked() from error
        if code == engines.QUERY_CANCELED:
            raise errors.SearchTooSlow() from error
        raise fence.unavailable(error) from error


def _connect(engine: engines.Engine) -> sqlalchemy.Connection:
    """A connection on which the limits are set. One that has died in the pool is replaced: nothing was done yet.

    So is one that came back there with a failed transaction: a commit that takes too long on a busy server is
    cancelled before it has begun, and nobody rolls back after a commit.
    """
    begun = time.monotonic()
    for last in (False, True):
        connection = engine.get().connect()
        try:
            connection.exec_driver_sql(LIMITS)
        except exc.DBAPIError as error:
            failed = engines.sqlstate(error) == FAILED_BEFORE
            if failed:
                connection.invalidate()
            connection.close()
            died = error.connection_invalidated and time.monotonic() - begun <= engines.AT_ONCE
            if last or not (died or failed):
                raise
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise AssertionError("not reached")
