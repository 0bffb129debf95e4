"""An event's row, as a worker reads it."""

from __future__ import annotations

from typing import Any

from service.domain import event

#: The fields of an ``Event`` in their order, for the run that is to come or is under way; and what every claim asks for
#: besides: ``age``, ``waited`` (seconds), ``expired``.
EVENT = """
       id::text, type, payload, attempt + (state = 'pending')::int as attempt, accepted_at, crashes, producer,
       request_id, traceparent, attributes, schedule, slot_at,
       date_part('epoch', clock_timestamp() - accepted_at) as age,
       date_part('epoch', clock_timestamp() - greatest(accepted_at, run_at)) as waited,
       coalesce(expires_at <= now(), false) as expired
""".strip()


FIELDS = len(event.Event._fields)


def read(row: Any) -> event.Event:
    """The event of a row that was asked for as ``EVENT``."""
    return event.Event._make(row[:FIELDS])
