"""Bringing the ledger's schema, and those of the apps, to the version of the code."""

from __future__ import annotations

import pathlib
import random
import time
from collections.abc import Iterable

import alembic.command
import alembic.config
import alembic.script
import alembic.util
import sqlalchemy
from sqlalchemy import exc

from service.domain import errors
from service.domain.processes import LIVE
from service.ledger import engine as engines
from service.ledger import grants, schema

FOLDER = pathlib.Path(__file__).parent / "migrations"
POST = "post"  #: the phase of a migration that takes away what older code needs; `pre` ones only add
LOCK_WAIT = "1s"  #: for a table that is in use; whoever wants it next waits behind the migration for as long
LOCK_NOT_AVAILABLE = "55P03"  #: PostgreSQL's word for having waited that long

NOTED_SINCE = "0005"  #: the schema on which processes began to note themselves
# Processes that are there and whose code is older than a migration. An older ledger has no column `schema`.
OLDER = f"""
select p.kind || ' ' || p.host || ':' || p.pid from millrace.processes p
where p.seen_at > clock_timestamp() - interval '{LIVE} seconds' and coalesce(to_jsonb(p) ->> 'schema', '') < %(post)s
order by 1
"""


def migrate(
    url: str,
    apps: Iterable[tuple[str, pathlib.Path]] = (),
    *,
    wait: float = 10.0,
    patience: float = 120.0,
    post: bool = False,
) -> str:
    """Upgrade the ledger, then each app's own tables (name, alembic folder); the ledger's revision.

    Goes as far as this code needs; with ``post`` it also takes away what only older code needs. Where the roles of
    ``grants`` are, they get what this version needs. A ledger that is newer than this code stays as it is. Waits up to
    ``wait`` seconds for the server, and tries for up to ``patience`` seconds to get at tables that are in use. Raises
    LedgerUnavailable, and SchemaNotReady for tables at a revision that is not known here, while older code runs that
    needs what would be taken away, and when tables are in use for too long.
    """
    engine = engines.Engine(url, role="millrace-migrate").get()
    apps = list(apps)
    deadline = time.monotonic() + patience
    try:
        while True:
            try:
                with _connect(engine, wait) as connection:
                    return _migrate(connection, apps, post=post)
            except exc.OperationalError as error:
                if engines.sqlstate(error) != LOCK_NOT_AVAILABLE:
                    raise
                if time.monotonic() > deadline:
                    raise errors.SchemaNotReady(
                        f"a table that is to be changed was in use all the time for {patience:.0f} s: run `millrace"
                        " migrate` again when less is going on"
                    ) from None
            time.sleep(random.uniform(0.5, 1.5))  # Now those have their turn that waited behind it.
    except exc.DBAPIError as error:
        raise schema.unreachable(engine, error) from error
    except alembic.util.CommandError as error:
        detail = f"a migration cannot be found: {error} (are the tables of a newer version?)"
        raise errors.SchemaNotReady(detail) from error
    finally:
        engine.dispose()


def _migrate(connection: sqlalchemy.Connection, apps: Iterable[tuple[str, pathlib.Path]], *, post: bool) -> str:
    """All of it in one transaction."""
    # Two migrations at once wait for each other instead of meeting in the middle; released at the commit.
    connection.execute(sqlalchemy.text("select pg_advisory_xact_lock(hashtext('millrace.migrate'))"))
    connection.execute(sqlalchemy.text(f"set local lock_timeout = '{LOCK_WAIT}'"))
    here = schema.revision(connection) or ""
    # Nobody has ever used an empty ledger, so it gets everything at once.
    target = schema.NEEDED if here and not post else schema.HEAD
    if here < target:
        _upgrade_ledger(connection, here, target)
    if here <= schema.HEAD:
        grants.apply(connection)
    for name, folder in apps:
        config = _config(connection, folder, table=f"{name}_migrations", where=None)
        alembic.command.upgrade(config, "head")
    grants.apply_to_apps(connection)
    found = schema.revision(connection) or ""
    connection.commit()
    return found


def _upgrade_ledger(connection: sqlalchemy.Connection, here: str, target: str) -> None:
    """Bring the ledger from one revision to another, unless code runs that would not work afterwards."""
    connection.execute(sqlalchemy.text("create schema if not exists millrace"))
    config = _config(connection, FOLDER, table="migrations", where="millrace")
    scripts = alembic.script.ScriptDirectory.from_config(config).walk_revisions()
    posts = [s.revision for s in scripts if here < s.revision <= target and s.module.phase == POST]
    if posts and here >= NOTED_SINCE:
        _refuse_for_older(connection, max(posts))
    alembic.command.upgrade(config, target)
    if posts:
        connection.exec_driver_sql("update millrace.compatibility set oldest = %s", (max(posts),))


def _refuse_for_older(connection: sqlalchemy.Connection, post: str) -> None:
    """Raises SchemaNotReady while a process lives whose code is older than this migration."""
    found = connection.exec_driver_sql(OLDER, {"post": post}).scalars().all()
    if found:
        raise errors.SchemaNotReady(
            f"migration {post} takes away what older code needs, and such code runs: {', '.join(found)}. Stop it, wait"
            f" {LIVE:.0f} s, and migrate again (docs/upgrades.md)"
        )


def _connect(engine: sqlalchemy.Engine, wait: float) -> sqlalchemy.Connection:
    deadline = time.monotonic() + wait
    while True:
        try:
            return engine.connect()
        except exc.OperationalError as error:
            if time.monotonic() > deadline:
                raise schema.unreachable(engine, error) from None
            time.sleep(0.2)


def _config(
    connection: sqlalchemy.Connection, folder: pathlib.Path, *, table: str, where: str | None
) -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=table, version_table_schema=where)
    return config


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
