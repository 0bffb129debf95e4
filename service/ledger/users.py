"""Local users of the console, and the sessions of all who have signed in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import sqlalchemy

from service.domain import errors
from service.ledger import audit, pages, transactions
from service.ledger import engine as engines

#: Before the hash of a password: its user is disabled. With it, it is no hash that anything matches.
LOCK = "!"
DISABLED = f"left(password, 1) = '{LOCK}'"

COLUMNS = f"name, role, {DISABLED} as disabled, created_at, created_by, changed_at"

LIST = f"""
select {COLUMNS}, (select max(s.seen_at) from millrace.sessions s where s.local = u.name) as seen_at
from millrace.users u order by name
"""

ADD = """
insert into millrace.users (name, role, password, created_by) values (%s, %s, %s, %s)
on conflict (name) do nothing returning name
"""

# Whoever is disabled stays so.
PASSWORD = f"""
update millrace.users
set password = case when {DISABLED} then '{LOCK}' else '' end || %s, changed_at = clock_timestamp()
where name = %s returning name
"""

TAKE = f"select role, {DISABLED} from millrace.users where name = %s for update"

ROLE = "update millrace.users set role = %s, changed_at = clock_timestamp() where name = %s"

DISABLE = f"""
update millrace.users set password = '{LOCK}' || password, changed_at = clock_timestamp() where name = %s
"""

ENABLE = """
update millrace.users set password = substr(password, 2), changed_at = clock_timestamp() where name = %s
"""

END_ALL = "delete from millrace.sessions where local = %s"

SESSIONS = """
select s.name, s.local is not null as local, coalesce(u.role, s.role) as role, s.created_at, s.seen_at, s.ends_at,
       count(*) over () as total
from millrace.sessions s left join millrace.users u on u.name = s.local
where s.ends_at > clock_timestamp() and s.seen_at > clock_timestamp() - make_interval(secs => %s)
order by s.seen_at desc limit %s
"""

END_OF = "delete from millrace.sessions where name = %s"

REMOVE = "delete from millrace.users where name = %s returning name"

FIND = f"select password, role from millrace.users where name = %s and not {DISABLED}"

# Only what was verified: whoever was disabled, or has another password by now, keeps that.
REHASH = "update millrace.users set password = %s where name = %s and password = %s"

# Those that have ended go when somebody comes; a few at a time, so that nobody waits for it.
TIDY = """
delete from millrace.sessions where hash in (
    select hash from millrace.sessions where ends_at < clock_timestamp() limit 100 for update skip locked)
"""

BEGIN = """
insert into millrace.sessions (hash, name, role, ends_at)
values (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))
"""

# Of a local user, whose row still holds what was verified. Who changes it at this moment is waited for, or waits, and
# ends this session with the others.
BEGIN_LOCAL = """
insert into millrace.sessions (hash, name, local, role, ends_at)
select %s, name, name, %s, clock_timestamp() + make_interval(secs => %s)
from millrace.users where name = %s and password = %s for share
"""

# A local user's role is that of today. A session that began while its user was being disabled opens nothing.
SESSION = f"""
select s.name, coalesce(u.role, s.role) as role, s.seen_at < clock_timestamp() - interval '1 minute' as stale
from millrace.sessions s left join millrace.users u on u.name = s.local
where s.hash = any(%s) and s.ends_at > clock_timestamp()
  and s.seen_at > clock_timestamp() - make_interval(secs => %s) and {DISABLED} is not true
"""

SEEN = "update millrace.sessions set seen_at = clock_timestamp() where hash = any(%s)"

END = "delete from millrace.sessions where hash = any(%s) returning name"


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A user's password, hashed, and role."""

    password: str = dataclasses.field(repr=False)
    role: str


