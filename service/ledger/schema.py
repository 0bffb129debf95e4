"""Which version of the ledger's schema this code works on, and whether a database has it."""

from __future__ import annotations

import re

import sqlalchemy
from sqlalchemy import exc

from service.domain import errors

#: The newest migration that this code brings; code is named by it. Four digits, so that they can be compared as text.
HEAD = "0013"
#: The one that this code works on: the newest that is `pre`. What is newer takes away what older code needs.
NEEDED = "0013"
REVISION = re.compile(r"\d{4}")


def revision(connection: sqlalchemy.Connection) -> str | None:
    """The revision that the ledger is at; None without one."""
    if connection.scalar(sqlalchemy.text("select to_regclass('millrace.migrations')")) is None:
        return None
    found: str | None = connection.scalar(sqlalchemy.text("select version_num from millrace.migrations"))
    return found


def check(engine: sqlalchemy.Engine) -> None:
    """Raises LedgerUnavailable or SchemaNotReady when the road cannot work on this database."""
    try:
        with engine.connect() as connection:
            _check(connection)
    except exc.SQLAlchemyError as error:
        raise unreachable(engine, error) from error


def _check(connection: sqlalchemy.Connection) -> None:
    here = revision(connection)
    if here is not None and not REVISION.fullmatch(here):
        raise errors.SchemaNotReady(
            f"the ledger's schema is at {here!r}, which no version of Millrace knows: is it the right database?"
        )
    # A newer schema is no fault: migrations come before the code that needs them, and old code works on until then.
    if here is None or here < NEEDED:
        raise errors.SchemaNotReady(
            f"the ledger's schema is at {here or 'nothing'}, {NEEDED} is wanted: run `millrace migrate`"
        )
    oldest: str = connection.scalar(sqlalchemy.text("select oldest from millrace.compatibility")) or ""
    if oldest > HEAD:
        raise errors.SchemaNotReady(
            f"the ledger's schema is at {here}, which has no room for code older than {oldest}, and this code is of"
            f" {HEAD}: start newer code (docs/upgrades.md)"
        )


def unreachable(engine: sqlalchemy.Engine, error: exc.SQLAlchemyError) -> errors.LedgerUnavailable:
    """The error for a database that does not answer, in one line and without its password."""
    url = engine.url
    reason = str(getattr(error, "orig", error)).strip().split("\n")[0]
    return errors.LedgerUnavailable(f"PostgreSQL at {url.host}:{url.port or 5432}/{url.database}: {reason}")
