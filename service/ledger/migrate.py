"""Bringing the ledger's schema, and those of the apps, to the version of the code."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterable

import alembic.command
import alembic.config
import sqlalchemy
from sqlalchemy import exc

from service.domain import errors
from service.ledger import engine as engines

FOLDER = pathlib.Path(__file__).parent / "migrations"

#: The revision that this code works on.
HEAD = "0001"


def migrate(url: str, apps: Iterable[tuple[str, pathlib.Path]] = (), *, wait: float = 10.0) -> None:
    """Upgrade the ledger, then each app's own tables (name, alembic folder).

    Waits up to ``wait`` seconds for the server. Raises LedgerUnavailable.
    """
    engine = engines.Engine(url, role="millrace-migrate").get()
    try:
        with _connect(engine, wait) as connection:
            # Two migrations at once wait for each other instead of meeting in the middle; released at the commit.
            connection.execute(sqlalchemy.text("select pg_advisory_xact_lock(hashtext('millrace.migrate'))"))
            _upgrade(connection, FOLDER, table="migrations", schema="millrace")
            for name, folder in apps:
                _upgrade(connection, folder, table=f"{name}_migrations", schema=None)
            connection.commit()
    finally:
        engine.dispose()


def revision(connection: sqlalchemy.Connection) -> str | None:
    """The revision that the ledger is at; None without one."""
    if connection.scalar(sqlalchemy.text("select to_regclass('millrace.migrations')")) is None:
        return None
    found: str | None = connection.scalar(sqlalchemy.text("select version_num from millrace.migrations"))
    return found


def _connect(engine: sqlalchemy.Engine, wait: float) -> sqlalchemy.Connection:
    deadline = time.monotonic() + wait
    while True:
        try:
            return engine.connect()
        except exc.OperationalError as error:
            if time.monotonic() > deadline:
                place = engine.url.render_as_string(hide_password=True)
                reason = str(error.orig).strip().split("\n")[0]
                raise errors.LedgerUnavailable(f"PostgreSQL at {place} cannot be used: {reason}") from None
            time.sleep(0.2)


def _upgrade(connection: sqlalchemy.Connection, folder: pathlib.Path, *, table: str, schema: str | None) -> None:
    if schema is not None:
        connection.execute(sqlalchemy.text(f"create schema if not exists {schema}"))
    config = alembic.config.Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=table, version_table_schema=schema)
    alembic.command.upgrade(config, "head")


def run_here() -> None:
    """What an alembic ``env.py`` does in Millrace: run the steps on the connection that it was given.

    An app's ``migrations/env.py`` is one line: ``from service.ledger import migrate; migrate.run_here()``.
    """
    from alembic import context

    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        version_table=attributes["version_table"],
        version_table_schema=attributes["version_table_schema"],
    )
    context.run_migrations()
