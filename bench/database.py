"""The benchmark's own look into PostgreSQL: a fresh database per round, and the rows at its end."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from bench import work

#: Seconds between two looks at the number of rows.
LOOK_SECONDS = 0.1
#: Seconds without a new row after which what is missing counts as lost.
PATIENCE_SECONDS = 15.0


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def fresh(server_url: str, name: str) -> str:
    """Make an empty database that holds only the table of finished orders; return its address."""
    with closing(_connect(server_url)) as connection, connection.cursor() as cursor:
        cursor.execute(f'drop database if exists "{name}" with (force)')
        cursor.execute(f'create database "{name}"')
    url = with_database(server_url, name)
    with closing(_connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(work.CREATE_TABLE)
    return url


def backend_pid(server_url: str) -> tuple[int, Callable[[], None]]:
    """The process id of a connection's backend, and what closes the connection."""
    connection = _connect(server_url)
    return connection.info.backend_pid, connection.close


class Rows:
    """The table of finished orders in one contestant's database."""

    def __init__(self, url: str) -> None:
        self._connection = _connect(url)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def count(self) -> int:
        """How many orders are finished."""
        return int(self._query("select count(*) from done")[0][0])

    def last_at(self) -> float:
        """Unix time of the last row, by the database's clock, seconds."""
        return float(self._query("select extract(epoch from max(at)) from done")[0][0])

    def values(self) -> list[tuple[uuid.UUID, int]]:
        """Every row's id and value."""
        return [(uuid.UUID(id_), value) for id_, value in self._query("select id::text, value from done")]

    def wait_for(self, wanted: int, check: Callable[[], None]) -> bool:
        """Wait for so many rows; False when no row has come for a while and some are missing.

        `check` is called at every look, and raises when waiting has become pointless.
        """
        seen, seen_at = -1, time.monotonic()
        while (count := self.count()) < wanted:
            check()
            if count != seen:
                seen, seen_at = count, time.monotonic()
            elif time.monotonic() - seen_at > PATIENCE_SECONDS:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _query(self, statement: str) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def _connect(url: str) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection
