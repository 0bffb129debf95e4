"""A ticket as a Celery message: protocol version 2, so that an ordinary worker runs it.

Source: Celery documentation, "Message Protocol", version 2.
"""

from __future__ import annotations

import json
from typing import Any

from service.domain import ticket as tickets

CONTENT_TYPE = "application/json"
CONTENT_ENCODING = "utf-8"

COUNT = "millrace_events"  #: header: how many events the ticket names; for the worker's parent, which reads no body

#: The third part of a body: ours never carries callbacks, chains or chords.
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def headers(ticket: tickets.Ticket) -> dict[str, Any]:
    """The headers that make the message a task named by the event type."""
    return {
        "lang": "py",
        "task": ticket.type,
        "id": ticket.id,
        "root_id": ticket.id,
        "parent_id": None,
        "group": None,
        "retries": 0,
        "eta": None,
        "expires": None,
        "timelimit": [None, None],
        "argsrepr": "",  # Celery logs it; ids are enough.
        "kwargsrepr": "",
        "origin": "millrace",
        "ignore_result": True,
        COUNT: len(ticket.event_ids),
    }


def body(ticket: tickets.Ticket) -> str:
    """The body: positional arguments, keyword arguments, embed."""
    return json.dumps([[ticket.body()], {}, EMBED], separators=(",", ":"))


def properties(ticket: tickets.Ticket) -> dict[str, Any]:
    """The AMQP properties."""
    return {
        "content_type": CONTENT_TYPE,
        "content_encoding": CONTENT_ENCODING,
        "delivery_mode": 2,  # Persistent.
        "correlation_id": ticket.id,
        "message_id": ticket.id,
    }


def is_ours(content_type: str | None, content_encoding: str | None, header: dict[str, Any] | None) -> bool:
    """Whether a message may be handed to a handler at all, by its envelope.

    A foreign encoding, a delay by Celery or a smuggled task name is no message of ours; kombu would run some of them.
    """
    return (
        content_type == CONTENT_TYPE
        and (content_encoding or "").lower() == CONTENT_ENCODING
        and isinstance(header, dict)
        and isinstance(header.get("task"), str)
        and isinstance(header.get("id"), str)
        and header.get("eta") is None
        and header.get("expires") is None
    )
