"""A connection of psycopg2 that makes few round trips.

What needs no answer of its own (``begin``, ``savepoint``, ``release savepoint``, what is to be written just before the
commit) is sent together with the next statement, in one string. A handler that runs one statement then costs three
trips and not seven. Each trip wakes two processes, and on a busy machine that is most of what an event costs.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
from psycopg2 import extensions

#: Statements that can wait for the next one.
UNASKED = ("SAVEPOINT ", "RELEASE SAVEPOINT ")

# What the role, the database or the handler itself has said holds where it is shorter. Where nobody can have said
# anything yet, the first one does, which costs the server less.
STANDING = "select current_setting('statement_timeout') <> '0'"
LIMIT = "set local statement_timeout = '{0}ms'"
SHORTEN = """
select set_config('statement_timeout', '{0}ms', true)
where current_setting('statement_timeout')::interval not between '1ms' and '{0}ms'
"""
UNLIMIT = "set local statement_timeout to default"


class Cursor(extensions.cursor):
    """A cursor that sends what waits before its own statement."""

    connection: Connection

    def execute(self, query: Any, vars: Any = None) -> None:
        """As in DB-API 2.0; a savepoint only waits, and shows its errors with the next statement."""
        if not isinstance(query, str):
            self.connection.send_waiting()
            super().execute(query, vars)
        elif not vars and query.startswith(UNASKED):
            self.connection.wait(query)
        else:
            with self.connection.sending() as waiting:
                super().execute(waiting + query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        """As in DB-API 2.0."""
        self.connection.send_waiting()
        super().executemany(query, vars_list)

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        """As in DB-API 2.0."""
        self.connection.send_waiting()
        return super().callproc(*args, **kwargs)

    def copy_expert(self, *args: Any, **kwargs: Any) -> None:
        """As in psycopg2."""
        self.connection.send_waiting()
        super().copy_expert(*args, **kwargs)

    def copy_from(self, *args: Any, **kwargs: Any) -> None:
        """As in psycopg2."""
        self.connection.send_waiting()
        super().copy_from(*args, **kwargs)

    def copy_to(self, *args: Any, **kwargs: Any) -> None:
        """As in psycopg2."""
        self.connection.send_waiting()
        super().copy_to(*args, **kwargs)


class Connection(extensions.connection):
    """A connection whose transactions begin with their first statement, and end as for any other."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: list[str] = []
        self.autocommit = True  # Else psycopg2 begins transactions, and sends its ``begin`` alone.
        self._plain = False  # For the rest of this transaction it does.
        self.cursor_factory = Cursor
        self._until, self._spare = math.inf, 0.0  # See ``limit``.
        self._limit_at = math.inf  # When the server is told the next time, by the monotonic clock.
        self._limited = False  # Whether it was told in this transaction.
        with super().cursor(cursor_factory=extensions.cursor) as cursor:
            cursor.execute(STANDING)
            self._has_limit = cursor.fetchone() == (True,)  # One of the role's or the database's.

    def limit(self, until: float, spare: float) -> None:
        """Have the server end statements that run beyond ``until`` (monotonic time), up to the end of the transaction.

        It knows durations only, and is told anew when ``spare`` seconds have passed: so a statement may run for so much
        longer, and one that is begun after ``until`` has as much.
        """
        self._until, self._spare = until, spare
        self._limit_at = -math.inf if until < math.inf else math.inf

    def unlimit(self) -> None:
        """No limit for what follows in this transaction, but that of the role or the database."""
        self._limit_at = math.inf
        if self._limited:
            self._limited = False
            self.wait(UNLIMIT)

    def wait(self, statement: str) -> None:
        """Send this with the next statement, or with the commit."""
        self._waiting.append(statement)

    @contextlib.contextmanager
    def sending(self) -> Iterator[str]:
        """What goes before the next statement, ``begin`` included."""
        first = ["begin"] if self.autocommit and self._is_idle() else []
        limit_at = self._limit_at
        if time.monotonic() >= limit_at and not self._has_failed():
            first.append(self._limit())
        try:
            yield "".join(f"{statement};" for statement in first + self._waiting)
        except psycopg2.Error as error:
            if error.pgcode is not None:
                self._waiting.clear()
            else:
                self._limit_at = limit_at
            raise  # Without a code it never left this process: a value that has no form in SQL, say.
        self._waiting.clear()

    def send_waiting(self) -> None:
        """Send what waits, for something that cannot take it along."""
        with self.sending() as waiting:
            if waiting:
                self._execute(waiting)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """As in psycopg2. A cursor on the server, or of another class, knows nothing of waiting."""
        if args or kwargs:
            self._be_plain()
        return super().cursor(*args, **kwargs)

    def lobject(self, *args: Any, **kwargs: Any) -> Any:
        """As in psycopg2."""
        self._be_plain()
        return super().lobject(*args, **kwargs)

    def commit(self) -> None:
        """Send what waits, and commit. Whatever prevents it, nothing of the transaction is left."""
        try:
            if not self.autocommit:
                self.send_waiting()
                super().commit()
            elif self._waiting or not self._is_idle():
                with self.sending() as waiting:
                    self._execute(waiting + "commit")
        except BaseException:
            # What failed before the commit itself has left a failed transaction, and nobody rolls back after a commit.
            with contextlib.suppress(psycopg2.Error):
                self.rollback()
            raise
        self._be_ours()

    def rollback(self) -> None:
        """Forget what waits, and undo the transaction."""
        self._waiting.clear()
        if not self.autocommit:
            super().rollback()
        elif self.closed or not self._is_idle():
            self._execute("rollback")
        self._be_ours()

    def _limit(self) -> str:
        now = time.monotonic()
        statement = SHORTEN if self._limited or self._has_limit else LIMIT
        self._limit_at, self._limited = now + self._spare, True
        return statement.format(math.ceil(max(self._until - now, self._spare) * 1000))

    def _is_idle(self) -> bool:
        return self.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE

    def _has_failed(self) -> bool:
        """Whether nothing but a rollback is of use now."""
        return self.info.transaction_status == extensions.TRANSACTION_STATUS_INERROR

    def _execute(self, statements: str) -> None:
        with super().cursor(cursor_factory=extensions.cursor) as cursor:
            cursor.execute(statements)

    def _be_plain(self) -> None:
        """Let psycopg2 see the transaction, for what it refuses to do outside of one."""
        self.send_waiting()
        if self.autocommit:
            self._plain, self.autocommit = True, False
            self._execute("select")  # Now it believes to have begun it.

    def _be_ours(self) -> None:
        self._limit_at, self._limited = math.inf, False
        if self._plain:
            self._plain, self.autocommit = False, True
