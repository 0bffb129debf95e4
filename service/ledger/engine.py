"""Connections to PostgreSQL, safe against forks.

An engine belongs to one process. A child that was forked gets a new one at first use, and what it inherited is dropped
without being closed: closing would send a farewell on the parent's socket and end the parent's session.
"""

from __future__ import annotations

import math
import os
import threading
from typing import Any

import msgspec
import psycopg2
import sqlalchemy
from sqlalchemy import event, exc

from service import signals
from service.domain import errors, faults
from service.ledger import pipeline
from service.ledger.lines import Lines

#: A vanished server is noticed after 5 + 3 * 2 seconds.
KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 11_000,  # milliseconds
}

CONNECT = 3  #: seconds for a new connection; libpq's least is 2
WAIT = 5.0  #: seconds for a connection that others have
AT_ONCE = 1.0  #: seconds in which a connection that had died in the pool shows that it is dead

#: SQLSTATE classes and codes that say nothing about the event: connection, resources, shutdown, system, conflict,
#: read-only, ended while idle. Not among them: what a handler brings about by itself, such as a statement's time limit
#: (57014), `nowait` (55P03), or a limit of its role (53400).
INFRASTRUCTURE = ("08", "53000", "53100", "53200", "53300", "57P", "58", "40001", "40P01", "25006", "25P03")


QUERY_CANCELED = "57014"  #: SQLSTATE of a statement that took longer than it may


class Engine:
    """One lazily made SQLAlchemy engine per process."""

    def __init__(
        self,
        url: str,
        *,
        size: int = 1,
        role: str = "millrace",
        pipelined: bool = False,
        wait: float = WAIT,
        connect: int = CONNECT,
        longest: float = math.inf,
    ) -> None:
        self.url = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg2")
        self.size = size  #: connections kept; may be set until the first use
        self._wait = wait  #: seconds for a connection that others have
        self._longest = longest  #: seconds for which a connection may be held; see ``allow``
        self._connect_args: dict[str, Any] = KEEPALIVE | {"application_name": role, "connect_timeout": connect}
        if pipelined:
            self._connect_args["connection_factory"] = pipeline.Connection
        self._lock = threading.Lock()
        self._engine: sqlalchemy.Engine | None = None
        self._lines = Lines(longest)
        self._pid = 0

    def get(self) -> sqlalchemy.Engine:
        """The engine of this process."""
        if self._engine is None or self._pid != os.getpid():
            with self._lock:
                self._make()
        assert self._engine is not None
        return self._engine

    def _make(self) -> None:
        if self._pid not in (0, os.getpid()) and self._engine is not None:
            # The sockets are the parent's: forget them, and do not say goodbye on them.
            self._engine.dispose(close=False)
            self._engine = None
        if self._engine is None:
            self._lines.forget()
            self._lines = Lines(self._longest)
            self._engine = sqlalchemy.create_engine(
                self.url,
                pool_size=self.size,
                max_overflow=0,
                pool_timeout=self._wait,
                pool_recycle=1800,
                json_deserializer=msgspec.json.decode,  # Several times as fast as that of the standard library.
                hide_parameters=True,  # An error's text must not carry payloads into the logs.
                connect_args=self._connect_args,
            )
            event.listen(self._engine, "connect", self._lines.made, insert=True)  # Before it is asked this and that.
            event.listen(self._engine, "connect", _roll_back)
            event.listen(self._engine, "close", self._lines.closed)
            event.listen(self._engine, "handle_error", _tell)
            if self._longest < math.inf:
                event.listen(self._engine, "checkout", self._lines.taken)
                event.listen(self._engine, "checkin", self._lines.given_back)
            self._pid = os.getpid()

    def allow(self, seconds: float | None) -> None:
        """For how long this thread may hold a connection from now on, before it is broken; None: as long as any.

        Only where the engine has such a limit.
        """
        if self._longest < math.inf:
            self.get()
            self._lines.allow(seconds)

    def hang_up(self, connection: Any = None) -> None:
        """Break the connections of this process, from any thread: whoever waits for an answer gets an error.

        ``connection``: the driver's; only this one.
        """
        if self._pid == os.getpid():
            self._lines.hang_up(connection)

    def after_fork(self) -> None:
        """To be called in a forked child: drop what was inherited, without closing it."""
        self._lock = threading.Lock()  # The parent may have held it at the fork.
        if self._engine is not None and self._pid != os.getpid():
            self._engine.dispose(close=False)
            self._engine = None

    def dispose(self) -> None:
        """Close the connections of this process."""
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()


def _roll_back(connection: Any, record: Any) -> None:
    connection.rollback()  # SQLAlchemy has asked it this and that.


def _tell(context: Any) -> None:
    """Whoever counts is told of every fault, also of those that are waited out, or that a handler makes of itself."""
    signals.ledger_failed.send(None, fault=fault_of(context.original_exception))


def fault_of(error: BaseException) -> faults.Fault:
    """The kind of fault of an error of SQLAlchemy or psycopg2."""
    if isinstance(error, exc.TimeoutError):
        return faults.Fault.POOL
    if (code := sqlstate(error)) is not None:
        return faults.of(code)
    # As PostgreSQL and pgbouncer say it to one who has no session yet: libpq gives no SQLSTATE for it.
    if any(words in str(error) for words in ("too many clients", "too many connections", "remaining connection slots")):
        return faults.Fault.TOO_MANY_CONNECTIONS
    return faults.Fault.CONNECTION if is_infrastructure(error) else faults.Fault.OTHER


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE in an error of SQLAlchemy or psycopg2; None when there is none."""
    origin: Any = getattr(error, "orig", error)
    code = getattr(origin, "pgcode", None)
    return code if isinstance(code, str) else None


def is_infrastructure(error: BaseException) -> bool:
    """Whether the fault lies with servers or connections, so that no event is to blame."""
    if isinstance(error, errors.LedgerUnavailable | exc.TimeoutError):
        return True
    # A session inside its own error wraps the first one.
    cause = error.__cause__ or error.__context__
    if isinstance(error, exc.PendingRollbackError | exc.ResourceClosedError) and cause is not None:
        return is_infrastructure(cause)
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    code = sqlstate(error)
    if code is None:
        # Without a code it is the connection itself: refused, reset, closed in the middle.
        return isinstance(
            error,
            exc.OperationalError | exc.InterfaceError | psycopg2.OperationalError | psycopg2.InterfaceError,
        )
    return code.startswith(INFRASTRUCTURE)


def is_data_fault(error: BaseException) -> bool:
    """Whether the ledger refuses what a row holds (SQLSTATE classes 22 and 23; or what cannot even be sent)."""
    code = sqlstate(error)
    return isinstance(error, ValueError) or (code is not None and code.startswith(("22", "23")))
