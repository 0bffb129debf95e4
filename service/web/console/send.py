"""Sending an event by a form: the same check, the same commit and the same answer as over the API."""

from __future__ import annotations

import json
from typing import Any

import flask

from service.domain import errors, handlers
from service.domain.access import Permission
from service.web import access, body, entry, idempotency, road, timing
from service.web.console import forms, page

BLANK = "{}"


@page.pages.get("/send")
@access.needs(Permission.SUBMIT)
def send() -> flask.Response:
    """The form, with an example of the type's payload where there is one."""
    here = road.current()
    chosen = flask.request.args.get("type") or _first(here.registry)
    return _form({"type": chosen, "payload": _example(chosen), "delay": "", "key": ""})


@page.pages.post("/send")
@forms.acts
@access.needs(Permission.SUBMIT)
def send_event() -> Any:
    """Accept it, or show the form again with what is wrong."""
    here = road.current()
    given = {name: flask.request.form.get(name, "").strip() for name in ("type", "payload", "delay", "key")}
    try:
        document = body.parse(given["payload"].encode() or b"null", here.settings.max_depth)
        times = timing.read({"delay": given["delay"]}) if given["delay"] else timing.NONE
        key = idempotency.key(given["key"] or None)
        accepted = entry.accept(here, entry.Sent(given["type"], document, key=key, timing=times))
    except (body.NotStrictJson, errors.InvalidEvent) as error:
        return _form(given, [("payload", fault.pointer or "/", fault.detail) for fault in error.faults])
    except timing.Faulty as error:
        return _form(given, [("delay", name, detail) for name, detail in error.faults])
    except errors.MillraceError as error:
        if not isinstance(error, errors.UnknownEventType | errors.KeyReused):
            raise
        return _form(given, [("key" if isinstance(error, errors.KeyReused) else "type", "", str(error))])
    return forms.done("Accepted: it is in the ledger, with its ticket", f"/console/events/{accepted.id}")


def _form(values: dict[str, str], faults: list[tuple[str, str, str]] | None = None) -> flask.Response:
    registry = road.current().registry
    handler = registry.get(values["type"]) if values["type"] in registry else None
    return page.render(
        "send.html", 422 if faults else 200, values=values, faults=faults or [], types=list(registry), handler=handler
    )


def _first(registry: handlers.Registry) -> str:
    example = handlers.example(registry)
    return example[0] if example else next((handler.type for handler in registry), "")


def _example(type_name: str) -> str:
    registry = road.current().registry
    found = handlers.example([registry.get(type_name)]) if type_name in registry else None
    return json.dumps(json.loads(found[1]), indent=2, ensure_ascii=False) if found else BLANK
