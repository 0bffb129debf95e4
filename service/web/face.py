"""What a user's views call. All of it belongs to the request that is being answered.

    from service.web import face

    event_id = face.submit("orders.created", {"order": 7})

Errors that these functions raise need not be caught: the door answers them with problem documents.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

import flask

from service.application.accept import Accepted
from service.domain import errors, event
from service.ledger import queries
from service.web import body, road
from service.web import errors as web_errors

KEY_LENGTH = 255  #: characters of an idempotency key
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

#: Columns of an event that hold JSON.
JSON_COLUMNS = ("payload", "result", "error", "progress")


def submit(type: str, payload: Any, *, key: str | None = None, run_at: datetime.datetime | None = None) -> str:
    """Accept an event, durably, and return its id.

    ``key``: an idempotency key, at most 255 characters; with the same key and payload this producer gets the same id.
    ``run_at``: not to be worked before this instant, a datetime with a time zone.

    Raises UnknownEventType, InvalidEvent for a payload that is no JSON or does not fit the handler's model, KeyReused,
    and NotAccepted when it cannot be stored in time.
    """
    if key is not None and not (0 < len(key) <= KEY_LENGTH and key.isprintable()):
        raise ValueError(f"key: 1 to {KEY_LENGTH} printable characters are wanted")
    if run_at is not None and run_at.tzinfo is None:
        raise ValueError("run_at: a datetime with a time zone is wanted")
    try:
        document = body.parse(json.dumps(payload, allow_nan=False).encode(), road.current().settings.max_depth)
    except body.NotStrictJson as error:
        raise errors.InvalidEvent(error.faults) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.InvalidEvent([errors.Fault("", f"the payload is no JSON: {error}")]) from None
    return accept(type, document, key=key, run_at=run_at).id


def accept(
    type: str, document: body.Document, *, key: str | None = None, run_at: datetime.datetime | None = None
) -> Accepted:
    """Accept an event whose payload is a checked document. Raises as ``submit`` does."""
    here, g = road.current(), road.real(flask.g)
    parse = here.registry.get(type).parse
    if parse is not None:
        parse(document.value)
    traceparent = flask.request.environ.get("HTTP_TRACEPARENT", "")
    new = event.NewEvent(
        type=type,
        payload=document.text.decode(),
        producer=g.producer,
        request_id=g.request_id,
        run_at=run_at,
        key=key,
        scope=g.producer or "",
        fingerprint=None if key is None else fingerprint(type, document),
        traceparent=traceparent if TRACEPARENT.fullmatch(traceparent) else None,
    )
    return here.intake.submit([new])[0]


def fingerprint(type: str, document: body.Document) -> str:
    """What tells a repeat from another event under the same key."""
    return hashlib.sha256(type.encode() + b"\n" + document.canonical()).hexdigest()


def find(event_id: str) -> dict[str, Any] | None:
    """An event with its state, its reason, its times and its payload; None if there is none with this id.

    The keys are those of ``GET /v1/events/<id>``, without ``links``. Raises LedgerUnavailable.
    """
    found = road.current().queries.find(event_id)
    if found is not None:
        for name in JSON_COLUMNS:
            found[name] = None if found[name] is None else json.loads(found[name])
    return found


def session() -> queries.Session:
    """This request's session on the ledger's database. What is not committed is rolled back after the request."""
    if "session" not in flask.g:
        flask.g.session = road.current().queries.session()
    found: queries.Session = flask.g.session
    return found


def problem(status: int, title: str, detail: str, *, errors: Iterable[tuple[str, str]] = ()) -> flask.Response:
    """A problem document to return from a view; ``errors`` are pairs of JSON pointer and detail."""
    found = [{"pointer": pointer, "detail": text} for pointer, text in errors]
    return web_errors.problem(status, title, detail, errors=found)
