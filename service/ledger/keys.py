"""API keys. What is kept of one is a keyed hash; a key that is not live any more stays, for who asks what it was."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy

from service.domain import errors
from service.ledger import audit, pages, transactions
from service.ledger import engine as engines

LIVE = "revoked_at is null and (expires_at is null or expires_at > clock_timestamp())"

ALL_LIVE = f"""
select id, name, role, types, hash, extract(epoch from expires_at - clock_timestamp())::float8 as left,
       extract(epoch from clock_timestamp() - used_at)::float8 as unused
from millrace.keys where {LIVE}
"""

COLUMNS = f"""id, name, role, types, created_at, created_by, expires_at, revoked_at, revoked_by, used_at,
    case when revoked_at is not null then 'revoked' when not ({LIVE}) then 'expired' else 'live' end as state,
    {LIVE} and coalesce(expires_at < clock_timestamp() + interval '7 days', false) as soon"""

# The name's lock: of two who make a key of one name at once, the second one counts the first one's.
LOCK_NAME = "select pg_advisory_xact_lock(hashtext('millrace.keys.' || %s))"

COUNT = f"select count(*) from millrace.keys where name = %s and {LIVE}"

INSERT = f"""
insert into millrace.keys (id, name, role, types, hash, created_by, expires_at)
values (%(id)s, %(name)s, %(role)s, %(types)s, %(hash)s, %(by)s,
        clock_timestamp() + make_interval(secs => %(lasts)s::float8))
returning {COLUMNS}
"""

TAKE = f"select {COLUMNS} from millrace.keys where id = %s for update"

# It never lives longer than it would have.
END = f"""
update millrace.keys
set expires_at = least(expires_at, clock_timestamp() + make_interval(secs => %s::float8)) where id = %s
returning {COLUMNS}
"""

REVOKE = f"""
update millrace.keys set revoked_at = clock_timestamp(), revoked_by = %s where id = %s and revoked_at is null
returning {COLUMNS}
"""

# A key that was rotated ends sooner than it was made to: how old it may grow stands in the entry of when it was made,
# or, of one that was made by rotating another, in the entry of when it was rotated itself; older versions noted none.
AGE = """
select case act when 'key.rotated' then (detail->>'lasts')::float8
                else extract(epoch from (detail->>'expires_at')::timestamptz - %s)::float8 end
from millrace.audit
where target = %s and (act = 'key.created' or (act = 'key.rotated' and detail->'lasts' is not null))
order by n limit 1
"""

USED = """
update millrace.keys set used_at = clock_timestamp()
where id = %s and (used_at is null or used_at < clock_timestamp() - interval '30 seconds')
"""


@dataclasses.dataclass(frozen=True, slots=True)
class LiveKey:
    """A key that opens something at this moment."""

    id: str
    name: str
    role: str
    types: tuple[str, ...]
    hash: str
    left: float | None  #: seconds until it expires; None: never
    unused: float | None  #: seconds since it was used; None: never was, as far as it was written


class KeyLedger:
    """The keys of the ledger. All methods raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def live(self) -> list[LiveKey]:
        """All keys that open something."""
        with transactions.begin(self._engine) as connection:
            rows = connection.exec_driver_sql(ALL_LIVE).all()
        return [LiveKey(r[0], r[1], r[2], tuple(r[3]), r[4], r[5], r[6]) for r in rows]

    def list(self, *, all: bool = False) -> list[dict[str, Any]]:
        """Keys by name, the newest first; those too that open nothing any more if ``all``."""
        statement = f"select {COLUMNS} from millrace.keys where %s or {LIVE} order by name, created_at desc"
        with transactions.begin(self._engine) as connection:
            return [pages.in_utc(row) for row in connection.exec_driver_sql(statement, (all,)).mappings()]

    def create(
        self, id: str, hash: str, *, name: str, role: str, types: Sequence[str], lasts: float | None, by: str | None
    ) -> dict[str, Any]:
        """Keep a new key; ``lasts``: seconds until it expires. Raises TwoKeysLive."""
        values = {"id": id, "hash": hash, "name": name, "role": role, "types": list(types), "lasts": lasts, "by": by}
        with transactions.begin(self._engine) as connection:
            connection.exec_driver_sql(LOCK_NAME, (name,))
            if connection.exec_driver_sql(COUNT, (name,)).scalar_one() >= 2:
                raise errors.TwoKeysLive()
            row = connection.exec_driver_sql(INSERT, values).mappings().one()
            audit.write(
                connection, "key.created", id, by, name=name, role=role, types=list(types), expires_at=row["expires_at"]
            )
        return pages.in_utc(row)

    def rotate(self, old: str, id: str, hash: str, *, overlap: float, by: str | None) -> dict[str, Any]:
        """Keep a new key in an old one's place, which expires after ``overlap`` seconds. The new one has its age.

        Raises KeyNotFound, TwoKeysLive.
        """
        with transactions.begin(self._engine) as connection:
            found = connection.exec_driver_sql(TAKE, (old,)).mappings().first()
            if found is None or found["state"] != "live":
                raise errors.KeyNotFound(f"there is no live key {old[:100]!r}")
            connection.exec_driver_sql(LOCK_NAME, (found["name"],))
            if connection.exec_driver_sql(COUNT, (found["name"],)).scalar_one() >= 2:
                raise errors.TwoKeysLive()
            lasts = _age(connection, found)
            values = {
                "id": id, "hash": hash, "name": found["name"], "role": found["role"], "types": found["types"], "by": by,
                "lasts": lasts,
            }  # fmt: skip
            ending = connection.exec_driver_sql(END, (overlap, old)).mappings().one()
            row = connection.exec_driver_sql(INSERT, values).mappings().one()
            audit.write(
                connection, "key.rotated", old, by,
                new=id, name=row["name"], expires_at=ending["expires_at"], lasts=lasts,
            )  # fmt: skip
        return pages.in_utc(row)

    def revoke(self, id: str, *, by: str | None) -> dict[str, Any]:
        """End a key, for good. Raises KeyNotFound for one that there is not, or that is revoked already."""
        with transactions.begin(self._engine) as connection:
            row = connection.exec_driver_sql(REVOKE, (by, id)).mappings().first()
            if row is None:
                raise errors.KeyNotFound(f"there is no key {id[:100]!r} that is not revoked")
            audit.write(connection, "key.revoked", id, by, name=row["name"])
        return pages.in_utc(row)

    def used(self, id: str) -> None:
        """Note that a key was used just now."""
        with transactions.begin(self._engine) as connection:
            connection.exec_driver_sql(USED, (id,))


def _age(connection: sqlalchemy.Connection, key: Mapping[Any, Any]) -> float | None:
    """For how many seconds a key was made; None: for ever."""
    if (noted := connection.exec_driver_sql(AGE, (key["created_at"], key["id"])).first()) is not None:
        age: float | None = noted[0]
        return age
    expires_at: datetime.datetime | None = key["expires_at"]
    return None if expires_at is None else float((expires_at - key["created_at"]).total_seconds())
