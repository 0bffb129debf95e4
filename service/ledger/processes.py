"""Who is there: webs, workers and clocks, each in the row that it writes of itself."""

from __future__ import annotations

import json
from typing import Any

from service.domain import processes
from service.ledger import engine as engines
from service.ledger import fence, pages, schema, transactions

MOST = 1_000  #: processes in a list, the ones that were seen last
FORGOTTEN = 600  #: seconds after its last note for which a process that is gone is remembered

# A pid may come again, in a container after each restart: then it is another process, which began at another time.
NOTE = """
insert into millrace.processes as p
    (kind, host, pid, version, schema, queues, types, digest, slots, broker, holding, started_at)
values (%(kind)s, %(host)s, %(pid)s, %(version)s, %(schema)s, %(queues)s, %(types)s, %(digest)s, %(slots)s, %(broker)s,
        %(holding)s::jsonb, clock_timestamp() - make_interval(secs => %(age)s))
on conflict (kind, host, pid) do update
set version = excluded.version, schema = excluded.schema, queues = excluded.queues, types = excluded.types,
    digest = excluded.digest, slots = excluded.slots, broker = excluded.broker, holding = excluded.holding,
    seen_at = clock_timestamp(),
    started_at = case when abs(extract(epoch from excluded.started_at - p.started_at)) < 5 then p.started_at
                      else excluded.started_at end
"""

# A mark where a kind of process comes in another version: begun since the last mark, and the first of its version, so
# that neither old ones that go on nor one of them that is started again make a mark of their own.
MARK = f"""
with last as (select version, at from millrace.deploys where kind = %(kind)s order by at desc limit 1)
insert into millrace.deploys (kind, version)
select %(kind)s, %(version)s from (select) one left join last on true
where last.version is null
   or (last.version <> %(version)s and last.at < clock_timestamp() - make_interval(secs => %(age)s)
       and not exists (
           select from millrace.processes p
           where p.kind = %(kind)s and p.version = %(version)s and (p.host, p.pid) <> (%(host)s, %(pid)s)
             and p.seen_at > clock_timestamp() - interval '{processes.LIVE} seconds'))
on conflict do nothing;
"""

# What came together stands together: a kind and a version once in each minute.
DEPLOYS = """
select kind, version, min(at) as at from millrace.deploys
where at >= clock_timestamp() - make_interval(secs => %(seconds)s)
group by kind, version, date_trunc('minute', at) order by 3 desc, 1 limit %(limit)s
"""

LIST = f"""
select kind, host, pid, version, queues, types, digest, slots, broker, holding, started_at, seen_at,
       seen_at > clock_timestamp() - interval '{processes.LIVE} seconds' as alive,
       extract(epoch from clock_timestamp() - seen_at)::float8 as seen_ago
from millrace.processes where %(kind)s::text is null or kind = %(kind)s
order by kind, host, pid limit {MOST}
"""

FORGET = f"delete from millrace.processes where seen_at < now() - interval '{FORGOTTEN} seconds'"


class ProcessLedger:
    """The processes. All methods raise LedgerUnavailable."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine

    def note(self, process: processes.Process, note: processes.Note) -> None:
        """Write that a process lives, and what it says of itself."""
        values = {
            "kind": process.kind, "host": process.host, "pid": process.pid, "version": process.version,
            "schema": schema.HEAD,  # Which code it is; see `service/ledger/migrate.py`.
            "queues": list(process.queues), "types": list(process.types), "digest": process.digest,
            "slots": process.slots, "broker": note.broker, "age": note.age,
            "holding": json.dumps([held.document() for held in note.holding]),
        }  # fmt: skip
        with fence.transaction(self._engine) as connection:
            connection.exec_driver_sql(MARK + NOTE, values)

    def deploys(self, *, seconds: float, limit: int = MOST) -> list[dict[str, Any]]:
        """When which kind of process came in another version, in the last ``seconds``, the latest first."""
        with transactions.begin(self._engine) as connection:
            rows = connection.exec_driver_sql(DEPLOYS, {"seconds": seconds, "limit": limit}).mappings().all()
        return [pages.in_utc(row) for row in rows]

    def list(self, kind: processes.Kind | None = None) -> list[dict[str, Any]]:
        """The processes that were noted of late, by kind and host; those that are not ``alive`` have gone."""
        with transactions.begin(self._engine) as connection:
            rows = connection.exec_driver_sql(LIST, {"kind": kind}).mappings().all()
        return [pages.in_utc(row) | {"holding": [_since(held, row) for held in row["holding"]]} for row in rows]


def _since(held: dict[str, Any], row: Any) -> dict[str, Any]:
    """What was held when it was noted, with the seconds until now."""
    return held | {"seconds": round(held["seconds"] + max(0.0, row["seen_ago"]), 3)}
