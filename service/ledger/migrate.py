"""Bringing the ledger's schema, and those of the apps, to the version of the code."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterable

import alembic.command
import alembic.config
import alembic.util
import sqlalchemy
from sqlalchemy import exc

from service.domain import errors
from service.ledger import engine as engines
from service.ledger import grants, schema

FOLDER = pathlib.Path(__file__).parent / "migrations"


def migrate(url: str, apps: Iterable[tuple[str, pathlib.Path]] = (), *, wait: float = 10.0) -> str:
    """Upgrade the ledger, then each app's own tables (name, alembic folder); the ledger's revision.

    Where the roles of ``grants`` are, they get what this version needs. A ledger that is newer than this code stays as
    it is. Waits up to ``wait`` seconds for the server. Raises
    LedgerUnavailable, and SchemaNotReady for tables at a revision that is not known here.
    """
    engine = engines.Engine(url, role="millrace-migrate").get()
    try:
        with _connect(engine, wait) as connection:
            # Two migrations at once wait for each other instead of meeting in the middle; released at the commit.
            connection.execute(sqlalchemy.text("select pg_advisory_xact_lock(hashtext('millrace.migrate'))"))
            here = schema.revision(connection) or ""
            if here <= schema.HEAD:
                _upgrade(connection, FOLDER, table="migrations", where="millrace")
                grants.apply(connection)
            for name, folder in apps:
                _upgrade(connection, folder, table=f"{name}_migrations", where=None)
            grants.apply_to_apps(connection)
            connection.commit()
            return max(here, schema.HEAD)
    except exc.DBAPIError as error:
        raise schema.unreachable(engine, error) from error
    except alembic.util.CommandError as error:
        detail = f"a migration cannot be found: {error} (are the tables of a newer version?)"
        raise errors.SchemaNotReady(detail) from error
    finally:
        engine.dispose()


def _connect(engine: sqlalchemy.Engine, wait: float) -> sqlalchemy.Connection:
    deadline = time.monotonic() + wait
    while True:
        try:
            return engine.connect()
        except exc.OperationalError as error:
            if time.monotonic() > deadline:
                raise schema.unreachable(engine, error) from None
            time.sleep(0.2)


def _upgrade(connection: sqlalchemy.Connection, folder: pathlib.Path, *, table: str, where: str | None) -> None:
    if where is not None:
        connection.execute(sqlalchemy.text(f"create schema if not exists {where}"))
    config = alembic.config.Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=table, version_table_schema=where)
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
