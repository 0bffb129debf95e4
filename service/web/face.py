"""What a user's views call. All of it belongs to the request that is being answered.

    from service.web import face

    event_id = face.submit("orders.created", {"order": 7})

While access is on, a view says what it takes to call it, or nobody may:

    @pages.get("/orders")
    @face.needs(face.Permission.READ)
    def orders() -> flask.Response: ...

``face.principal()`` is who asks, ``face.may(permission)`` whether they may do something more.

Errors that these functions raise need not be caught: the door answers them with problem documents.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable
from typing import Any

import flask

from service.domain import errors
from service.domain.access import Permission
from service.ledger import queries
from service.web import body, entry, idempotency, road, show, timing
from service.web import errors as web_errors
from service.web.access import may, needs, principal

__all__ = ["Permission", "find", "may", "needs", "principal", "problem", "session", "submit"]


def submit(
    type: str,
    payload: Any,
    *,
    key: str | None = None,
    run_at: datetime.datetime | None = None,
    expires_at: datetime.datetime | None = None,
) -> str:
    """Accept an event, durably, and return its id.

    ``key``: an idempotency key, at most 255 characters; with the same key and payload this producer gets the same id.
    ``run_at``, ``expires_at``: not to be worked before and after this instant, datetimes with a time zone.

    Raises UnknownEventType, InvalidEvent for a payload that is no JSON or does not fit the handler's model, KeyReused,
    ExpiresTooSoon, and NotAccepted when it cannot be stored in time.
    """
    if key is not None and not idempotency.is_key(key):
        raise ValueError(f"key: 1 to {idempotency.LENGTH} printable characters are wanted")
    for name, moment in (("run_at", run_at), ("expires_at", expires_at)):
        if moment is not None and moment.tzinfo is None:
            raise ValueError(f"{name}: a datetime with a time zone is wanted")
    try:
        document = body.parse(json.dumps(payload, allow_nan=False).encode(), road.current().settings.max_depth)
    except body.NotStrictJson as error:
        raise errors.InvalidEvent(error.faults) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.InvalidEvent([errors.Fault("", f"the payload is no JSON: {error}")]) from None
    times = timing.Timing(run_at=run_at, expires_at=expires_at)
    return entry.accept(road.current(), entry.Sent(type, document, key=key, timing=times)).id


def find(event_id: str) -> dict[str, Any] | None:
    """An event with its state, its reason, its times and its payload; None if there is none with this id.

    The keys are those of ``GET /v1/events/<id>``, without ``links``. Raises LedgerUnavailable.
    """
    found = road.current().queries.find(event_id)
    if found is not None:
        for name in show.JSON_COLUMNS:
            found[name] = None if found[name] is None else json.loads(found[name])
    return found


def session() -> queries.Session:
    """This request's session on the ledger's database. What is not committed is rolled back after the request."""
    if "session" not in flask.g:
        here = road.current().queries
        here.allow(math.inf)  # How long an app's own questions may take is its own affair.
        flask.g.session = here.session()
    found: queries.Session = flask.g.session
    return found


def problem(status: int, title: str, detail: str, *, errors: Iterable[tuple[str, str]] = ()) -> flask.Response:
    """A problem document to return from a view; ``errors`` are pairs of JSON pointer and detail."""
    found = [{"pointer": pointer, "detail": text} for pointer, text in errors]
    return web_errors.problem(status, title, detail, errors=found)
