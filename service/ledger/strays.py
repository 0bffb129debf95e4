"""Strays: messages on our queues that were not ours, kept with bytes and headers."""

from __future__ import annotations

import base64
from typing import Any

import sqlalchemy

from service.domain import errors
from service.ledger import audit, pages, queries, transactions
from service.ledger import engine as engines

LIST = f"""
select id::text, filed_at, queue, reason, octet_length(body) as bytes, {pages.cursor_of("filed_at", "id")}
from millrace.strays
"""

ONE = """
select id::text, filed_at, queue, reason, octet_length(body) as bytes, properties, headers, body
from millrace.strays where id = %(id)s::uuid
"""

DISCARD = "delete from millrace.strays where id = %(id)s::uuid returning id::text, queue, reason"


class StrayLedger:
    """The strays of the ledger."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def list(self, *, limit: int, cursor: str | None = None) -> pages.Page:
        """Strays, the newest first, without what is in them."""
        where = "" if cursor is None else f"where {pages.below('filed_at', 'id')}"
        values = {} if cursor is None else pages.values(cursor)
        statement = f"{LIST} {where} order by filed_at desc, id desc limit %(limit)s"
        with transactions.begin(self._engine) as connection:
            rows = connection.exec_driver_sql(statement, values | {"limit": limit + 1}).mappings().all()
        return pages.cut(list(rows), limit)

    def show(self, stray_id: str) -> dict[str, Any]:
        """One with its properties, headers and body (base64). Raises StrayNotFound."""
        with transactions.begin(self._engine) as connection:
            row = _one(connection, ONE, stray_id)
        body = bytes(row.pop("body"))
        return pages.in_utc(row) | {"body": base64.b64encode(body).decode()}

    def discard(self, stray_id: str, *, by: str | None = None) -> None:
        """Delete one. Raises StrayNotFound."""
        with transactions.begin(self._engine) as connection:
            gone = _one(connection, DISCARD, stray_id)
            audit.write(connection, "stray.discarded", gone["id"], by, queue=gone["queue"], reason=gone["reason"])


def _one(connection: sqlalchemy.Connection, statement: str, stray_id: str) -> dict[str, Any]:
    """The row that a statement finds. Raises StrayNotFound."""
    row = None
    if queries.UUID.fullmatch(stray_id):
        row = connection.exec_driver_sql(statement, {"id": stray_id}).mappings().first()
    if row is None:
        raise errors.StrayNotFound(f"there is no stray {stray_id[:100]!r}")
    return {str(name): value for name, value in row.items()}
