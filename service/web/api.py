"""The API of events: take one, show one, list them, name the types."""

from __future__ import annotations

import difflib
import functools
import re
from typing import Any

import flask
import msgspec

from service.domain import errors, handlers, ids
from service.web import answer, body, face, links, road, search
from service.web import errors as web_errors

#: ``Idempotency-Key``: a string of RFC 8941 by the IETF draft, or the bare token that many clients send.
QUOTED_KEY = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')
BARE_KEY = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~:/=-]+")

pages = flask.Blueprint("api", __name__, url_prefix="/v1")


@pages.post("/events/<name>")
def take_event(name: str) -> answer.Json:
    """Take an event of the type ``name``; its payload is the body."""
    here, request = road.current(), road.real(flask.request)
    if name not in here.registry:
        raise errors.UnknownEventType(_unknown(name, here.registry))
    key = idempotency_key(request.environ.get("HTTP_IDEMPOTENCY_KEY"))
    document = body.read(request, here.settings.max_depth)
    accepted = face.accept(name, document, key=key)
    place = links.place(accepted.id)
    return answer.Json(
        {
            "id": accepted.id,
            "type": name,
            "state": "pending",
            "accepted_at": ids.instant(accepted.id),
            "links": {"self": place},
        },
        status=202,
        headers={"Location": place},
    )


@pages.get("/events/<event_id>")
def show_event(event_id: str) -> answer.Json:
    """One event with all that is known of it."""
    found = road.current().queries.find(event_id)
    if found is None:
        raise errors.EventNotFound(f"there is no event {event_id[:100]!r}")
    for column in face.JSON_COLUMNS:
        # As PostgreSQL wrote it: no number loses a digit on the way.
        found[column] = None if found[column] is None else msgspec.Raw(found[column].encode())
    return answer.Json(links.added(found))


@pages.get("/events")
def list_events() -> answer.Json:
    """Events, newest first, page by page."""
    wanted = search.read(flask.request.args, search.Search)
    found = road.current().queries.search(wanted.filters(), limit=wanted.limit + 1)
    page = found[: wanted.limit]
    # The cursor is the last id of the page: the next page begins below it, whatever was accepted meanwhile.
    cursor = page[-1]["id"] if len(found) > wanted.limit else None
    return answer.Json({"events": [links.added(e) for e in page], "next_cursor": cursor})


@pages.get("/types")
def list_types() -> answer.Json:
    """The event types that can be posted, with what their handlers ask for."""
    here = road.current()
    pauses = here.queries.pauses()
    return answer.Json({"types": [_type(handler, pauses) for handler in here.registry]})


def idempotency_key(given: str | None) -> str | None:
    """The key in the header; raises InvalidHeader for one that cannot be kept."""
    if given is None:
        return None
    quoted = QUOTED_KEY.fullmatch(given)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given
    if len(key) > face.KEY_LENGTH or not (quoted or BARE_KEY.fullmatch(key)):
        raise web_errors.InvalidHeader(
            f'Idempotency-Key: 1 to {face.KEY_LENGTH} ASCII characters in quotes are wanted, like "8e03978e"'
        )
    return key


def _unknown(name: str, registry: handlers.Registry) -> str:
    """What to say of a type that nobody handles."""
    close = difflib.get_close_matches(name[:100], [h.type for h in registry])
    hint = f"; did you mean {' or '.join(close)}?" if close else " (GET /v1/types names those that are)"
    return f"no handler is declared for the event type {name[:100]!r}{hint}"


def _type(handler: handlers.Handler, pauses: list[dict[str, Any]]) -> dict[str, Any]:
    held = [p for p in pauses if (p["kind"], p["name"]) in (("type", handler.type), ("queue", handler.queue))]
    return {
        "name": handler.type,
        "doc": handler.doc,
        "queue": handler.queue,
        "bundle": handler.bundle,
        "bulk": handler.bulk,
        "detached": handler.detached,
        "attempts": handler.attempts,
        "payload": None if handler.payload is None else _schema(handler.payload),
        "paused": bool(held),
        "pauses": held,
    }


@functools.cache
def _schema(model: Any) -> dict[str, Any]:
    """The JSON schema of a payload model."""
    import pydantic  # Slow to import, and only this page asks.

    return pydantic.TypeAdapter(model).json_schema()
