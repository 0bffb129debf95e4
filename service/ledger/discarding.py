"""Discarding dead letters: somebody has seen them, and nothing more shall come of them.

They leave the list of what wants a person. The events stay, ``dead`` and readable with all that is known of them, and
one that was discarded by mistake can still be replayed by its id.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from service.domain import chain, errors
from service.ledger import audit, transactions
from service.ledger import engine as engines
from service.ledger.letters import Filters, Replaying

BATCH = 1_000  #: letters in one commit

MARK = "set discarded_at = clock_timestamp(), discarded_by = %(by)s, discarded_because = %(because)s"

ONE = f"""
update millrace.dead {MARK} where event_id = %(id)s::uuid and discarded_at is null returning type, reason
"""

WHO = "select discarded_by from millrace.dead where event_id = %(id)s::uuid"

# Those that another operator has in hand are left to them.
SOME = f"""
with chosen as (
    select d.event_id from millrace.dead d
    where d.replayed_as is null and d.discarded_at is null {{conditions}}
    order by d.event_id limit %(limit)s for no key update skip locked)
update millrace.dead d {MARK} from chosen where d.event_id = chosen.event_id
returning d.type, d.event_id::text
"""


class DiscardLedger:
    """The ledger for who discards. All methods raise LedgerUnavailable, and BeingWorked when others are at it."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def discard(self, event_id: str, *, by: str | None) -> None:
        """Discard one. Raises EventNotFound, NotDead, AlreadyReplayed, AlreadyDiscarded."""
        values = {"id": event_id, "by": by, "because": chain.origin().because}
        with transactions.begin(self._engine) as connection:
            letter = Replaying(connection).take(event_id)
            row = connection.exec_driver_sql(ONE, values).first()
            if row is None:
                raise errors.AlreadyDiscarded(connection.exec_driver_sql(WHO, values).scalar_one())
            audit.write(connection, "letter.discarded", letter.id, by, type=row[0], reason=row[1])

    def discard_all(self, filters: Filters, *, limit: int, by: str | None) -> dict[str, int]:
        """Discard up to ``limit`` of those that were neither replayed nor discarded, the oldest first; by type."""
        conditions, values = filters.where()
        statement = SOME.format(conditions="".join(f" and {condition}" for condition in conditions))
        found: Counter[str] = Counter()
        while (room := limit - found.total()) > 0:
            more = {"by": by, "because": chain.origin().because, "limit": min(room, BATCH)}
            with transactions.begin(self._engine) as connection:
                rows: list[Any] = list(connection.exec_driver_sql(statement, values | more).all())
                if rows:
                    types, ids = Counter(row[0] for row in rows), [row[1] for row in rows]
                    audit.write(
                        connection, "letters.discarded", None, by,
                        filters=values, types=dict(types), first=min(ids), last=max(ids),
                    )  # fmt: skip
                    found += types
            if len(rows) < min(room, BATCH):
                break
        return dict(found)
