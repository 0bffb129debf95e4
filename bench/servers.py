"""The private PostgreSQL and RabbitMQ that all contestants share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench import database, usage
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode

#: The name of the database; it is made anew for each round.
DATABASE = "bench"


class Servers:
    """Two running servers."""

    def __init__(self, postgres: PostgresServer, rabbit: RabbitNode) -> None:
        self._postgres = postgres
        self._rabbit = rabbit
        self._vhosts: set[str] = set()

    def fresh_database(self) -> str:
        """Make an empty database with nothing but the table of finished orders; return its address."""
        return database.fresh(self._postgres.dsn, DATABASE)

    def fresh_vhost(self, name: str) -> str:
        """Make an empty virtual host for a contestant; return its address.

        Each has its own, because two Celery applications on one host would share control queues.
        """
        if name in self._vhosts:
            self._rabbit.delete_vhost(name)
        self._vhosts.add(name)
        return self._rabbit.add_vhost(name)

    @property
    def pids(self) -> dict[str, list[int]]:
        """Their root processes, as groups for a meter.

        They are found by a connection and by a port, never by name: other servers of this machine
        are none of our business.
        """
        return {"broker": usage.listening_pids(self._rabbit.port), "postgres": [self._postmaster()]}

    def _postmaster(self) -> int:
        pid, close = database.backend_pid(self._postgres.dsn)
        try:
            return int(psutil.Process(pid).ppid())
        finally:
            close()

    def versions(self) -> dict[str, str]:
        """Their versions, by name."""
        return dict(server.version.split(" ", 1) for server in (self._postgres, self._rabbit))


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Servers]:
    """Start both servers with their data under the directory, and stop them at the end."""
    with contextlib.ExitStack() as stack:
        postgres = PostgresServer(directory / "postgres", options=database.OPTIONS)
        stack.callback(postgres.stop)
        postgres.start()
        rabbit = RabbitNode(directory / "rabbitmq")
        stack.callback(rabbit.stop)
        rabbit.start()
        yield Servers(postgres, rabbit)
