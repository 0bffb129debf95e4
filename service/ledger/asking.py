"""How an event asks the clocks for a duty of theirs: by being open. Who works it looks whether it was done since.

So a worker needs no right but to look.
"""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy

#: Of a row ``d`` of the duties: whether an event of the type ``asked`` came after it was done, and waits to look again.
ASKED = """
exists (select from millrace.tickets t where t.type = %(asked)s and t.published_at is null
        and t.event_ids[1] > (lpad(to_hex((extract(epoch from greatest(d.done_at, 'epoch')) * 1000)::bigint), 12, '0')
                              || '00000000000000000000')::uuid)
"""

LOOK = sqlalchemy.text("""
select case when done_at >= :since then done_at end as done_at, result,
       extract(epoch from clock_timestamp() - :since)::float8 as waited
from millrace.duties where name = :duty
""")


def look(session: Any, duty: str, since: datetime.datetime) -> tuple[dict[str, Any] | None, float]:
    """(when it was done, with its result; or None if not since this instant, seconds since then)."""
    found = session.execute(LOOK, {"duty": duty, "since": since}).one()
    if found.done_at is None:
        return None, found.waited
    return {"done_at": found.done_at.astimezone(datetime.UTC).isoformat()} | (found.result or {}), found.waited
