"""Strays: messages on our queues that were not ours, kept with bytes and headers."""

from __future__ import annotations

import base64
from typing import Any

from service.domain import errors
from service.ledger import engine as engines
from service.ledger import pages, queries, transactions

LIST = f"""
select id::text, filed_at, queue, reason, octet_length(body) as bytes, {pages.cursor_of("filed_at", "id")}
from millrace.strays
"""

ONE = """
select id::text, filed_at, queue, reason, octet_length(body) as bytes, properties, headers, body
from millrace.strays where id = %(id)s::uuid
"""

DISCARD = "delete from millrace.strays where id = %(id)s::uuid returning id"


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
        row = self._one(ONE, stray_id)
        body = bytes(row.pop("body"))
        return pages.in_utc(row) | {"body": base64.b64encode(body).decode()}

    def discard(self, stray_id: str) -> None:
        """Delete one. Raises StrayNotFound."""
        self._one(DISCARD, stray_id)

    def _one(self, statement: str, stray_id: str) -> dict[str, Any]:
        row = None
        if queries.UUID.fullmatch(stray_id):
            with transactions.begin(self._engine) as connection:
                row = connection.exec_driver_sql(statement, {"id": stray_id}).mappings().first()
        if row is None:
            raise errors.StrayNotFound(f"there is no stray {stray_id[:100]!r}")
        return {str(name): value for name, value in row.items()}