class UserLedger:
    """The users and sessions of the ledger. All methods raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def list(self) -> list[dict[str, Any]]:
        """All users, and when they were seen last in a session that goes on."""
        with transactions.begin(self._engine) as connection:
            return [pages.in_utc(row) for row in connection.exec_driver_sql(LIST).mappings()]

    def any(self) -> bool:
        """Whether there is a user at all."""
        with transactions.begin(self._engine) as connection:
            return bool(connection.exec_driver_sql("select exists (select from millrace.users)").scalar_one())

    def add(self, name: str, role: str, password: str, *, by: str | None) -> None:
        """A new user. Raises UserExists."""
        with transactions.begin(self._engine) as connection:
            if connection.exec_driver_sql(ADD, (name, role, password, by)).first() is None:
                raise errors.UserExists(f"there is a user {name!r} already")
            audit.write(connection, "user.added", name, by, role=role)

    def set_password(self, name: str, password: str, *, by: str | None) -> None:
        """Another password; it ends the user's sessions. Raises UserNotFound."""
        with transactions.begin(self._engine) as connection:
            if connection.exec_driver_sql(PASSWORD, (password, name)).first() is None:
                raise errors.UserNotFound(f"there is no user {name[:100]!r}")
            ended = connection.exec_driver_sql(END_ALL, (name,)).rowcount
            audit.write(connection, "user.password", name, by, sessions_ended=ended)

    def set_role(self, name: str, role: str, *, by: str | None) -> None:
        """Another role, in the sessions that go on, too. Raises UserNotFound."""
        with transactions.begin(self._engine) as connection:
            before, _ = _take(connection, name)
            if before != role:
                connection.exec_driver_sql(ROLE, (role, name))
                audit.write(connection, "user.role", name, by, before=before, role=role)

    def disable(self, name: str, *, by: str | None) -> None:
        """Let a user sign in no more, and end the sessions. Raises UserNotFound."""
        with transactions.begin(self._engine) as connection:
            _, disabled = _take(connection, name)
            if not disabled:
                connection.exec_driver_sql(DISABLE, (name,))
                ended = connection.exec_driver_sql(END_ALL, (name,)).rowcount
                audit.write(connection, "user.disabled", name, by, sessions_ended=ended)

    def enable(self, name: str, *, by: str | None) -> None:
        """Let a user sign in again, with the password of before. Raises UserNotFound."""
        with transactions.begin(self._engine) as connection:
            _, disabled = _take(connection, name)
            if disabled:
                connection.exec_driver_sql(ENABLE, (name,))
                # Processes of older versions let a session begin while its user is being disabled.
                connection.exec_driver_sql(END_ALL, (name,))
                audit.write(connection, "user.enabled", name, by)

    def remove(self, name: str, *, by: str | None) -> None:
        """Take a user away, sessions and all. Raises UserNotFound."""
        with transactions.begin(self._engine) as connection:
            if connection.exec_driver_sql(REMOVE, (name,)).first() is None:
                raise errors.UserNotFound(f"there is no user {name[:100]!r}")
            audit.write(connection, "user.removed", name, by)

    def find(self, name: str) -> Found | None:
        """What is needed to check a password; None for who may not sign in, too."""
        with transactions.begin(self._engine) as connection:
            row = connection.exec_driver_sql(FIND, (name,)).first()
        return None if row is None else Found(row[0], row[1])

    def rehash(self, name: str, verified: str, password: str) -> bool:
        """Keep the same password in a stronger hash; False: the user holds another one than ``verified`` by now."""
        with transactions.begin(self._engine) as connection:
            return connection.exec_driver_sql(REHASH, (password, name, verified)).rowcount == 1

    def begin(self, hash: str, *, name: str, role: str, verified: str | None, lasts: float) -> None:
        """A new session, for ``lasts`` seconds at the most. ``verified``: the hash that a local user's password has
        matched; None for who comes from the issuer. Raises BadCredential when it is not the user's any more.
        """
        with transactions.begin(self._engine) as connection:
            if verified is None:
                connection.exec_driver_sql(BEGIN, (hash, name, role, lasts))
            elif connection.exec_driver_sql(BEGIN_LOCAL, (hash, role, lasts, name, verified)).rowcount == 0:
                raise errors.BadCredential("user and password do not match any more: they were changed just now")
            connection.exec_driver_sql(TIDY)  # After the user's row, as all do who end sessions: else both could wait.
            way = "issuer" if verified is None else "password"
            audit.write(connection, "session.begun", name, name, role=role, way=way)

    def session(self, hashes: Sequence[str], idle: float) -> tuple[str, str] | None:
        """(name, role) of a session that goes on; None for another. It ends after ``idle`` seconds of rest."""
        with transactions.begin(self._engine) as connection:
            row = connection.exec_driver_sql(SESSION, (list(hashes), idle)).first()
            if row is not None and row[2]:
                connection.exec_driver_sql(SEEN, (list(hashes),))
        return None if row is None else (row[0], row[1])

    def sessions(self, idle: float, *, limit: int) -> tuple[Sequence[dict[str, Any]], int]:
        """Those that go on, the ones seen last first: who, with which role, since when; and how many there are."""
        with transactions.begin(self._engine) as connection:
            rows = [pages.in_utc(row) for row in connection.exec_driver_sql(SESSIONS, (idle, limit)).mappings()]
        total = max((row.pop("total") for row in rows), default=0)
        return rows, total

    def end_of(self, name: str, *, by: str | None) -> int:
        """End all sessions of somebody, however they signed in; how many there were."""
        with transactions.begin(self._engine) as connection:
            ended: int = connection.exec_driver_sql(END_OF, (name,)).rowcount
            if ended:
                audit.write(connection, "sessions.ended", name, by, sessions_ended=ended)
        return ended

    def end(self, hashes: Sequence[str]) -> None:
        """End a session, if there is one."""
        with transactions.begin(self._engine) as connection:
            row = connection.exec_driver_sql(END, (list(hashes),)).first()
            if row is not None:
                audit.write(connection, "session.ended", row[0], row[0])


def _take(connection: sqlalchemy.Connection, name: str) -> tuple[str, bool]:
    """A user's role, and whether they are disabled; nobody else changes them meanwhile. Raises UserNotFound."""
    row = connection.exec_driver_sql(TAKE, (name,)).first()
    if row is None:
        raise errors.UserNotFound(f"there is no user {name[:100]!r}")
    return row[0], row[1]
