"""Pausing a type or a queue. It is a condition of the release, never a state of an event: what waits, waits."""

from __future__ import annotations

import datetime
from typing import Any

from service.domain import chain
from service.ledger import audit, scans, transactions
from service.ledger import engine as engines

# Who came first keeps the pause, with their name and reason.
PAUSE = """
insert into millrace.{table} as p (name, paused_at, paused_by, paused_because)
values (%(name)s, clock_timestamp(), %(by)s, %(because)s)
on conflict (name) do update
set paused_by = case when p.paused_at is null then excluded.paused_by else p.paused_by end,
    paused_because = case when p.paused_at is null then excluded.paused_because else p.paused_because end,
    paused_at = coalesce(p.paused_at, excluded.paused_at)
returning paused_at as at, paused_by as by, paused_because as because
"""

RESUME = """
update millrace.{table} set paused_at = null, paused_by = null, paused_because = null
where name = %(name)s and paused_at is not null returning name
"""

# What waited until now was not late. Rows are taken in order of the type, as by whoever counts what is out.
MAY_GO_ON = {
    "types": "update millrace.types set resumed_at = clock_timestamp() where name = %(name)s",
    "queues": f"""
        with recursive {scans.LANES}
        insert into millrace.types (name, resumed_at)
        select distinct type, clock_timestamp() from lanes where queue = %(name)s order by type
        on conflict (name) do update set resumed_at = excluded.resumed_at
        """,
}

KNOWS = {
    "types": """
        select exists (select from millrace.types where name = %(name)s)
            or exists (select from millrace.events where type = %(name)s)
        """,
    "queues": """
        select exists (select from millrace.queues where name = %(name)s)
            or exists (select from millrace.tickets where queue = %(name)s)
        """,
}


class PauseLedger:
    """What is paused in one of the tables ``types`` and ``queues``."""

    def __init__(self, engine: engines.Engine, table: str) -> None:
        assert table in KNOWS
        self._engine = engine
        self._table = table

    def knows(self, name: str) -> bool:
        """Whether the ledger has anything of this name, for those that no handler of this process asks for."""
        with transactions.begin(self._engine) as connection:
            return bool(connection.exec_driver_sql(KNOWS[self._table], {"name": name}).scalar())

    def pause(self, name: str, by: str | None) -> dict[str, Any]:
        """Pause; since when (at), by whom (by) and why (because): another's words if it was paused before."""
        statement = PAUSE.format(table=self._table)
        values = {"name": name, "by": by, "because": chain.origin().because}
        with transactions.begin(self._engine) as connection:
            row = connection.exec_driver_sql(statement, values).mappings().one()
            audit.write(connection, f"{self._table[:-1]}.paused", name, by, since=row["at"])
        at: datetime.datetime = row["at"]
        return {"at": at.astimezone(datetime.UTC), "by": row["by"], "because": row["because"]}

    def resume(self, name: str, by: str | None = None) -> bool:
        """Resume; whether it was paused."""
        with transactions.begin(self._engine) as connection:
            found = connection.exec_driver_sql(RESUME.format(table=self._table), {"name": name}).first()
            if found is not None:
                connection.exec_driver_sql(MAY_GO_ON[self._table], {"name": name})
                audit.write(connection, f"{self._table[:-1]}.resumed", name, by)
            return found is not None
