"""Asking the clocks for one of their duties, and looking whether it was done: how a schedule gets one done."""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy

ASK = sqlalchemy.text("""
update millrace.duties set asked_at = :since
where name = :duty and (asked_at is null or asked_at < :since)
""")

LOOK = sqlalchemy.text("""
select case when done_at >= :since then done_at end as done_at, result,
       extract(epoch from clock_timestamp() - :since)::float8 as waited
from millrace.duties where name = :duty
""")


def ask(session: Any, duty: str, since: datetime.datetime) -> tuple[dict[str, Any] | None, float]:
    """Have it done since this instant: (when it was, with its result; or None while it was not, seconds since then)."""
    values = {"duty": duty, "since": since}
    session.execute(ASK, values)
    found = session.execute(LOOK, values).one()
    if found.done_at is None:
        return None, found.waited
    return {"done_at": found.done_at.astimezone(datetime.UTC).isoformat()} | (found.result or {}), found.waited
