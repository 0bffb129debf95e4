"""An event's row, as a worker reads it."""

from __future__ import annotations

from typing import Any

from service.domain import event

#: The columns that ``read`` wants, and what every claim asks for besides: ``age``, ``waited`` (seconds), ``expired``.
EVENT = """
       id::text, type, payload, attempt, crashes, accepted_at, producer, request_id, traceparent, schedule, slot_at,
       attributes, extract(epoch from clock_timestamp() - accepted_at)::float8 as age,
       extract(epoch from clock_timestamp() - greatest(accepted_at, run_at))::float8 as waited,
       coalesce(expires_at <= now(), false) as expired
""".strip()


def read(row: Any, *, attempt: int) -> event.Event:
    """The event of a row, for the run that is its attempt number ``attempt``."""
    return event.Event(
        id=row.id, type=row.type, payload=row.payload, attempt=attempt, crashes=row.crashes,
        accepted_at=row.accepted_at, producer=row.producer, request_id=row.request_id, traceparent=row.traceparent,
        schedule=row.schedule, slot_at=row.slot_at, attributes=row.attributes,
    )  # fmt: skip
