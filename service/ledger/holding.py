"""The transactions in which operators hold a schedule: short work, as a clock's, for clocks wait for the same row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy

from service.domain import errors
from service.ledger import engine as engines
from service.ledger import fence, transactions


@contextmanager
def transaction(engine: engines.Engine) -> Iterator[sqlalchemy.Connection]:
    """A transaction that the server ends when its process is silent, as soon as it would end a clock's.

    Raises LedgerUnavailable; BeingWorked when somebody else holds the schedule; InvalidSchedule when its plan cannot be
    read here, because of a zone that is missing on this host, say.
    """
    try:
        with transactions.begin(engine) as connection:
            connection.exec_driver_sql(fence.FENCE)
            yield connection
    except errors.BeingWorked:
        raise errors.BeingWorked("the schedule is being fired; ask again in a moment") from None
    except errors.DeclarationError as error:
        raise errors.InvalidSchedule([errors.Fault("/plan", str(error))]) from None


def check_not_retired(row: Any) -> None:
    """Raises ScheduleRetired."""
    if row.retired_at is not None:
        raise errors.ScheduleRetired(f"the schedule {row.name!r} is retired: no code declares it any more")
