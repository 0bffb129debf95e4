"""The API of events: take one, show one, list them, name the types."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flask

from service.domain import errors, handlers
from service.domain.access import Permission
from service.web import access, answer, body, entry, gate, idempotency, links, road, search, show, timing, veil

pages = flask.Blueprint("api", __name__, url_prefix="/v1")


@pages.post("/events/<name>")
@access.needs(Permission.SUBMIT)
def take_event(name: str) -> answer.Json:
    """Take an event of the type ``name``; its payload is the body."""
    here, request = road.current(), road.real(flask.request)
    entry.handler(here.registry, name)  # Whether there is one is asked before the body is read.
    times = timing.of_query(request.args) if request.query_string else timing.NONE
    key = idempotency.key(request.environ.get("HTTP_IDEMPOTENCY_KEY"))
    document = body.read(request, here.settings.max_depth)
    return show.accepted(entry.accept(here, entry.Sent(name, document, key=key, timing=times)))


@pages.get("/events/<event_id>")
@access.needs(Permission.READ, Permission.SUBMIT)
def show_event(event_id: str) -> answer.Json:
    """One event with all that is known of it."""
    with gate.reads():
        found = road.current().queries.find(event_id)
    # To who may not read, there are no events but their own.
    if found is None:
        raise road.current().queries.missing(event_id)
    if not (access.may(Permission.READ) or access.principal().owns(found["producer"])):
        raise errors.EventNotFound(f"there is no event {event_id[:100]!r}")
    if found["attempts"] and access.may(Permission.READ):  # A producer is not told what our code looks like.
        with gate.reads():
            tracebacks = road.current().operations.history.tracebacks(event_id)
        found["attempts"] = [one | {"traceback": tracebacks.get(one["number"])} for one in found["attempts"]]
    return answer.Json(show.event(found, reveal=veil.asked(flask.request.args, event_id)))


@pages.get("/events")
@access.needs(Permission.READ)
def list_events() -> answer.Json:
    """Events, newest first, page by page."""
    wanted = search.read(flask.request.args, search.Search)
    filters, here = wanted.filters(), road.current()
    with gate.reads():
        page = here.queries.page(filters, limit=wanted.limit)
        found = dataclasses.asdict(here.operations.counting.found(filters)) if wanted.count else None
    document = {
        "events": [links.added(e) for e in page.events],
        # A cursor is an id: the next page begins at it, whatever was accepted meanwhile.
        "next_cursor": page.older,
        "previous_cursor": None if page.newer is None else search.NEWER + page.newer,
        "searched_until": page.searched_until,
        "found": found,
    }
    return answer.Json(document)


@pages.get("/types")
@access.needs(Permission.READ, Permission.SUBMIT)
def list_types() -> answer.Json:
    """The event types that can be posted, with what their handlers ask for."""
    here = road.current()
    with gate.reads():
        pauses = here.queries.pauses()
    return answer.Json({"types": [_type(handler, pauses) for handler in here.registry]})


def _type(handler: handlers.Handler, pauses: list[dict[str, Any]]) -> dict[str, Any]:
    held = [p for p in pauses if (p["kind"], p["name"]) in (("type", handler.type), ("queue", handler.queue))]
    return {
        "name": handler.type,
        "doc": handler.doc,
        "queue": handler.queue,
        "bundle": handler.bundle or "auto",
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
