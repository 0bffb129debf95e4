"""A private PostgreSQL server: its own data, port and password, for one folder."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg2

from service.local import ports, programs, spawn
from service.local.cluster import USER, Cluster

DATABASE = "millrace"
#: Seconds that a fast shutdown may take before the server is killed.
GRACE = 15.0
#: Seconds that a server which was killed a moment ago needs until its last process has let go of the data.
LETTING_GO = 10.0
#: Seconds until a started server must answer; the recovery after a kill is in it.
START = 60.0
#: How PostgreSQL says that the processes of its predecessor are not gone yet.
_HELD = ("pre-existing shared memory", "lock file")
_SETTINGS = {
    "listen_addresses": ports.LOOPBACK,
    # No socket file: below a deep folder its path would be too long, and nothing needs it.
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class PostgresServer:
    """One private PostgreSQL server in one folder.

    A second server object on the same folder finds its databases, its password and, when it is free,
    its port again. ``options`` are settings of PostgreSQL by their names.
    """

    name = "postgres"

    def __init__(
        self, home: Path, *, port: int = 0, options: Mapping[str, str] | None = None, tls: bool = False
    ) -> None:
        self.home = home.absolute()
        self.options = dict(options or {})
        self.tls = tls
        self._fixed_port = self._port = port
        self._cluster: Cluster | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def cluster(self) -> Cluster:
        """Its folder, made on the first use."""
        if self._cluster is None:
            self._cluster = Cluster(self.home, tls=self.tls)
        return self._cluster

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first launch when none was asked for."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def url(self) -> str:
        """The address of its database for SQLAlchemy."""
        return self.url_of(DATABASE)

    @property
    def dsn(self) -> str:
        """The address of its database for psycopg2 and psql."""
        return self.dsn_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The address of a database on this server, for SQLAlchemy."""
        return self.dsn_of(database).replace("postgresql://", "postgresql+psycopg2://", 1)

    def dsn_of(self, database: str) -> str:
        """The address of a database on this server, for psycopg2 and psql."""
        mode = "?sslmode=require" if self.tls else ""
        return f"postgresql://{USER}:{self.cluster.password}@{ports.LOOPBACK}:{self._port}/{database}{mode}"

    @property
    def version(self) -> str:
        """Its name and version, such as ``PostgreSQL 15.4``."""
        return f"PostgreSQL {programs.postgres_version(self.cluster.bin)}"

    def start(self) -> PostgresServer:
        """Make the cluster if there is none, start it, and wait until its database can be used."""
        deadline = time.monotonic() + LETTING_GO
        while True:
            since = _size(self.cluster.log)
            self.launch()
            if self._comes_up():
                break
            complaint = spawn.last_line(self.cluster.log, "FATAL", "could not", since=since)
            if time.monotonic() > deadline or not any(words in complaint for words in _HELD):
                raise spawn.LocalError(f"PostgreSQL did not start: {complaint or 'no reason given'}")
            time.sleep(0.2)
        with contextlib.suppress(psycopg2.errors.DuplicateDatabase):
            self.execute(f"create database {DATABASE}")
        return self

    def launch(self) -> None:
        """Start the process without waiting for it; it goes on with the port it had."""
        if not spawn.wait_until(lambda: not self.cluster.running(), LETTING_GO):
            raise spawn.LocalError(f"PostgreSQL already runs on {self.home} (process {self.cluster.running()})")
        self.cluster.forget_stranger()
        self._choose_port()
        with self.cluster.log.open("ab") as log:
            self._process = spawn.spawn(
                [*self._command(), "-D", str(self.cluster.data), *self._words()],
                environment=spawn.ENVIRONMENT,
                output=log,
                on_parent_death=signal.SIGINT,
            )

    def exit_code(self) -> int | None:
        """How the process ended, None while it runs."""
        return self._process.poll() if self._process else None

    def interrupt(self) -> None:
        """Ask for a fast shutdown: open transactions are rolled back, the data is left clean."""
        if self._process and self.pid:
            self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """A fast shutdown, waited for."""
        spawn.end(self._process, signal.SIGINT, GRACE)

    def kill(self) -> None:
        """SIGKILL to the postmaster; its other processes notice it and end by themselves."""
        spawn.kill(self._process)

    def restart(self) -> None:
        """Stop, and start on the same port."""
        self.stop()
        self.start()

    def release(self) -> None:
        """Nothing that belongs to it outlives the postmaster for long."""

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement outside of any transaction, and give its rows."""
        connection = psycopg2.connect(self.dsn_of(database), connect_timeout=30)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def _command(self) -> list[str]:
        """The program's words; a change of user takes the parent-death signal away, so it is asked for again."""
        way = self.cluster.way
        again = spawn.dies_with_parent(signal.SIGINT) if way.prefix else []
        return [*way.prefix, *again, str(self.cluster.bin / "postgres")]

    def _words(self) -> list[str]:
        settings = _SETTINGS | {"port": str(self._port)}
        if self.tls:
            files = {"ssl_cert_file": str(self.cluster.certificate), "ssl_key_file": str(self.cluster.key)}
            settings |= {"ssl": "on"} | files
        return [word for name, value in (settings | self.options).items() for word in ("-c", f"{name}={value}")]

    def _choose_port(self) -> None:
        if self._fixed_port and not ports.is_free(self._fixed_port):
            raise spawn.LocalError(f"port {self._fixed_port} is taken by another program")
        # Whoever was told the address relies on it, so a known port is left only when it stays taken.
        if not self._port or not spawn.wait_until(lambda: ports.is_free(self._port), LETTING_GO):
            self._port = ports.remembered(self.cluster.ports, ["postgres"])["postgres"]

    def _comes_up(self) -> bool:
        """Wait until a connection works or the process has ended; whether it works."""
        if not spawn.wait_until(lambda: self.exit_code() is not None or self._accepts(), START):
            raise spawn.LocalError(f"PostgreSQL did not answer within {START:.0f} s, see {self.cluster.log}")
        return self.exit_code() is None

    def _accepts(self) -> bool:
        try:
            psycopg2.connect(self.dsn_of("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise spawn.LocalError(f"the password in {self.home} is not that of the data in it") from None
            return False
        return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
