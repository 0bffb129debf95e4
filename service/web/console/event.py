"""One event, from the door to its result; and what can be done with it."""

from __future__ import annotations

import json
from typing import Any

import flask

from service.application import replay
from service.domain import errors, states
from service.domain.access import Permission
from service.web import access, body, gate, operations, road, veil
from service.web.console import forms, json_text, page, timeline

ENDED = 286  #: the status at which htmx stops polling


@page.pages.get("/events/<event_id>")
@access.needs(Permission.READ)
def event(event_id: str) -> flask.Response:
    """The page."""
    with gate.reads():
        return page.render("event.html", **_values(event_id))


@page.pages.get("/live/events/<event_id>")
@access.needs(Permission.READ)
def live_event(event_id: str) -> flask.Response:
    """Its parts, as they are by now; when it has ended, for the last time."""
    with gate.reads():
        values = _values(event_id)
    response = page.fragment("event_live.html", **values)
    response.headers["Cache-Control"] = page.PRIVATE  # What a handler says of an event may be personal.
    if values["event"]["state"] not in states.OPEN:
        response.status_code = ENDED
    return response


@page.pages.get("/events/<event_id>/reveal")
@access.needs(Permission.REVEAL)
def ask_reveal(event_id: str) -> flask.Response:
    """The form that asks why the masks must be lifted."""
    return page.dialog("reveal.html", subject=_find(event_id)["type"], id=event_id, place=f"/console/events/{event_id}")


@page.pages.post("/events/<event_id>/reveal")
@forms.acts
@access.needs(Permission.REVEAL)
def reveal_event(event_id: str) -> flask.Response:
    """The page without masks, this once; that it was shown is in the audit log."""
    veil.asked({"reveal": forms.text("reason") or ""}, event_id)
    with gate.reads():
        return page.render("event.html", **_values(event_id, reveal=True))


@page.pages.get("/events/<event_id>/cancel")
@access.needs(Permission.CONTROL)
def ask_cancel_event(event_id: str) -> flask.Response:
    """The form to cancel it."""
    return page.dialog("cancel_event.html", event=_find(event_id))


@page.pages.post("/events/<event_id>/cancel")
@forms.acts
@access.needs(Permission.CONTROL)
def cancel_event(event_id: str) -> flask.Response:
    """Withdraw it."""
    here = road.current().operations
    state = here.control.cancel(event_id, by=operations.by())
    here.figures.forget()
    said = "The event was cancelled" if state is states.State.CANCELLED else "Its worker was asked to stop"
    return forms.done(said, f"/console/events/{event_id}")


@page.pages.get("/events/<event_id>/replay")
@access.needs(Permission.CONTROL)
def ask_replay_event(event_id: str) -> flask.Response:
    """The form to work it again, with its payload or another one."""
    found = _find(event_id)
    payload, places = _masked(found["payload"], found["type"])
    text = "" if places else json.dumps(payload, indent=2, ensure_ascii=False)
    return page.dialog("replay_event.html", event=found, payload=text, masked=len(places), faults=[])


@page.pages.post("/events/<event_id>/replay")
@forms.acts
@access.needs(Permission.CONTROL)
def replay_event(event_id: str) -> flask.Response:
    """Work it again, as a new event."""
    here, text = road.current(), flask.request.form.get("payload", "")
    before = _find(event_id)
    try:
        document = body.parse(text.encode(), here.settings.max_depth) if text else None
        edited = None
        if document is not None and _text(document.value) != _text(json.loads(before["payload"])):
            veil.check_whole(document.value, before["type"])
            edited = replay.Payload(document.value, document.text.decode())
        _, new_id = here.operations.replayer.one(
            event_id, edited=edited, by=operations.by(), request_id=flask.g.request_id
        )
    except (body.NotStrictJson, errors.InvalidEvent) as error:
        return page.dialog("replay_event.html", 422, event=before, payload=text, masked=0, faults=error.faults)
    here.operations.figures.forget()
    return forms.done("Replayed: this is the new event", f"/console/events/{new_id}")


def _text(value: Any) -> str:
    """The same text for the same document. To Python ``1`` equals ``1.0`` and ``true``."""
    return json.dumps(value, sort_keys=True)


def _find(event_id: str) -> dict[str, Any]:
    with gate.reads():
        found = road.current().queries.find(event_id)
        if found is None:
            raise road.current().queries.missing(event_id)
    return found


def _masked(text: str, type_name: str, *, reveal: bool = False) -> tuple[Any, list[str]]:
    """(the document with masks, where they are)."""
    shown, places = (text.encode(), []) if reveal else veil.masked_text(text, type_name)
    return json.loads(shown), places


def _values(event_id: str, *, reveal: bool = False) -> dict[str, Any]:
    here, found = road.current(), _find(event_id)
    record, explained = here.operations.explainer.explain(event_id, broker=here.publisher.up)
    kept = here.operations.history.of(event_id)
    handler = here.registry.get(found["type"]) if found["type"] in here.registry else None
    parts: dict[str, Any] = {}
    masked: list[str] = []
    for name in ("payload", "result", "attributes", "progress"):
        if found[name] is None:
            parts[name] = None
            continue
        parts[name], places = _masked(found[name], found["type"], reveal=reveal)
        masked += [f"/{name}{place}" for place in places]
    failed = found["attempts"]
    return {
        "event": found,
        "parts": parts,
        "payload": json_text.shown(parts["payload"]),
        "payload_size": len(found["payload"]),
        "result": None if parts["result"] is None else json_text.shown(parts["result"]),
        "attributes": None if found["attributes"] is None else json_text.shown(parts["attributes"]),
        "ticket": kept,
        "now": record.now,
        "handler": handler,
        "steps": timeline.steps(found, kept, handler),
        "picture": timeline.picture(found),
        "traceback": kept["tracebacks"].get(failed[-1]["number"]) if failed else None,
        "last": failed[-1] if failed else None,
        "trace_id": found["traceparent"].split("-")[1] if found["traceparent"] else None,
        "why": explained,
        "answer": explained.sentence,
        "checks": timeline.checks(record, here.publisher.up, here.settings.window),
        "masked": masked,
        "revealed": reveal,
        "open": found["state"] in states.OPEN,
    }
