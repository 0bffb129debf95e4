"""The benchmark's own look into PostgreSQL: a fresh database per round, and the rows at its end."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from bench import work

#: Settings of the server: it notes when each transaction was committed, by the clock of this machine.
OPTIONS = {"track_commit_timestamp": "on"}
#: Seconds between two looks at the number of rows, and how many times longer than a look the pause is.
LOOK_SECONDS, LOOK_SHARE = 0.1, 20
#: Seconds without a new row after which what is missing counts as lost.
PATIENCE_SECONDS = 15.0

#: What became of Millrace's larger tables, partitions together: rows written, and bytes on disk, dead and free ones.
TABLES = """
select coalesce(pg_partition_root(s.relid), s.relid)::regclass::text, sum(s.n_tup_ins)::bigint,
       sum(s.n_tup_upd)::bigint, sum(s.n_tup_hot_upd)::bigint, sum(s.n_tup_del)::bigint,
       sum(p.table_len)::bigint, sum(p.dead_tuple_len)::bigint, sum(p.free_space)::bigint
from pg_stat_user_tables s cross join lateral pgstattuple(s.relid::regclass) p
where s.schemaname = 'millrace' and s.n_tup_ins >= 1000 group by 1 order by 1
"""
#: Seconds within which a session has told what it did, once it is at rest.
TOLD_SECONDS = 20.0


@dataclass(frozen=True)
class Table:
    """What was written to a table, and how full it is."""

    name: str
    inserted: int
    updated: int
    #: Of the updates, those that touched no index.
    hot: int
    deleted: int
    #: Of the table without its indexes.
    bytes: int
    dead_bytes: int
    free_bytes: int


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

    def clear(self) -> None:
        """Forget the orders that are finished."""
        self._query("truncate done")

    def count(self) -> int:
        """How many orders are finished."""
        return int(self._query("select count(*) from done")[0][0])

    def all(self) -> Iterator[tuple[uuid.UUID, int, float]]:
        """Every row's id, value and Unix time of its commit, seconds, by the clock of this machine.

        The instant of the commit is PostgreSQL's own note, made right before the commit is written to
        disk. A time that the row itself says would be that of the insert, and flatter whoever commits late.
        """
        with self._connection.cursor("all", withhold=True) as cursor:
            cursor.itersize = 20_000
            cursor.execute(
                "select id::text, value, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 from done"
            )
            for id_, value, at in cursor:
                yield uuid.UUID(id_), value, at

    def database_bytes(self) -> int:
        """How much the contestant's database takes on disk."""
        return int(self._query("select pg_database_size(current_database())")[0][0])

    def tables(self, updated: int) -> list[Table]:
        """Millrace's larger tables, once the statistics tell of so many updates; empty for a peer."""
        self._query("create extension if not exists pgstattuple")
        until = time.monotonic() + TOLD_SECONDS
        while True:
            found = [Table(*row) for row in self._query(TABLES)]
            if not found or max(each.updated for each in found) >= updated or time.monotonic() > until:
                return found
            time.sleep(LOOK_SECONDS)

    def wait_for(
        self,
        wanted: int,
        check: Callable[[], None],
        seen_so: Callable[[int], None] = lambda _: None,
        patience: float = PATIENCE_SECONDS,
    ) -> bool:
        """Wait for so many rows; False when no row has come for a while and some are missing.

        `check` is called at every look, and raises when waiting has become pointless; `seen_so` is told the count.
        """
        seen, seen_at = -1, time.monotonic()
        while True:
            began = time.monotonic()
            count = self.count()
            seen_so(count)
            if count >= wanted:
                return True
            check()
            if count != seen:
                seen, seen_at = count, time.monotonic()
            elif time.monotonic() - seen_at > patience:
                return False
            # Counting many rows takes the time of the contestant, so it is done less often.
            time.sleep(max(LOOK_SECONDS, LOOK_SHARE * (time.monotonic() - began)))

    def _query(self, statement: str) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


def _connect(url: str) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection
