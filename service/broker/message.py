"""A ticket as a Celery message: protocol version 2, so that an ordinary worker runs it.

Source: Celery documentation, "Message Protocol", version 2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from service.domain import errors
from service.domain import ticket as tickets

CONTENT_TYPE = "application/json"
CONTENT_ENCODING = "utf-8"

COUNT = "millrace_events"  #: header: how many events the ticket names; for the worker's parent, which reads no body

TICKETS = "millrace_tickets"  #: header of tickets that the worker's parent has joined: how many; never on the broker

SHOWN = 200  #: characters of a foreign word that a log line shows

#: The headers that are the same for every ticket.
FIXED: dict[str, Any] = {
    "lang": "py",
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
}

#: The third part of a body: ours never carries callbacks, chains or chords.
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def headers(ticket: tickets.Ticket) -> dict[str, Any]:
    """The headers that make the message a task named by the event type."""
    return FIXED | {"task": ticket.type, "id": ticket.id, "root_id": ticket.id, COUNT: len(ticket.event_ids)}


def body(ticket: tickets.Ticket) -> str:
    """The body: positional arguments, keyword arguments, embed."""
    return encoded([ticket.body()])


def encoded(arguments: Sequence[dict[str, Any]]) -> str:
    """A body with these arguments. On the broker there is one; the worker's parent may join several."""
    return json.dumps([arguments, {}, EMBED], separators=(",", ":"))


def properties(ticket: tickets.Ticket) -> dict[str, Any]:
    """The AMQP properties."""
    return {
        "content_type": CONTENT_TYPE,
        "content_encoding": CONTENT_ENCODING,
        "delivery_mode": 2,  # Persistent.
        "correlation_id": ticket.id,
        "message_id": ticket.id,
    }


def read(content_type: str | None, content_encoding: str | None, header: Any, payload: Any) -> dict[str, Any]:
    """The ticket in a message whose body was decoded to ``payload``; raises ForeignMessage for anything else.

    As strict as can be, because what comes after is not: headers become attributes of Celery's request, a delay, a
    callback or a time limit is obeyed, and an argument of another form ends the worker.
    """
    if content_type != CONTENT_TYPE or (content_encoding or "").lower() != CONTENT_ENCODING:
        raise errors.ForeignMessage(f"it is {content_type!r} in {content_encoding!r}")
    if not isinstance(header, dict):
        raise errors.ForeignMessage("it has no headers")
    ticket = argument(payload)
    wanted = FIXED | {"task": ticket.get("type"), "id": ticket.get("ticket"), "root_id": ticket.get("ticket")}
    # The broker adds headers of its own, which begin with `x-`.
    given = {k: v for k, v in header.items() if not k.startswith("x-")}
    if not isinstance(given.pop(COUNT, None), int) or given != wanted:
        raise errors.ForeignMessage("its headers are not those of a ticket")
    return ticket


def named(message: Any) -> dict[str, str]:
    """What a refused message calls itself, for the log: it may be nobody's, so nothing of it is believed.

    ``ticket_id``: where it has the form of an id; ``exchange``, ``routing_key``: by which way it came.
    """
    came = getattr(message, "delivery_info", None) or {}
    found = {name: str(came[name])[:SHOWN] for name in ("exchange", "routing_key") if came.get(name)}
    header = getattr(message, "headers", None)
    said = header.get("id") if isinstance(header, dict) else None
    if isinstance(said, str) and tickets.UUID.fullmatch(said):
        found["ticket_id"] = said
    return found


def argument(payload: Any) -> dict[str, Any]:
    """The only argument in a decoded body; raises ForeignMessage for a body of another form."""
    if isinstance(payload, list) and len(payload) == 3:
        arguments, keywords, embed = payload
        no_more = keywords == {} and (embed is None or (isinstance(embed, dict) and not any(embed.values())))
        if no_more and isinstance(arguments, list) and len(arguments) == 1 and isinstance(arguments[0], dict):
            return arguments[0]
    raise errors.ForeignMessage("its body is not that of a ticket")
