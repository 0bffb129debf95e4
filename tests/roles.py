"""PostgreSQL's roles in a test: made as an administrator makes them, each with a password."""

from __future__ import annotations

import urllib.parse

import psycopg2

from service.ledger import grants, migrate
from service.local.postgres import PostgresServer

PASSWORD = "of-a-test"


def prepare(server: PostgresServer, database: str) -> dict[str, str]:
    """A new database with the roles and, made by the migrator, a ledger; the address of it for each role."""
    server.execute(f"create database {database}")
    run(server.dsn_of(database), grants.script())
    for role in grants.ROLES:
        server.execute(f"alter role {role} password '{PASSWORD}'")
    found = {role: dsn(server.dsn_of(database), role) for role in grants.ROLES}
    migrate.migrate(found[grants.MIGRATOR])
    return found


def dsn(address: str, role: str) -> str:
    """The same address for another role."""
    parts = urllib.parse.urlsplit(address)
    return parts._replace(netloc=f"{role}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()


def run(address: str, script: str) -> None:
    """A script, as psql runs it."""
    connection = psycopg2.connect(address)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(script)
    finally:
        connection.close()
