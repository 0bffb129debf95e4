"""The audit log: written in the transaction of the act itself, and read by those who may.

Who writes takes the end of the chain, and holds it until the commit: so the last statement of an act is its entry. Only
operators' acts write here; the road never waits for it.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
from collections.abc import Iterator
from typing import Any

import sqlalchemy

from service.domain import chain
from service.ledger import engine as engines
from service.ledger import pages, transactions

log = logging.getLogger("millrace.audit")

MOST_BREAKS = 100  #: that are told; more are counted
PAGE = 1_000  #: rows that are looked at together when the chain is verified

TAKE_END = "select n, hash, clock_timestamp() from millrace.audit_end for update"

WRITE = """
with written as (
    insert into millrace.audit (n, at, actor, act, target, detail, request_id, address, previous, hash)
    values (%(n)s, %(at)s, %(actor)s, %(act)s, %(target)s, %(detail)s::json, %(request_id)s, %(address)s, %(previous)s,
            %(hash)s))
update millrace.audit_end set n = %(n)s, hash = %(hash)s
"""

COLUMNS = "n, at, actor, act, target, detail::text as detail, request_id, address, previous, hash"

CONDITIONS = {
    "actor": "actor = %(actor)s",
    "act": "act like %(act)s",
    "target": "target = %(target)s",
    "since": "at >= %(since)s",
    "until": "at < %(until)s",
    "before": "n < %(before)s",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Filters:
    """Which entries are wanted; None: any."""

    actor: str | None = None
    act: str | None = None  #: itself, or what it begins with: ``schedule`` finds ``schedule.paused``
    target: str | None = None
    since: datetime.datetime | None = None  #: at this instant or later
    until: datetime.datetime | None = None  #: before this instant
    before: int | None = None  #: numbers below this one


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What came of verifying the chain."""

    rows: int
    breaks: list[chain.Break]
    more: int  #: breaks beyond those
    end: str  #: the hash of its end, to be kept where nobody who can write the ledger can write


def write(connection: sqlalchemy.Connection, act: str, target: str | None, by: str | None, **detail: Any) -> None:
    """Note an act in its own transaction, as the last thing before the commit."""
    n, previous, at = connection.exec_driver_sql(TAKE_END).one()
    origin = chain.origin()
    if origin.because is not None:
        detail["because"] = origin.because
    text = json.dumps(detail, default=_plain)
    entry = chain.Entry(n + 1, at, by, act, target, text, origin.request_id, origin.address, previous)
    hash = entry.computed()
    connection.exec_driver_sql(WRITE, dataclasses.asdict(entry) | {"hash": hash})
    # Elsewhere than in the ledger: whoever writes the whole chain anew cannot unsay this.
    log.info("An act was noted", extra={"action": "audit.written", "n": n + 1, "hash": hash, "act": act, "by": by})


class AuditLedger:
    """The log, to be read. All methods raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def write(self, act: str, target: str | None, by: str | None, **detail: Any) -> None:
        """Note an act that changes nothing in the ledger: that somebody has seen something."""
        with transactions.begin(self._engine) as connection:
            write(connection, act, target, by, **detail)

    def list(self, filters: Filters, *, limit: int) -> list[dict[str, Any]]:
        """Entries, the newest first."""
        given = {f.name: getattr(filters, f.name) for f in dataclasses.fields(filters)}
        values = {name: value for name, value in given.items() if value is not None}
        where = " and ".join(CONDITIONS[name] for name in values) or "true"
        if "act" in values:
            values["act"] = values["act"].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        statement = f"select {COLUMNS} from millrace.audit where {where} order by n desc limit %(limit)s"
        with transactions.begin(self._engine) as connection:
            rows = connection.exec_driver_sql(statement, values | {"limit": limit}).mappings().all()
        return [pages.in_utc(row) | {"detail": json.loads(row["detail"])} for row in rows]

    def holds(self, hash: str) -> bool:
        """Whether a row has this hash."""
        with transactions.begin(self._engine) as connection:
            found = connection.exec_driver_sql("select exists (select from millrace.audit where hash = %s)", (hash,))
            return bool(found.scalar_one()) or hash == chain.FIRST

    def verify(self) -> Verdict:
        """Look at the whole chain, as it stands at this moment."""
        with transactions.begin(self._engine) as connection:
            # Both are of one instant, and nobody who writes is kept waiting meanwhile.
            connection.exec_driver_sql("set transaction isolation level repeatable read, read only")
            end = connection.exec_driver_sql("select n, hash from millrace.audit_end").one()
            counted = [0]
            found: list[chain.Break] = []
            more = 0
            for one in chain.breaks(_entries(connection, counted), (end[0], end[1])):
                if len(found) < MOST_BREAKS:
                    found.append(one)
                else:
                    more += 1
        return Verdict(counted[0], found, more, end[1])


def _entries(connection: sqlalchemy.Connection, counted: list[int]) -> Iterator[chain.Entry]:
    after: int | None = None
    statement = f"select {COLUMNS} from millrace.audit where %(after)s::bigint is null or n > %(after)s order by n"
    while True:
        values = {"after": after, "limit": PAGE}
        rows = connection.exec_driver_sql(f"{statement} limit %(limit)s", values).all()
        for row in rows:
            yield chain.Entry(*row)
        counted[0] += len(rows)
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)
