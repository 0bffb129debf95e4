"""Ledgers for tests: copies of one that was migrated once, made and dropped while tests go on."""

from __future__ import annotations

import contextlib
import itertools
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg2.errors

from service.local.postgres import PostgresServer

TEMPLATE = "ledger_template"
_numbers = itertools.count(1)


def make_template(server: PostgresServer) -> str:
    """The name of a database that holds an empty ledger of this version; made where it is not there yet."""
    from service.ledger import migrate

    with contextlib.suppress(psycopg2.errors.DuplicateDatabase):
        server.execute(f"create database {TEMPLATE}")
        migrate.migrate(server.dsn_of(TEMPLATE))
    return TEMPLATE


class Fresh:
    """Fresh ledgers on one server, one for each test.

    While a test has its own, the next one is made and the one before is dropped: neither costs much of a processor, and
    each takes longer than most of the tests.
    """

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server = server
        self._template = template
        self._hands = ThreadPoolExecutor(1, "fresh-ledgers")
        self._next = self._hands.submit(self._make)
        self._dropped: list[Future[object]] = []

    def take(self) -> str:
        """The name of one that nobody has used."""
        name = self._next.result()
        self._next = self._hands.submit(self._make)
        return name

    def drop(self, name: str) -> None:
        """It is not needed any more."""
        self._dropped.append(self._hands.submit(self._server.execute, f"drop database {name} with (force)"))

    def close(self) -> None:
        """Wait until the last is dropped."""
        self._hands.shutdown()
        for done in self._dropped:
            done.result()

    def _make(self) -> str:
        name = f"test_{next(_numbers)}"
        self._server.execute(f"create database {name} template {self._template}")
        return name
